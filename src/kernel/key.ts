/**
 * Ed25519 (RFC 8032) as everything signed here uses it: the log key signs checkpoints and admits replicas, a
 * replica's key signs entries, acknowledgements and statements. Keys are objects of node:crypto; seeds stay at the edge.
 */
import type { KeyObject } from 'node:crypto';
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { parseBase64Url, sha256Hex, toBase64Url } from './digest.ts';
import { RecentMap } from './recent-map.ts';

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

/** A public key: 32 bytes in base64url, and ready to verify. */
export interface PublicKey {
  readonly x: string;
  verify(data: string | Uint8Array, signature: Uint8Array): boolean;
}

export interface SigningKey {
  readonly public: PublicKey;
  /** 64 bytes. */
  sign(data: string | Uint8Array): Uint8Array;
}

/** A signing key from its 32-byte seed. */
export function signingKeyOf(seed: Uint8Array): SigningKey {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const x = toBase64Url(new Uint8Array(spki.subarray(SPKI_ED25519.length)));
  return {
    public: publicKeyFrom(createPublicKey(key), x),
    sign: (data) => new Uint8Array(sign(null, bytesOf(data), key)),
  };
}

/** A public key from base64url, or undefined when it is not 32 canonical bytes. */
export function parsePublicKey(x: string): PublicKey | undefined {
  const parsed = PARSED.get(x);
  if (parsed !== undefined) return parsed;
  const raw = parseBase64Url(x);
  if (raw?.length !== 32) return undefined;
  const spki = { key: Buffer.concat([SPKI_ED25519, raw]), format: 'der', type: 'spki' } as const;
  const key = publicKeyFrom(createPublicKey(spki), x);
  PARSED.set(x, key);
  return key;
}

/** The same few sign everything: a fleet, and the log. */
const PARSED = new RecentMap<PublicKey>(256);

/**
 * A signature that was found good is good for ever: certificates are looked at in every receipt, an acknowledgement in that
 * of each revocation that it covers, an entry when it is applied and when it is proven. Verifying costs a hundred times
 * what a hash does. Never noted when signing: what was just made is verified once.
 */
function publicKeyFrom(key: KeyObject, x: string): PublicKey {
  const good = new RecentMap<true>(GOOD_MAX);
  return {
    x,
    verify: (data, signature) => {
      if (signature.length !== 64) return false;
      const name = `${toBase64Url(signature)} ${sha256Hex(data)}`;
      if (good.get(name) === true) return true;
      const isGood = verify(null, bytesOf(data), key, signature);
      if (isGood) good.set(name, true);
      return isGood;
    },
  };
}

/** Of one key. */
const GOOD_MAX = 512;

function bytesOf(data: string | Uint8Array): Uint8Array {
  return typeof data === 'string' ? Buffer.from(data) : data;
}
