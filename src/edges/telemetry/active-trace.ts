/**
 * Which trace the running code belongs to: the one place of the process that knows it. The log and the decision log read
 * it; only traces.ts enters one. Without traces nobody ever does, and reading it finds nothing.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { TraceIds } from './trace-context.ts';

export interface ActiveTrace {
  readonly ids: () => TraceIds;
}

export const activeTrace = new AsyncLocalStorage<ActiveTrace>();

/** Undefined outside of a trace. */
export function activeTraceIds(): TraceIds | undefined {
  return activeTrace.getStore()?.ids();
}
