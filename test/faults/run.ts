/**
 * `npm run faults -- [--minutes N] [--seed S] [--simulated | --live]`: half of the time simulated runs with the seeds S, S + 1,
 * …, the other half live fleets, then what they have shown. Ends with 1 where something did not hold, 2 where the runs do not
 * count. Of simulated ones alone: `--runs N`, `--stride N` (with the number of faults, all have one in common: S modulo it);
 * of live ones: `--only TEXT` (in the name of a fault). `--history` prints what happened and keeps what callers saw.
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
const { runLive } = await import('./live/run-live.ts');

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    runs: { type: 'string' },
    seed: { type: 'string' },
    stride: { type: 'string' },
    history: { type: 'boolean', default: false },
    simulated: { type: 'boolean', default: false },
    live: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
const first = values.seed === undefined ? Math.floor(Date.now() / 1000) % 1_000_000_000 : Number(values.seed);
const isLive = values.live || values.only !== undefined;
const isSimulated = values.simulated || values.runs !== undefined || values.stride !== undefined;
const isBoth = isLive === isSimulated;
console.log(`seed ${first}`);

const minutes = Number(values.minutes ?? (values.runs === undefined ? 1 : Infinity)) / (isBoth ? 2 : 1);
const codes = [
  ...(isBoth || isSimulated ? [await runSimulated()] : []),
  ...(isBoth || isLive
    ? [await runLive({ seed: first, minutes, only: values.only, isKept: values.history })]
    : []),
];
process.exitCode = codes.includes(1) ? 1 : Math.max(...codes);

async function runSimulated(): Promise<0 | 1 | 2> {
  const runsMax = values.runs === undefined ? Infinity : Number(values.runs);
  const began = performance.now();
  const elapsedS = (): number => (performance.now() - began) / 1000;
  const tally = new Tally();
  let saidS = 0;
  const stride = Number(values.stride ?? 1);
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
  if (tally.failed.length > 0) return 1;
  if (values.runs !== undefined || tally.vacuities.length === 0) return 0;
  for (const why of tally.vacuities) console.log(`NOT COUNTED: ${why}`);
  return 2;
}

function tell({ seed, violations, log }: Outcome): void {
  console.log(`--- seed ${seed} (npm run faults -- --seed ${seed} --runs 1 --history)`);
  for (const line of log) console.log(line);
  for (const violation of violations) console.log(violation);
}
