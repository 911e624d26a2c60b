/**
 * Every state that lease, epoch and barrier can reach at small bounds, and every wording that is known to be wrong, which
 * the model must tell from the right one. `node test/faults/model/run.ts` does the large ones as well.
 */
import { describe, expect, it } from 'vitest';
import { check } from './checker.ts';
import { FLAWS, SOUND } from './flaws.ts';
import type { Flaw } from './protocol.ts';
import { protocolOf } from './protocol.ts';

const STATES_MAX = 500_000;

describe('the protocol', () => {
  it.each(Object.entries(SOUND))(
    'never accepts what is enforced, in every state of: %s',
    (_, bounds) => {
      const { broken, isExhausted, taken } = check(protocolOf(bounds), STATES_MAX);
      expect(broken).toBeUndefined();
      expect(isExhausted).toBe(true);
      // Something was enforced, and it was tried to accept afterwards.
      expect(taken.get('last-reading')).toBeGreaterThan(0);
      expect(taken.get('renew')).toBeGreaterThan(0);
    },
    120_000,
  );
});

describe('a wording that is wrong', () => {
  it.each(Object.entries(FLAWS))(
    'is found, with a shortest history: %s',
    (flaw, bounds) => {
      const wrong = protocolOf({ ...bounds, flaw: flaw as Flaw });
      const { broken } = check(wrong, STATES_MAX);
      expect(broken?.rule).toMatch(/^enforced, and replica \d still accepts$/);
      expect(broken?.history.length).toBeGreaterThan(3);
    },
    120_000,
  );
});
