/** Randomness as an argument, and the ids made of it. The real source is in edges/system. */
import { toBase64Url } from './digest.ts';

export interface Random {
  /** `size` unpredictable bytes. */
  bytes(size: number): Uint8Array;
}

export type IdPrefix = 'rev' | 'lck' | 'grt' | 'dec' | 'ses' | 'ent' | 'inc' | 'ep';

/** `rev_…`: the prefix and 128 random bits in base64url. */
export function newId(prefix: IdPrefix, random: Random): string {
  return `${prefix}_${toBase64Url(random.bytes(16))}`;
}
