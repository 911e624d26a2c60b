/**
 * `node test/faults/live/hunt.ts [--only TEXT] [--minutes N]`: plants bugs in a copy of the tree, one at a time, and lets live
 * fleets with the fault that should show it look for it. What cannot find a bug that is there shows nothing by finding none.
 */
import { parseArgs } from 'node:util';
import type { Edit } from '../planted.ts';
import { PLANTED } from '../planted.ts';
import { huntAll, plantAndRun } from '../planting.ts';

interface PlantedLive {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** In the name of the faults that are begun. */
  readonly faults: string;
}

const planted = (name: string): { name: string; edits: readonly Edit[] } => {
  const found = PLANTED.find((one) => one.name === name);
  if (found === undefined) throw new Error(`nothing is planted under this name: ${name}`);
  return found;
};

const BUGS: readonly PlantedLive[] = [
  { ...planted('a lease counts from the answer that brought it'), faults: 'slow' },
  { ...planted('a lease is good until somebody who wakes up drops it'), faults: 'stopped' },
  { ...planted('the age of a lease is what the monotonic clock says'), faults: 'suspended' },
  {
    name: 'a lease is good for two seconds longer than is said',
    faults: 'cut off',
    edits: [
      {
        file: 'src/feed/lease.ts',
        find: 'this.#term.leaseMs - this.#term.epsMs - ageMs',
        replace: '2_000 + this.#term.leaseMs - this.#term.epsMs - ageMs',
      },
    ],
  },
];

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, minutes: { type: 'string', default: '2' } },
});
const bugs = BUGS.filter(({ name }) => name.includes(values.only));
const caught = await huntAll(bugs, 'live-', (tree, { edits, faults }) => {
  const options = ['--live', '--seed', '1', '--minutes', values.minutes, '--only', faults];
  const found = /^(STALE|LOST|BACK|CHAINS|RECEIPT|STUCK|DIED): .*$/m;
  return plantAndRun(tree, edits, { command: ['test/faults/main.ts', ...options], found });
});
console.log(`${caught} of ${bugs.length} planted bugs caught`);
process.exitCode = caught === bugs.length ? 0 : 1;
