/**
 * Prepares a policy on a thread of its own, and ends the thread when it takes too long: a bad bundle costs the
 * loop nothing, so no reload can make this replica miss its renewal.
 */
import { Worker } from 'node:worker_threads';
import { invalid } from './bundle.ts';
import type { PrepareOptions, PreparedPolicy } from './prepare.ts';
import type { WorkerReport } from './prepare-worker.ts';

/** Resolves with the tested policy; rejects with POLICY_INVALID. The thread is gone either way. */
export async function prepareOffLoop(options: PrepareOptions): Promise<PreparedPolicy> {
  const { promise, resolve, reject } = Promise.withResolvers<PreparedPolicy>();
  // Its output is piped to nobody, and it inherits neither flags nor environment.
  const worker = new Worker(workerFile(), {
    workerData: options,
    execArgv: [],
    env: {},
    stdout: true,
    stderr: true,
  });
  let timer = setTimeout(() => reject(invalid('the bundle took too long to load')), options.limits.loadMs);
  worker.on('error', (cause) => reject(invalid('the bundle could not be loaded', cause)));
  worker.on('message', (report: WorkerReport) => {
    if (report.state === 'ready') resolve(report.policy);
    else if (report.state === 'refused') reject(invalid(report.message));
    else {
      clearTimeout(timer);
      timer = setTimeout(() => reject(tooSlow()), options.limits.selfTestMs);
    }
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

function tooSlow(): Error {
  return invalid('the policy is too slow: its self-test did not end');
}

/** Beside this file, as source or as built. */
function workerFile(): URL {
  return new URL(
    import.meta.url.endsWith('.ts') ? './prepare-worker.ts' : './prepare-worker.js',
    import.meta.url,
  );
}
