/**
 * What was presented, before and after verification, and the port of the verifier. A Credential is unverified
 * and carries the raw token; a VerifiedCredential never does. The only way from one to the other is the verifier.
 */
import type { JsonObject } from '../kernel/json.ts';
import type { HandleSet } from './handle.ts';

export type CredentialScheme = 'Bearer' | 'DPoP' | 'ApiKey' | 'mTLS';

/** Presented, unverified. Made by parse-credential.ts; never logged, never kept after verification. */
export interface Credential {
  readonly scheme: CredentialScheme;
  /** Empty for `mTLS` alone. */
  readonly token: string;
  /** The DPoP proof (RFC 9449), and the request it must be about, as the caller's client saw it. */
  readonly proof?: string;
  readonly method?: string;
  readonly uri?: string;
  /** PEM of the client's certificate (RFC 8705). Whoever fills it in vouches that the TLS peer proved its key. */
  readonly certificate?: string;
}

/** One link of an RFC 8693 `act` chain; the first is the current actor. `issuer` is the token's when the link has none. */
export interface Actor {
  readonly issuer: string;
  readonly subject: string;
}

export interface VerifiedCredential {
  readonly kind: 'jwt';
  readonly scheme: CredentialScheme;
  readonly issuer: string;
  readonly subject: string;
  readonly claims: JsonObject;
  readonly actors: readonly Actor[];
  /** `cnf`, as it came. */
  readonly confirmation: JsonObject | undefined;
  /** Epoch seconds, whole; `issuedAtS` undefined means: dead under any cutoff. */
  readonly issuedAtS: number | undefined;
  readonly notBeforeS: number | undefined;
  readonly expiresAtS: number;
  readonly handles: HandleSet;
}

/** Why a credential is none: the reasons of API.md that verification can give. */
export type CredentialReason =
  'invalid_credential' | 'unknown_issuer' | 'expired' | 'not_yet_valid' | 'overloaded';

export type Verification =
  | { readonly ok: true; readonly credential: VerifiedCredential }
  /** `detail` is a constant word such as `signature`, `audience`, `encoding`; it quotes nothing of the token. */
  | { readonly ok: false; readonly reason: CredentialReason; readonly detail: string };

export interface CredentialVerifier {
  /**
   * Judges `credential` at `wallMs`. Synchronous on a cache hit; a hit has its times checked again. Never throws
   * for what a caller sent. Whoever awaits it must look at revocation and lease afterwards, not before.
   */
  verify(credential: Credential, wallMs: number): Verification | Promise<Verification>;
  /**
   * What `verify` answered, as it stands at `wallMs`: times and key are looked at again, a proof is neither needed nor
   * used. For whoever awaited something else in between.
   */
  reverify(verification: Verification, wallMs: number): Verification;
  /** The handles a raw token would have, without trusting it (revocation by token): no key, no expiry is checked. */
  handleOfToken(token: string): TokenHandle | undefined;
}

/** What a revocation by token needs: the digest that names it and, where the token says so, when it ends. */
export interface TokenHandle {
  readonly digest: string;
  readonly issuer: string | undefined;
  readonly expiresAtS: number | undefined;
}
