/**
 * For speed: node:crypto as kernel/key.ts uses it, with a hash of key and data in the place of an Ed25519 signature, which
 * costs fifty times as much. Whoever changes a byte of either is found out all the same; nobody in a simulated fleet makes a
 * signature without the key. The runs that the tests play have real ones.
 */
import type { KeyObject } from 'node:crypto';
import { createPrivateKey as createPrivate, createPublicKey, hash } from 'node:crypto';

export { createPublicKey } from 'node:crypto';

/** The same few replicas begin again and again. */
const keys = new Map<string, KeyObject>();

export function createPrivateKey(given: { key: Buffer; format: 'der'; type: 'pkcs8' }): KeyObject {
  const name = given.key.toString('latin1');
  const key = keys.get(name) ?? createPrivate(given);
  keys.set(name, key);
  return key;
}

const names = new WeakMap<KeyObject, string>();

function nameOf(key: KeyObject): string {
  const known = names.get(key);
  if (known !== undefined) return known;
  const open = key.type === 'private' ? createPublicKey(key) : key;
  const name = open.export({ format: 'der', type: 'spki' }).toString('base64');
  names.set(key, name);
  return name;
}

/** 64 bytes. */
export function sign(_algorithm: null, data: Uint8Array, key: KeyObject): Buffer {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return hash('sha512', nameOf(key) + bytes.toString('latin1'), 'buffer');
}

export function verify(algorithm: null, data: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  return sign(algorithm, data, key).equals(signature);
}
