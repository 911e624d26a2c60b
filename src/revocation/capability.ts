/** How much a revocation can kill, so that a caller may be trusted with little of it (API.md, who may do what). */
import type { Target } from '../feed/entry.ts';
import { unreachable } from '../kernel/unreachable.ts';

/** In rising order of power: whoever holds one may do what needs it or one before it. */
export const CAPABILITIES = ['token', 'subject', 'client', 'issuer', 'all'] as const;

export type RevocationCapability = (typeof CAPABILITIES)[number];

export function capabilityOf(kind: Target['kind']): RevocationCapability {
  switch (kind) {
    case 'token':
    case 'jti':
    case 'session':
    case 'apikey':
    case 'certificate':
    case 'jkt':
      return 'token';
    case 'subject':
    case 'actor':
    case 'spiffe':
    case 'claim':
      return 'subject';
    case 'client':
      return 'client';
    case 'issuer':
    case 'key':
      return 'issuer';
    case 'all':
      return 'all';
    /* v8 ignore next 2 */
    default:
      return unreachable(kind);
  }
}

export function isCovered(held: RevocationCapability, needed: RevocationCapability): boolean {
  return CAPABILITIES.indexOf(held) >= CAPABILITIES.indexOf(needed);
}

/** What it takes to revoke all of `targets`: the most that any of them needs. */
export function requiredCapability(targets: readonly Target[]): RevocationCapability {
  return targets
    .map(({ kind }) => capabilityOf(kind))
    .reduce((most, one) => (isCovered(most, one) ? most : one), CAPABILITIES[0]);
}
