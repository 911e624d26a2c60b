/** Bundles for tests, compiled by the real opa in a directory that is gone afterwards. Never a bundle made by hand. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { extract, pack } from 'tar-stream';
import { peerPath } from '../../support/peers.ts';

const run = promisify(execFile);

export interface Sources {
  readonly rego: string;
  readonly entrypoints: readonly string[];
  readonly data?: unknown;
  readonly flags?: readonly string[];
}

export async function withDirectory<T>(body: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'writ-test-policy-'));
  try {
    return await body(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

export async function writeFiles(dir: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), text);
  }
}

/** What `opa build -t wasm` makes of one Rego file and data. */
export function compile({ rego, entrypoints, data, flags = [] }: Sources): Promise<Uint8Array> {
  const files = { 'policy.rego': rego, ...(data === undefined ? {} : { 'data.json': JSON.stringify(data) }) };
  return compileFiles(files, entrypoints, flags);
}

/** What `opa build -t wasm` makes of a directory. */
export function compileFiles(
  files: Readonly<Record<string, string>>,
  entrypoints: readonly string[],
  flags: readonly string[] = [],
): Promise<Uint8Array> {
  return withDirectory(async (dir) => {
    await writeFiles(dir, files);
    const wanted = entrypoints.flatMap((entrypoint) => ['-e', entrypoint]);
    const args = ['build', '-t', 'wasm', ...flags, ...wanted, '-o', 'out.tar.gz', '.'];
    await run(peerPath('opa'), args, { cwd: dir });
    return await readFile(join(dir, 'out.tar.gz'));
  });
}

export interface TarFile {
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink';
  readonly bytes: Buffer;
}

export async function unpackBundle(bundle: Uint8Array): Promise<TarFile[]> {
  const files: TarFile[] = [];
  const entries = extract();
  entries.end(gunzipSync(bundle));
  for await (const entry of entries) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    files.push({ name: entry.header.name, type: 'file', bytes: Buffer.concat(chunks) });
  }
  return files;
}

export async function packBundle(files: readonly TarFile[]): Promise<Buffer> {
  const archive = pack();
  for (const { name, type, bytes } of files) {
    if (type === 'file') archive.entry({ name }, bytes);
    else archive.entry({ name, type, linkname: '/etc/passwd' });
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks));
}

/** The bundle with one file replaced, added, or (undefined) left out. */
export async function withFile(
  bundle: Uint8Array,
  name: string,
  content: string | Buffer | undefined,
): Promise<Buffer> {
  const files = (await unpackBundle(bundle)).filter((file) => file.name !== name);
  if (content !== undefined) files.push({ name, type: 'file', bytes: Buffer.from(content) });
  return packBundle(files);
}
