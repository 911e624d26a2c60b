/** When an epoch opens, who wins it, what it begins and what it leaves behind. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import { CHAIN_START, nextChain } from '../../../src/feed/entry.ts';
import { ORIGIN } from '../../../src/feed/position.ts';
import { epoch, replica, revocation } from '../../support/feed-entries.ts';
import { ContractReplica } from '../contract-replica.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

export function describeEpochs(under: StoreUnderTest): void {
  describe('before an epoch is open', () => {
    it('says what it is, and that it holds nothing', async () => {
      expect(under.runId).not.toBe('');
      expect(await under.store.roster()).toEqual({
        epochId: undefined,
        closedEpochId: undefined,
        runId: under.runId,
        nextRunId: under.runId,
        head: ORIGIN,
        rows: [],
        line: undefined,
      });
      expect(await under.store.readSnapshot()).toBeUndefined();
    });

    it('grants nothing and takes nothing', async () => {
      const one = new ContractReplica(under.store, 'inc_a');
      expect(await one.renew()).toEqual({ kind: 'closed', epochId: undefined });
      await expect(under.store.append('ep_1', revocation('r1'))).rejects.toMatchObject({
        code: 'EPOCH_CLOSED',
      });
      expect((await under.store.roster()).head).toEqual(ORIGIN);
    });
  });

  describe('opening an epoch', () => {
    it('begins it at sequence 1 with a chain of its own', async () => {
      const sealed = epoch('ep_1', under.runId);
      const reply = await under.store.openEpoch(await under.opening('ep_1', { sealed }));
      const position = { epoch: 100, sequence: 1 };
      const chain = nextChain(CHAIN_START, sealed.text);
      expect(reply).toEqual({ kind: 'opened', position, chain });
      const roster = await under.store.roster(position);
      expect(roster).toMatchObject({
        epochId: 'ep_1',
        closedEpochId: undefined,
        runId: under.runId,
        head: position,
      });
      expect(roster.line).toEqual({ position, chain, text: sealed.text });
    });

    it('is won by one of two openers', async () => {
      const other = await under.harness.connect();
      const replies = await Promise.all([
        under.store.openEpoch(await under.opening('ep_1')),
        other.openEpoch(await under.opening('ep_2')),
      ]);
      expect(replies.map(({ kind }) => kind).sort()).toEqual(['lost', 'opened']);
      const winner = replies[0].kind === 'opened' ? 'ep_1' : 'ep_2';
      expect(await under.store.roster()).toMatchObject({
        epochId: winner,
        head: { epoch: 100, sequence: 1 },
      });
    });

    it('is lost by who names another run, or an epoch that is not the newest', async () => {
      const elsewhere = await under.opening('ep_1', { runId: 'another run' });
      expect(await under.store.openEpoch(elsewhere)).toEqual({ kind: 'lost' });
      expect(await under.store.openEpoch(await under.opening('ep_1', { closedEpochId: 'ep_0' }))).toEqual({
        kind: 'lost',
      });
      await under.begin();
      expect(await under.store.openEpoch(await under.opening('ep_2'))).toEqual({ kind: 'lost' });
      expect(await under.store.roster()).toMatchObject({ epochId: 'ep_1' });
    });

    it('is lost when it is repeated, and the roster then shows that it had been won', async () => {
      const request = await under.opening('ep_1');
      await under.store.openEpoch(request);
      expect(await under.store.openEpoch(request)).toEqual({ kind: 'lost' });
      expect(await under.store.roster()).toMatchObject({
        epochId: 'ep_1',
        head: { epoch: 100, sequence: 1 },
      });
    });

    it('numbers it by the clock it is given, and always after the one before', async () => {
      await under.begin();
      const later = await under.store.openEpoch(
        await under.opening('ep_2', { closedEpochId: 'ep_1', epochS: 7 }),
      );
      expect(later).toMatchObject({ kind: 'opened', position: { epoch: 101, sequence: 1 } });
      const third = await under.store.openEpoch(
        await under.opening('ep_3', { closedEpochId: 'ep_2', epochS: 5000 }),
      );
      expect(third).toMatchObject({ kind: 'opened', position: { epoch: 5000, sequence: 1 } });
    });

    it('takes only an entry that opens an epoch of this run, and only this way', async () => {
      await expect(
        under.store.openEpoch(await under.opening('ep_1', { sealed: revocation('r1') })),
      ).rejects.toMatchObject({
        code: 'INTERNAL',
      });
      await expect(
        under.store.openEpoch(await under.opening('ep_1', { sealed: epoch('ep_1', 'other') })),
      ).rejects.toMatchObject({
        code: 'INTERNAL',
      });
      await under.begin();
      await expect(
        under.store.openEpoch(await under.opening('ep_1', { closedEpochId: 'ep_1' })),
      ).rejects.toMatchObject({
        code: 'INTERNAL',
      });
      await expect(under.store.append('ep_1', epoch('ep_2', under.runId))).rejects.toMatchObject({
        code: 'INTERNAL',
      });
      expect(await under.store.roster()).toMatchObject({
        epochId: 'ep_1',
        head: { epoch: 100, sequence: 1 },
      });
    });

    it('leaves the one before behind: its leases, its appends, its lease table', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      await under.store.openEpoch(await under.opening('ep_2', { closedEpochId: 'ep_1' }));
      expect((await under.store.roster()).rows).toEqual([]);
      expect(await a!.renew()).toEqual({ kind: 'closed', epochId: 'ep_2' });
      await expect(under.store.append('ep_1', revocation('r1'))).rejects.toMatchObject({
        code: 'EPOCH_CLOSED',
      });
    });

    it('keeps the history before it: who follows reads on into the new one', async () => {
      const [a] = await under.begin('inc_a');
      await under.store.append('ep_1', revocation('r1'));
      await a!.lease();
      await under.store.openEpoch(await under.opening('ep_2', { closedEpochId: 'ep_1' }));
      a!.epochId = 'ep_2';
      const reply = await a!.lease();
      expect(reply.lines.map(({ position }) => position)).toEqual([{ epoch: 101, sequence: 1 }]);
      await under.store.append('ep_2', replica('joined', 'inc_b'));
      const b = new ContractReplica(under.store, 'inc_b', 'ep_2');
      await b.renew();
      expect(b.lines.map(({ sealed }) => sealed.entry.id)).toEqual([
        'ent_ep_1',
        'joined_inc_a',
        'r1',
        'ent_ep_2',
        'joined_inc_b',
      ]);
    });
  });
}
