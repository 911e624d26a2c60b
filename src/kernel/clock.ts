/**
 * Time as pure code sees it: an argument. The only real clock is in edges/system; tests move one by hand.
 * Durations are taken from both clocks, because a suspend, snapshot restore or step shows on one of them only.
 */

export interface Instant {
  /** Milliseconds of a clock that never goes back and is not set; its zero means nothing. */
  readonly monoMs: number;
  /** Milliseconds since 1970 by the wall clock, floored: it never goes back, not even over a restart. */
  readonly wallMs: number;
}

export interface Clock {
  now(): Instant;
}

/** Milliseconds since `from`: the larger of what either clock says has passed (DESIGN 3.2). */
export function ageMs(from: Instant, now: Instant): number {
  return Math.max(now.monoMs - from.monoMs, now.wallMs - from.wallMs);
}

/** Whole seconds since 1970, rounded down, as `iat` and `exp` count them. */
export function epochS(now: Instant): number {
  return Math.floor(now.wallMs / 1000);
}

/** RFC 3339 in UTC with milliseconds. */
export function renderInstant(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/** RFC 3339 -> milliseconds since 1970, or undefined when it is not one. */
export function parseInstant(text: string): number | undefined {
  if (!RFC3339.test(text)) return undefined;
  const wallMs = Date.parse(text.toUpperCase());
  return Number.isNaN(wallMs) ? undefined : wallMs;
}
