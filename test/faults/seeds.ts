/**
 * Runs that find something in the tree as it was before that was mended, kept for ever: each is played again by the tests.
 * What it shows stands beside it, and hunt.ts looks for the bug with this seed alone: whoever changes what chances decide has
 * to find it anew (without its row here the hunt goes on from seed 1).
 */
export const FOUND: readonly {
  readonly seed: number;
  /** Its name in planted.ts. */
  readonly bug: string;
  readonly what: string;
}[] = [
  {
    seed: 35,
    bug: 'the floor of the wall clock hides a suspend',
    what: 'a suspend that no clock showed (D-101)',
  },
  {
    seed: 11,
    bug: 'nobody goes back to where the fleet went on',
    what: 'a ledger that ends in an epoch which nobody followed (D-100)',
  },
  {
    seed: 466,
    bug: 'a report is for the last of those alone that nobody has heard of',
    what: 'everyone is there, and is waited for (D-167)',
  },
];
