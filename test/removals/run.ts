/** `node test/removals/run.ts [part of a name]`: takes each check out and says whether a test noticed. */
import { REMOVALS } from './removals.ts';
import type { RemovalResult } from './runner.ts';
import { runRemovals } from './runner.ts';

const [only = ''] = process.argv.slice(2);
const removals = REMOVALS.filter(({ name }) => name.includes(only));
const onResult = ({ removal, outcome, detail }: RemovalResult): void =>
  console.log(`${outcome.padEnd(8)} ${removal.name}${detail === '' ? '' : `: ${detail}`}`);
const results = await runRemovals(removals, { lanes: 2, onResult });
const caught = results.filter(({ outcome }) => outcome === 'caught').length;
console.log(`${caught} of ${removals.length} removals caught`);
process.exitCode = caught === removals.length ? 0 : 1;
