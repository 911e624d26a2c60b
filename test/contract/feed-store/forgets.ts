/** Who is forgotten, and only while nothing has been heard of it. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import type { ForgetReply } from '../../../src/feed/feed-store.ts';
import { nextChain } from '../../../src/feed/entry.ts';
import { replica, revocation } from '../../support/feed-entries.ts';
import { ContractReplica, leaseAll } from '../contract-replica.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

export function describeForgets(under: StoreUnderTest): void {
  let count = 0;
  const forget = (incarnation: string, renewals: number, epochId = 'ep_1'): Promise<ForgetReply> => {
    const sealed = replica('forgotten', incarnation, { id: `forgotten_${count++}` });
    return under.store.forget({ epochId, renewals, sealed });
  };

  const renewalsOf = async (incarnation: string): Promise<number | undefined> =>
    (await under.store.roster()).rows.find((row) => row.incarnation === incarnation)?.renewals;

  describe('forgetting', () => {
    it('appends the entry and ends all leases, where nothing has been heard of it since it was looked at', async () => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      await a!.lease();
      const sealed = replica('forgotten', 'inc_b');
      const renewals = (await renewalsOf('inc_b'))!;
      const reply = await under.store.forget({ epochId: 'ep_1', sealed, renewals });
      const position = { epoch: 100, sequence: 4 };
      expect(reply).toEqual({ kind: 'forgotten', position, chain: nextChain(a!.chain, sealed.text) });
      expect(await b!.renew()).toEqual({ kind: 'stale', reason: 'forgotten' });
      expect(await renewalsOf('inc_b')).toBe(renewals);
      expect((await a!.lease()).lines.map((line) => line.sealed)).toEqual([sealed]);
    });

    it('leaves who has renewed meanwhile its lease, and writes nothing', async () => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      const renewals = (await renewalsOf('inc_b'))!;
      await b!.lease();
      const { head } = await under.store.roster();
      expect(await forget('inc_b', renewals)).toEqual({ kind: 'lost' });
      expect((await under.store.roster()).head).toEqual(head);
      expect((await b!.renew()).kind).toBe('lease');
    });

    it('forgets one that was admitted and never held a lease, and no stranger', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      await under.store.append('ep_1', replica('joined', 'inc_b'));
      expect(await forget('inc_b', 1)).toEqual({ kind: 'lost' });
      expect(await forget('inc_b', 0)).toMatchObject({ kind: 'forgotten' });
      expect(await new ContractReplica(under.store, 'inc_b').renew()).toEqual({
        kind: 'stale',
        reason: 'forgotten',
      });
      expect(await forget('inc_c', 0)).toEqual({ kind: 'lost' });
    });

    it('forgets once, whoever was first', async () => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      const renewals = (await renewalsOf('inc_b'))!;
      const replies = await Promise.all([forget('inc_b', renewals), forget('inc_b', renewals)]);
      expect(replies.map(({ kind }) => kind).sort()).toEqual(['forgotten', 'lost']);
      expect(await forget('inc_b', 0)).toEqual({ kind: 'lost' });
    });

    it('is refused in an epoch that is not the open one: nobody is forgotten for the silence of a closed one', async () => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      await expect(forget('inc_b', 1, 'ep_0')).rejects.toMatchObject({ code: 'EPOCH_CLOSED' });
      const again = await under.harness.restart();
      if (under.harness.keepsEpoch) return;
      const sealed = replica('forgotten', 'inc_b');
      await expect(again.store.forget({ epochId: 'ep_1', renewals: 1, sealed })).rejects.toMatchObject({
        code: 'EPOCH_CLOSED',
      });
      expect((await again.store.roster()).head).toEqual(a!.position);
    });

    it('counts from the beginning in a new epoch', async () => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      await under.store.openEpoch(await under.opening('ep_2', { closedEpochId: 'ep_1' }));
      expect(await forget('inc_b', 1, 'ep_2')).toEqual({ kind: 'lost' });
      expect(await forget('inc_b', 0, 'ep_2')).toMatchObject({ kind: 'forgotten' });
    });

    it('takes only an entry that forgets', async () => {
      await under.begin('inc_a');
      for (const sealed of [revocation('r1'), replica('left', 'inc_a')])
        await expect(under.store.forget({ epochId: 'ep_1', renewals: 0, sealed })).rejects.toMatchObject({
          code: 'INTERNAL',
        });
    });
  });
}
