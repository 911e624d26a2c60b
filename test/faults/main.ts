/**
 * `npm run faults -- [--minutes N] [--seed S] [--history]`: half of the time a fleet is simulated (run.ts, whose other options
 * are taken as well), the other half it is real. `--simulated` or `--live`: only one of them. `--only TEXT`: live, with the
 * faults that have it in their names. Ends with 1 where something did not hold, 2 where the runs do not count.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runLive } from './live/run-live.ts';

const { values, tokens } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    history: { type: 'boolean', default: false },
    simulated: { type: 'boolean', default: false },
    live: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
  strict: false,
  tokens: true,
});
const OURS = ['minutes', 'seed', 'simulated', 'live', 'only'];
const theirs = tokens.flatMap((token) =>
  token.kind !== 'option'
    ? [token.kind === 'positional' ? token.value : '--']
    : OURS.includes(token.name)
      ? []
      : [token.rawName, ...(token.value === undefined ? [] : [token.value])],
);
const isLive = values.live === true || values.only !== undefined;
// What only run.ts knows (a number of runs, say) is of simulated ones alone.
const isSimulated = values.simulated === true || theirs.some((one) => one !== '--history');
const isBoth = isLive === isSimulated;
const seed = Number(values.seed ?? Math.floor(Date.now() / 1000) % 1_000_000_000);
const minutes = values.minutes === undefined ? undefined : Number(values.minutes) / (isBoth ? 2 : 1);

const codes: number[] = [];
if (isBoth || isSimulated) codes.push(await simulated());
if (isBoth || isLive) {
  const only = typeof values.only === 'string' ? values.only : undefined;
  codes.push(await runLive({ seed, minutes: minutes ?? 1, only, isKept: values.history === true }));
}
process.exitCode = codes.includes(1) ? 1 : Math.max(...codes);

async function simulated(): Promise<number> {
  const given = minutes === undefined ? [] : ['--minutes', String(minutes)];
  const args = [join(import.meta.dirname, 'run.ts'), '--seed', String(seed), ...given, ...theirs];
  const [code] = (await once(spawn(process.execPath, args, { stdio: 'inherit' }), 'exit')) as [number | null];
  return code ?? 1;
}
