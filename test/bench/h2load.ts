/**
 * Open loop: h2load sends at a fixed rate over HTTP/1.1, whatever the answers do. It takes one body, so one token.
 * Percentiles come from its log of single requests; it prints none itself.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { peerPath } from '../support/peers.ts';
import type { Contender } from './contender.ts';
import { cpuSecondsOf, quantileOf } from './machine.ts';
import { HEADERS } from './workload.ts';

/** Few: h2load starts all of them in step, and each of them is one more request in the same burst. */
export const CLIENTS = 32;
const WARM_UP_S = 1;

export interface OpenRound {
  /** Answered in a second, of those asked for. */
  readonly rps: number;
  readonly cores: number;
  /** From the sending of a request to the end of its answer. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** From when its turn in the schedule was: what a late sender hides. */
  readonly scheduledP99Ms: number;
}

export interface OpenRun {
  readonly rps: number;
  readonly seconds: number;
  readonly dir: string;
  readonly token: string;
}

/** One round. Throws when an answer was not a 200, or the log lacks requests. */
export async function runOpen(contender: Contender, run: OpenRun): Promise<OpenRound> {
  const log = join(run.dir, 'h2load.log');
  const body = join(run.dir, 'h2load.json');
  await rm(log, { force: true });
  await writeFile(body, contender.bodyOf(run.token));
  const before = cpuSecondsOf(contender.pid);
  const child = spawn(peerPath('h2load'), argumentsOf(contender.url, run, { log, body }), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  const cores = (cpuSecondsOf(contender.pid) - before) / (run.seconds + WARM_UP_S);
  assertAllGood(contender.name, output);
  const requests = parseLog(await readFile(log, 'utf8'));
  return { cores, ...latenciesOf(requests) };
}

function argumentsOf(url: string, { rps, seconds }: OpenRun, files: { log: string; body: string }): string[] {
  const headers = Object.entries(HEADERS).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const load = ['-t', '1', '-c', String(CLIENTS), '--rps', String(Math.round(rps / CLIENTS))];
  const span = ['-D', String(seconds), '--warm-up-time', String(WARM_UP_S)];
  return ['--h1', ...load, ...span, ...headers, '-d', files.body, '--log-file', files.log, url];
}

/** h2load says how every request ended, twice. */
export function assertAllGood(name: string, output: string): void {
  const ended = /(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(output);
  const codes = /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(output);
  if (ended === null || codes === null) throw new Error(`h2load printed no result:\n${output}`);
  const bad = [...ended.slice(2), ...codes.slice(2)].map(Number);
  if (Number(ended[1]) === 0 || bad.some((count) => count > 0))
    throw new Error(`${name} did not answer everything with 200: ${ended[0]}; ${codes[0]}`);
}

export interface LoggedRequests {
  readonly startedUs: Float64Array;
  readonly tookUs: Float64Array;
}

/** `start µs <tab> status <tab> duration µs` a line; throws when one is no 200. */
export function parseLog(log: string): LoggedRequests {
  const lines = log.trimEnd().split('\n');
  const startedUs = new Float64Array(lines.length);
  const tookUs = new Float64Array(lines.length);
  lines.forEach((line, i) => {
    const [started, status, took] = line.split('\t');
    if (status !== '200') throw new Error(`h2load logged status ${String(status)}`);
    startedUs[i] = Number(started);
    tookUs[i] = Number(took);
  });
  return { startedUs, tookUs };
}

/**
 * The schedule is even: the k-th request was due at k times the mean distance, and none before it was due. What was
 * sent later than that has waited, which its own duration does not show (coordinated omission).
 */
export function latenciesOf({ startedUs, tookUs }: LoggedRequests): Omit<OpenRound, 'cores'> {
  const order = Uint32Array.from(startedUs.keys()).toSorted((a, b) => startedUs[a]! - startedUs[b]!);
  const count = order.length;
  const spanUs = startedUs[order[count - 1]!]! - startedUs[order[0]!]!;
  const stepUs = spanUs / (count - 1);
  const dueUs = Float64Array.from(order, (at, k) => startedUs[at]! - k * stepUs);
  const originUs = dueUs.reduce((least, due) => Math.min(least, due), Number.POSITIVE_INFINITY);
  const scheduled = Float64Array.from(order, (at, k) => dueUs[k]! - originUs + tookUs[at]!).toSorted();
  const took = tookUs.toSorted();
  return {
    rps: count / (spanUs / 1e6),
    p50Ms: quantileOf(took, 0.5) / 1000,
    p99Ms: quantileOf(took, 0.99) / 1000,
    scheduledP99Ms: quantileOf(scheduled, 0.99) / 1000,
  };
}
