/**
 * A store that is flushed twice, and a replica that is cut off in between: neither the right of a witness nor a report of the
 * first closing is good for the second (found by an adversary on 2026-11-29).
 */
import { describe, expect, it } from 'vitest';
import { OVER_MS, cut, enforce, isFresh, reasonOf, startPair } from '../support/memory-fleet.ts';
import { pass } from '../support/replicas.ts';

describe('a witness that was kept from opening', () => {
  it('does not open later, over what was enforced meanwhile', async () => {
    const { clock, server, a, b } = await startPair();
    // It hears that the epoch is closed, and from then on nothing arrives.
    const { fate } = a.store;
    a.store.fate = (command) => (command === 'renew' ? fate(command) : 'lose-request');
    server.flush();
    await pass(clock, 600);
    cut(a, true);
    await pass(clock, 2_000);
    expect(isFresh(b)).toBe(true);
    await enforce(b, 'j1', 6_000);
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
  it('does not count in a later one (THREATS 10.5)', async () => {
    const { clock, server, a, b } = await startPair();
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
    await enforce(b, 'j1', 6_000);
    cut(b, true);
    await pass(clock, OVER_MS);
    server.flush();
    server.release();
    cut(a, false);
    await pass(clock, OVER_MS);
    expect(await reasonOf(a, 'j1')).not.toBe('permitted');
  });
});
