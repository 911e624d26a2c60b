/**
 * `npm run faults -- [--minutes N | --runs N] [--seed S] [--favour "FAULT, …"] [--history]`: simulated runs with
 * the seeds S, S + 1, … on every core, until the time is over and the runs count, five times as long at most; then what they have shown. Ends with 1 where something did not hold, 2 where the runs do not count.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { Part } from './player.ts';
import type { Outcome } from './simulate.ts';
import { Tally } from './tally.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    runs: { type: 'string' },
    seed: { type: 'string' },
    favour: { type: 'string', default: '' },
    history: { type: 'boolean', default: false },
  },
});
const first = values.seed === undefined ? Math.floor(Date.now() / 1000) % 1_000_000_000 : Number(values.seed);
const runsMax = values.runs === undefined ? Infinity : Number(values.runs);
const seconds = 60 * Number(values.minutes ?? (values.runs === undefined ? 1 : Infinity));
/** A machine that is busy needs longer until everything has been seen. */
const PATIENCE = 5;
const favoured = values.favour.split(', ').filter(Boolean);
const players = Math.min(runsMax, availableParallelism());
console.log(`seed ${first}`);

const began = performance.now();
const elapsedS = (): number => (performance.now() - began) / 1000;
const tally = new Tally();
let saidS = 0;
const workers = Array.from({ length: players }, (_, i) => open(i));
await Promise.all(workers.map(({ ended }) => ended));

for (const line of tally.render()) console.log(line);
console.log(`${'seeds a second'.padEnd(40)} ${(tally.runs / elapsedS()).toFixed(1)}`);
console.log(`seed ${first}`);
if (tally.failed.length > 0) process.exitCode = 1;
else if (values.runs === undefined && tally.vacuities.length > 0) {
  for (const why of tally.vacuities) console.log(`NOT COUNTED: ${why}`);
  process.exitCode = 2;
}

/** Each `players`th run. */
function open(i: number): { readonly worker: Worker; readonly ended: Promise<void> } {
  const workerData: Part = {
    first: first + i,
    stride: players,
    runs: Math.ceil((runsMax - i) / players),
    seconds: PATIENCE * seconds,
    favoured,
    history: values.history,
  };
  const worker = new Worker(new URL('player.ts', import.meta.url), { workerData });
  worker.on('message', note);
  const ended = new Promise<void>((resolve, reject) => {
    worker.on('exit', () => {
      resolve();
    });
    worker.on('error', reject);
  });
  return { worker, ended };
}

/** What one run has shown. The first in which something does not hold ends them all. */
function note(outcome: Outcome): void {
  if (tally.failed.length > 0) return;
  tally.add(outcome);
  const isFound = outcome.violations.length > 0;
  if (isFound || values.history) tell(outcome);
  if (isFound || (elapsedS() > seconds && (tally.vacuities.length === 0 || favoured.length > 0)))
    for (const { worker } of workers) void worker.terminate();
  if (elapsedS() - saidS < 60) return;
  saidS = elapsedS();
  console.log(`${saidS.toFixed(0)} s: ${tally.runs} runs, up to seed ${outcome.seed}`);
}

function tell({ seed, violations, log }: Outcome): void {
  const favour = favoured.length === 0 ? '' : ` --favour '${values.favour}'`;
  console.log(`--- seed ${seed} (npm run faults -- --seed ${seed} --runs 1 --history${favour})`);
  for (const line of log) console.log(line);
  for (const violation of violations) console.log(violation);
}
