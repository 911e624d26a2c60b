/**
 * Prepares a policy on a thread of its own, and ends the thread when it takes too long: a bad bundle costs the
 * loop nothing, so no reload can make this replica miss its renewal.
 */
import { Worker } from 'node:worker_threads';
import type { BundleAt, PrepareOptions, PreparedPolicy } from './prepare.ts';
import type { WorkerReport } from './prepare-worker.ts';

export type Preparation =
  | { readonly state: 'ready'; readonly policy: PreparedPolicy }
  | { readonly state: 'unchanged' }
  | { readonly state: 'refused'; readonly detail: string; readonly digest?: string };

/** Resolves with the tested policy, or why there is none. The thread is gone either way; an abort of `signal` ends it. */
export async function prepareOffLoop(
  options: Omit<PrepareOptions, 'bundle'> & BundleAt,
  signal?: AbortSignal,
): Promise<Preparation> {
  const { promise, resolve } = Promise.withResolvers<Preparation>();
  const refuse = (detail: string, digest?: string): void =>
    resolve({ state: 'refused', detail, ...(digest === undefined ? {} : { digest }) });
  // Its output is piped to nobody, and it inherits neither flags nor environment.
  const worker = new Worker(workerFile(), {
    workerData: options,
    execArgv: [],
    env: {},
    stdout: true,
    stderr: true,
  });
  let timer = setTimeout(() => refuse('the bundle took too long to load'), options.limits.loadMs);
  const stop = (): void => refuse('this process is closing');
  signal?.addEventListener('abort', stop);
  if (signal?.aborted === true) stop();
  worker.on('error', () => refuse('the bundle could not be loaded'));
  worker.on('message', (report: WorkerReport) => {
    if (report.state === 'refused') refuse(report.message, report.digest);
    else if (report.state !== 'loaded') resolve(report);
    else {
      clearTimeout(timer);
      timer = setTimeout(() => refuse(TOO_SLOW), options.limits.selfTestMs);
    }
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    // A thread that hangs in a system call ends when that does: a file server that is away holds up no other bundle.
    const given = Promise.withResolvers<undefined>();
    const late = setTimeout(() => given.resolve(undefined), TERMINATE_MS);
    await Promise.race([worker.terminate(), given.promise]);
    clearTimeout(late);
  }
}

const TERMINATE_MS = 1_000;

const TOO_SLOW = 'the policy is too slow: its self-test did not end';

/** Beside this file, as source or as built. */
function workerFile(): URL {
  return new URL(
    import.meta.url.endsWith('.ts') ? './prepare-worker.ts' : './prepare-worker.js',
    import.meta.url,
  );
}
