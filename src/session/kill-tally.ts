/** What one kill has reached so far. Judged from the clock when asked, never by a timer. */
import type { SessionRef } from './session.ts';

export interface KillTally {
  readonly matched: number;
  /** Confirmed dead: closed by the holder, or its own lease is over and it promised to end with it. */
  readonly killed: number;
  /** Told, not yet confirmed, and the time for it is not over. */
  readonly pending: number;
  /** Those of them that are over within a lease of this replica from now on: their holders have promised it. */
  readonly selfEnding: number;
  /** The time is over: these are named, and the kill never counts as complete without their proof. */
  readonly unconfirmed: number;
  readonly silent: readonly { readonly ref: SessionRef; readonly kind: string }[];
}

export const NOTHING_KILLED: KillTally = {
  matched: 0,
  killed: 0,
  pending: 0,
  selfEnding: 0,
  unconfirmed: 0,
  silent: [],
};
