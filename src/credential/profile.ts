/**
 * One profile for each kind of token (RFC 8725 section 3.12): which JOSE header and which claims it must and must
 * not have, so that an ID token, a logout token, a SET or a DPoP proof never passes as an access token.
 */
import type { Json, JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { hasAudience, isName } from './claim.ts';
import type { Algorithm, Issuer, TokenType } from './issuer.ts';
import type { Refusal } from './refusal.ts';
import { invalid, refuse } from './refusal.ts';
import { trustDomainOf } from './spiffe.ts';

export interface TokenHeader {
  readonly algorithm: Algorithm;
  readonly kid: string | undefined;
}

/** Members that bring a key along, or change what is signed. No extension is known here, so `crit` has nothing to name. */
const REFUSED_MEMBERS = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64'];

/** Judges the JOSE header against the issuer's configuration. Nothing in it adds a key or an algorithm. */
export function readHeader(header: JsonObject, issuer: Issuer): TokenHeader | Refusal {
  if (REFUSED_MEMBERS.some((member) => Object.hasOwn(header, member))) return invalid('header');
  const algorithm = issuer.algorithms.find((allowed) => allowed === header.alg);
  if (algorithm === undefined) return invalid('algorithm');
  if (!hasType(header.typ, issuer.tokenType)) return invalid('type');
  const { kid } = header;
  if (kid !== undefined && !(isName(kid) && kid.length <= LIMITS.keyIdCharsMax)) return invalid('key_id');
  if (issuer.tokenType === 'jwt-svid') return readSvidHeader(header, algorithm, kid);
  return { algorithm, kid };
}

const SVID_MEMBERS = new Set(['alg', 'kid', 'typ']);

/** JWT-SVID section 2: no other header, no EdDSA; bundles name every key, so `kid` is required. */
function readSvidHeader(header: JsonObject, algorithm: Algorithm, kid: string | undefined) {
  if (Object.keys(header).some((member) => !SVID_MEMBERS.has(member))) return invalid('header');
  if (algorithm === 'EdDSA') return invalid('algorithm');
  return kid === undefined ? invalid('key_id') : { algorithm, kid };
}

const ACCESS_TYPES = new Set(['at+jwt', 'application/at+jwt']);

/** RFC 9068 section 4; RFC 7515 section 4.1.9 (media types are compared without case); JWT-SVID section 2.3. */
function hasType(typ: Json | undefined, tokenType: TokenType): boolean {
  switch (tokenType) {
    case 'at+jwt':
      return typeof typ === 'string' && ACCESS_TYPES.has(typ.toLowerCase());
    case 'jwt':
      if (typ === undefined) return true;
      return typeof typ === 'string' && (typ.toLowerCase() === 'jwt' || ACCESS_TYPES.has(typ.toLowerCase()));
    case 'jwt-svid':
      return typ === undefined || typ === 'JWT' || typ === 'JOSE';
  }
}

/** The configured issuer of a token whose claims are not believed yet. There is no fallback to the only one. */
export function findIssuer(claims: JsonObject, issuers: ReadonlyMap<string, Issuer>): Issuer | Refusal {
  const { iss, sub } = claims;
  if (iss === undefined) {
    // JWT-SVID section 3: `iss` is optional, the trust domain of `sub` says whose keys count.
    const domain = typeof sub === 'string' ? trustDomainOf(sub) : undefined;
    const issuer = domain === undefined ? undefined : issuers.get(domain);
    return issuer?.tokenType === 'jwt-svid' ? issuer : invalid('issuer');
  }
  if (typeof iss !== 'string') return invalid('issuer');
  return issuers.get(iss) ?? refuse('unknown_issuer', 'issuer');
}

/** Claims that are names where they are there: each is, or may be, a handle. */
const NAME_CLAIMS = ['jti', 'sid', 'client_id', 'azp'];

/** Claims that only other kinds of tokens have: an ID token (OIDC Core 2, 3.1.3.6), a SET or logout token (RFC 8417). */
const FOREIGN_CLAIMS = ['nonce', 'at_hash', 'events'];

/** What the profile demands of verified claims; times and `sub` are judged apart. */
export function checkProfile(claims: JsonObject, issuer: Issuer): Refusal | undefined {
  if (!hasAudience(claims.aud, issuer.audiences)) return invalid('audience');
  const isMistyped = (claim: string): boolean => claims[claim] !== undefined && !isName(claims[claim]);
  if (NAME_CLAIMS.some(isMistyped)) return invalid('claims');
  switch (issuer.tokenType) {
    case 'at+jwt':
      // RFC 9068 section 2.2; iss, exp, iat, aud and sub are demanded of every profile.
      return ['client_id', 'jti'].every((claim) => Object.hasOwn(claims, claim))
        ? undefined
        : invalid('claims');
    case 'jwt':
      return FOREIGN_CLAIMS.some((claim) => Object.hasOwn(claims, claim)) ? invalid('type') : undefined;
    case 'jwt-svid':
      return undefined;
  }
}

/** `sub`; for a JWT-SVID a SPIFFE ID of the trust domain whose bundle it is, where the configuration names one. */
export function readSubject({ sub }: JsonObject, issuer: Issuer): string | Refusal {
  if (!isName(sub)) return invalid('subject');
  if (issuer.tokenType !== 'jwt-svid') return sub;
  const domain = trustDomainOf(sub);
  const isOurs = issuer.issuer.startsWith('spiffe://') ? domain === issuer.issuer : domain !== undefined;
  return isOurs ? sub : invalid('subject');
}
