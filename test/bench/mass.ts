/**
 * `node test/bench/mass.ts [--targets 1000000] [--bulk 1000] [--at-once 2] [--cpu-prof]`: revocations that come by the
 * million, through the real doors of one replica (POST, append, renewal, index), while others ask for decisions. Prints
 * how long the loop was held (G7), bytes for each target (G6), targets a second, and that nobody was answered `fenced`,
 * beside the same process doing nothing else. Exit 1 when an answer was wrong.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { call } from '../support/client.ts';
import type { Running } from '../support/scene.ts';
import { control, mint, question } from '../support/scene.ts';
import type { LoopFigures } from './mass-server.ts';

/** Asks for a decision every few milliseconds: every one must be an allow. */
class Asker {
  readonly #writ: Running;
  readonly #body: string;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #reasons = new Map<string, number>();
  #stopping = false;
  #running: Promise<void> = Promise.resolve();
  #worstMs = 0;

  constructor(writ: Running, token: string) {
    this.#writ = writ;
    this.#body = JSON.stringify(question(token));
  }

  get isRight(): boolean {
    return this.#reasons.size === 1 && this.#reasons.has('allow');
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
    this.#agent.destroy();
  }

  said(): string {
    const counts = [...this.#reasons].map(([reason, count]) => `${count} ${reason}`).join(', ');
    return `decisions meanwhile: ${counts}; the slowest took ${this.#worstMs.toFixed(1)} ms`;
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const sentMs = performance.now();
      const reply = await call(`${this.#writ.urls.data}/access/v1/evaluation`, {
        agent: this.#agent,
        body: this.#body,
      });
      this.#worstMs = Math.max(this.#worstMs, performance.now() - sentMs);
      const { reason } = (reply.body['context'] ?? {}) as { reason?: unknown };
      const said = reply.body['decision'] === true ? 'allow' : `${reply.status} ${String(reason)}`;
      this.#reasons.set(said, (this.#reasons.get(said) ?? 0) + 1);
      await sleep(ASK_MS);
    }
  }
}

const { values: options } = parseArgs({
  options: {
    targets: { type: 'string', default: '1000000' },
    bulk: { type: 'string', default: '1000' },
    'at-once': { type: 'string', default: '2' },
    'cpu-prof': { type: 'boolean', default: false },
  },
});
const targets = Number(options.targets);
const bulk = Number(options.bulk);
const IDLE_MS = 3_000;
const ASK_MS = 5;

const dataDir = await mkdtemp(join(tmpdir(), 'writ-mass-'));
const profiling = options['cpu-prof']
  ? ['--cpu-prof', '--cpu-prof-dir=/tmp/writ-mass-prof', '--cpu-prof-interval=100']
  : [];
const child = spawn(
  process.execPath,
  ['--expose-gc', ...profiling, fileURLToPath(new URL('mass-server.ts', import.meta.url)), dataDir],
  { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
);
const [started] = (await once(child, 'message')) as [Running];

try {
  const { token } = await mint(started);
  const asker = new Asker(started, token);
  asker.start();
  await sleep(1_000);
  await figures();
  await sleep(IDLE_MS);
  const idle = await figures();
  const beganMs = performance.now();
  await stream(started);
  const sentS = (performance.now() - beganMs) / 1000;
  await untilApplied(started);
  const appliedS = (performance.now() - beganMs) / 1000;
  const busy = await figures();
  await asker.stop();
  const after = await figures();
  print('asked only', idle);
  print('while revoking', busy);
  console.log(
    `${targets} targets in entries of ${bulk}: sent in ${sentS.toFixed(1)} s, applied in ${appliedS.toFixed(1)} s,` +
      ` ${Math.round(targets / appliedS)} a second; ${((busy.cpuMs * 1000) / targets).toFixed(2)} us of CPU each`,
  );
  console.log(
    `RSS ${mb(idle)} -> ${mb(after)} MB: ${((after.rssBytes - idle.rssBytes) / targets).toFixed(1)} bytes a target`,
  );
  console.log(asker.said());
  process.exitCode = asker.isRight ? 0 : 1;
} finally {
  child.disconnect();
  await once(child, 'exit');
  await rm(dataDir, { recursive: true, force: true });
}

async function figures(): Promise<LoopFigures> {
  child.send('figures');
  const [said] = (await once(child, 'message')) as [LoopFigures];
  return said;
}

/** Bodies are made as they are sent: a thousand at a time, by several callers. */
async function stream(writ: Running): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  let next = 0;
  const send = async (): Promise<void> => {
    while (next < targets) {
      const from = next;
      next += bulk;
      const selectors = Array.from({ length: Math.min(bulk, targets - from) }, (_, i) => ({
        kind: 'jti',
        issuer: 'https://idp.example',
        value: `0198e${(from + i).toString(16).padStart(12, '0')}-mass`,
      }));
      const reply = await control(writ, '/v1/revocations', { agent, body: { selectors, wait: 'durable' } });
      if (reply.status !== 201) throw new Error(`answered ${reply.status}: ${reply.text}`);
    }
  };
  await Promise.all(Array.from({ length: Number(options['at-once']) }, send));
  agent.destroy();
}

/** What was answered last is in the index: the view says how many it holds. */
async function untilApplied(writ: Running): Promise<void> {
  for (;;) {
    const reply = await call(`${writ.urls.diagnostics}/readyz`);
    const held = Number(/(\d+) revoked targets/.exec(reply.text)?.[1] ?? 0);
    if (held >= targets) return;
    await sleep(20);
  }
}

function print(what: string, { turns, worstMs, p999Ms, worstCpuMs, p999CpuMs, cpuMs }: LoopFigures): void {
  console.log(
    `${what.padEnd(15)} worst ${worstMs.toFixed(2)} ms (${worstCpuMs.toFixed(2)} of own work),` +
      ` p99.9 ${p999Ms.toFixed(2)} (${p999CpuMs.toFixed(2)}), ${turns} ticks, ${Math.round(cpuMs)} ms of CPU`,
  );
}

function mb({ rssBytes }: LoopFigures): string {
  return (rssBytes / 1024 / 1024).toFixed(0);
}
