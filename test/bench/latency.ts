/**
 * G4: the 99th percentile of a decision beside that of hello at the same fixed rate, open loop, alternating rounds.
 * 30,000 a second where this machine can do that with hello at most 60 % busy; else the highest rate at which it is.
 */
import type { Contender } from './contender.ts';
import { assertAnswers } from './contender.ts';
import type { OpenRound } from './h2load.ts';
import { CLIENTS, runOpen } from './h2load.ts';
import { medianOf } from './machine.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import type { Workload } from './workload.ts';

export interface LatencyPlan {
  readonly rounds: number;
  readonly seconds: number;
  readonly dir: string;
}

const RATES = [30_000, 25_000, 20_000, 16_000, 12_000, 8_000, 4_000];
const HELLO_CORES_MAX = 0.6;
const PROBE_S = 2;

export async function measureLatency(
  hello: Contender,
  writ: Contender,
  workload: Workload,
  plan: LatencyPlan,
): Promise<Row> {
  const token = workload.good[0] ?? '';
  await assertAnswers(writ, workload);
  const rps = await findRate(hello, { token, dir: plan.dir });
  const run = { rps, seconds: plan.seconds, dir: plan.dir, token };
  await runOpen(writ, { ...run, seconds: PROBE_S });
  const ours: OpenRound[] = [];
  const theirs: OpenRound[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const isOdd = round % 2 === 1;
    if (isOdd) ours.push(await runOpen(writ, run));
    theirs.push(await runOpen(hello, run));
    if (!isOdd) ours.push(await runOpen(writ, run));
  }
  await assertAnswers(writ, workload);
  return rowOf(rps, ours, theirs);
}

async function findRate(hello: Contender, at: { token: string; dir: string }): Promise<number> {
  for (const rps of RATES) {
    const { cores, rps: answered } = await runOpen(hello, { ...at, rps, seconds: PROBE_S });
    if (cores <= HELLO_CORES_MAX && answered >= 0.98 * rps) return rps;
  }
  throw new Error(`hello is more than 60 % busy, or late, at ${String(RATES.at(-1))} a second`);
}

function rowOf(rps: number, ours: readonly OpenRound[], theirs: readonly OpenRound[]): Row {
  const ratios = (pick: (round: OpenRound) => number): number[] =>
    ours.map((round, i) => pick(round) / pick(theirs[i]!));
  const p99s = ratios(({ p99Ms }) => p99Ms);
  const scheduled = medianOf(ratios(({ scheduledP99Ms }) => scheduledP99Ms));
  const cores = medianOf(theirs.map((round) => round.cores));
  const note = [
    `h2load ${CLIENTS} connections, one token (it takes one body), hello ${digits(cores * 100)} % busy`,
    `p50 ${describe(ours, ({ p50Ms }) => p50Ms)} beside ${describe(theirs, ({ p50Ms }) => p50Ms)}`,
    `counted from the schedule the ratio is ${digits(scheduled)}`,
    `${digits(Math.min(...p99s))} to ${digits(Math.max(...p99s))} in single rounds`,
  ];
  return {
    id: 'G4',
    what: `p99 / hello p99 at ${rps.toLocaleString('en')} rps, open loop`,
    measured: `${describe(ours, ({ p99Ms }) => p99Ms)} writ`,
    baseline: `${describe(theirs, ({ p99Ms }) => p99Ms)} hello`,
    value: medianOf(p99s),
    unit: 'x',
    goal: { atMost: 1.25 },
    note: note.join('; '),
  };
}

function describe(rounds: readonly OpenRound[], pick: (round: OpenRound) => number): string {
  return `${digits(medianOf(rounds.map(pick)))} ms`;
}
