/**
 * The right to say yes. Freshness is computed from both clocks at every decision: there is no flag and no timer,
 * because after a pause queued requests run before timers do (DESIGN 3.2).
 */
import type { Instant } from '../kernel/clock.ts';
import { ageMs } from '../kernel/clock.ts';

export interface LeaseTerm {
  /** L: how long a lease is good, counted from the *sending* of the renewal that brought it. */
  readonly leaseMs: number;
  /** Subtracted from L on the holder's side, added on the waiter's. */
  readonly epsMs: number;
  /** T_split: where another server of the store may take over, how long the one before may go on granting leases. */
  readonly splitMs?: number;
}

/** The term that is waited for where both may be: each part of it is the larger one. */
export function longer(one: LeaseTerm, other: Partial<LeaseTerm> = {}): LeaseTerm {
  const { leaseMs = 0, splitMs = 0 } = other;
  return {
    ...one,
    leaseMs: Math.max(one.leaseMs, leaseMs),
    splitMs: Math.max(one.splitMs ?? 0, splitMs),
  };
}

/** Clock rates may differ by this much (500 ppm). */
const RHO = 500e-6;
/** How long an enforcement point may still act on an answer it was given. */
export const PEP_TIMEOUT_MS = 200;
export const EPS_MS = 50;

/** L' of DESIGN 3.3: `afterMs` the append replied, every lease granted before it is over. */
export function leaseOverMs(term: LeaseTerm): number {
  return Math.ceil(term.leaseMs * (1 + RHO) + term.epsMs + (term.splitMs ?? 0));
}

/** The bound a revocation states: milliseconds after the append replied when nobody accepts any more, whatever happens. */
export function enforcedByWaitMs(term: LeaseTerm): number {
  return leaseOverMs(term) + PEP_TIMEOUT_MS;
}

export class Lease {
  readonly #term: LeaseTerm;
  #sentAt: Instant | undefined;
  #lastSentAt: Instant | undefined;

  constructor(term: LeaseTerm) {
    this.#term = term;
  }

  /** Takes the lease whose renewal was *sent* at `sentAt`. Only after everything it brought is applied and durable. */
  adopt(sentAt: Instant): void {
    if (this.#sentAt === undefined || sentAt.monoMs > this.#sentAt.monoMs) this.#sentAt = sentAt;
    this.#lastSentAt = this.#sentAt;
  }

  /** Gives the lease up at once: an invariant broke, the store cannot be written, or the epoch closed. */
  drop(): void {
    this.#sentAt = undefined;
  }

  /** Milliseconds for which this replica may still say yes; 0 means fenced. */
  freshForMs(now: Instant): number {
    if (this.#sentAt === undefined) return 0;
    return Math.max(0, this.#term.leaseMs - this.#term.epsMs - ageMs(this.#sentAt, now));
  }

  /** Milliseconds for which nothing of the feed's news is known here, lease or no lease; Infinity before the first one. */
  staleForMs(now: Instant): number {
    return this.#lastSentAt === undefined ? Number.POSITIVE_INFINITY : ageMs(this.#lastSentAt, now);
  }

  isFresh(now: Instant): boolean {
    return this.freshForMs(now) > 0;
  }
}
