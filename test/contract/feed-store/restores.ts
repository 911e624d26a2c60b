/** What a closed store is given back, line by line, and which epoch may be opened on it. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import type { FeedLine } from '../../../src/feed/entry.ts';
import { CHAIN_START } from '../../../src/feed/entry.ts';
import type { RestoredHead, RestoreReply } from '../../../src/feed/feed-store.ts';
import type { Position } from '../../../src/feed/position.ts';
import { ORIGIN } from '../../../src/feed/position.ts';
import { replica, revocation } from '../../support/feed-entries.ts';
import { ContractReplica } from '../contract-replica.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

const PAGE = { after: ORIGIN, limit: 100 };

export function describeRestores(under: StoreUnderTest): void {
  /** Two lines and two revocations, followed by `inc_a`, and then nothing is left of them in the store. */
  async function forgotten(): Promise<ContractReplica> {
    const [a] = await under.begin('inc_a');
    await under.store.append('ep_1', revocation('r1'));
    await under.store.append('ep_1', revocation('r2'));
    await a!.lease();
    await under.harness.forget?.();
    return a!;
  }

  const restore = async (
    lines: readonly FeedLine[],
    copy = 'current',
    closedEpochId?: string,
  ): Promise<RestoreReply> =>
    under.store.restore({ ...{ runId: await under.runNow(), closedEpochId, copy, lines }, ...PAGE });

  function headOf(reply: RestoreReply): RestoredHead {
    if (reply.kind !== 'restored') throw new Error(reply.kind);
    return reply.head;
  }

  const ids = (lines: readonly FeedLine[]): string[] => lines.map(({ sealed }) => sealed.entry.id);

  describe('putting back', () => {
    it('brings what a copy has after a place, a page at a time', async () => {
      if (under.harness.forget === undefined) return;
      const a = await forgotten();
      await restore(a.lines);
      const read = async (after: Position, limit: number): Promise<string[]> => {
        const request = { runId: await under.runNow(), closedEpochId: 'ep_1', copy: 'current', lines: [] };
        const reply = await under.store.restore({ ...request, after, limit });
        return reply.kind === 'restored' ? ids(reply.newer) : [reply.kind];
      };
      expect(await read(ORIGIN, 3)).toEqual(['ent_ep_1', 'joined_inc_a', 'r1']);
      expect(await read(a.lines[2]!.position, 3)).toEqual(['r2']);
      expect(await read(a.position, 3)).toEqual([]);
    });

    it('is refused while an epoch is open, and in another run', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      expect(await restore(a!.lines, 'current', 'ep_1')).toEqual({ kind: 'lost' });
      if (under.harness.forget === undefined) return;
      await under.harness.forget();
      const elsewhere = {
        ...{ runId: 'another run', closedEpochId: undefined, copy: 'current', lines: a!.lines },
        ...PAGE,
      };
      expect(await under.store.restore(elsewhere)).toEqual({ kind: 'lost' });
      expect(await restore(a!.lines, 'current', 'ep_0')).toEqual({ kind: 'lost' });
      expect((await under.store.roster()).head).toEqual(ORIGIN);
    });

    it('restores positions, chains and the roster, and who followed goes on', async () => {
      if (under.harness.forget === undefined) return;
      const a = await forgotten();
      expect(headOf(await restore([]))).toMatchObject({
        epochId: undefined,
        position: ORIGIN,
        chain: CHAIN_START,
      });
      headOf(await restore(a.lines.slice(0, 3)));
      const head = headOf(await restore(a.lines.slice(3), 'current', 'ep_1'));
      expect(head).toMatchObject({ epochId: 'ep_1', position: a.position, chain: a.chain });
      expect(await under.store.roster(a.position)).toMatchObject({
        epochId: undefined,
        closedEpochId: 'ep_1',
        head: a.position,
        line: { chain: a.chain },
      });
      expect(await a.renew()).toEqual({ kind: 'closed', epochId: undefined });
      const opened = await under.store.openEpoch(
        await under.opening('ep_2', { closedEpochId: 'ep_1', restored: head }),
      );
      expect(opened).toMatchObject({ kind: 'opened', position: { epoch: 101, sequence: 1 } });
      a.epochId = 'ep_2';
      expect(ids((await a.lease()).lines)).toEqual(['ent_ep_2']);
      await under.store.append('ep_2', replica('joined', 'inc_b'));
      const b = new ContractReplica(under.store, 'inc_b', 'ep_2');
      await b.renew();
      expect(ids(b.lines)).toEqual(['ent_ep_1', 'joined_inc_a', 'r1', 'r2', 'ent_ep_2', 'joined_inc_b']);
    });

    it('takes what is there already, and nothing that does not follow', async () => {
      if (under.harness.forget === undefined) return;
      const a = await forgotten();
      const head = headOf(await restore(a.lines));
      expect(headOf(await restore(a.lines.slice(1, 3), 'current', 'ep_1'))).toEqual(head);
      const [, , third] = a.lines;
      expect(await restore([{ ...third!, chain: 'f'.repeat(40) }], 'current', 'ep_1')).toEqual({
        kind: 'other',
      });
      const far = { ...third!, position: { epoch: 100, sequence: 9 } };
      expect(await restore([far], 'current', 'ep_1')).toEqual({ kind: 'other' });
      const forged = { ...third!, position: { epoch: 100, sequence: 5 }, sealed: revocation('r9') };
      expect(await restore([forged], 'current', 'ep_1')).toEqual({ kind: 'other' });
      expect(headOf(await restore([], 'current', 'ep_1'))).toEqual(head);
    });

    it('leaves a copy alone that is not its own: another stands beside it, and takes its place with the next epoch', async () => {
      if (under.harness.forget === undefined) return;
      const a = await forgotten();
      // Somebody else has opened on the empty store.
      await under.store.openEpoch(await under.opening('ep_9'));
      await under.store.append('ep_9', revocation('foreign'));
      const again = await under.harness.restart();
      const runId = again.facts.runId;
      const put = (copy: string, lines: readonly FeedLine[]): Promise<RestoreReply> =>
        again.store.restore({
          ...{ runId, closedEpochId: 'ep_9', copy, lines },
          ...PAGE,
        });
      expect((await put('current', a.lines)).kind).toBe('other');
      const begun = headOf(await put('staged', a.lines.slice(0, 2)));
      expect(begun.copy).not.toBe('current');
      // Others put back into the same one.
      const head = headOf(await put('staged', a.lines));
      expect(head).toMatchObject({ copy: begun.copy, position: a.position, chain: a.chain });
      expect(headOf(await put('new', a.lines)).copy).not.toBe(head.copy);
      expect(await again.store.roster()).toMatchObject({ closedEpochId: 'ep_9', head: { sequence: 2 } });
      const opening = await under.opening('ep_2', { runId, closedEpochId: 'ep_9', restored: head });
      expect(await again.store.openEpoch({ ...opening, restored: begun })).toEqual({ kind: 'lost' });
      expect(await again.store.openEpoch(opening)).toMatchObject({ kind: 'opened' });
      Object.assign(a, { store: again.store, epochId: 'ep_2' });
      expect(ids((await a.lease()).lines)).toEqual(['ent_ep_2']);
      expect(await again.store.roster({ epoch: 100, sequence: 3 })).toMatchObject({
        epochId: 'ep_2',
        line: { text: revocation('r1').text },
      });
    });
  });
}
