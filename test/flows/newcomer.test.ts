/** What a replica does, and says, that comes to a fleet with nothing: under the fleet's key and under another, open and closed. */
import { describe, expect, it } from 'vitest';
import { signingKeyOf } from '../../src/kernel/key.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, enforce, epochOf, isFresh, jti, startPair } from '../support/memory-fleet.ts';
import { readinessOf } from '../support/readiness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';

const OTHER_KEY = signingKeyOf(new Uint8Array(32).fill(8));
const OTHER_FLEET =
  /is not signed by the fleet key here: is `fleetKeyFile` the same file as on the other replicas/;

describe('a replica with another fleet key', () => {
  it('says so, appends nothing, and keeps nobody from acknowledging', async () => {
    const { clock, server, a } = await startPair();
    const before = server.lines.length;
    const common = { clock, server, name: 'c', seed: 3, exclusive: false, bootstrap: false };
    const c = await startSettled({ ...common, logKey: OTHER_KEY });
    await pass(clock, OVER_MS);
    expect(isFresh(c)).toBe(false);
    expect(readinessOf(c, 'store')).toMatch(OTHER_FLEET);
    expect(epochOf(c)).toBe(`${String(a.cursor.epochId)} is open, and nothing of it is here yet`);
    expect(c.log.filter(({ code }) => code === 'KEY_INVALID')).toHaveLength(1);
    expect(server.lines).toHaveLength(before);
    expect(server.roster().rows.map(({ incarnation }) => incarnation)).toEqual(['inc_a1', 'inc_b2']);
    // An operator's word does not help it either.
    await expect(c.replica.openEpoch('accept-amnesia', 'x')).rejects.toMatchObject({ code: 'KEY_INVALID' });
    forget(c);
    await c.stop();
    const again = await startSettled({ ...common, seed: 4 });
    await pass(clock, 1_000);
    expect(isFresh(again)).toBe(true);
  });

  it('does not start on a ledger that was begun under the one before', async () => {
    const { clock, server, a } = await startPair();
    await enforce(a, 'j1');
    forget(a);
    await a.stop();
    const { ledger } = a;
    const again = makeReplica({
      clock,
      server,
      name: 'a',
      seed: 3,
      ledger,
      exclusive: false,
      logKey: OTHER_KEY,
    });
    await expect(again.start()).rejects.toMatchObject({
      code: 'KEY_INVALID',
      message: expect.stringContaining('fleetKeyFile') as string,
    });
    expect(again.view.size).toBe(0);
  });
});

describe('a newcomer', () => {
  it('says that it knows nothing yet while the store does not answer', async () => {
    const replica = makeReplica({ bootstrap: false });
    replica.store.fate = (command) => (command === 'roster' ? 'lose-request' : 'deliver');
    await replica.start();
    expect(epochOf(replica)).toBe('not known yet: the store has not answered');
    replica.store.fate = () => 'deliver';
    await pass(replica.clock, 1_000);
    expect(epochOf(replica)).toBe(
      'none is open: in a new fleet, once, writ epoch open --new-fleet; in one that has decided anything, start a replica that has its data first',
    );
  });

  it('says of a closed fleet that others open it, and what to do only when for a minute nobody has', async () => {
    const { clock, server, a, b } = await startPair();
    await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 1_000);
    for (const one of [a, b]) cut(one, true);
    await pass(clock, OVER_MS);
    server.restart();
    const c = await startSettled({ clock, server, name: 'c', seed: 3, exclusive: false, bootstrap: false });
    const closed = `${String(a.cursor.epochId)} is closed; who is missing is not known here yet: of the replicas that had a lease then and were not stopped first, the one that holds most opens the next epoch by itself`;
    expect(epochOf(c)).toBe(closed);
    clock.advance(59_000);
    expect(epochOf(c)).toBe(closed);
    clock.advance(1_000);
    expect(epochOf(c)).toBe(
      `${closed}; if there is none, because all were stopped before the store was: writ epoch open --accept-amnesia --reason '…'`,
    );
    for (const one of [a, b]) cut(one, false);
    await pass(clock, 2_000);
    expect([a, b, c].map(isFresh)).toEqual([true, true, true]);
    // The next closing is another one: a blip is no reason to give anybody up.
    cut(b, true);
    await pass(clock, OVER_MS);
    server.restart();
    await settle();
    expect(epochOf(c)).not.toContain('amnesia');
  });

  it('says of a closed fleet whose data directories it waits for, and that it has none of them', async () => {
    const { clock, server, a, b } = await startPair();
    for (const one of [a, b]) cut(one, true);
    await pass(clock, OVER_MS);
    server.restart();
    cut(a, false);
    const c = makeReplica({ clock, server, name: 'c', seed: 3, exclusive: false, bootstrap: false });
    c.ledger.held.isNew = true;
    await c.start();
    await pass(clock, 2_000);
    const closed = `${String(a.cursor.epochId)} is closed; this data directory was not in it; it is opened again with those that were, of a, b`;
    expect(epochOf(c)).toBe(closed);
    await pass(clock, 60_000);
    expect(epochOf(c)).toBe(
      `${closed}; if some of them are gone for good, /readyz of another says what to do; if all are: writ epoch open --accept-amnesia --reason '…'`,
    );
    expect(epochOf(a)).toContain('it waits for b; if they are gone for good');
  });

  it('says of nobody that he had left before it has read who was there', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const common = { clock, server, exclusive: false, bootstrap: false };
    const a = makeReplica({ ...common, name: 'a' });
    a.ledger.held.isNew = true;
    await a.start();
    await pass(clock, 6_000);
    expect(epochOf(a)).toBe(
      'none is open: in a new fleet, once, writ epoch open --new-fleet; in one that has decided anything, start a replica that has its data first',
    );
    await a.replica.openEpoch('new-fleet');
    const b = await startSettled({ ...common, name: 'b', seed: 2 });
    await pass(clock, OVER_MS);
    expect([a, b].map(isFresh)).toEqual([true, true]);
    server.flush();
    const said = new Set<string | undefined>();
    for (let waitedMs = 0; waitedMs < 2_000; waitedMs += 10) {
      clock.advance(10);
      await settle();
      said.add(epochOf(a));
    }
    expect([...said].filter((one) => one?.includes('had left'))).toEqual([]);
    expect([...said].filter((one) => one?.includes('is not known here yet'))).toHaveLength(1);
  });
});
