/**
 * For speed: node:crypto as kernel/key.ts uses it, except that a signature which was made in this process is known to be good
 * without being verified. The signatures are real ones, and what nobody here has made is verified.
 */
import type { KeyObject } from 'node:crypto';
import { sign as signOnce, verify as verifyOnce, createPublicKey } from 'node:crypto';

export { createPrivateKey, createPublicKey } from 'node:crypto';

/** Signature and key -> what was signed. */
const made = new Map<string, string>();
const MADE_MAX = 20_000;
const names = new WeakMap<KeyObject, string>();

function nameOf(key: KeyObject): string {
  const known = names.get(key);
  if (known !== undefined) return known;
  const open = key.type === 'private' ? createPublicKey(key) : key;
  const name = open.export({ format: 'der', type: 'spki' }).toString('latin1');
  names.set(key, name);
  return name;
}

export function sign(algorithm: null, data: Buffer, key: KeyObject): Buffer {
  const signature = signOnce(algorithm, data, key);
  if (made.size >= MADE_MAX) made.clear();
  made.set(signature.toString('latin1') + nameOf(key), data.toString('latin1'));
  return signature;
}

export function verify(algorithm: null, data: Buffer, key: KeyObject, signature: Uint8Array): boolean {
  const signed = made.get(Buffer.from(signature).toString('latin1') + nameOf(key));
  return signed === data.toString('latin1') || verifyOnce(algorithm, data, key, signature);
}
