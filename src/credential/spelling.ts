/**
 * The one spelling of a signed token. A signature that verifies has many spellings (padding, white space, unused
 * bits, the other ECDSA s), so everything but canonical base64url is refused here, before anything is decoded or
 * verified, and a token is named by its signing input, which the spellings that remain share (DESIGN section 4).
 */
import { parseBase64Url, sha256Hex } from '../kernel/digest.ts';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject, parseJson } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { isEpochSeconds } from './claim.ts';
import type { TokenHandle } from './credential.ts';

/** A compact JWS (RFC 7515 section 3.1) in its one spelling. Nothing in it is believed yet. */
export interface CompactJws {
  /** The exact text: `header.payload.signature`. */
  readonly text: string;
  /** `header.payload`: what the signature is over. */
  readonly signingInput: string;
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}

/** True when `token` is larger than any that is looked at. Asked before everything else, a hash included. */
export function isTooLarge(token: string): boolean {
  return token.length > LIMITS.tokenBytesMax;
}

/**
 * Three parts of canonical base64url, none empty, or undefined. JWE (five parts), JSON serialisation and detached
 * or unencoded payloads are none. The caller has asked isTooLarge.
 */
export function parseCompactJws(token: string): CompactJws | undefined {
  const first = token.indexOf('.');
  const second = token.indexOf('.', first + 1);
  if (first < 0 || second < 0) return undefined;
  const header = parseBase64Url(token.slice(0, first));
  const payload = parseBase64Url(token.slice(first + 1, second));
  // A third dot is outside the alphabet, so it is refused with the signature.
  if (header === undefined || payload === undefined) return undefined;
  if (parseBase64Url(token.slice(second + 1)) === undefined) return undefined;
  return { text: token, signingInput: token.slice(0, second), header, payload };
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * A JSON object out of a token's part, or undefined: valid UTF-8 without a byte order mark, no member twice, no
 * prototype names, bounded depth. Never throws.
 */
export function parseTokenObject(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value = parseJson(UTF8.decode(bytes), { depthMax: LIMITS.jsonDepthMax, strictMembers: true });
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** SHA-256 (hex) of the signing input: the `tok` handle. */
export function digestOf(jws: CompactJws): string {
  return sha256Hex(jws.signingInput);
}

/** What a revocation by token needs, without trusting the token; undefined when it is no canonical JWS. */
export function parseTokenHandle(token: string): TokenHandle | undefined {
  const jws = isTooLarge(token) ? undefined : parseCompactJws(token);
  if (jws === undefined) return undefined;
  const claims = parseTokenObject(jws.payload) ?? {};
  return {
    digest: digestOf(jws),
    issuer: typeof claims.iss === 'string' ? claims.iss : undefined,
    expiresAtS: isEpochSeconds(claims.exp) ? claims.exp : undefined,
  };
}
