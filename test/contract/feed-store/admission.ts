/** Who is given a first lease, and who never again. Part of the FeedStore contract. */
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

    it('lets the second wait until one with a lease has acknowledged it', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      await under.store.append('ep_1', replica('joined', 'inc_b'));
      const b = new ContractReplica(under.store, 'inc_b');
      // Who waits is given the feed meanwhile.
      expect(await b.renew()).toMatchObject({ kind: 'more', lines: { length: 3 } });
      expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
      await a!.lease();
      expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
      await a!.lease();
      expect(await b.renew()).toMatchObject({ kind: 'lease' });
      expect((await under.store.roster()).rows.map(({ incarnation }) => incarnation).sort()).toEqual([
        'inc_a',
        'inc_b',
      ]);
    });

    it('is not satisfied by one that waits itself', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      await under.store.append('ep_1', replica('joined', 'inc_b'));
      await under.store.append('ep_1', replica('joined', 'inc_c'));
      const [b, c] = [new ContractReplica(under.store, 'inc_b'), new ContractReplica(under.store, 'inc_c')];
      for (let round = 0; round < 3; round++) {
        await b.renew();
        await c.renew();
      }
      expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
      expect(await c.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
    });

    it('admits at once who continues one on the roster', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      await under.store.append('ep_1', replica('joined', 'inc_b', { succeeds: 'inc_a' }));
      expect((await new ContractReplica(under.store, 'inc_b').renew()).kind).toBe('lease');
    });

    it('does not admit at once who continues one that never held a lease', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      await under.store.append('ep_1', replica('joined', 'inc_x'));
      await under.store.append('ep_1', replica('joined', 'inc_b', { succeeds: 'inc_x' }));
      const b = new ContractReplica(under.store, 'inc_b');
      await b.renew();
      expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
    });

    it('admits at once when everyone on the roster has gone', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      await under.store.append('ep_1', replica('joined', 'inc_b'));
      const b = new ContractReplica(under.store, 'inc_b');
      await b.renew();
      expect(await b.renew()).toEqual({ kind: 'stale', reason: 'awaiting' });
      await under.store.append('ep_1', replica('forgotten', 'inc_a'));
      expect((await under.store.roster()).rows).toEqual([]);
      expect((await b.renew()).kind).toBe('lease');
    });

    it.each(['left', 'forgotten'] as const)('grants nothing ever again to who has %s', async (event) => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      await under.store.append('ep_1', replica(event, 'inc_a'));
      expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
      expect((await under.store.roster()).rows).toMatchObject([{ incarnation: 'inc_b' }]);
      await under.store.append('ep_1', replica('joined', 'inc_a', { id: 'joined_again' }));
      expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
    });

    it('knows in a new epoch who was admitted before, and who was forgotten', async () => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      await under.store.append('ep_1', replica('forgotten', 'inc_b'));
      await under.store.openEpoch(under.opening('ep_2', { closedEpochId: 'ep_1' }));
      for (const one of [a!, b!]) one.epochId = 'ep_2';
      expect((await a!.renew()).kind).toBe('lease');
      expect(await b!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
    });
  });
}
