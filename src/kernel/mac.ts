/**
 * HMAC-SHA256 (RFC 2104) under one key for very many short texts: two one-shot hashes, which cost half of what an
 * Hmac object costs and leave nothing native behind. A bulk revocation makes a thousand at a time on the loop.
 */
import { hash } from 'node:crypto';
import { sha256 } from './digest.ts';

const BLOCK_BYTES = 64;
const HASH_BYTES = 32;

export class Mac {
  /** The key's inner block, and room for a text after it. */
  #inner: Buffer;
  /** The key's outer block, and room for the inner hash after it. */
  readonly #outer: Buffer;

  constructor(key: Uint8Array) {
    const block = new Uint8Array(BLOCK_BYTES);
    block.set(key.length > BLOCK_BYTES ? sha256(key) : key);
    this.#inner = Buffer.from(block.map((byte) => byte ^ 0x36));
    this.#outer = Buffer.concat([block.map((byte) => byte ^ 0x5c), new Uint8Array(HASH_BYTES)]);
  }

  /** The MAC of `text` as UTF-8: 32 characters, one for each byte (latin1). */
  sign(text: string): string {
    const bytesMax = BLOCK_BYTES + text.length * 3;
    if (this.#inner.length < bytesMax) this.#inner = Buffer.concat([this.#inner], bytesMax * 2);
    const end = BLOCK_BYTES + this.#inner.write(text, BLOCK_BYTES);
    this.#outer.write(hash('sha256', this.#inner.subarray(0, end), 'latin1'), BLOCK_BYTES, 'latin1');
    return hash('sha256', this.#outer, 'latin1');
  }
}
