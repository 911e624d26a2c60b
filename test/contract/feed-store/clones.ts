/** Lost replies, late requests and copies of a process: which the store forgives, ignores and fences. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import { revocation } from '../../support/feed-entries.ts';
import { ContractReplica, leaseAll } from '../contract-replica.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

export function describeClones(under: StoreUnderTest): void {
  describe('telling clones from lost replies', () => {
    it('forgives lost replies and lost requests', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      await under.store.renew(a!.request());
      a!.request();
      await under.store.renew(a!.request());
      expect((await a!.renew()).kind).toBe('lease');
    });

    it('forgives any number of them, as long as the last nonce is repeated instead of one being left out', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      const requests = Array.from({ length: 16 }, () => a!.request());
      await under.store.renew(requests[2]!);
      const last = requests[15]!;
      expect((await under.store.renew(last)).kind).toBe('lease');
      // That reply was lost too, and however often it is asked again, the store answers and grants nothing.
      for (let round = 0; round < 3; round++) {
        expect(await under.store.renew(last)).toMatchObject({ kind: 'more', lines: [] });
      }
      a!.take(await under.store.renew(last));
      expect((await a!.renew()).kind).toBe('lease');
    });

    it('ignores a request that its own successor has overtaken (THREATS 10.15)', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      const late = a!.request();
      a!.acknowledgement = 'signed.2';
      const reply = await a!.lease();
      await under.store.append('ep_1', revocation('r1'));
      expect(await under.store.renew(late)).toMatchObject({ kind: 'more', lines: [] });
      expect((await under.store.roster()).rows).toEqual(reply.rows);
      expect((await a!.renew()).kind).toBe('lease');
    });

    it('ignores one that is later still, and one that the network delivers twice', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      const late = a!.request();
      for (let round = 0; round < 20; round++) await a!.lease();
      expect(await under.store.renew(late)).toMatchObject({ kind: 'more', lines: [] });
      const twice = a!.request();
      a!.take(await under.store.renew(twice));
      expect(await under.store.renew(twice)).toMatchObject({ kind: 'more', lines: [] });
      expect((await a!.renew()).kind).toBe('lease');
    });

    it('fences both of two that go by one incarnation, for good, and nobody else', async () => {
      const [a, b] = await under.begin('inc_a', 'inc_b');
      await leaseAll(a!, b!);
      const copy = new ContractReplica(under.store, 'inc_a').copyOf(a!);
      await a!.lease();
      expect(await copy.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
      expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
      expect(await copy.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
      expect((await b!.renew()).kind).toBe('lease');
    });

    it('fences a copy that was made while a renewal was under way', async () => {
      const [a] = await under.begin('inc_a');
      await a!.lease();
      const underWay = a!.request();
      const copy = new ContractReplica(under.store, 'inc_a').copyOf(a!);
      a!.take(await under.store.renew(underWay));
      expect((await copy.renew()).kind).toBe('lease');
      expect(await a!.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
      expect(await copy.renew()).toEqual({ kind: 'stale', reason: 'cloned' });
    });

    it('grants nothing to a request without a nonce', async () => {
      const [a] = await under.begin('inc_a');
      expect(await under.store.renew({ ...a!.request(), nonces: [] })).toMatchObject({
        kind: 'more',
        lines: [],
      });
      expect((await under.store.roster()).rows).toEqual([]);
    });
  });
}
