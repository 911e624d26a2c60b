/** Runs that have found something, kept for ever: each is played again by the tests. What it found stands beside it. */
export const FOUND: readonly { readonly seed: number; readonly what: string }[] = [];
