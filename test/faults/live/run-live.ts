/** Live fleets, one after the other, until the time is over; then what they have shown. Called by ../main.ts. */
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { ROOT } from '../../support/writ-process.ts';
import type { LifeOutcome } from './life.ts';
import { live } from './life.ts';
import { LiveTally } from './live-tally.ts';
import { examineMachine } from './machine.ts';
import type { Round } from './plan.ts';
import { missingHere, planAgain, planOf } from './plan.ts';

const HISTORIES = join(ROOT, '.cache', 'faults');
/** Rounds with one fleet. */
const ROUNDS = 10;

export interface LiveOptions {
  readonly seed: number;
  readonly minutes: number;
  /** In the names of the faults that are run. */
  readonly only?: string | undefined;
  /** Print what happened, and keep what callers saw, also where everything held. */
  readonly isKept?: boolean;
}

/** Exit code: 0 all held, 1 something did not, 2 these runs do not count. */
export async function runLive({ seed, minutes, only = '', isKept = false }: LiveOptions): Promise<0 | 1 | 2> {
  const machine = await examineMachine();
  for (const why of missingHere(machine)) console.log(`not run here: ${why}`);
  const tally = new LiveTally();
  const endMs = performance.now() + minutes * 60_000;
  const isOver = (): boolean => performance.now() > endMs;
  const runLife = async (of: number, rounds: readonly Round[], isAgain = false): Promise<void> => {
    if (tally.failed.length > 0 || (isOver() && !isAgain)) return;
    const options = { machine, historyDir: HISTORIES, isOver: () => isOver() && !isAgain };
    const outcome = await live(of, rounds, options);
    tally.add(outcome);
    if (outcome.violations.length > 0 || isKept) tell(seed, outcome);
    else await rm(outcome.history);
    summarise(outcome);
  };
  for (let cycle = 0; !isOver() && tally.failed.length === 0; cycle++) {
    const plan = planOf(seed + cycle, machine, only);
    if (plan.length === 0) throw new Error(`no fault that can be run here has this in its name: ${only}`);
    // Of a few faults as many rounds as fit into a life.
    while (plan.length < ROUNDS) plan.push(...planOf(seed + ++cycle, machine, only));
    for (const rounds of livesOf(plan)) await runLife(seed + cycle, rounds);
  }
  for (const rounds of livesOf(planAgain(seed, tally.unseen))) await runLife(seed, rounds, true);
  for (const line of tally.render()) console.log(line);
  console.log(`seed ${seed}`);
  if (tally.failed.length > 0) return 1;
  for (const why of tally.vacuities) console.log(`NOT COUNTED: ${why}`);
  return tally.vacuities.length > 0 ? 2 : 0;
}

/** A fleet that has copies of its Redis has them from the beginning, and is over when one has taken over. */
function livesOf(plan: readonly Round[]): Round[][] {
  const isApart = ({ faults }: Round): boolean => faults.some(({ fault }) => fault.needs === 'copies');
  const others = plan.filter((round) => !isApart(round));
  const lives = Array.from({ length: Math.ceil(others.length / ROUNDS) }, (_, i) =>
    others.slice(i * ROUNDS, (i + 1) * ROUNDS),
  );
  return [...lives.slice(0, 1), ...plan.filter(isApart).map((round) => [round]), ...lives.slice(1)];
}

function summarise({ tookMs, rounds, decisions }: LifeOutcome): void {
  const seconds = (tookMs / 1000).toFixed(0);
  console.log(`a live fleet, ${seconds} s, ${rounds.length} rounds, ${decisions} decisions`);
  for (const { faults, vacuities } of rounds) {
    const names = faults.map(({ fault }) => fault.name).join(' and ');
    if (vacuities.length > 0) console.log(`a round of ${names} does not count: ${vacuities.join('; ')}`);
  }
}

function tell(seed: number, { log, violations, history }: LifeOutcome): void {
  console.log(`--- seed ${seed} (npm run faults -- --live --seed ${seed}), what callers saw: ${history}`);
  for (const line of log) console.log(line);
  for (const violation of violations) console.log(violation);
}
