/** Runs that have found something, kept for ever: each is played again by the tests. What it found stands beside it. */
export const FOUND: readonly { readonly seed: number; readonly what: string }[] = [
  { seed: 173, what: 'a suspend that no clock showed (D-101)' },
  { seed: 14, what: 'a ledger that ends in an epoch which nobody followed (D-100)' },
];
