/** Renewals that are prepared, and sent with the news by whoever hears them first. */
import { describe, expect, it, vi } from 'vitest';
import { EPS_MS } from '../../src/feed/lease.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, enforce, isFresh, jti, reasonOf } from '../support/memory-fleet.ts';
import { makePrepare } from '../support/preparing.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { LEASE_MS, orderOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass } from '../support/replicas.ts';

/** Of a lease that was sent just now. */
const FRESH_MS = LEASE_MS - EPS_MS;

async function startPreparing(): Promise<{ clock: FakeClock; a: TestReplica; b: TestReplica }> {
  const clock = new FakeClock();
  const server = new MemoryFeedServer();
  const start = async (name: string, seed: number): Promise<TestReplica> => {
    const one = makeReplica({ clock, server, name, seed, bootstrap: name === 'a', exclusive: false });
    makePrepare(one.store, clock);
    await one.start();
    await pass(clock, OVER_MS);
    expect(isFresh(one)).toBe(true);
    return one;
  };
  return { clock, a: await start('a', 1), b: await start('b', 2) };
}

describe('a renewal that is prepared', () => {
  it('brings what the others have ordered, and acknowledges it', async () => {
    const { a, b } = await startPreparing();
    await enforce(a, 'j1');
    expect(await reasonOf(b, 'j1')).toBe('revoked');
  });

  it('gives a lease from when it was sent: not from when it was prepared, nor from when its answer came', async () => {
    const { clock, a, b } = await startPreparing();
    await pass(clock, 300);
    b.store.next('renew', 'hold-reply');
    const sentMs = clock.now().monoMs;
    await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 1_000);
    cut(b, true);
    b.server.release();
    await settle();
    const goneMs = clock.now().monoMs - sentMs;
    expect([goneMs, b.lease.freshForMs(clock.now())]).toEqual([1_000, FRESH_MS - 1_000]);
  });

  it('fails as any other: the lease runs out, and the next one is sent by hand', async () => {
    const { clock, a, b } = await startPreparing();
    b.store.next('renew', 'lose-request');
    await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 100);
    expect(b.log.map(({ sentence }) => sentence)).toContain('no lease was renewed');
    await pass(clock, OVER_MS);
    expect([isFresh(b), await reasonOf(b, 'j1')]).toEqual([true, 'revoked']);
  });

  it('is sent by hand where it could not be prepared', async () => {
    const { a, b } = await startPreparing();
    b.store.prepare = () => {
      throw new Error('no');
    };
    await enforce(a, 'j1');
    expect([isFresh(b), await reasonOf(b, 'j1')]).toEqual([true, 'revoked']);
  });

  it('is not sent for who has said goodbye', async () => {
    const { clock, a, b } = await startPreparing();
    forget(b);
    const [said, sent] = [vi.spyOn(b.store, 'append'), vi.spyOn(b.store, 'renew')];
    await b.stop();
    await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 500);
    const [goodbye = 0] = said.mock.invocationCallOrder;
    expect(goodbye).toBeGreaterThan(0);
    expect(sent.mock.invocationCallOrder.filter((at) => at > goodbye)).toEqual([]);
  });
});
