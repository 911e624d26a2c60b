/**
 * `npm run faults:planted [-- --only TEXT] [--minutes N]`: plants each bug in a copy of the tree, lets the
 * simulation look for it for a minute at most, and says whether it found it. The history of what was found is kept.
 */
import { spawn } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { copyTree, runRemovals } from '../removals/runner.ts';
import type { Planted } from './planted.ts';
import { BEHIND, PLANTED } from './planted.ts';

const KEPT = join(import.meta.dirname, '..', '..', '.cache', 'faults');

export interface Hunted {
  readonly isCaught: boolean;
  readonly seconds: number;
  /** What was found, or what came instead. */
  readonly said: string;
  readonly output: string;
}

/** In `tree`, which is as it was when this resolves. What the tree does by itself is not caught. */
export async function hunt(tree: string, planted: Planted, minutes: number): Promise<Hunted> {
  const hunted = await plantAndRun(tree, planted, minutes);
  const seed = /^--- seed (\d+)/m.exec(hunted.output)?.[1];
  if (!hunted.isCaught || seed === undefined) return hunted;
  const without = await run(tree, [...favour(planted), '--seed', seed, '--runs', '1']);
  return without.isCaught
    ? { ...hunted, isCaught: false, said: `without it too, with seed ${seed}` }
    : hunted;
}

async function plantAndRun(tree: string, planted: Planted, minutes: number): Promise<Hunted> {
  const before = new Map<string, string>();
  try {
    for (const { file, find, replace } of planted.edits) {
      const path = join(tree, file);
      const text = await readFile(path, 'utf8');
      if (!before.has(path)) before.set(path, text);
      if (text.split(find).length !== 2) return missed(`its text does not occur once in ${file}: ${find}`);
      await writeFile(
        path,
        text.replace(find, () => replace),
      );
    }
    return await run(tree, [
      ...favour(planted),
      '--seed',
      String(planted.seed ?? 1),
      '--minutes',
      String(minutes),
    ]);
  } finally {
    for (const [path, text] of before) await writeFile(path, text);
  }
}

/** Where such a bug would show is not its secret: what faults it has to do with is known to whoever looks for one of the kind. */
function favour({ favours }: Planted): string[] {
  return ['--favour', favours];
}

function missed(said: string): Hunted {
  return { isCaught: false, seconds: 0, said, output: '' };
}

async function run(tree: string, options: readonly string[]): Promise<Hunted> {
  const began = performance.now();
  const child = spawn(process.execPath, ['test/faults/run.ts', ...options], {
    cwd: tree,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const code = await new Promise((resolve) => child.on('close', resolve));
  const seconds = (performance.now() - began) / 1000;
  const said = /^(STALE|LOST|BACK|CHAINS|RECEIPT|STUCK|UNLEASED|SESSION|BROKEN|LATE).*$/m.exec(output)?.[0];
  return {
    isCaught: code === 1 && said !== undefined,
    seconds,
    said: said ?? `exit code ${String(code)}`,
    output,
  };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      minutes: { type: 'string', default: '1' },
    },
  });
  const planted = PLANTED.filter(({ name }) => name.includes(values.only));
  const tree = await copyTree();
  let caught = 0;
  try {
    await mkdir(KEPT, { recursive: true });
    for (const one of planted) {
      const { isCaught, seconds, said, output } = await hunt(tree, one, Number(values.minutes));
      const kept = join(KEPT, `${one.name.replaceAll(/\W+/g, '-')}.txt`);
      await writeFile(kept, output);
      caught += isCaught ? 1 : 0;
      console.log(
        `${isCaught ? 'caught' : 'MISSED'} ${seconds.toFixed(0).padStart(3)} s  ${one.name}: ${said}`,
      );
      if (isCaught) console.log(`        ${kept}`);
    }
  } finally {
    await rm(tree, { recursive: true });
  }
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
}
