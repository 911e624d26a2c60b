/** What a renewal brings and when it grants: everything newer, in one step with the lease. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import type { SealedEntry } from '../../../src/feed/entry.ts';
import { renderLine } from '../../../src/feed/entry.ts';
import type { AppendReply } from '../../../src/feed/feed-store.ts';
import type { Position } from '../../../src/feed/position.ts';
import { comparePositions } from '../../../src/feed/position.ts';
import { bulkRevocation, revocation } from '../../support/feed-entries.ts';
import { leaseAll } from '../contract-replica.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

export function describeRenewals(under: StoreUnderTest): void {
  describe('renewing', () => {
    it('brings everything newer than the cursor together with the lease', async () => {
      const [a] = await under.begin('inc_a');
      await under.store.append('ep_1', revocation('r1'));
      const first = await a!.lease();
      expect(first.lines.map(({ sealed }) => sealed.entry.id)).toEqual(['ent_ep_1', 'joined_inc_a', 'r1']);
      expect(first.head).toEqual({ epoch: 100, sequence: 3 });
      await under.store.append('ep_1', revocation('r2'));
      await under.store.append('ep_1', revocation('r3'));
      const second = await a!.lease();
      expect(second.lines.map(({ sealed }) => sealed.entry.id)).toEqual(['r2', 'r3']);
      expect((await a!.lease()).lines).toEqual([]);
    });

    it('gives lines that render to the same bytes as they were appended', async () => {
      const [a] = await under.begin('inc_a');
      const { position, chain } = await under.store.append('ep_1', revocation('r1'));
      await a!.lease();
      expect(renderLine(a!.lines.at(-1)!)).toBe(renderLine({ position, chain, sealed: revocation('r1') }));
    });

    it('pages, and grants nothing before the last page', async () => {
      const [a] = await under.begin('inc_a');
      for (let index = 0; index < 5; index++) await under.store.append('ep_1', revocation(`r${index}`));
      const first = await a!.renew(3);
      expect(first).toMatchObject({ kind: 'more', head: { epoch: 100, sequence: 7 } });
      expect(first).not.toHaveProperty('granted.rows');
      expect((await under.store.roster()).rows).toEqual([]);
      expect((await a!.renew(3)).kind).toBe('more');
      expect((await under.store.roster()).rows).toEqual([]);
      expect(await a!.renew(3)).toMatchObject({ kind: 'lease', rows: [{ renewals: 1 }] });
      expect(a!.lines).toHaveLength(7);
    });

    it('moves the row of who has been granted one with a page too, which says what a lease would', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      for (let index = 0; index < 5; index++) await under.store.append('ep_1', revocation(`r${index}`));
      const { runId } = await under.store.roster();
      const granted = (renewals: number) => ({ rows: [{ incarnation: 'inc_a', renewals }], runId });
      expect(await a!.renew(3)).toMatchObject({ kind: 'more', granted: granted(2) });
      expect((await under.store.roster()).rows).toMatchObject([{ renewals: 2 }]);
      expect(await a!.renew(3)).toMatchObject({ kind: 'lease', ...granted(3) });
    });

    it('grants with a last page that is exactly full', async () => {
      const [a] = await under.begin('inc_a');
      await under.store.append('ep_1', revocation('r1'));
      expect(await a!.renew(3)).toMatchObject({ kind: 'lease', head: { sequence: 3 } });
    });

    it('brings entries that are larger than a page one by one', async () => {
      const [a] = await under.begin('inc_a');
      const sealed: SealedEntry[] = [];
      for (let index = 0; index < 3; index++) sealed.push(bulkRevocation(`bulk${index}`, 1000));
      await Promise.all(sealed.map((one) => under.store.append('ep_1', one)));
      await a!.lease();
      expect(a!.lines.slice(2).map((line) => line.sealed)).toEqual(sealed);
    });

    it('counts each lease in the row, and keeps the newest acknowledgement', async () => {
      const [a] = await under.begin('inc_a');
      expect((await a!.lease()).rows).toEqual([
        { incarnation: 'inc_a', renewals: 1, acknowledgement: undefined },
      ]);
      a!.acknowledgement = 'signed.1';
      await a!.lease();
      a!.acknowledgement = undefined;
      await a!.lease();
      expect((await under.store.roster()).rows).toEqual([
        { incarnation: 'inc_a', renewals: 3, acknowledgement: 'signed.1' },
      ]);
    });

    it.each<[string, Position, string?]>([
      ['another line', { epoch: 100, sequence: 2 }, 'f'.repeat(40)],
      ['a line that it has not', { epoch: 100, sequence: 9 }],
      ['a place before the first', { epoch: 100, sequence: 0 }],
      ['a later epoch', { epoch: 101, sequence: 1 }],
    ])('closes an epoch in which somebody has applied %s', async (_, position, chain) => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      Object.assign(a!, { position, ...(chain === undefined ? {} : { chain }) });
      expect(await a!.renew()).toEqual({ kind: 'closed', epochId: undefined });
      expect(await a!.renew()).toEqual({ kind: 'closed', epochId: undefined });
    });

    it.each<[string, Position, readonly number[]]>([
      ['an earlier number', { epoch: 99, sequence: 1 }, [1, 2]],
      ['the same number', { epoch: 100, sequence: 2 }, []],
      ['a later number', { epoch: 101, sequence: 1 }, []],
    ])(
      'brings who is in an epoch of %s that is not here what came after it',
      async (_, position, brought) => {
        // A store that is never closed has one history.
        if (under.harness.forget === undefined) return;
        const [a] = await under.begin('inc_a');
        await a!.lease();
        const other = { position, chain: 'f'.repeat(40), cursorEpochId: 'ep_lost' };
        // Whether that continues it is for who asks to tell; the open epoch is none the worse for it.
        expect(await under.store.renew({ ...a!.request(), ...other })).toMatchObject({
          kind: 'lease',
          lines: brought.map((sequence) => ({ position: { epoch: 100, sequence } })),
        });
        expect((await a!.renew()).kind).toBe('lease');
      },
    );

    it('knows a cursor in the middle of its history by its chain', async () => {
      const [a] = await under.begin('inc_a');
      const { position, chain } = await under.store.append('ep_1', revocation('r1'));
      await under.store.append('ep_1', revocation('r2'));
      Object.assign(a!, { position, chain, cursorEpochId: 'ep_1' });
      const reply = await a!.lease();
      expect(reply.lines.map(({ sealed }) => sealed.entry.id)).toEqual(['r2']);
      Object.assign(a!, { position, chain: reply.lines[0]!.chain });
      expect(await a!.renew()).toEqual({ kind: 'closed', epochId: undefined });
    });

    it('names the open epoch to who goes by another', async () => {
      const [a] = await under.begin('inc_a');
      a!.epochId = 'ep_0';
      expect(await a!.renew()).toEqual({ kind: 'closed', epochId: 'ep_1' });
    });
  });

  describe('leases and appends', () => {
    it('never grants a lease without an entry whose append had been answered before it was asked for', async () => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      const answered: AppendReply[] = [];
      const appending = Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          for (let turn = 0; turn < index % 17; turn++) await Promise.resolve();
          answered.push(await under.store.append('ep_1', revocation(`r${index}`)));
        }),
      );
      const renewing = [a!, b!].map(async (one) => {
        for (let round = 0; round < 60; round++) {
          const before = answered.length;
          const reply = await one.renew();
          if (reply.kind !== 'lease') continue;
          for (const { position } of answered.slice(0, before)) {
            expect(comparePositions(one.position, position)).toBeGreaterThanOrEqual(0);
          }
        }
      });
      await Promise.all([appending, ...renewing]);
      expect((await a!.lease()).head).toEqual({ epoch: 100, sequence: 203 });
      expect(a!.lines).toHaveLength(203);
    });

    it('shows, in a reading after an append, the counter of every lease that lacks the entry', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      const granted: { renewals: number; head: Position }[] = [];
      const readings: { renewals: number; appended: Position }[] = [];
      const renewing = (async () => {
        for (let round = 0; round < 150; round++) {
          const reply = await a!.renew();
          if (reply.kind === 'lease') granted.push({ renewals: reply.rows[0]!.renewals, head: a!.position });
        }
      })();
      const appending = (async () => {
        for (let round = 0; round < 40; round++) {
          const { position } = await under.store.append('ep_1', revocation(`r${round}`));
          const { rows } = await under.store.roster();
          readings.push({ renewals: rows[0]!.renewals, appended: position });
        }
      })();
      await Promise.all([renewing, appending]);
      // THREATS 10.1: were the counter shown later than the lease is granted, a waiter would take its holder for quiet.
      for (const { renewals, appended } of readings) {
        const lacking = granted.filter(({ head }) => comparePositions(head, appended) < 0);
        expect(Math.max(0, ...lacking.map((one) => one.renewals))).toBeLessThanOrEqual(renewals);
      }
      expect(granted.length).toBeGreaterThan(0);
    });
  });
}
