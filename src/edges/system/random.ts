/** The real source of randomness: the operating system's, by way of node:crypto. */
import { randomBytes } from 'node:crypto';
import type { Random } from '../../kernel/random.ts';

export const systemRandom: Random = {
  bytes: (size) => new Uint8Array(randomBytes(size)),
};
