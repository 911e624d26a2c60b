/** How long Redis may take: for its thread, which has the client, and for the one that waits for that thread, which has none. */

export interface Patience {
  /** How long one command may take. */
  readonly callMs: number;
  /** The same of a renewal. */
  readonly renewMs: number;
}

const CALL_MS = 2_000;
/** Of a lease: less than half of it (THREATS F7). */
const RENEW_SHARE = 0.4;

/** Undefined: no lease, and what a command has by default. */
export function patienceOf({
  leaseMs = Number.POSITIVE_INFINITY,
  callMs = CALL_MS,
}: {
  readonly leaseMs?: number;
  readonly callMs?: number;
}): Patience {
  return { callMs, renewMs: Math.min(callMs, RENEW_SHARE * leaseMs) };
}
