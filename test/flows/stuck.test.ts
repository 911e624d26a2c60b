/**
 * Fleets in which everyone is alive, with a disk, and nobody is hostile: they go on by themselves (found by an adversary on
 * 2026-11-29, each of these stayed fenced for good).
 */
import { describe, expect, it } from 'vitest';
import type { FakeClock } from '../support/fake-time.ts';
import type { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, epochOf, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';

async function outage(clock: FakeClock, server: MemoryFeedServer): Promise<void> {
  server.isReachable = false;
  await pass(clock, OVER_MS);
  server.restart();
  server.isReachable = true;
  await pass(clock, OVER_MS);
}

describe('a newcomer whose joining was said, and to whom nothing has come yet', () => {
  it('does not keep the fleet closed after an outage', async () => {
    const { clock, server, a, b } = await startPair();
    const c = makeReplica({ clock, server, name: 'c', seed: 3, exclusive: false, bootstrap: false });
    c.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    await c.start();
    await pass(clock, 1_000);
    expect(c.cursor.epochId).toBeUndefined();
    cut(c, false);
    await outageWith(c, () => outage(clock, server));
    await pass(clock, 10_000);
    // a and b wait for c, which is alive, reachable and silent.
    expect([a, b, c].map(isFresh), `${epochOf(a)}; ${epochOf(c)}`).toEqual([true, true, true]);
  });

  async function outageWith(c: TestReplica, run: () => Promise<void>): Promise<void> {
    c.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    await run();
    cut(c, false);
  }
});

describe('a lone replica that is stopped just after its store restarted', () => {
  it('goes on when it is started again: its goodbye was refused', async () => {
    const { clock, server, a, b } = await startPair();
    forget(b);
    await b.stop();
    await pass(clock, 1_000);
    server.restart();
    forget(a);
    await a.stop();
    const again = await startSettled({
      clock,
      server,
      name: 'a',
      seed: 9,
      ledger: a.ledger,
      exclusive: false,
      bootstrap: false,
    });
    await pass(clock, 10_000);
    expect(isFresh(again), `${epochOf(again)}, left: ${a.ledger.held.isLeft}`).toBe(true);
  });
});

describe('a replica that had applied one line more than the witness when the store was flushed', () => {
  const lose = async (beforeItIsBack: (b: TestReplica) => void = () => undefined) => {
    const fleet = await startPair();
    const { clock, server, a, b } = fleet;
    // For half a second nothing reaches a; b appends a line that both would have had.
    cut(a, true);
    await pass(clock, 300);
    await b.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 500);
    cut(b, true);
    server.flush();
    cut(a, false);
    await pass(clock, 1_500);
    cut(b, false);
    beforeItIsBack(b);
    await pass(clock, 10_000);
    return fleet;
  };

  it('comes back, and what it had more is in force everywhere', async () => {
    const { clock, server, a, b } = await lose();
    expect(isFresh(a)).toBe(true);
    expect(isFresh(b), b.renewer.state).toBe(true);
    const c = await startSettled({ clock, server, name: 'c', seed: 7, bootstrap: false });
    await pass(clock, 1_000);
    for (const one of [a, b, c]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    expect(b.log).toContainEqual(
      expect.objectContaining({ sentence: 'what the store had lost was appended again', count: 1 }),
    );
    expect(b.cursor.tails).toEqual([]);
  });

  it('has it appended again by its next run, where this one did not come to it', async () => {
    const { clock, server, b } = await lose(({ store }) => {
      let appends = 0;
      // It says that it joins, and no more.
      store.fate = (command) => (command === 'append' && ++appends > 1 ? 'lose-request' : 'deliver');
    });
    expect(b.cursor.tails).toHaveLength(1);
    forget(b);
    await b.stop();
    const again = makeReplica({ clock, server, name: 'b', seed: 8, ledger: b.ledger, bootstrap: false });
    again.store.next('append', 'deliver');
    again.store.next('append', 'lose-request');
    await again.joiner.replay();
    expect(again.cursor.tails).toHaveLength(1);
    await again.start();
    await pass(clock, 2_000);
    expect(again.cursor.tails).toEqual([]);
    expect(await reasonOf(again, 'j1')).toBe('revoked');
  });

  it('does not keep all others closed after the next outage', async () => {
    const { clock, server, a } = await lose();
    await outage(clock, server);
    await pass(clock, 10_000);
    expect(isFresh(a), epochOf(a)).toBe(true);
  });
});
