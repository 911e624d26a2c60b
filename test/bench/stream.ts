/**
 * G7: millions of revocations stream into a running Writ through its door (POST, append, renew, follow, acknowledge),
 * while questions are asked of it and its loop is watched from inside. Beside it: the same process, idle, before.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { ask, assertAnswers } from './contender.ts';
import { rssMbOf } from './machine.ts';
import type { Stalls } from './stalls.ts';
import { askStalls, WATCHED } from './stalls.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import type { Workload } from './workload.ts';
import { mintWorkload } from './workload.ts';
import type { WritContender } from './writ.ts';
import { BULK, revokeInTheEnd, revokeToken, startWritContender, targetsOf } from './writ.ts';

export interface StreamPlan {
  readonly targets: number;
  /** Stops here with fewer, and says how many. */
  readonly secondsMax: number;
  readonly idleSeconds: number;
}

const LANES = 2;
const QUESTION_EVERY_MS = 20;

export async function measureStream(plan: StreamPlan): Promise<Row> {
  const writ = await startWritContender({ name: 'writ', execArgv: WATCHED });
  try {
    const workload = await mintWorkload(writ.process);
    const idle = await whileAsked(writ, workload, () => sleep(plan.idleSeconds * 1000));
    const startedMs = performance.now();
    let streamed: Streamed = { targets: 0, fenced: 0 };
    const busy = await whileAsked(writ, workload, async () => {
      streamed = await stream(writ.process, plan);
    });
    const seconds = (performance.now() - startedMs) / 1000;
    await revokeToken(writ.process, workload.dead.jti);
    await assertAnswers(writ, workload);
    await assertHeld(writ, streamed.targets + 1);
    return rowOf({ idle, busy, streamed, seconds, rssMb: rssMbOf(writ.pid), plan });
  } finally {
    await writ.stop();
  }
}

async function assertHeld({ process }: WritContender, revoked: number): Promise<void> {
  const isAll = (held: number): boolean => held === revoked;
  const held = await eventually(() => targetsOf(process), isAll);
  if (!isAll(held)) throw new Error(`${revoked} were revoked, and Writ has ${held} in its index`);
}

interface Watched extends Stalls {
  readonly questions: number;
  /** Answered `fenced`: safe, and no use to anybody. */
  readonly fenced: number;
}

/** Questions all the while, each with an allow for an answer; a replica that a stream fences is told of. */
async function whileAsked(
  writ: WritContender,
  { good }: Workload,
  work: () => Promise<void>,
): Promise<Watched> {
  await askStalls(writ.process);
  const finished = new AbortController();
  const asking = askUntil(writ, good, finished.signal);
  const worked = work().finally(() => finished.abort());
  const [, asked] = await Promise.all([worked, asking]);
  return { ...(await askStalls(writ.process)), ...asked };
}

async function askUntil(
  writ: WritContender,
  tokens: readonly string[],
  signal: AbortSignal,
): Promise<{ questions: number; fenced: number }> {
  let [questions, fenced] = [0, 0];
  while (!signal.aborted) {
    const { text } = await ask(writ, tokens[questions % tokens.length] ?? '');
    if (text.includes('"reason":"fenced"')) fenced += 1;
    else if (!text.includes(writ.allow)) throw new Error(`a good token was answered with ${text}`);
    questions += 1;
    await sleep(QUESTION_EVERY_MS);
  }
  return { questions, fenced };
}

interface Streamed {
  readonly targets: number;
  /** Entries that were refused because the replica was fenced, and sent again. */
  readonly fenced: number;
}

async function stream(writ: WritProcess, { targets, secondsMax }: StreamPlan): Promise<Streamed> {
  const untilMs = performance.now() + secondsMax * 1000;
  let [next, fenced] = [0, 0];
  const lane = async (): Promise<void> => {
    while (next < targets && performance.now() < untilMs) {
      const from = next;
      next += BULK;
      fenced += await revokeInTheEnd(writ, from, next);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return { targets: next, fenced };
}

interface Measured {
  readonly idle: Watched;
  readonly busy: Watched;
  readonly streamed: Streamed;
  readonly seconds: number;
  readonly rssMb: number;
  readonly plan: StreamPlan;
}

function rowOf({ idle, busy, streamed, seconds, rssMb, plan }: Measured): Row {
  const { targets } = streamed;
  const count = digits(targets / 1e6);
  const isCut = targets < plan.targets;
  const note = [
    `${count} M streamed in ${digits(seconds)} s (${digits(targets / seconds)} a second, ${digits(rssMb)} MB resident)`,
    ...(isCut ? [`cut off at ${plan.secondsMax} s, ${plan.targets / 1e6} M were meant`] : []),
    `99.9 % of ticks were less than ${digits(busy.p999Ms)} ms late`,
    `its own CPU time between two ticks at most ${digits(busy.worstCpuMs)} ms; the rest is this machine's`,
    `${busy.fenced} of ${busy.questions} questions and ${streamed.fenced} revocations were answered \`fenced\` meanwhile`,
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
