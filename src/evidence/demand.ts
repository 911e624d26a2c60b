/**
 * How everything in this folder refuses: PROOF_INVALID with a constant sentence that says what does not hold, and
 * nothing of what was read. There is no half-valid proof.
 */
import { WritError } from '../kernel/error.ts';

/** Throws PROOF_INVALID with `sentence` unless `holds`. */
export function demand(holds: boolean, sentence: string): asserts holds {
  if (!holds) throw new WritError('PROOF_INVALID', sentence);
}

/** What `read` returns; whatever it throws becomes the cause of PROOF_INVALID with `sentence`. */
export function demandReadable<T>(read: () => T, sentence: string): T {
  try {
    return read();
  } catch (cause) {
    throw new WritError('PROOF_INVALID', sentence, { cause });
  }
}
