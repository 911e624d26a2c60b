/** Who is given leases, and who never again. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import { replica } from '../../support/feed-entries.ts';
import { ContractReplica, leaseAll } from '../contract-replica.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

export function describeAdmission(under: StoreUnderTest): void {
  describe('admitting', () => {
    it('knows nobody without a joined entry', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      expect(await new ContractReplica(under.store, 'inc_b').renew()).toEqual({
        kind: 'stale',
        reason: 'unknown',
      });
      expect((await under.store.roster()).rows).toHaveLength(1);
    });

    it.each(['left', 'forgotten'] as const)('grants nothing ever again to who has %s', async (event) => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      const before = await under.store.roster();
      await under.store.append('ep_1', replica(event, 'inc_a'));
      expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
      // Who signed that is checked by who reads it: until then its lease may be good, and its row is shown.
      expect((await under.store.roster()).rows).toEqual(before.rows);
      await under.store.append('ep_1', replica('joined', 'inc_a', { id: 'joined_again' }));
      expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
    });

    it('knows in a new epoch who was admitted before, and who was forgotten', async () => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      await under.store.append('ep_1', replica('forgotten', 'inc_b'));
      await under.store.openEpoch(await under.opening('ep_2', { closedEpochId: 'ep_1' }));
      for (const one of [a!, b!]) one.epochId = 'ep_2';
      expect((await a!.renew()).kind).toBe('lease');
      expect(await b!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
    });
  });
}
