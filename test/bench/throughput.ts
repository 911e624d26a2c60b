/**
 * G1, G2, G3 and G3b: alternating rounds of one run, every server asked the same question with the same tokens while
 * the same million ids is revoked in each that has a list. Ratios are the medians of the ratios of single rounds.
 */
import { join } from 'node:path';
import type { Contender } from './contender.ts';
import { assertAnswers } from './contender.ts';
import type { Field } from './field.ts';
import { medianOf, rssMbOf } from './machine.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import type { Workload } from './workload.ts';
import type { ClosedRound } from './wrk.ts';
import { runClosed, writeScript } from './wrk.ts';

export interface RoundPlan {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly dir: string;
}

export interface Measured {
  readonly contender: Contender;
  readonly rounds: readonly ClosedRound[];
  readonly rssMb: number;
}

/** Answers are asserted before and after the rounds, and each one in them. */
export async function measureThroughput(
  contenders: readonly Contender[],
  workload: Workload,
  plan: RoundPlan,
): Promise<readonly Measured[]> {
  const asked = await Promise.all(contenders.map((contender, i) => prepare(contender, i, workload, plan)));
  for (const { contender, script } of asked) await runClosed(contender, script, plan.warmUpSeconds);
  for (let round = 0; round < plan.rounds; round++) {
    const order = round % 2 === 0 ? asked : asked.toReversed();
    for (const { contender, script, rounds } of order)
      rounds.push(await runClosed(contender, script, plan.seconds));
  }
  for (const contender of contenders) await assertAnswers(contender, workload);
  return asked.map(({ contender, rounds }) => ({ contender, rounds, rssMb: rssMbOf(contender.pid) }));
}

async function prepare(contender: Contender, i: number, workload: Workload, { dir }: RoundPlan) {
  await assertAnswers(contender, workload);
  const script = join(dir, `wrk-${i}.lua`);
  await writeScript(script, contender, workload.good);
  return { contender, script, rounds: [] as ClosedRound[] };
}

/** One line a server: medians over its rounds. */
export function renderServers(measured: readonly Measured[]): string[] {
  const head = ['server', 'rps', 'CPU us/request', 'cores busy', 'p50 ms', 'p99 ms', 'RSS MB'];
  const rows = measured.map(({ contender, rounds, rssMb }) => {
    const of = (pick: (round: ClosedRound) => number): number => medianOf(rounds.map(pick));
    return [
      contender.name,
      of(({ rps }) => rps).toFixed(0),
      of(({ cpuUs }) => cpuUs).toFixed(1),
      of(({ cores }) => cores).toFixed(2),
      of(({ p50Ms }) => p50Ms).toFixed(2),
      of(({ p99Ms }) => p99Ms).toFixed(2),
      rssMb.toFixed(0),
    ];
  });
  return [head, ...rows].map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(28) : cell.padStart(15))).join(''),
  );
}

export function throughputRows(measured: readonly Measured[], field: Field): Row[] {
  const of = (contender: Contender): Measured => {
    const found = measured.find((one) => one.contender === contender);
    if (found === undefined) throw new Error(`${contender.name} was not measured`);
    return found;
  };
  const [hello, writ, unmemoised, naive, opa, cachingOpa] = [
    of(field.hello),
    of(field.writ),
    of(field.unmemoised),
    of(field.naive),
    of(field.opa),
    of(field.cachingOpa),
  ];
  return [
    ratio('G1', 'full decision, repeated inputs: rps / hello rps', writ, hello, { pick: rpsOf, goal: 0.75 }),
    ratio('G2', 'same, wasm evaluated every time', unmemoised, hello, { pick: rpsOf, goal: 0.6 }),
    ratio('G3', 'rps / naive sidecar rps', writ, naive, { pick: rpsOf, goal: 8 }),
    ratio('G3b', 'rps / OPA server rps', writ, opa, { pick: rpsOf, goal: 5 }),
    ratio('G3b', 'CPU of the OPA server / CPU, per request', opa, writ, { pick: cpuOf, goal: 8 }),
    ratio('', 'rps / OPA with its token cache turned on', writ, cachingOpa, { pick: rpsOf }),
    ratio('', 'CPU of that OPA / CPU, per request', cachingOpa, writ, { pick: cpuOf }),
  ];
}

interface Quantity {
  (round: ClosedRound): { readonly value: number; readonly unit: string };
}

const rpsOf: Quantity = ({ rps }) => ({ value: rps, unit: ' rps' });
const cpuOf: Quantity = ({ cpuUs }) => ({ value: cpuUs, unit: ' us' });

function ratio(
  id: string,
  what: string,
  over: Measured,
  under: Measured,
  { pick, goal }: { pick: Quantity; goal?: number },
): Row {
  const values = (measured: Measured): number[] => measured.rounds.map((round) => pick(round).value);
  const [tops, bottoms] = [values(over), values(under)];
  const ratios = tops.map((top, i) => top / (bottoms[i] ?? Number.NaN));
  const shown = (all: readonly number[], of: Measured): string =>
    `${digits(medianOf(all))}${pick(of.rounds[0]!).unit} ${of.contender.name}`;
  return {
    id,
    what,
    measured: shown(tops, over),
    baseline: shown(bottoms, under),
    value: medianOf(ratios),
    unit: 'x',
    goal: goal === undefined ? {} : { atLeast: goal },
    ...(id === '' || pick === cpuOf ? {} : noteOf(over, under, ratios)),
  };
}

/** A baseline that its load generator could not keep busy would flatter whoever is compared with it. */
function noteOf(over: Measured, under: Measured, ratios: readonly number[]): { note: string } {
  const of = (measured: Measured, pick: (round: ClosedRound) => number): number =>
    medianOf(measured.rounds.map(pick));
  const cpu = of(under, ({ cpuUs }) => cpuUs) / of(over, ({ cpuUs }) => cpuUs);
  const busy = of(under, ({ cores }) => cores);
  const notes = [
    `${digits(Math.min(...ratios))} to ${digits(Math.max(...ratios))} in single rounds`,
    `by CPU of a request ${digits(cpu)}`,
    ...(busy < 0.95 ? [`DOUBTFUL: the baseline kept only ${digits(busy)} cores busy`] : []),
  ];
  return { note: notes.join('; ') };
}
