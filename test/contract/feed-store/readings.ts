/** What else a store is asked: the roster, to be woken, reports, snapshots. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import { ORIGIN } from '../../../src/feed/position.ts';
import { revocation } from '../../support/feed-entries.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

export function describeReadings(under: StoreUnderTest): void {
  describe('the roster', () => {
    it('shows the line that was asked for, or none', async () => {
      await under.begin('inc_a');
      const { position } = await under.store.append('ep_1', revocation('r1'));
      expect((await under.store.roster(position)).line?.text).toBe(revocation('r1').text);
      expect((await under.store.roster({ epoch: 100, sequence: 9 })).line).toBeUndefined();
      expect((await under.store.roster({ epoch: 99, sequence: 1 })).line).toBeUndefined();
      expect((await under.store.roster(ORIGIN)).line).toBeUndefined();
      expect((await under.store.roster()).line).toBeUndefined();
    });

    it('shows a lease as soon as it was granted, also to another connection', async () => {
      const [a] = await under.begin('inc_a');
      const other = await under.harness.connect();
      await a!.lease();
      expect((await other.roster()).rows).toMatchObject([{ incarnation: 'inc_a', renewals: 1 }]);
    });
  });

  describe('waking', () => {
    it('resolves at once when the feed is already further', async () => {
      await under.begin();
      await under.store.wake(ORIGIN, new AbortController().signal);
    });

    it('resolves when an entry lands', async () => {
      await under.begin();
      const { head } = await under.store.roster();
      let woke = false;
      const waiting = under.store.wake(head, new AbortController().signal).then(() => (woke = true));
      await under.store.roster();
      expect(woke).toBe(false);
      await under.store.append('ep_1', revocation('r1'));
      await waiting;
    });

    it('resolves when it is no longer waited for, or was not to begin with', async () => {
      await under.begin();
      const { head } = await under.store.roster();
      const controller = new AbortController();
      const waiting = under.store.wake(head, controller.signal);
      controller.abort();
      await waiting;
      await under.store.wake(head, controller.signal);
    });
  });

  describe('reports of a closed epoch', () => {
    const closed = { closedEpochId: 'ep_1', position: { epoch: 100, sequence: 2 }, chain: 'c'.repeat(40) };

    it('are collected, one of each incarnation, the latest', async () => {
      await under.begin('inc_a', 'inc_b');
      const a = { ...closed, incarnation: 'inc_a', runId: under.runId };
      const b = { ...closed, incarnation: 'inc_b', runId: under.runId };
      expect(await under.store.report(a)).toEqual([a]);
      expect(await under.store.report(b)).toEqual([a, b]);
      const later = { ...a, position: { epoch: 100, sequence: 3 } };
      expect(await under.store.report(later)).toEqual([b, later]);
    });

    it('do not count when they were made in another run, or about another epoch', async () => {
      await under.begin('inc_a');
      const a = { ...closed, incarnation: 'inc_a', runId: under.runId };
      expect(await under.store.report({ ...a, runId: 'an earlier run' })).toEqual([]);
      const other = { ...a, closedEpochId: 'ep_0' };
      expect(await under.store.report(other)).toEqual([other]);
      expect(await under.store.report(a)).toEqual([a]);
    });

    it('are gone once the next epoch is open, and those that come late with them', async () => {
      await under.begin('inc_a', 'inc_b');
      const a = { ...closed, incarnation: 'inc_a', runId: await under.runNow() };
      await under.store.report(a);
      await under.store.openEpoch(await under.opening('ep_2', { closedEpochId: 'ep_1' }));
      const b = { ...closed, incarnation: 'inc_b', runId: await under.runNow() };
      expect(await under.store.report(b)).toEqual([b]);
      if (a.runId !== b.runId) expect(await under.store.report(a)).toEqual([b]);
    });
  });

  describe('snapshots', () => {
    it('are the newest that was written, or declined', async () => {
      const older = {
        epochId: 'ep_1',
        position: { epoch: 100, sequence: 2 },
        digest: 'd2',
        entry: 'e2',
        chunks: [Buffer.from([1])],
      };
      const newer = { ...older, position: { epoch: 100, sequence: 3 }, digest: 'd3', entry: 'e3' };
      await under.store.writeSnapshot(older);
      await under.store.writeSnapshot(newer);
      await under.store.writeSnapshot(older);
      expect(await under.store.readSnapshot()).toEqual(under.harness.keepsSnapshots ? newer : undefined);
    });
  });
}
