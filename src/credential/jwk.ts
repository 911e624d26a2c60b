/**
 * One public key out of a JWK (RFC 7517, 7518, 8037), checked and imported once. Called for the keys of a set and
 * for the key inside a DPoP proof. A secret never becomes a key here, and a weak key is none.
 */
import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import { parseBase64Url, sha256, toBase64Url } from '../kernel/digest.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { isName } from './claim.ts';
import type { Algorithm, VerificationKey } from './issuer.ts';
import { isRocaModulus } from './roca.ts';

const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const;

/** Curve -> its algorithm and the bytes of a coordinate. */
const EC_CURVES: ReadonlyMap<Json | undefined, { algorithm: Algorithm; bytes: number }> = new Map([
  ['P-256', { algorithm: 'ES256', bytes: 32 }],
  ['P-384', { algorithm: 'ES384', bytes: 48 }],
  ['P-521', { algorithm: 'ES512', bytes: 66 }],
]);

/** RFC 7518 sections 6.2.2, 6.3.2 and 6.4, RFC 8037 section 2, and `priv` of the AKP keys to come. */
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

/** True when the JWK holds a private or symmetric key: whoever published it has lost it. */
export function isSecretJwk(jwk: JsonObject): boolean {
  return jwk.kty === 'oct' || SECRET_MEMBERS.some((member) => Object.hasOwn(jwk, member));
}

/** The members that make a public key, in the order of RFC 7638, and what it can verify. */
interface PublicParts {
  readonly jwk: Readonly<Record<string, string>>;
  readonly algorithms: readonly Algorithm[];
}

/** The key, or undefined for a kind, size or curve that is not used here, or one that is not for verifying. */
export function parsePublicJwk(jwk: JsonObject): VerificationKey | undefined {
  const parts = isSecretJwk(jwk) ? undefined : partsOf(jwk);
  if (parts === undefined || !isForVerifying(jwk)) return undefined;
  const fits = parts.algorithms.filter((algorithm) => jwk.alg === undefined || jwk.alg === algorithm);
  const { kid } = jwk;
  if (fits.length === 0 || !(kid === undefined || (isName(kid) && kid.length <= LIMITS.keyIdCharsMax)))
    return undefined;
  const key = importKey(parts.jwk);
  if (key === undefined) return undefined;
  const thumbprint = toBase64Url(sha256(JSON.stringify(parts.jwk)));
  return { kid, thumbprint, fits: new Set(fits), key };
}

/** RFC 7517 section 4.3. `use` depends on who asks and is judged there. */
function isForVerifying({ key_ops: operations }: JsonObject): boolean {
  return operations === undefined || (Array.isArray(operations) && operations.includes('verify'));
}

function partsOf(jwk: JsonObject): PublicParts | undefined {
  switch (jwk.kty) {
    case 'RSA':
      return rsaParts(jwk);
    case 'EC':
      return ecParts(jwk);
    case 'OKP':
      return okpParts(jwk);
    default:
      return undefined;
  }
}

function rsaParts({ n, e }: JsonObject): PublicParts | undefined {
  const modulus = bytesOf(n);
  const exponent = bytesOf(e);
  if (modulus === undefined || exponent === undefined) return undefined;
  if (!isSoundModulus(modulus) || !isSoundExponent(exponent)) return undefined;
  return {
    jwk: { e: toBase64Url(exponent), kty: 'RSA', n: toBase64Url(modulus) },
    algorithms: RSA_ALGORITHMS,
  };
}

/** 2,048 to 8,192 bits without leading zeros (RFC 7518 sections 2, 3.3), odd, and not of the ROCA kind. */
function isSoundModulus(modulus: Uint8Array): boolean {
  const [first = 0] = modulus;
  const bits = modulus.length * 8 - Math.clz32(first) + 24;
  if (first === 0 || bits < LIMITS.rsaBitsMin || bits > LIMITS.rsaBitsMax) return false;
  return isOdd(modulus) && !isRocaModulus(modulus);
}

/** Odd, at least 3 (1 would make every message its own signature), at most 32 bits (more only costs time). */
function isSoundExponent(exponent: Uint8Array): boolean {
  const [first = 0] = exponent;
  if (first === 0 || exponent.length > 4 || !isOdd(exponent)) return false;
  return exponent.length > 1 || first >= 3;
}

function isOdd(bytes: Uint8Array): boolean {
  return bytes.subarray(-1).some((last) => (last & 1) === 1);
}

function ecParts({ crv, x, y }: JsonObject): PublicParts | undefined {
  const curve = EC_CURVES.get(crv);
  const left = bytesOf(x);
  const right = bytesOf(y);
  if (curve === undefined || left?.length !== curve.bytes || right?.length !== curve.bytes) return undefined;
  return {
    jwk: { crv: crv as string, kty: 'EC', x: toBase64Url(left), y: toBase64Url(right) },
    algorithms: [curve.algorithm],
  };
}

function okpParts({ crv, x }: JsonObject): PublicParts | undefined {
  const bytes = bytesOf(x);
  if (crv !== 'Ed25519' || bytes?.length !== 32) return undefined;
  return { jwk: { crv, kty: 'OKP', x: toBase64Url(bytes) }, algorithms: ['EdDSA'] };
}

function bytesOf(value: Json | undefined): Uint8Array | undefined {
  return typeof value === 'string' ? parseBase64Url(value) : undefined;
}

/** Undefined when the library refuses it: a point that is not on its curve. */
function importKey(jwk: Readonly<Record<string, string>>): KeyObject | undefined {
  try {
    return createPublicKey({ key: { ...jwk }, format: 'jwk' });
  } catch {
    return undefined;
  }
}
