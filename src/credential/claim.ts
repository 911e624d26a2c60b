/**
 * What single claims may be: names, times and the audience. Everything here is strict where RFC 7519 leaves room,
 * because a claim that two readers read differently is a revocation that misses. Times are the caller's.
 */
import type { Json, JsonObject } from '../kernel/json.ts';
import type { Refusal } from './refusal.ts';
import { invalid, refuse } from './refusal.ts';

/** The feed keeps times in 32 bits; a later one is no time a token can have. */
const EPOCH_S_MAX = 0xffff_fffe;

/** A NumericDate (RFC 7519 section 2) as it is taken here: whole seconds, not negative, before 2106. */
export function isEpochSeconds(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= EPOCH_S_MAX;
}

/** A string that can name something. That it is well-formed Unicode, parseJson has seen to. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** `aud` is one of `audiences`, or an array of strings that has one of them; compared as exact strings. */
export function hasAudience(aud: Json | undefined, audiences: readonly string[]): boolean {
  if (typeof aud === 'string') return audiences.includes(aud);
  if (!Array.isArray(aud) || !aud.every((entry) => typeof entry === 'string')) return false;
  return aud.some((entry) => audiences.includes(entry));
}

export interface TokenTimes {
  readonly issuedAtS: number;
  readonly notBeforeS: number | undefined;
  readonly expiresAtS: number;
}

export interface TimeRules {
  /** For `exp`, `nbf` and an `iat` in the future; never for a cutoff. */
  readonly clockSkewS: number;
  /** The longest life of any credential: revocations of unknown end are kept this long (DESIGN section 9). */
  readonly credentialLifeMaxS: number;
}

/**
 * The three times where they are well formed: `exp` and `iat` are required, `nbf` is whole seconds when there. Without
 * `iat` nobody can tell how long a token lives in all: one that outlives the longest life would be dead under a cutoff,
 * and alive again once the revocation has been retired (ARCHITECTURE.md, D-006).
 */
export function readTimes(claims: JsonObject): TokenTimes | Refusal {
  const { iat, nbf, exp } = claims;
  if (!isEpochSeconds(exp)) return invalid('claims');
  if (!isEpochSeconds(iat)) return invalid('claims');
  if (nbf !== undefined && !isEpochSeconds(nbf)) return invalid('claims');
  return { issuedAtS: iat, notBeforeS: nbf, expiresAtS: exp };
}

/**
 * Refuses what lives longer than any credential may, and what was issued in the future: such a token would be
 * younger than every cutoff. Judged once; expiry and `nbf` are judged again at every use (isExpired, isTooEarly).
 */
export function checkLife(times: TokenTimes, rules: TimeRules, wallMs: number): Refusal | undefined {
  const { issuedAtS, expiresAtS } = times;
  if (issuedAtS * 1000 > wallMs + rules.clockSkewS * 1000) return invalid('issued_in_future');
  const lifeS = expiresAtS - issuedAtS;
  if (lifeS > rules.credentialLifeMaxS || lifeS < 0) return invalid('lifetime');
  return undefined;
}

/** The span of wall time in which a token may be used, skew included: `[fromMs, untilMs)`. */
export interface UseSpan {
  readonly fromMs: number;
  readonly untilMs: number;
}

export function useSpanOf(times: TokenTimes, rules: TimeRules): UseSpan {
  const skewMs = rules.clockSkewS * 1000;
  return {
    fromMs: times.notBeforeS === undefined ? 0 : times.notBeforeS * 1000 - skewMs,
    untilMs: times.expiresAtS * 1000 + skewMs,
  };
}

/** RFC 7519 sections 4.1.4 and 4.1.5. */
export function checkSpan(span: UseSpan, wallMs: number): Refusal | undefined {
  if (wallMs >= span.untilMs) return refuse('expired', 'expired');
  if (wallMs < span.fromMs) return refuse('not_yet_valid', 'not_yet_valid');
  return undefined;
}
