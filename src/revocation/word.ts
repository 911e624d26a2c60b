/** One word of a typed array, for the revocation tables. */

/** `words[at]` where the caller knows that `at` is inside; the type checker cannot. */
export function word(words: Uint32Array, at: number): number {
  return words[at] as number;
}
