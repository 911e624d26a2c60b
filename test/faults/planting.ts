/** Plants bugs in a copy of the tree, one at a time, and says which of them a run there has found. */
import { spawn } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyTree } from '../removals/runner.ts';
import type { Edit } from './planted.ts';

const KEPT = join(import.meta.dirname, '..', '..', '.cache', 'faults');

export interface Hunted {
  readonly isCaught: boolean;
  readonly seconds: number;
  /** What was found, or what came instead. */
  readonly said: string;
  readonly output: string;
}

/** What to run in the tree: a script and its options, and the words with which it names what did not hold. */
export interface Search {
  readonly command: readonly string[];
  readonly found: RegExp;
}

/** The tree is as it was when this resolves. */
export async function plantAndRun(tree: string, edits: readonly Edit[], search: Search): Promise<Hunted> {
  const before = new Map<string, string>();
  try {
    for (const { file, find, replace } of edits) {
      const path = join(tree, file);
      const text = await readFile(path, 'utf8');
      if (!before.has(path)) before.set(path, text);
      if (text.split(find).length !== 2) return missed(`its text does not occur once in ${file}: ${find}`);
      await writeFile(
        path,
        text.replace(find, () => replace),
      );
    }
    return await runIn(tree, search);
  } finally {
    for (const [path, text] of before) await writeFile(path, text);
  }
}

function missed(said: string): Hunted {
  return { isCaught: false, seconds: 0, said, output: '' };
}

export async function runIn(tree: string, { command, found }: Search): Promise<Hunted> {
  const beganMs = performance.now();
  const child = spawn(process.execPath, command, { cwd: tree, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const code = await new Promise((resolve) => child.on('close', resolve));
  const said = found.exec(output)?.[0];
  return {
    isCaught: code === 1 && said !== undefined,
    seconds: (performance.now() - beganMs) / 1000,
    said: said ?? `exit code ${String(code)}`,
    output,
  };
}

/** Hunts each of `bugs` in one copy of the tree, says what came of it and where it is kept, and returns how many were caught. */
export async function huntAll<Bug extends { readonly name: string }>(
  bugs: readonly Bug[],
  prefix: string,
  hunt: (tree: string, bug: Bug) => Promise<Hunted>,
): Promise<number> {
  const tree = await copyTree();
  let caught = 0;
  try {
    await mkdir(KEPT, { recursive: true });
    for (const bug of bugs) {
      const { isCaught, seconds, said, output } = await hunt(tree, bug);
      const kept = join(KEPT, `${prefix}${bug.name.replaceAll(/\W+/g, '-')}.txt`);
      await writeFile(kept, output);
      caught += isCaught ? 1 : 0;
      console.log(
        `${isCaught ? 'caught' : 'MISSED'} ${seconds.toFixed(0).padStart(3)} s  ${bug.name}: ${said}`,
      );
      console.log(`        ${kept}`);
    }
  } finally {
    await rm(tree, { recursive: true });
  }
  return caught;
}
