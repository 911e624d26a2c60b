/**
 * Closed loop: wrk with one thread keeps 64 connections busy and rotates through the tokens. Every single answer is
 * looked at, in Lua: a run in which one is no allow throws. Nothing else here knows wrk's output.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { peerPath } from '../support/peers.ts';
import type { Contender } from './contender.ts';
import { cpuSecondsOf } from './machine.ts';
import { HEADERS } from './workload.ts';

export const CONNECTIONS = 64;

export interface ClosedRound {
  readonly rps: number;
  readonly cpuUs: number;
  /** Cores that the server kept busy. */
  readonly cores: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Writes the script that asks `contender` with `tokens`. wrk's Lua fails silently, so it is as simple as can be. */
export async function writeScript(
  path: string,
  contender: Contender,
  tokens: readonly string[],
): Promise<void> {
  const bodies = tokens.map((token) => `[==[${contender.bodyOf(token)}]==]`).join(',\n');
  const headers = Object.entries(HEADERS).map(([name, value]) => `["${name}"] = "${value}"`);
  const lua = `
local bodies = {${bodies}}
local headers = { ${headers.join(', ')} }
local requests = {}
local at = 0
wrong = 0
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args)
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", "${new URL(contender.url).pathname}", headers, body) end
end
function request()
  at = (at % #requests) + 1
  return requests[at]
end
function response(status, headers, body)
  if status ~= 200 or not string.find(body, '${contender.allow}', 1, true) then wrong = wrong + 1 end
end
function done(summary, latency, requests)
  local errors = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do errors = errors + thread:get("wrong") end
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration, errors, latency:percentile(50), latency:percentile(99)))
end
`;
  await writeFile(path, lua);
}

/** One round of `seconds`. Throws when one answer was not an allow. */
export async function runClosed(contender: Contender, script: string, seconds: number): Promise<ClosedRound> {
  const before = cpuSecondsOf(contender.pid);
  const args = ['-t', '1', '-c', String(CONNECTIONS), '-d', `${seconds}s`, '-s', script, contender.url];
  const child = spawn(peerPath('wrk'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  const cpuS = cpuSecondsOf(contender.pid) - before;
  const { requests, durationS, errors, p50Us, p99Us } = parseResult(output);
  if (errors > 0) throw new Error(`${contender.name}: ${errors} answers of ${requests} were no allow`);
  return {
    rps: requests / durationS,
    cpuUs: (cpuS * 1e6) / requests,
    cores: cpuS / durationS,
    p50Ms: p50Us / 1000,
    p99Ms: p99Us / 1000,
  };
}

interface Result {
  readonly requests: number;
  readonly durationS: number;
  readonly errors: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** The line that the script prints at its end; throws when there is none, or nothing was asked. */
export function parseResult(output: string): Result {
  const match = /RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(output);
  if (match === null) throw new Error(`wrk printed no result:\n${output}`);
  const [requests = 0, durationUs = 0, errors = 0, p50Us = 0, p99Us = 0] = match.slice(1).map(Number);
  if (requests === 0) throw new Error('wrk sent nothing');
  return { requests, durationS: durationUs / 1e6, errors, p50Us, p99Us };
}
