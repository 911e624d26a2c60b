/**
 * A store that is flushed twice, and a replica that is cut off in between: neither the right of a witness nor a report of the
 * first closing is good for the second (found by an adversary on 2026-11-29).
 */
import { describe, expect, it } from 'vitest';
import type { Target } from '../../src/feed/entry.ts';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass, startSettled } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
const OVER_MS = 4_000;
const jti = (value: string): Target => ({ kind: 'jti', issuer: ISSUER, value });
const isFresh = ({ lease, clock }: TestReplica): boolean => lease.isFresh(clock.now());
const reasonOf = async ({ checker }: TestReplica, value: string): Promise<string> =>
  (await checker.check(requestOf(tokenOf('billing', value, NOW_S)))).reason;

async function enforce(by: TestReplica, value: string): Promise<void> {
  const pending = by.revoker.revoke(orderOf({ targets: [jti(value)], waitMs: 30_000 }));
  await pass(by.clock, 6_000);
  expect(await pending).toMatchObject({ state: 'enforced' });
}

function cut(replica: TestReplica, isCut: boolean): void {
  replica.store.fate = () => (isCut ? 'lose-request' : 'deliver');
}

async function start() {
  const clock = new FakeClock();
  const server = new MemoryFeedServer();
  const a = await startSettled({ clock, server, name: 'a', exclusive: false });
  await pass(clock, 1_000);
  const b = await startSettled({ clock, server, name: 'b', seed: 2, exclusive: false, bootstrap: false });
  await pass(clock, 4_000);
  for (const one of [a, b]) expect(isFresh(one)).toBe(true);
  return { clock, server, a, b };
}

describe('a witness that was kept from opening', () => {
  it('does not open later, over what was enforced meanwhile', async () => {
    const { clock, server, a, b } = await start();
    // It hears that the epoch is closed, and from then on nothing arrives.
    const { fate } = a.store;
    a.store.fate = (command) => (command === 'renew' ? fate(command) : 'lose-request');
    server.flush();
    await pass(clock, 600);
    cut(a, true);
    await pass(clock, 2_000);
    expect(isFresh(b)).toBe(true);
    await enforce(b, 'j1');
    expect(await reasonOf(b, 'j1')).toBe('revoked');
    // The other one is cut off, and the store is flushed again.
    cut(b, true);
    await pass(clock, OVER_MS);
    server.flush();
    cut(a, false);
    await pass(clock, OVER_MS);
    expect(await reasonOf(a, 'j1')).not.toBe('permitted');
    cut(b, false);
    await pass(clock, OVER_MS);
    for (const one of [a, b]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
  });
});

describe('a report about an earlier closing of an empty store', () => {
  it('does not count in a later one', async () => {
    const { clock, server, a, b } = await start();
    server.isReachable = false;
    await pass(clock, OVER_MS);
    server.flush();
    // The first report of b is held on its way; it asks again, and the epoch is opened.
    b.store.next('report', 'delay-request');
    cut(a, true);
    server.isReachable = true;
    await pass(clock, 1_000);
    cut(a, false);
    await pass(clock, 2_000);
    for (const one of [a, b]) expect(isFresh(one)).toBe(true);
    expect(server.held).toBe(1);
    // Cut off, a does not hear of j1.
    cut(a, true);
    await pass(clock, OVER_MS);
    await enforce(b, 'j1');
    cut(b, true);
    await pass(clock, OVER_MS);
    server.flush();
    server.release();
    cut(a, false);
    await pass(clock, OVER_MS);
    expect(await reasonOf(a, 'j1')).not.toBe('permitted');
  });
});
