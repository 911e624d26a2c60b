/**
 * A JWK set (RFC 7517 section 5) as it is believed here: parsed whole or not at all. edges/idp makes one from a
 * file or an answer; look-up is by `Map`, so that no `kid` is ever a path, a query or a prototype.
 */
import { WritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject, parseJson } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Algorithm, KeyLookup, KeyUse, VerificationKey } from './issuer.ts';
import { isSecretJwk, parsePublicJwk } from './jwk.ts';

export class KeySet {
  readonly #keys: readonly VerificationKey[];
  readonly #byKid = new Map<string, VerificationKey>();
  /** What the set says, so that two can be compared. */
  readonly #identity: string;

  constructor(keys: readonly VerificationKey[]) {
    this.#keys = keys;
    for (const key of keys) if (key.kid !== undefined) this.#byKid.set(key.kid, key);
    this.#identity = JSON.stringify(keys.map((key) => [key.kid, key.thumbprint, ...key.fits]).toSorted());
  }

  get size(): number {
    return this.#keys.length;
  }

  isSameAs(other: KeySet): boolean {
    return this.#identity === other.#identity;
  }

  /** The key named `kid`; without `kid` the only key that fits, never one of several. */
  lookup(kid: string | undefined, algorithm: Algorithm): KeyLookup {
    if (kid === undefined) return this.#lookupOnly(algorithm);
    const key = this.#byKid.get(kid);
    if (key === undefined) return { state: 'unknown' };
    return key.fits.has(algorithm) ? { state: 'found', key } : { state: 'unfit' };
  }

  #lookupOnly(algorithm: Algorithm): KeyLookup {
    const [key, ...others] = this.#keys.filter((candidate) => candidate.fits.has(algorithm));
    if (key === undefined) return { state: 'unknown' };
    return others.length === 0 ? { state: 'found', key } : { state: 'ambiguous' };
  }
}

/**
 * Text -> set. Throws KEY_INVALID for what is no JWK set, is too large, holds a private or symmetric key anywhere,
 * or names two of its keys alike. Keys of another use, kind, curve or size are left out: no token can name them.
 */
export function parseKeySet(text: string, use: KeyUse): KeySet {
  const jwks = parseKeys(text);
  if (jwks.some(isSecretJwk)) throw new WritError('KEY_INVALID', 'the key set holds a secret key');
  const ours = jwks.filter((jwk) => (jwk.use ?? 'sig') === use);
  const kids = ours.flatMap((jwk) => (jwk.kid === undefined ? [] : [jwk.kid]));
  if (new Set(kids).size !== kids.length) throw new WritError('KEY_INVALID', 'the key set names a key twice');
  return new KeySet(ours.flatMap((jwk) => parsePublicJwk(jwk) ?? []));
}

function parseKeys(text: string): readonly JsonObject[] {
  if (Buffer.byteLength(text) > LIMITS.jwksBytesMax)
    throw new WritError('KEY_INVALID', 'the key set is too large');
  const set = parseSet(text);
  const keys = isJsonObject(set) ? set.keys : undefined;
  if (!Array.isArray(keys)) throw new WritError('KEY_INVALID', 'the key set is none');
  if (keys.length > LIMITS.jwksKeysMax) throw new WritError('KEY_INVALID', 'the key set has too many keys');
  return keys.map((jwk: Json) => {
    if (!isJsonObject(jwk)) throw new WritError('KEY_INVALID', 'the key set is none');
    return jwk;
  });
}

function parseSet(text: string): Json {
  try {
    return parseJson(text, { depthMax: LIMITS.jsonDepthMax, strictMembers: true });
  } catch (cause) {
    throw new WritError('KEY_INVALID', 'the key set is no JSON', { cause });
  }
}
