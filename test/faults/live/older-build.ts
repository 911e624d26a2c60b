/**
 * Another build of the same protocol (THREATS F20): this tree without what an entry has learned to say since the fleet was
 * first described (D-145, D-146), and with functions of another text.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyTree } from '../../removals/runner.ts';

const UNSAID = [
  ['src/flows/join.ts', '      term: { leaseMs, splitMs },\n', ''],
  ['src/flows/join.ts', '      credentialLifeMaxMs: this.#lifeMaxMs(rule),\n', ''],
  ['src/edges/redis/functions.lua', '#!lua name=writ1\n', '#!lua name=writ1\n-- An older build.\n'],
] as const;

/** Its entry point; the tree is in `parent`, and goes with it. */
export async function olderBuild(parent: string): Promise<string> {
  const tree = await copyTree(parent);
  for (const [file, find, replace] of UNSAID) {
    const path = join(tree, file);
    const text = await readFile(path, 'utf8');
    if (text.split(find).length !== 2) throw new Error(`this does not stand once in ${file}: ${find}`);
    await writeFile(path, text.replace(find, replace));
  }
  return join(tree, 'src', 'main.ts');
}
