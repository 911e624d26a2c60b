/**
 * Runs that find something in the tree as it was before that was mended, kept for ever: each is played again by the tests.
 * What it shows stands beside it. Whoever changes what chances decide has to find them anew (planted.ts has both bugs).
 */
export const FOUND: readonly {
  readonly seed: number;
  readonly favoured: readonly string[];
  readonly what: string;
}[] = [
  { seed: 17, favoured: ['suspended', 'clock set back'], what: 'a suspend that no clock showed (D-101)' },
  {
    seed: 14,
    favoured: ['crash', 'the store comes back older', 'the store loses its disk'],
    what: 'a ledger that ends in an epoch which nobody followed (D-100)',
  },
];
