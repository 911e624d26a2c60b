/** The thread that prepares one policy and ends. Started by engine.ts, which ends it when it takes too long. */
import { parentPort, workerData } from 'node:worker_threads';
import { isWritError } from '../../kernel/error.ts';
import { preparePolicy } from './prepare.ts';
import type { PrepareOptions, PreparedPolicy } from './prepare.ts';

export type WorkerReport =
  | { readonly state: 'loaded' }
  | { readonly state: 'ready'; readonly policy: PreparedPolicy }
  | { readonly state: 'refused'; readonly message: string };

const report = (said: WorkerReport, transfer: ArrayBuffer[] = []): void => {
  parentPort?.postMessage(said, transfer);
};

try {
  const policy = await preparePolicy(workerData as PrepareOptions, () => report({ state: 'loaded' }));
  report({ state: 'ready', policy }, [policy.image.bytes.buffer]);
} catch (error) {
  if (!isWritError(error, 'POLICY_INVALID')) throw error;
  report({ state: 'refused', message: error.message });
}
