/** Live fleets, one after the other, until the time is over; then what they have shown. Called by ../run.ts. */
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { ROOT } from '../../support/writ-process.ts';
import type { LifeOutcome } from './life.ts';
import { live } from './life.ts';
import { LiveTally } from './live-tally.ts';
import { examineMachine } from './machine.ts';
import { missingHere, planOf } from './plan.ts';

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
  for (let cycle = 0; performance.now() < endMs && tally.failed.length === 0; cycle++) {
    const plan = planOf(seed + cycle, machine, only);
    for (
      let at = 0;
      at < plan.length && performance.now() < endMs && tally.failed.length === 0;
      at += ROUNDS
    ) {
      const isOver = (): boolean => performance.now() > endMs;
      const outcome = await live(seed + cycle, plan.slice(at, at + ROUNDS), {
        machine,
        historyDir: HISTORIES,
        isOver,
      });
      tally.add(outcome);
      if (outcome.violations.length > 0 || isKept) tell(seed, outcome);
      else await rm(outcome.history);
      for (const { faults, vacuities } of outcome.rounds)
        if (vacuities.length > 0)
          console.log(
            `a round of ${faults.map(({ fault }) => fault.name).join(' and ')} does not count: ${vacuities.join('; ')}`,
          );
    }
  }
  for (const line of tally.render()) console.log(line);
  console.log(`seed ${seed}`);
  if (tally.failed.length > 0) return 1;
  for (const why of tally.vacuities) console.log(`NOT COUNTED: ${why}`);
  return tally.vacuities.length > 0 ? 2 : 0;
}

function tell(seed: number, { log, violations, history }: LifeOutcome): void {
  console.log(`--- seed ${seed} (npm run faults -- --live --seed ${seed}), what callers saw: ${history}`);
  for (const line of log) console.log(line);
  for (const violation of violations) console.log(violation);
}
