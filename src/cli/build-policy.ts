/**
 * `writ policy build`: Rego and data -> a bundle that says which paths of the input it reads, so that Writ passes
 * no more than those (DESIGN 8, 9). The same sources give the same bytes on every machine: opa writes the archive,
 * both times, and only relative paths reach it.
 */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { WritError } from '../kernel/error.ts';
import { requireOpa, requireOpaVersion } from './opa-command.ts';
import type { OpaPath } from './opa-command.ts';

export interface PolicyBuild {
  readonly opa: OpaPath;
  readonly dir: string;
  readonly entrypoints: readonly string[];
  /** For the manifest; by it a server tells which of two bundles is older. */
  readonly revision?: string | undefined;
  /** The files of a bundle, by their path in it (edges/opa/bundle.ts). */
  readonly readFiles: (bundle: Uint8Array) => Promise<ReadonlyMap<string, Uint8Array>>;
}

export interface BuiltPolicy {
  readonly bundle: Uint8Array;
  /** Undefined: any path may be read, the whole input is passed. */
  readonly inputPaths: readonly InputPath[] | undefined;
}

type InputPath = readonly string[];

const IGNORED = ['--ignore', '*_test.rego', '--ignore', '*.tar.gz'];

/**
 * Builds the bundle of the sources in `dir`. Twice: opa gathers all Rego and data into the first one, and that one,
 * unpacked and with the paths in its manifest, is compiled into the second.
 */
export async function buildPolicy({
  opa,
  dir,
  entrypoints,
  revision,
  readFiles,
}: PolicyBuild): Promise<BuiltPolicy> {
  await requireOpaVersion(opa);
  const work = await mkdtemp(join(tmpdir(), 'writ-policy-'));
  try {
    const first = join(work, 'first.tar.gz');
    await requireOpa(opa, dir, ['build', ...IGNORED, '-o', first, '.']);
    const inputPaths = await findInputPaths(opa, dir, entrypoints);
    const tree = join(work, 'tree');
    await unpack(await readFiles(await readFile(first)), tree, inputPaths);
    const second = join(work, 'second.tar.gz');
    const wanted = entrypoints.flatMap((entrypoint) => ['-e', entrypoint]);
    const named = revision === undefined ? [] : ['--revision', revision];
    await requireOpa(opa, tree, ['build', '-t', 'wasm', ...wanted, ...named, '-o', second, '-b', '.']);
    return { bundle: await readFile(second), inputPaths };
  } finally {
    await rm(work, { recursive: true });
  }
}

/** Puts a bundle where a server may be reading one: there is no moment at which half of it is there. CONFIG_INVALID. */
export async function writeBundle(bundle: Uint8Array, out: string): Promise<void> {
  const part = `${resolve(out)}.part`;
  try {
    await writeFile(part, bundle);
    await rename(part, out);
  } catch (cause) {
    throw new WritError('CONFIG_INVALID', `${out} cannot be written`, { cause });
  }
}

async function unpack(
  files: ReadonlyMap<string, Uint8Array>,
  tree: string,
  inputPaths: readonly InputPath[] | undefined,
): Promise<void> {
  for (const [name, bytes] of files) {
    if (name === '.manifest') continue;
    const path = join(tree, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
  const metadata = inputPaths === undefined ? {} : { metadata: { writ: { input: inputPaths } } };
  await writeFile(join(tree, '.manifest'), JSON.stringify({ roots: [''], rego_version: 1, ...metadata }));
}

const dependencies = z.object({
  base: z.array(z.array(z.object({ type: z.string(), value: z.unknown() }))).optional(),
});

/** What the entrypoints read of the input, as `opa deps` finds it; undefined when that may be any of it. */
export async function findInputPaths(
  opa: OpaPath,
  dir: string,
  entrypoints: readonly string[],
): Promise<readonly InputPath[] | undefined> {
  const paths: InputPath[] = [];
  for (const entrypoint of entrypoints) {
    const query = `data${entrypoint
      .split('/')
      .map((name) => `[${JSON.stringify(name)}]`)
      .join('')}`;
    const output = await requireOpa(opa, dir, ['deps', '--format', 'json', ...IGNORED, '-d', '.', query]);
    paths.push(...parseDependencies(output));
  }
  return paths.some((path) => path.length === 0) ? undefined : shortest(paths);
}

/** A path ends before the first step that is not a name: below there, everything is read. */
function parseDependencies(output: string): InputPath[] {
  const parsed = dependencies.safeParse(JSON.parse(output));
  if (!parsed.success) throw new WritError('POLICY_INVALID', 'opa deps answered something unknown');
  const paths: InputPath[] = [];
  for (const [root, ...steps] of parsed.data.base ?? []) {
    if (root?.value !== 'input') continue;
    const isName = (step: { type: string }): boolean => step.type === 'string';
    const end = steps.findIndex((step) => !isName(step));
    paths.push(steps.slice(0, end < 0 ? undefined : end).map((step) => String(step.value)));
  }
  return paths;
}

/** Without the paths that lie below another one, in one order. */
function shortest(paths: readonly InputPath[]): InputPath[] {
  const sorted = paths.map((path) => JSON.stringify(path).slice(0, -1)).sort();
  const kept: string[] = [];
  for (const path of sorted) {
    const last = kept.at(-1);
    if (last === undefined || (path !== last && !path.startsWith(`${last},`))) kept.push(path);
  }
  return kept.map((path) => JSON.parse(`${path}]`) as InputPath);
}
