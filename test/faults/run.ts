/**
 * `npm run faults -- [--minutes N | --runs N] [--seed S] [--stride N] [--history]`: simulated runs with the seeds S, S + 1,
 * … until the time is over (with the number of faults as stride, all have one in common: S modulo it), then what they have shown. Ends with 1 where something did not hold, 2 where the runs do not count.
 */
import { registerHooks } from 'node:module';
import { parseArgs } from 'node:util';
import type { Outcome } from './simulate.ts';

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'node:crypto' && context.parentURL?.endsWith('/src/kernel/key.ts') === true
      ? { url: new URL('known-signatures.ts', import.meta.url).href, shortCircuit: true }
      : next(specifier, context),
});
const { simulate } = await import('./simulate.ts');
const { Tally } = await import('./tally.ts');

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    runs: { type: 'string' },
    seed: { type: 'string' },
    stride: { type: 'string', default: '1' },
    history: { type: 'boolean', default: false },
  },
});
const first = values.seed === undefined ? Math.floor(Date.now() / 1000) % 1_000_000_000 : Number(values.seed);
const runsMax = values.runs === undefined ? Infinity : Number(values.runs);
const minutes = Number(values.minutes ?? (values.runs === undefined ? 1 : Infinity));
console.log(`seed ${first}`);

const began = performance.now();
const elapsedS = (): number => (performance.now() - began) / 1000;
const tally = new Tally();
let saidS = 0;
const stride = Number(values.stride);
for (let seed = first; seed < first + runsMax * stride && elapsedS() < 60 * minutes; seed += stride) {
  const outcome = await simulate(seed);
  tally.add(outcome);
  if (outcome.violations.length > 0 || values.history) tell(outcome);
  if (outcome.violations.length > 0) break;
  if (elapsedS() - saidS < 60) continue;
  saidS = elapsedS();
  console.log(`${saidS.toFixed(0)} s: ${tally.runs} runs, up to seed ${seed}`);
}
for (const line of tally.render()) console.log(line);
console.log(`${'seeds a second'.padEnd(40)} ${(tally.runs / elapsedS()).toFixed(2)}`);
console.log(`seed ${first}`);
if (tally.failed.length > 0) process.exitCode = 1;
else if (values.runs === undefined && tally.vacuities.length > 0) {
  for (const why of tally.vacuities) console.log(`NOT COUNTED: ${why}`);
  process.exitCode = 2;
}

function tell({ seed, violations, log }: Outcome): void {
  console.log(`--- seed ${seed} (npm run faults -- --seed ${seed} --runs 1 --history)`);
  for (const line of log) console.log(line);
  for (const violation of violations) console.log(violation);
}
