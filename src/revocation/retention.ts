/**
 * How long a revocation must be kept: at least until nothing it kills could be accepted any more (DESIGN section 4).
 * Called when a revocation is made, and by the view for what never ends. Never earlier than now, and never at all
 * where what is named goes on producing credentials, or where what is killed has no end of its own.
 *
 * It leans on the verifier, which refuses whatever lives longer than `credentialLifeMax` (credential/claim.ts): a
 * credential issued at or before a cutoff is past its `exp` that long after it.
 */
import type { HandleKind } from '../credential/handle.ts';
import { handlesOfTarget, hasCutoff } from '../credential/handle.ts';
import type { Target } from '../feed/entry.ts';
import { unreachable } from '../kernel/unreachable.ts';
import { NEVER_S } from './table.ts';

export type SelectorKind = Target['kind'];

export interface RetentionFacts {
  /** Of the one token that is named, where it says so. */
  readonly expiresAtS?: number | undefined;
  readonly cutoffS?: number | undefined;
  /** By the wall clock that never goes back. */
  readonly nowS: number;
  readonly credentialLifeMaxS: number;
  readonly clockSkewS: number;
  readonly leaseS: number;
}

/** True for the kinds that take `before`. */
export function isCutoffKind(kind: SelectorKind): boolean {
  return handlesOfTarget({ kind }).some(hasCutoff);
}

/** Epoch seconds after which a target of `kind` may leave the active set; undefined: never. */
export function untilSOf(kind: SelectorKind, facts: RetentionFacts): number | undefined {
  const { expiresAtS, cutoffS = facts.nowS, nowS, credentialLifeMaxS, clockSkewS, leaseS } = facts;
  switch (kind) {
    case 'token':
    case 'jti':
      // An unknown end is counted from an issuer whose clock may be ahead by the skew.
      return boundedS(
        Math.max(nowS, expiresAtS ?? nowS + clockSkewS + credentialLifeMaxS) + clockSkewS + leaseS,
      );
    case 'subject':
    case 'client':
    case 'actor':
    case 'issuer':
    case 'claim':
      // From now where the cutoff is in the past: a credential without `iat` is dead under any, whenever it was issued.
      return boundedS(Math.max(nowS, cutoffS) + credentialLifeMaxS + clockSkewS + leaseS);
    // A stolen key never becomes good again; a session, a certificate or an API key goes on.
    case 'session':
    case 'key':
    case 'jkt':
    case 'certificate':
    case 'apikey':
    // See ASSERTED.
    case 'spiffe':
    case 'all':
      return undefined;
    /* v8 ignore next 2 */
    default:
      return unreachable(kind);
  }
}

/**
 * What an asserted subject is looked up by (bareSubjectHandles). It comes without a credential, so it has neither
 * `iat` nor `exp`: nothing but the entry keeps it dead, and an entry that left would bring it back to life.
 */
const ASSERTED: ReadonlySet<HandleKind> = new Set(['sub-bare', 'spiffe', 'all']);

/** When the index entry of one handle of a target may go, whatever its target says; NEVER_S: never. */
export function endOfHandleS(kind: HandleKind, untilS: number | undefined): number {
  return untilS === undefined || ASSERTED.has(kind) ? NEVER_S : untilS;
}

/** Whole seconds, rounded up; beyond 32 bits is never. */
function boundedS(untilS: number): number | undefined {
  const wholeS = Math.ceil(untilS);
  return wholeS < NEVER_S ? wholeS : undefined;
}
