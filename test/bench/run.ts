/**
 * `npm run bench`: node:http hello and Writ on the same requests, alternating rounds of one run, with 1 M revoked
 * targets loaded. Prints requests a second, CPU per request from the process's own times, p50 and p99, and ratios.
 * It asserts on the answers it gets: a fast wrong answer is no result.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { call, keepAlive } from '../support/client.ts';
import { peerPath } from '../support/peers.ts';
import { makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const ROUNDS = Number(process.env['WRIT_BENCH_ROUNDS'] ?? 5);
const SECONDS = Number(process.env['WRIT_BENCH_SECONDS'] ?? 4);
const TARGETS = Number(process.env['WRIT_BENCH_TARGETS'] ?? 1_000_000);
const CONNECTIONS = 64;
const TOKENS = 32;

interface Server {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
}

interface Round {
  readonly rps: number;
  readonly cpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const dataDir = await makeDataDir();
const wrk = peerPath('wrk');
const hello = spawn(process.execPath, [fileURLToPath(new URL('hello.ts', import.meta.url))], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
const writ = await startWrit({ dataDir });

try {
  const [first] = (await once(createInterface({ input: hello.stdout }), 'line')) as [string];
  const port = (JSON.parse(first) as { port: number }).port;
  const tokens = await mintAll();
  const loadedMs = await revokeMany();
  const script = writeScript(tokens);
  await assertAnswers(tokens);
  const servers: Server[] = [
    { name: 'node:http hello', pid: hello.pid ?? 0, url: `http://127.0.0.1:${port}` },
    { name: 'writ', pid: writ.pid, url: writ.urls.data },
  ];
  for (const server of servers) run(server, script, 1);
  const rounds = new Map<string, Round[]>(servers.map(({ name }) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? servers : servers.toReversed();
    for (const server of order) rounds.get(server.name)?.push(run(server, script, SECONDS));
  }
  await assertAnswers(tokens);
  print(rounds, loadedMs);
} finally {
  keepAlive.destroy();
  hello.kill('SIGKILL');
  await writ.kill('SIGKILL');
  await removeDataDir(dataDir);
}

async function mintAll(): Promise<string[]> {
  const body = { sub: 'billing', scope: 'invoice:read', ttlS: 7200 };
  const minted = Array.from({ length: TOKENS }, () =>
    call(`${writ.urls.control}/v1/dev/tokens`, { token: writ.adminToken, body }),
  );
  return (await Promise.all(minted)).map((reply) => String(reply.body['token']));
}

/** Bulk entries of 1,000 targets, appended and not waited for: the index is what is under test. */
async function revokeMany(): Promise<number> {
  const startedMs = performance.now();
  for (let from = 0; from < TARGETS; from += 1_000) {
    const selectors = Array.from({ length: Math.min(1_000, TARGETS - from) }, (_, i) => ({
      kind: 'jti',
      issuer: 'https://bench.invalid',
      value: `revoked-${from + i}`,
    }));
    const reply = await call(`${writ.urls.control}/v1/revocations`, {
      token: writ.adminToken,
      body: { selectors, wait: 'durable' },
    });
    if (reply.status !== 201) throw new Error(`loading answered ${reply.status}: ${reply.text}`);
  }
  return performance.now() - startedMs;
}

function bodyFor(token: string): string {
  return JSON.stringify({
    subject: { type: 'service', id: 'billing' },
    action: { name: 'read' },
    resource: { type: 'invoice', id: '42' },
    context: { credential: { scheme: 'Bearer', token } },
  });
}

/** wrk's Lua has no integer division and fails silently: the script is as simple as can be, and answers are counted. */
function writeScript(tokens: readonly string[]): string {
  const path = join(dataDir, 'bench.lua');
  const bodies = tokens.map((token) => `[==[${bodyFor(token)}]==]`).join(',\n');
  const lua = `
local bodies = {${bodies}}
local requests = {}
local at = 0
local bad = 0
function init(args)
  for i, body in ipairs(bodies) do
    requests[i] = wrk.format("POST", "/access/v1/evaluation", { ["Content-Type"] = "application/json" }, body)
  end
end
function request()
  at = (at % #requests) + 1
  return requests[at]
end
function response(status, headers, body)
  if status ~= 200 or not string.find(body, '"decision":true', 1, true) then wrk.thread:stop() end
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration, summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, latency:percentile(50), latency:percentile(99)))
end
`;
  writeFileSync(path, lua);
  return path;
}

function run(server: Server, script: string, seconds: number): Round {
  const before = cpuSeconds(server.pid);
  const args = ['-t', '1', '-c', String(CONNECTIONS), '-d', `${seconds}s`, '-s', script, server.url];
  const { stdout } = spawnSync(wrk, args, { encoding: 'utf8' });
  const cpuS = cpuSeconds(server.pid) - before;
  const match = /RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(stdout);
  if (match === null) throw new Error(`wrk printed no result:\n${stdout}`);
  const [requests = 0, durationUs = 0, errors = 0, p50Us = 0, p99Us = 0] = match.slice(1).map(Number);
  // The script stops at the first answer that is not an allow, which cuts the run short.
  if (errors > 0 || durationUs < seconds * 900_000)
    throw new Error(`${server.name} answered something else:\n${stdout}`);
  return {
    rps: requests / (durationUs / 1e6),
    cpuUs: (cpuS * 1e6) / requests,
    p50Ms: p50Us / 1000,
    p99Ms: p99Us / 1000,
  };
}

/** User and system time of the whole process, all threads, in seconds (proc(5), fields 14 and 15). */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** An allow for what is alive, a deny for what is not, before and after the rounds. */
async function assertAnswers(tokens: readonly string[]): Promise<void> {
  for (const token of tokens) {
    const reply = await call(`${writ.urls.data}/access/v1/evaluation`, { body: bodyFor(token) });
    if (reply.body['decision'] !== true) throw new Error(`a good token was refused: ${reply.text}`);
  }
  const dead = await call(`${writ.urls.control}/v1/dev/tokens`, {
    token: writ.adminToken,
    body: { sub: 'billing', scope: 'invoice:read', ttlS: 600 },
  });
  const token = String(dead.body['token']);
  await call(`${writ.urls.control}/v1/revocations`, {
    token: writ.adminToken,
    body: { selector: { kind: 'token', value: token } },
  });
  const refused = await call(`${writ.urls.data}/access/v1/evaluation`, { body: bodyFor(token) });
  if (refused.body['decision'] !== false) throw new Error('a revoked token was allowed');
}

function print(rounds: ReadonlyMap<string, readonly Round[]>, loadedMs: number): void {
  const rssMb =
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${writ.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  console.log(
    `\n${TARGETS.toLocaleString('en')} revoked targets loaded in ${(loadedMs / 1000).toFixed(1)} s; writ uses ${rssMb.toFixed(0)} MB`,
  );
  console.log(
    `${ROUNDS} alternating rounds of ${SECONDS} s, ${CONNECTIONS} connections, ${TOKENS} tokens of ~${bodyFor('').length} B + token; medians\n`,
  );
  console.log('                        rps    CPU us/request    p50 ms    p99 ms');
  const medians = [...rounds].map(([name, all]) => ({ name, ...medianOf(all) }));
  for (const { name, rps, cpuUs, p50Ms, p99Ms } of medians) {
    console.log(
      `${name.padEnd(18)}${rps.toFixed(0).padStart(9)}${cpuUs.toFixed(1).padStart(18)}${p50Ms.toFixed(2).padStart(10)}${p99Ms.toFixed(2).padStart(10)}`,
    );
  }
  const [base, own] = medians;
  if (base === undefined || own === undefined) return;
  console.log(
    `\nwrit / hello: rps ${(own.rps / base.rps).toFixed(2)}, CPU per request ${(own.cpuUs / base.cpuUs).toFixed(2)}, p99 ${(own.p99Ms / base.p99Ms).toFixed(2)}`,
  );
}

function medianOf(rounds: readonly Round[]): Round {
  const median = (pick: (round: Round) => number): number => {
    const sorted = rounds.map(pick).toSorted((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? 0;
  };
  return {
    rps: median((r) => r.rps),
    cpuUs: median((r) => r.cpuUs),
    p50Ms: median((r) => r.p50Ms),
    p99Ms: median((r) => r.p99Ms),
  };
}
