/**
 * G9: a bundle with 10 MB of data is loaded into a running Writ while questions come at a fixed rate, and its loop is
 * watched from inside. Beside it: the same rate without a load. Every question is answered with 200, and in the end
 * with the new bundle's digest.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, cp, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { contextOf, eventually } from '../support/scene.ts';
import { ROOT } from '../support/writ-process.ts';
import { ask, assertAnswers } from './contender.ts';
import { runOpen } from './h2load.ts';
import type { Stalls } from './stalls.ts';
import { askStalls, WATCHED } from './stalls.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import { mintWorkload, revokedId } from './workload.ts';
import type { WritContender } from './writ.ts';
import { revokeToken, startWritContender } from './writ.ts';

export interface ReloadPlan {
  readonly dir: string;
  readonly loads: number;
}

const RPS = 2_000;
const DATA_BYTES = 10 * 2 ** 20;
/** Of the load: h2load runs as long, and the swap must come before it ends. */
const SECONDS = 8;
const BEFORE_MS = 2_000;

export async function measureReload({ dir, loads }: ReloadPlan): Promise<Row> {
  const bundle = join(dir, 'bundle.tar.gz');
  await copyFile(join(ROOT, 'policies/bundle.tar.gz'), bundle);
  const large = await Promise.all(Array.from({ length: loads }, (_, i) => buildLarge(dir, i)));
  const set = [`policy.bundle=${bundle}`];
  const writ = await startWritContender({ name: 'writ', execArgv: WATCHED, set });
  try {
    const workload = await mintWorkload(writ.process);
    await revokeToken(writ.process, workload.dead.jti);
    const token = workload.good[0] ?? '';
    const asked = { dir, token, seconds: SECONDS, rps: RPS };
    await runOpen(writ, asked);
    const idle = await watched(writ, () => runOpen(writ, asked));
    const busy: Stalls[] = [];
    for (const next of large) {
      const loaded = async (): Promise<void> => {
        await sleep(BEFORE_MS);
        await load(writ, { next, bundle, token });
      };
      busy.push(await watched(writ, () => Promise.all([runOpen(writ, asked), loaded()])));
    }
    await assertAnswers(writ, workload);
    return rowOf(idle, busy);
  } finally {
    await writ.stop();
  }
}

/** The default policy with as many subjects bound to a role as fill 10 MB, others each time. */
async function buildLarge(dir: string, i: number): Promise<string> {
  const sources = join(dir, `policies-${i}`);
  await cp(join(ROOT, 'policies/writ'), join(sources, 'writ'), { recursive: true });
  const data = JSON.parse(await readFile(join(ROOT, 'policies/data.json'), 'utf8')) as object;
  const each = Buffer.byteLength(`"${revokedId(0)}":["invoice-reader"],`);
  const bindings = Array.from({ length: Math.ceil(DATA_BYTES / each) }, (_, subject) => [
    revokedId(subject + i),
    ['invoice-reader'],
  ]);
  const text = JSON.stringify({ ...data, bindings: Object.fromEntries(bindings) as object });
  await writeFile(join(sources, 'data.json'), text);
  const out = join(dir, `bundle-${i}.tar.gz`);
  await promisify(execFile)(process.execPath, [
    join(ROOT, 'src/main.ts'),
    ...['policy', 'build', sources, '-o', out],
  ]);
  return out;
}

interface Load {
  readonly next: string;
  readonly bundle: string;
  readonly token: string;
}

/** Puts the bundle in its place whole, says so, and waits until a decision was made by it. */
async function load(writ: WritContender, { next, bundle, token }: Load): Promise<void> {
  const digest = `sha256:${createHash('sha256')
    .update(await readFile(next))
    .digest('hex')}`;
  await rename(next, bundle);
  process.kill(writ.pid, 'SIGHUP');
  const policyOf = async (): Promise<unknown> => contextOf(await ask(writ, token))['policy'];
  const policy = await eventually(policyOf, (seen) => seen === digest, 30_000);
  if (policy !== digest)
    throw new Error(`the bundle was not loaded: ${writ.process.log.slice(-3).join('\n')}`);
}

async function watched(writ: WritContender, work: () => Promise<unknown>): Promise<Stalls> {
  await askStalls(writ.process);
  await work();
  return askStalls(writ.process);
}

function rowOf(idle: Stalls, busy: readonly Stalls[]): Row {
  const worst = (pick: (stalls: Stalls) => number): number => Math.max(...busy.map(pick));
  const worstMs = worst((stalls) => stalls.worstMs);
  const cpuMs = worst((stalls) => stalls.worstCpuMs);
  return {
    id: 'G9',
    what: `worst loop stall while a bundle with 10 MB of data is loaded at ${RPS.toLocaleString('en')} rps`,
    measured: `${digits(worstMs)} ms`,
    baseline: `${digits(idle.worstMs)} ms without a load`,
    value: worstMs,
    unit: ' ms',
    goal: { atMost: 10 },
    note: `worst of ${busy.length} loads, each swapped in with every question answered; its own CPU time between two ticks at most ${digits(cpuMs)} ms (${digits(idle.worstCpuMs)} without); the rest is this machine's`,
  };
}
