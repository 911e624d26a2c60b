/** The thread that prepares one policy and ends. Started by off-loop.ts, which ends it when it takes too long. */
import { readFileSync, statSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { isWritError } from '../../kernel/error.ts';
import { digestOf, invalid } from './bundle.ts';
import { preparePolicy } from './prepare.ts';
import type { BundleAt, PrepareOptions, PreparedPolicy } from './prepare.ts';

export type WorkerReport =
  | { readonly state: 'loaded' }
  | { readonly state: 'ready'; readonly policy: PreparedPolicy }
  | { readonly state: 'unchanged' }
  | { readonly state: 'refused'; readonly message: string; readonly digest: string | undefined };

const report = (said: WorkerReport): void => parentPort?.postMessage(said);

/** The size is looked at first: a bundle that is too large is not read. */
function readBytes(bundle: Uint8Array | { readonly file: string }, bundleBytesMax: number): Uint8Array {
  if (bundle instanceof Uint8Array) return bundle;
  try {
    const stat = statSync(bundle.file);
    // What is no file may have no end, or never begin.
    if (!stat.isFile()) throw invalid('the bundle is no file');
    if (stat.size > bundleBytesMax) throw invalid('the bundle is too large');
    return readFileSync(bundle.file);
  } catch (cause) {
    if (!(cause instanceof Error && 'errno' in cause && 'code' in cause)) throw cause;
    throw invalid(`the bundle cannot be read (${String(cause.code)})`, cause);
  }
}

/** A third of the share of whoever answers; much less, and a busy machine would not load a bundle for minutes. */
const NICENESS = 5;

// Linux has priorities by thread; elsewhere this would be the whole process.
if (process.platform === 'linux') setPriority(0, NICENESS);

let digest: string | undefined;
try {
  const { bundle, unlessDigest, ...options } = workerData as PrepareOptions & BundleAt;
  const bytes = readBytes(bundle, options.limits.bundleBytesMax);
  digest = digestOf(bytes);
  if (digest === unlessDigest) report({ state: 'unchanged' });
  else {
    const policy = await preparePolicy({ ...options, bundle: bytes }, () => report({ state: 'loaded' }));
    report({ state: 'ready', policy });
  }
} catch (error) {
  if (!isWritError(error, 'POLICY_INVALID')) throw error;
  report({ state: 'refused', message: error.message, digest });
}
