/** What an append writes, where, and how often. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import { nextChain } from '../../../src/feed/entry.ts';
import { outcome, revocation } from '../../support/feed-entries.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

export function describeAppends(under: StoreUnderTest): void {
  describe('appending', () => {
    it('gives each entry the next place and chain, and shows it there', async () => {
      await under.begin();
      const first = await under.store.append('ep_1', revocation('r1'));
      const second = await under.store.append('ep_1', outcome('r1'));
      expect(first).toMatchObject({
        position: { epoch: 100, sequence: 2 },
        epochId: 'ep_1',
        runId: under.runId,
      });
      expect(second).toMatchObject({ position: { epoch: 100, sequence: 3 }, duplicate: false });
      expect(second.chain).toBe(nextChain(first.chain, outcome('r1').text));
      expect((await under.store.roster(first.position)).line).toEqual({
        position: first.position,
        chain: first.chain,
        text: revocation('r1').text,
      });
    });

    it('keeps texts exactly, whatever is in them', async () => {
      const [a] = await under.begin('inc_a');
      const odd = revocation('r1', { reason: 'a "quoted" \\ line\u2028separator\u2029\n\u0000é漢😀' });
      await under.store.append('ep_1', odd);
      await a!.lease();
      expect(a!.lines.at(-1)?.sealed).toEqual(odd);
    });

    it('answers the first place when an entry comes again', async () => {
      await under.begin();
      const first = await under.store.append('ep_1', revocation('r1'));
      await under.store.append('ep_1', revocation('r2'));
      expect(await under.store.append('ep_1', revocation('r1'))).toEqual({ ...first, duplicate: true });
      expect((await under.store.roster()).head.sequence).toBe(3);
    });

    it('writes one of many that come at once with one id', async () => {
      await under.begin();
      const other = await under.harness.connect();
      const stores = [under.store, other, under.store, other, under.store];
      const replies = await Promise.all(stores.map((one) => one.append('ep_1', revocation('r1'))));
      expect(replies.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
      expect(new Set(replies.map(({ position, chain }) => `${position.sequence} ${chain}`)).size).toBe(1);
      expect((await under.store.roster()).head.sequence).toBe(2);
    });

    it('writes an entry of a closed epoch again: the place it answers is in the open one', async () => {
      await under.begin();
      const first = await under.store.append('ep_1', revocation('r1'));
      await under.store.openEpoch(await under.opening('ep_2', { closedEpochId: 'ep_1' }));
      const again = await under.store.append('ep_2', revocation('r1'));
      expect(first.position.epoch).toBe(100);
      expect(again).toMatchObject({
        position: { epoch: 101, sequence: 2 },
        epochId: 'ep_2',
        duplicate: false,
      });
    });

    it('orders what comes at once without a gap, and answers each with its own place', async () => {
      const [a] = await under.begin('inc_a');
      const ids = Array.from({ length: 100 }, (_, index) => `r${index}`);
      const replies = await Promise.all(ids.map((id) => under.store.append('ep_1', revocation(id))));
      await a!.lease();
      const places = new Map(a!.lines.map((line) => [line.sealed.entry.id, line]));
      expect(ids.map((id) => places.get(id)?.position)).toEqual(replies.map(({ position }) => position));
      expect(ids.map((id) => places.get(id)?.chain)).toEqual(replies.map(({ chain }) => chain));
      expect((await under.store.roster()).head.sequence).toBe(102);
    });

    it('refuses an epoch that is not open, and writes nothing', async () => {
      await under.begin();
      await expect(under.store.append('ep_2', revocation('r1'))).rejects.toMatchObject({
        code: 'EPOCH_CLOSED',
      });
      expect((await under.store.roster()).head.sequence).toBe(1);
    });
  });
}
