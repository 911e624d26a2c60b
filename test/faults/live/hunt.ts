/**
 * `node test/faults/live/hunt.ts [--only TEXT] [--minutes N]`: plants bugs in a copy of the tree, one at a time, and lets live
 * fleets with the fault that should show it look for it. What cannot find a bug that is there shows nothing by finding none.
 */
import { spawn } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { copyTree } from '../../removals/runner.ts';
import { ROOT } from '../../support/writ-process.ts';
import type { Edit } from '../planted.ts';
import { PLANTED } from '../planted.ts';

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
const tree = await copyTree();
let caught = 0;
try {
  for (const bug of bugs) {
    const { code, output, seconds } = await plantAndRun(bug);
    const said = /^(STALE|LOST|BACK|CHAINS|RECEIPT|STUCK|DIED): .*$/m.exec(output)?.[0];
    const kept = join(ROOT, '.cache', 'faults', `live-${bug.name.replaceAll(/\W+/g, '-')}.txt`);
    await mkdir(join(ROOT, '.cache', 'faults'), { recursive: true });
    await writeFile(kept, output);
    const isCaught = code === 1 && said !== undefined;
    caught += isCaught ? 1 : 0;
    console.log(
      `${isCaught ? 'caught' : 'MISSED'} ${seconds.toFixed(0).padStart(3)} s  ${bug.name}: ${said ?? `exit code ${code}`}`,
    );
    console.log(`        ${kept}`);
  }
} finally {
  await rm(tree, { recursive: true });
}
console.log(`${caught} of ${bugs.length} planted bugs caught`);
process.exitCode = caught === bugs.length ? 0 : 1;

async function plantAndRun({ edits, faults }: PlantedLive) {
  const before = new Map<string, string>();
  try {
    for (const { file, find, replace } of edits) {
      const path = join(tree, file);
      const text = before.get(path) ?? (await readFile(path, 'utf8'));
      if (text.split(find).length !== 2) throw new Error(`it does not occur once in ${file}: ${find}`);
      before.set(path, text);
      const now = await readFile(path, 'utf8');
      await writeFile(
        path,
        now.replace(find, () => replace),
      );
    }
    return await run(['--live', '--seed', '1', '--minutes', values.minutes, '--only', faults]);
  } finally {
    for (const [path, text] of before) await writeFile(path, text);
  }
}

async function run(options: readonly string[]) {
  const beganMs = performance.now();
  const child = spawn(process.execPath, ['test/faults/main.ts', ...options], {
    cwd: tree,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, output, seconds: (performance.now() - beganMs) / 1000 };
}
