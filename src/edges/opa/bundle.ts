/**
 * Reads a bundle as `opa build -t wasm` makes it. Called by prepare.ts and, for its files, by `writ policy build`.
 * Nothing of a bundle is run here, and nothing it holds is silently left out: what is not understood is refused.
 */
import { gunzipSync } from 'node:zlib';
import { extract } from 'tar-stream';
import { sha256Hex } from '../../kernel/digest.ts';
import { WritError } from '../../kernel/error.ts';
import { isJsonObject } from '../../kernel/json.ts';
import { POLICY_LIMITS } from './limits.ts';
import type { PolicyLimits } from './limits.ts';

export interface Bundle {
  /** `sha256:…` of the bundle's bytes, as they came. */
  readonly digest: string;
  readonly wasm: Uint8Array<ArrayBuffer>;
  /** The text of data.json: one JSON object. */
  readonly data: Uint8Array;
  readonly entrypoints: readonly string[];
  /** The paths of `input` that the policy reads, from the manifest's metadata; undefined: any. */
  readonly inputPaths: readonly InputPath[] | undefined;
  /** The manifest's, as it is; undefined when there is none. */
  readonly revision: string | undefined;
}

export type InputPath = readonly string[];

/** Parses a bundle. POLICY_INVALID says which part is at fault. */
export async function readBundle(bytes: Uint8Array, limits: PolicyLimits = POLICY_LIMITS): Promise<Bundle> {
  return bundleOf(await readBundleFiles(bytes, limits), digestOf(bytes), limits);
}

/** `sha256:…` of a bundle's bytes, by which people name it. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${sha256Hex(bytes)}`;
}

/** A bundle out of its files. POLICY_INVALID says which part is at fault. */
export function bundleOf(
  files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
  digest: string,
  limits: PolicyLimits,
): Bundle {
  const wasm = files.get('policy.wasm');
  if (wasm === undefined) throw invalid('the bundle has no policy.wasm; build it with `writ policy build`');
  return {
    digest,
    wasm,
    data: dataOf(files, limits.dataBytesMax),
    ...parseManifest(files.get('.manifest')),
  };
}

/** The files of any bundle, by their path in it: of Rego too, whose sources `writ policy build` reads. */
export async function readBundleFiles(
  bytes: Uint8Array,
  limits: PolicyLimits = POLICY_LIMITS,
): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> {
  if (bytes.length > limits.bundleBytesMax) throw invalid('the bundle is too large');
  return readArchive(unpack(bytes, limits.unpackedBytesMax), limits.filesMax);
}

export function invalid(message: string, cause?: unknown): WritError {
  return new WritError('POLICY_INVALID', message, { cause });
}

/** A name out of a bundle, fit for a message that somebody reads on a terminal. */
export function shown(name: string): string {
  return name.replace(/[^ -~]/g, '?').slice(0, 200);
}

function unpack(bytes: Uint8Array, unpackedBytesMax: number): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: unpackedBytesMax });
  } catch (cause) {
    const tooLarge = cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE';
    throw invalid(
      tooLarge ? 'the unpacked bundle is too large' : 'the bundle is truncated or no gzip',
      cause,
    );
  }
}

async function readArchive(archive: Buffer, filesMax: number): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const entries = extract();
  entries.end(archive);
  try {
    for await (const entry of entries) {
      const { type, name } = entry.header;
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      if (type === 'directory') continue;
      const path = name.replace(/^(\.?\/)+/, '');
      const refusal = refusalOf(type, files.has(path), files.size >= filesMax);
      if (refusal !== undefined) throw invalid(refusal);
      files.set(path, new Uint8Array(Buffer.concat(chunks)));
    }
  } catch (cause) {
    throw cause instanceof WritError
      ? cause
      : invalid('the bundle is a truncated or damaged tar archive', cause);
  }
  return files;
}

function refusalOf(
  type: string | null | undefined,
  isRepeated: boolean,
  isFull: boolean,
): string | undefined {
  if (type !== 'file') return 'the bundle holds something that is neither file nor directory';
  if (isRepeated) return 'the bundle holds a file twice';
  return isFull ? 'the bundle holds too many files' : undefined;
}

type Manifest = Pick<Bundle, 'entrypoints' | 'inputPaths' | 'revision'>;

const REVISION_CHARS_MAX = 256;

/** By hand, because zod takes longer to load than a policy (80 ms), and this runs on a thread of its own. */
function parseManifest(bytes: Uint8Array | undefined): Manifest {
  if (bytes === undefined) throw invalid('the bundle has no .manifest');
  const manifest = parseText(bytes, '.manifest');
  const modules = memberOf(manifest, 'wasm');
  if (!Array.isArray(modules) || modules.length === 0)
    throw invalid("the bundle's .manifest names no entrypoint; build it with `-t wasm -e`");
  const paths = memberOf(memberOf(memberOf(manifest, 'metadata'), 'writ'), 'input');
  if (paths !== undefined && !isPaths(paths))
    throw invalid("metadata.writ.input in the bundle's .manifest is no list of paths");
  const revision = parseRevision(memberOf(manifest, 'revision'));
  return { entrypoints: modules.map(parseEntrypoint), inputPaths: paths, revision };
}

/** OPA writes an empty one where none was given. */
function parseRevision(revision: unknown): string | undefined {
  if (revision === undefined || revision === '') return undefined;
  if (typeof revision !== 'string' || revision.length > REVISION_CHARS_MAX)
    throw invalid(
      `the revision in the bundle's .manifest is no text of at most ${REVISION_CHARS_MAX} characters`,
    );
  return revision;
}

function parseEntrypoint(entry: unknown): string {
  const name = memberOf(entry, 'entrypoint');
  const module = memberOf(entry, 'module');
  if (typeof name !== 'string' || (module !== '/policy.wasm' && module !== 'policy.wasm'))
    throw invalid("the bundle's .manifest names an entrypoint in something else than policy.wasm");
  return name;
}

function memberOf(value: unknown, name: string): unknown {
  return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function isPaths(value: unknown): value is readonly InputPath[] {
  const isPath = (path: unknown): boolean =>
    Array.isArray(path) && path.length > 0 && path.every((name) => typeof name === 'string');
  return Array.isArray(value) && value.every(isPath);
}

/** `opa build` merges all data into one file at the root; any other would be data that policies do not see. */
function dataOf(files: ReadonlyMap<string, Uint8Array>, dataBytesMax: number): Uint8Array {
  for (const name of files.keys()) {
    if (name !== 'data.json' && /(^|\/)data\.(json|ya?ml)$/.test(name))
      throw invalid(`the bundle has data in ${shown(name)}; opa build merges all into data.json`);
  }
  const data = files.get('data.json') ?? Buffer.from('{}');
  if (data.length > dataBytesMax)
    throw invalid(
      `the bundle's data.json is too large: ${data.length} bytes, ${dataBytesMax} are allowed (policy.dataBytesMax)`,
    );
  if (!isJsonObject(parseText(data, 'data.json'))) throw invalid("the bundle's data.json is no JSON object");
  return data;
}

function parseText(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalid(`the bundle's ${name} is not JSON`, cause);
  }
}
