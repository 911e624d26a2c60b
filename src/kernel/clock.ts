/**
 * Time as pure code sees it: an argument. The only real clock is in edges/system; tests move one by hand.
 * Durations are taken from both clocks, because a suspend, snapshot restore or step shows on one of them only.
 */
import type { Haste } from './turns.ts';

export interface Instant {
  /** Milliseconds of a clock that never goes back and is not set; its zero means nothing. */
  readonly monoMs: number;
  /** Milliseconds since 1970 by the wall clock, floored: it never goes back, not even over a restart. */
  readonly wallMs: number;
  /** Milliseconds that only the machine's wall clock has counted so far: it was suspended, or that clock was set. None: 0. */
  readonly uncountedMs?: number;
}

/** What both clocks of the machine said at one moment. */
export type ClockReading = Pick<Instant, 'monoMs' | 'wallMs'>;

export interface Clock {
  now(): Instant;
}

/** When `reading` was made, which was not before `earlier`; never later than it was: a suspend in between counts. */
export function instantOf({ monoMs, wallMs }: ClockReading, earlier: Instant): Instant {
  return {
    ...earlier,
    monoMs: Math.max(earlier.monoMs, monoMs),
    wallMs: Math.max(earlier.wallMs, wallMs),
  };
}

/**
 * Milliseconds since `from`: the larger of what either clock says has passed (DESIGN 3.2). What a monotonic clock did not
 * count is added to what it did: a floored wall clock may show neither.
 */
export function ageMs(from: Instant, now: Instant): number {
  const uncountedMs = (now.uncountedMs ?? 0) - (from.uncountedMs ?? 0);
  return Math.max(now.monoMs - from.monoMs + uncountedMs, now.wallMs - from.wallMs);
}

/** Whole seconds since 1970, rounded down, as `iat` and `exp` count them. */
export function epochS(now: Instant): number {
  return Math.floor(now.wallMs / 1000);
}

/** RFC 3339 in UTC with milliseconds. */
export function renderInstant(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

const RFC3339 = /^(\d{4}-\d\d-\d\d)[Tt](?!24)\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/** RFC 3339 -> milliseconds since 1970, or undefined when it is not one. A leap second (`:60`) is not taken. */
export function parseInstant(text: string): number | undefined {
  const date = RFC3339.exec(text)?.[1];
  if (date === undefined) return undefined;
  const wallMs = Date.parse(text.toUpperCase());
  // Date.parse takes 30 February and says 1 March: a cutoff must be what was written, or nothing.
  if (Number.isNaN(wallMs) || !renderInstant(Date.parse(date)).startsWith(date)) return undefined;
  return wallMs;
}

/** Waiting, as an argument: tests move it by hand. */
export interface Timer {
  /** Resolves after `ms`, or at once when `signal` aborts. Never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /**
   * Resolves in a later turn of the loop: what has arrived meanwhile is answered first, and whoever yielded before, as
   * `haste` says (kernel/turns.ts). Never rejects.
   */
  yield(haste?: Haste): Promise<void>;
  /** Resolves when the next of many long orders may be answered (kernel/turns.ts). Never rejects. */
  breathe(): Promise<void>;
}
