/** When a lock ends: what may be asked for, and the second that its entry names. Used by flows/revoke.ts. */
import { WritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';

const LIFE_DAYS_MAX = LIMITS.lockLifeMaxMs / 86_400_000;

/** Whole seconds, rounded up: a lock never ends before it was to end. */
export function lockEndS(expiresAtMs: number): number {
  return Math.ceil(expiresAtMs / 1000);
}

/** TIME_INVALID for an end that is past, or so far ahead that a revocation is meant. */
export function judgeLockEnd(expiresAtMs: number, nowMs: number): void {
  if (expiresAtMs <= nowMs) throw invalid('is past');
  if (expiresAtMs > nowMs + LIMITS.lockLifeMaxMs)
    throw invalid(`is more than ${LIFE_DAYS_MAX} days ahead: revoke what is to stay dead`);
}

function invalid(said: string): WritError {
  return new WritError('TIME_INVALID', `expiresAt ${said}`, { field: 'expiresAt' });
}
