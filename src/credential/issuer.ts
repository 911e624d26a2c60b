/**
 * Whose tokens are believed, and with which keys: what config/ fills in and edges/idp implements. The verifier
 * reads nothing else about an issuer, and a token never adds to it (RFC 8725 sections 3.1 and 3.10).
 */
import type { KeyObject } from 'node:crypto';
import type { Algorithm, TokenType } from '../config/config.ts';

// The configuration names them; here is where they are enforced. One list, so that neither knows more than the other.
export { ALGORITHMS } from '../config/config.ts';
export type { Algorithm, TokenType } from '../config/config.ts';

export interface Issuer {
  /** `iss`, byte for byte; `spiffe://<trust domain>` for JWT-SVIDs that carry no `iss`. */
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly algorithms: readonly Algorithm[];
  readonly tokenType: TokenType;
  readonly keys: KeySource;
}

/** The `use` a key must have (RFC 7517 section 4.2; SPIFFE bundles say `jwt-svid`). Absent counts as `sig`. */
export type KeyUse = 'sig' | 'jwt-svid';

export function keyUseOf(tokenType: TokenType): KeyUse {
  return tokenType === 'jwt-svid' ? 'jwt-svid' : 'sig';
}

/** One public key, checked and imported once. */
export interface VerificationKey {
  readonly kid: string | undefined;
  /** RFC 7638, SHA-256, base64url: the key's identity whatever its `kid`. */
  readonly thumbprint: string;
  readonly fits: ReadonlySet<Algorithm>;
  readonly key: KeyObject;
}

export type KeyLookup =
  | { readonly state: 'found'; readonly key: VerificationKey }
  /** No such key, or none that fits a token without `kid`: a refresh may bring it. */
  | { readonly state: 'unknown' }
  /** The key is there and is not for this algorithm. */
  | { readonly state: 'unfit' }
  /** A token without `kid`, and more than one key that fits. */
  | { readonly state: 'ambiguous' }
  /** No set of keys, or one that is too old to be believed. */
  | { readonly state: 'unavailable' };

/** The keys of one issuer. Reads memory; only `refresh` waits. Nothing here ever throws or rejects. */
export interface KeySource {
  lookup(kid: string | undefined, algorithm: Algorithm): KeyLookup;
  /**
   * A number that differs from an earlier one whenever `lookup` may answer differently. Compared on every hit of
   * the verified-credential cache, so that a key that left the set takes what it signed with it.
   */
  generation(): number;
  /** Fetches the set again unless that was tried a moment ago; several callers share one attempt. */
  refresh(): Promise<void>;
  /** True while there is a set that may be believed (readiness). */
  isAvailable(): boolean;
}
