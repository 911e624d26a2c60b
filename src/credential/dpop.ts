/**
 * DPoP at a resource (RFC 9449 sections 4.3 and 7.1): is this proof about this request, this token, and made now by
 * the key the token is bound to? Whether it was used before is proof-log.ts; server nonces are not issued here.
 */
import { sha256, toBase64Url } from '../kernel/digest.ts';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { isEpochSeconds, isName } from './claim.ts';
import type { Algorithm, VerificationKey } from './issuer.ts';
import { ALGORITHMS } from './issuer.ts';
import { parsePublicJwk } from './jwk.ts';
import type { Refusal } from './refusal.ts';
import { invalid, isRefusal } from './refusal.ts';
import { isSignedBy } from './signature.ts';
import { isTooLarge, parseCompactJws, parseTokenObject } from './spelling.ts';

/** What a proof must be about. */
export interface ProofDemand {
  readonly token: string;
  /** `cnf.jkt` of the token. */
  readonly jkt: string;
  /** Of the request as the client sent it, not as a proxy passed it on. */
  readonly method: string;
  readonly uri: string;
}

/** A proof that holds, apart from having been used before. */
export interface ProvenRequest {
  readonly ok: true;
  readonly jti: string;
}

/** Every check of section 4.3 but the replay; the signature last, because only it costs something. */
export async function judgeProof(
  proof: string,
  demand: ProofDemand,
  wallMs: number,
): Promise<ProvenRequest | Refusal> {
  const jws = isTooLarge(proof) ? undefined : parseCompactJws(proof);
  const header = jws === undefined ? undefined : parseTokenObject(jws.header);
  const claims = jws === undefined ? undefined : parseTokenObject(jws.payload);
  if (jws === undefined || header === undefined || claims === undefined) return invalid('proof');
  const signer = readSigner(header, demand.jkt);
  if (isRefusal(signer)) return signer;
  const jti = readClaims(claims, demand, wallMs);
  if (isRefusal(jti)) return jti;
  const isSigned = await isSignedBy(jws, signer.key, signer.algorithm);
  return isSigned ? { ok: true, jti } : invalid('proof_signature');
}

interface Signer {
  readonly key: VerificationKey;
  readonly algorithm: Algorithm;
}

/** The header's key, if it is the one the token is bound to. Its members besides `jwk` bring no key (section 4.2). */
function readSigner(header: JsonObject, jkt: string): Signer | Refusal {
  const { typ, alg, jwk } = header;
  if (typ !== 'dpop+jwt' || Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64'))
    return invalid('proof');
  const algorithm = ALGORITHMS.find((known) => known === alg);
  if (algorithm === undefined || !isJsonObject(jwk)) return invalid('proof');
  const key = parsePublicJwk(jwk);
  if (key === undefined) return invalid('proof');
  return key.thumbprint === jkt && key.fits.has(algorithm) ? { key, algorithm } : invalid('proof_key');
}

/** The proof's `jti`, when it is about this request and token and of this minute. */
function readClaims(claims: JsonObject, demand: ProofDemand, wallMs: number): string | Refusal {
  const { jti, htm, htu, iat, ath } = claims;
  if (!isName(jti) || typeof htm !== 'string' || typeof htu !== 'string' || !isEpochSeconds(iat))
    return invalid('proof');
  if (htm !== demand.method) return invalid('proof_method');
  const asked = normalUri(demand.uri);
  if (asked === undefined || normalUri(htu) !== asked) return invalid('proof_uri');
  if (Math.abs(wallMs - iat * 1000) > LIMITS.proofAgeMs) return invalid('proof_time');
  return ath === toBase64Url(sha256(demand.token)) ? jti : invalid('proof_token');
}

/** RFC 3986 appendix A: what a URI may be made of. Anything else two parsers may read differently. */
const URI = /^https?:\/\/(?!\/)[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/i;
const ENCODED = /%[0-9a-f]{2}/gi;
const UNRESERVED = /^[A-Za-z0-9\-._~]$/;

/**
 * Scheme, host and path in the normal form of RFC 3986 section 6.2.2 and 6.2.3, without query and fragment
 * (RFC 9449 section 4.3, 9); undefined for what is no http(s) URI or names a user.
 */
export function normalUri(text: string): string | undefined {
  const url = URI.test(text) ? URL.parse(text) : null;
  if (url === null || url.username !== '' || url.password !== '') return undefined;
  const path = url.pathname.replace(ENCODED, (encoded) => {
    const char = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return UNRESERVED.test(char) ? char : encoded.toUpperCase();
  });
  return `${url.protocol}//${url.host}${path}`;
}
