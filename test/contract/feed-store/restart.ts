/** A restart of the store, and its end. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import { revocation } from '../../support/feed-entries.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

export function describeRestart(under: StoreUnderTest): void {
  describe('a restart of the store', () => {
    it('keeps the history, and the epoch open or closed as it declares', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      const { position, chain } = await under.store.append('ep_1', revocation('r1'));
      const restarted = await under.harness.restart();
      const roster = await restarted.store.roster(position);
      expect(roster).toMatchObject({ head: position, line: { chain, text: revocation('r1').text } });
      expect(roster.runId).toBe(restarted.facts.runId);
      a!.store = restarted.store;
      if (under.harness.keepsEpoch) {
        expect(restarted.facts.runId).toBe(under.runId);
        expect(roster).toMatchObject({ epochId: 'ep_1', closedEpochId: undefined });
        expect((await a!.lease()).lines.map(({ sealed }) => sealed.entry.id)).toEqual(['r1']);
        expect(await restarted.store.append('ep_1', revocation('r1'))).toMatchObject({ duplicate: true });
      } else {
        expect(restarted.facts.runId).not.toBe(under.runId);
        expect(roster).toMatchObject({ epochId: undefined, closedEpochId: 'ep_1' });
        expect(await a!.renew()).toEqual({ kind: 'closed', epochId: undefined });
        await expect(restarted.store.append('ep_1', revocation('r1'))).rejects.toMatchObject({
          code: 'EPOCH_CLOSED',
        });
      }
    });

    it('leads to a new epoch, opened by naming the old one and the run there is now', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      const late = await under.opening('ep_2', { closedEpochId: 'ep_1' });
      const restarted = await under.harness.restart();
      const now = restarted.facts.runId;
      if (now !== under.runId) {
        expect(await restarted.store.openEpoch(late)).toEqual({ kind: 'lost' });
      }
      expect(await restarted.store.openEpoch(await under.opening('ep_2', { runId: now }))).toEqual({
        kind: 'lost',
      });
      const right = await under.opening('ep_2', { closedEpochId: 'ep_1', runId: now });
      expect(await restarted.store.openEpoch(right)).toMatchObject({
        kind: 'opened',
        position: { epoch: 101 },
      });
      Object.assign(a!, { store: restarted.store, epochId: 'ep_2' });
      expect((await a!.renew()).kind).toBe('lease');
    });
  });

  it('is closed however often it is told', async () => {
    await under.begin('inc_a');
    await under.store.close();
    await under.store.close();
  });
}
