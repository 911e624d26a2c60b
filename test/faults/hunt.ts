/**
 * `npm run faults:planted [-- --only TEXT] [--minutes N]`: plants each bug in a copy of the tree, lets the
 * simulation look for it for a minute at most, and says whether it found it. The history of what was found is kept.
 */
import { parseArgs } from 'node:util';
import { runRemovals } from '../removals/runner.ts';
import type { Planted } from './planted.ts';
import { BEHIND, PLANTED } from './planted.ts';
import type { Hunted, Search } from './planting.ts';
import { huntAll, plantAndRun, runIn } from './planting.ts';
import { FOUND } from './seeds.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    minutes: { type: 'string', default: '1' },
  },
});
const planted = PLANTED.filter(({ name }) => name.includes(values.only));
let caught = await huntAll(planted, '', hunt);
const behind = BEHIND.filter(({ name }) => name.includes(values.only));
const judged = behind.length === 0 ? [] : await runRemovals(behind, { lanes: 1 });
for (const { removal, outcome, detail } of judged) {
  caught += outcome === 'caught' ? 1 : 0;
  console.log(
    `${outcome === 'caught' ? 'caught' : 'MISSED'}       ${removal.name}: ${detail || removal.test.name}`,
  );
}
const all = planted.length + behind.length;
console.log(`${caught} of ${all} planted bugs caught`);
process.exitCode = caught === all ? 0 : 1;

/** What the tree does by itself is not caught. */
async function hunt(tree: string, bug: Planted): Promise<Hunted> {
  const kept = FOUND.find((one) => one.bug === bug.name)?.seed;
  const seeds =
    kept === undefined
      ? ['--seed', String(bug.seed ?? 1), '--minutes', values.minutes]
      : ['--seed', String(kept), '--runs', '1'];
  const hunted = await plantAndRun(tree, bug.edits, searchFor(bug, seeds));
  const seed = /^--- seed (\d+)/m.exec(hunted.output)?.[1];
  if (!hunted.isCaught || seed === undefined) return hunted;
  const without = await runIn(tree, searchFor(bug, ['--seed', seed, '--runs', '1']));
  return without.isCaught
    ? { ...hunted, isCaught: false, said: `without it too, with seed ${seed}` }
    : hunted;
}

/** Where such a bug would show is not its secret: what faults it has to do with is known to whoever looks for one of the kind. */
function searchFor({ favours }: Planted, options: readonly string[]): Search {
  return {
    command: ['test/faults/run.ts', '--favour', favours, ...options],
    found:
      /^(STALE|LOST|BACK|CHAINS|RECEIPT|STUCK|UNLEASED|SESSION|UNSETTLED|ROSTER|BROKEN|LATE|COUNT|FACTS|RETURNED).*$/m,
  };
}
