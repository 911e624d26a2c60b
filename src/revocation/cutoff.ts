/** The one comparison of a credential's age with a cutoff. The index, late accepts and whoever kills share it. */

/** A dead handle: its fingerprint, and the cutoff of the kinds that have one. */
export interface DeadHandle {
  readonly hi: number;
  readonly lo: number;
  readonly cutoffS: number | undefined;
}

/**
 * True when a credential issued at `issuedAtS` (undefined: it does not say) is dead under `cutoffS` (undefined: dead
 * whatever its `iat`). Whole seconds, and the same second dies. Written as a negation so that NaN is dead too.
 */
export function isDeadUnder(cutoffS: number | undefined, issuedAtS: number | undefined): boolean {
  if (cutoffS === undefined || issuedAtS === undefined) return true;
  return !(Math.floor(issuedAtS) > cutoffS);
}
