/**
 * G7: millions of revocations stream into a running Writ through its door (POST, append, renew, follow, acknowledge),
 * while questions are asked of it and its loop is watched from inside. Beside it: the same process, idle, before.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WritProcess } from '../support/writ-process.ts';
import { assertAnswer, assertAnswers } from './contender.ts';
import { rssMbOf } from './machine.ts';
import type { Stalls } from './stalls.ts';
import { askStalls, WATCHED } from './stalls.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import type { Workload } from './workload.ts';
import { mintWorkload } from './workload.ts';
import type { WritContender } from './writ.ts';
import { revokeBulk, revokeToken, startWritContender, targetsOf } from './writ.ts';

export interface StreamPlan {
  readonly targets: number;
  /** Stops here with fewer, and says how many. */
  readonly secondsMax: number;
  readonly idleSeconds: number;
}

const LANES = 2;
const STEP = 10_000;
const QUESTION_EVERY_MS = 20;

export async function measureStream(plan: StreamPlan): Promise<Row> {
  const writ = await startWritContender({ name: 'writ', execArgv: WATCHED });
  try {
    const workload = await mintWorkload(writ.process);
    const idle = await whileAsked(writ, workload, () => sleep(plan.idleSeconds * 1000));
    const startedMs = performance.now();
    let streamed = 0;
    const busy = await whileAsked(writ, workload, async () => {
      streamed = await stream(writ.process, plan);
    });
    const seconds = (performance.now() - startedMs) / 1000;
    await revokeToken(writ.process, workload.dead.jti);
    await assertAnswers(writ, workload);
    const targets = await targetsOf(writ.process);
    if (targets !== streamed + 1)
      throw new Error(`${streamed} and one were revoked, and Writ has ${targets} in its index`);
    return rowOf({ idle, busy, streamed, seconds, rssMb: rssMbOf(writ.pid), plan });
  } finally {
    await writ.stop();
  }
}

/** Questions all the while, none of which may be refused: a stream that fences its replica is no stream. */
async function whileAsked(
  writ: WritContender,
  { good }: Workload,
  work: () => Promise<void>,
): Promise<Stalls> {
  await askStalls(writ.process);
  const finished = new AbortController();
  const asking = (async () => {
    for (let i = 0; !finished.signal.aborted; i++) {
      await assertAnswer(writ, good[i % good.length] ?? '', true);
      await sleep(QUESTION_EVERY_MS);
    }
  })();
  const worked = work().finally(() => finished.abort());
  await Promise.all([worked, asking]);
  return askStalls(writ.process);
}

async function stream(writ: WritProcess, { targets, secondsMax }: StreamPlan): Promise<number> {
  const untilMs = performance.now() + secondsMax * 1000;
  let next = 0;
  let done = 0;
  const lane = async (): Promise<void> => {
    while (next < targets && performance.now() < untilMs) {
      const from = next;
      next = Math.min(targets, next + STEP);
      await revokeBulk(writ, from, next);
      done += Math.min(STEP, targets - from);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return done;
}

interface Measured {
  readonly idle: Stalls;
  readonly busy: Stalls;
  readonly streamed: number;
  readonly seconds: number;
  readonly rssMb: number;
  readonly plan: StreamPlan;
}

function rowOf({ idle, busy, streamed, seconds, rssMb, plan }: Measured): Row {
  const count = (streamed / 1e6).toFixed(1);
  const isCut = streamed < plan.targets;
  const note = [
    `${count} M streamed in ${digits(seconds)} s (${digits(streamed / seconds)} a second, ${digits(rssMb)} MB resident)`,
    ...(isCut ? [`cut off at ${plan.secondsMax} s, ${plan.targets / 1e6} M were meant`] : []),
    `99.9 % of ticks were less than ${digits(busy.p999Ms)} ms late`,
    `its own CPU time between two ticks at most ${digits(busy.worstCpuMs)} ms; the rest is this machine's`,
    'no question was refused meanwhile',
  ];
  return {
    id: 'G7',
    what: `worst loop stall while ${count} M revocations stream in`,
    measured: `${digits(busy.worstMs)} ms`,
    baseline: `${digits(idle.worstMs)} ms idle`,
    value: busy.worstMs,
    unit: ' ms',
    goal: { atMost: 5 },
    note: note.join('; '),
  };
}
