/**
 * Fleets in which everyone is alive, with a disk, and nobody is hostile: they go on by themselves (found by an adversary on
 * 2026-11-29, each of these stayed fenced for good).
 */
import { describe, expect, it } from 'vitest';
import type { FeedLine } from '../../src/feed/entry.ts';
import type { RenewReply } from '../../src/feed/feed-store.ts';
import type { FakeClock } from '../support/fake-time.ts';
import type { MemoryFeedServer } from '../support/memory-feed-store.ts';
import {
  OVER_MS,
  cut,
  enforce,
  epochOf,
  isFresh,
  jti,
  reasonOf,
  startPair,
  startPairThatParts,
} from '../support/memory-fleet.ts';
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

describe('a newcomer that was killed before its first line was on its disk', () => {
  const startKilled = async (isNew: boolean) => {
    const { clock, server, a, b } = await startPair();
    const common = { clock, server, name: 'c', exclusive: false, bootstrap: false };
    const c = makeReplica({ ...common, seed: 3 });
    c.ledger.held.isNew = isNew;
    c.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    await c.start();
    await pass(clock, 1_000);
    cut(c, true);
    forget(c);
    await c.stop();
    await outage(clock, server);
    await pass(clock, 5_000);
    expect(epochOf(a)).toMatch(/ is closed; it waits for c$/);
    const again = await startSettled({ ...common, seed: 4, ledger: c.ledger });
    await pass(clock, 5_000);
    return [a, b, again];
  };

  it('reports when it is started again, after an outage too: its disk says that it never held anything', async () => {
    expect((await startKilled(true)).map(isFresh)).toEqual([true, true, true]);
  });

  it('is waited for where its disk does not say so: somebody may have taken away what was on it', async () => {
    expect((await startKilled(false)).map(isFresh)).toEqual([false, false, false]);
  });
});

describe('an operator who ends an open epoch', () => {
  it('is told to ask another replica, or to restart the store, where this one does not stand at its end', async () => {
    const { clock, a, b } = await startPair();
    cut(b, true);
    await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, OVER_MS);
    b.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    await expect(b.replica.openEpoch('accept-amnesia', 'x')).rejects.toMatchObject({
      code: 'ALREADY_OPEN',
      message: expect.stringMatching(
        /^an epoch is already open up to \d+-\d+, and this replica has it up to \d+-\d+: .* restart the store,/,
      ) as string,
    });
    expect(isFresh(a)).toBe(true);
  });
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

describe('a replica that dies after it has opened an epoch and before it has joined it', () => {
  // Found by the simulation: nobody knew its incarnation, so nobody had opened the epoch, and nobody was let in (D-128).
  it('has opened it when it is started again, and the fleet goes on', async () => {
    const { clock, server, a, b } = await startPair();
    server.isReachable = false;
    await pass(clock, OVER_MS);
    cut(a, true);
    b.store.fate = (command) => (command === 'openEpoch' ? 'lose-request' : 'deliver');
    const start = (seed: number): TestReplica =>
      makeReplica({ clock, server, name: 'a', seed, ledger: a.ledger, exclusive: false, bootstrap: false });
    const opener = start(8);
    opener.store.fate = (command) => {
      if (command === 'openEpoch') cut(opener, true);
      return command === 'openEpoch' ? 'lose-reply' : 'deliver';
    };
    server.restart();
    server.isReachable = true;
    await opener.start();
    await pass(clock, 2_000);
    expect(server.lines.filter(({ sealed }) => sealed.entry.by === opener.identity.incarnation)).toHaveLength(
      1,
    );
    expect(isFresh(b)).toBe(false);
    const again = start(9);
    await again.start();
    await pass(clock, 2_000);
    expect([again, b].map(isFresh), `${epochOf(again)}; ${epochOf(b)}`).toEqual([true, true]);
  });
});

describe('a replica that had applied one line more than the witness when the store was flushed', () => {
  const lose = async (beforeItIsBack: (b: TestReplica) => void = () => undefined) => {
    const fleet = await startPairThatParts();
    const { clock, b } = fleet;
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

describe('a replica that opened an epoch which the store lost before anybody else followed', () => {
  /** While b hears nothing, a opens `epochs` of them, and revokes j1 in the last; then b, still a witness, opens another. */
  const fork = async (epochs = 1) => {
    const fleet = await startPair();
    const { clock, server, a, b } = fleet;
    cut(b, true);
    for (let i = 0; i < epochs; i++) {
      server.flush();
      await pass(clock, 550);
    }
    await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 100);
    const forked = a.cursor.epochId;
    cut(a, true);
    server.flush();
    cut(b, false);
    await pass(clock, 1_000);
    expect(isFresh(b)).toBe(true);
    expect(b.cursor.epochId).not.toBe(forked);
    expect(await reasonOf(b, 'j1')).toBe('permitted');
    return fleet;
  };

  /** What a renewal of this replica is answered is changed on its way. */
  const answering = ({ store }: TestReplica, change: (reply: RenewReply) => RenewReply): void => {
    const renew = store.renew.bind(store);
    store.renew = async (request) => change(await renew(request));
  };

  it.each([1, 2])('goes back to where both were, and what it had more is everywhere: %i', async (epochs) => {
    const { clock, server, a, b } = await fork(epochs);
    cut(a, false);
    await pass(clock, 10_000);
    expect([a, b].map(isFresh), a.renewer.state).toEqual([true, true]);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    expect(a.ledger.lines).toEqual(b.ledger.lines);
    expect(a.tree.checkpoint()).toBe(b.tree.checkpoint());
    expect(a.ledger.beside.filter(({ sealed }) => sealed.entry.kind === 'epoch')).toHaveLength(epochs);
    expect(a.log).toContainEqual(
      expect.objectContaining({
        sentence: 'what the fleet did not go on with was taken out of the ledger',
        count: a.ledger.beside.length,
      }),
    );
    await enforce(a, 'j2');
    expect(await reasonOf(b, 'j2')).toBe('revoked');
    await outage(clock, server);
    expect([a, b].map(isFresh), `${epochOf(a)}; ${epochOf(b)}`).toEqual([true, true]);
  });

  it('finds its way back page by page', async () => {
    const { clock, a, b } = await fork(2);
    answering(a, (reply) =>
      reply.kind === 'lease' && reply.lines.length > 1
        ? { kind: 'more', lines: reply.lines.slice(0, 1), head: reply.head }
        : reply,
    );
    cut(a, false);
    await pass(clock, 10_000);
    expect([a, b].map(isFresh), a.renewer.state).toEqual([true, true]);
    expect(a.ledger.lines).toEqual(b.ledger.lines);
  });

  it("is named where the store restarts before it came back, and goes back on an operator's word for the others", async () => {
    const { clock, server, a, b } = await fork();
    await outage(clock, server);
    cut(a, false);
    await pass(clock, OVER_MS);
    expect([a, b].map(isFresh)).toEqual([false, false]);
    clock.advance(60_000);
    expect(epochOf(b)).toMatch(
      / is closed; a reports \d+-\d+, in an epoch that is not known here: .*accept-amnesia --reason '…', here$/,
    );
    await b.replica.openEpoch('accept-amnesia', 'a had opened one that nobody followed');
    await pass(clock, 10_000);
    expect([a, b].map(isFresh), a.renewer.state).toEqual([true, true]);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  });

  it('keeps all of it in its ledger until the store has taken what only it had', async () => {
    const { clock, a, b } = await fork();
    let appends = 0;
    // It joins, and no more.
    a.store.fate = (command) => (command === 'append' && ++appends > 1 ? 'lose-request' : 'deliver');
    await pass(clock, 5_000);
    expect(appends).toBeGreaterThan(1);
    expect([isFresh(a), a.ledger.beside]).toEqual([false, []]);
    cut(a, false);
    await pass(clock, 5_000);
    expect(isFresh(a)).toBe(true);
    expect(a.ledger.beside.length).toBeGreaterThan(0);
    expect(a.ledger.lines).toEqual(b.ledger.lines);
  });

  it('tries again where its disk could not be written', async () => {
    const { clock, a } = await fork();
    let isFull = true;
    a.ledger.onKeep = () => {
      if (isFull) throw new Error('disk');
    };
    cut(a, false);
    await pass(clock, 5_000);
    expect(isFresh(a)).toBe(false);
    expect(a.ledger.beside).toEqual([]);
    isFull = false;
    await pass(clock, 5_000);
    expect(isFresh(a)).toBe(true);
  });

  it.each<[string, (reply: RenewReply) => RenewReply]>([
    [
      'that is not of this run of the store',
      (reply) => (reply.kind === 'lease' ? { ...reply, runId: 'another run' } : reply),
    ],
    [
      'that nobody of this fleet has signed',
      (reply) => ('lines' in reply ? { ...reply, lines: reply.lines.map(forged) } : reply),
    ],
  ])('does not go back for an epoch %s', async (_, change) => {
    const { clock, server, a } = await fork();
    const lines = [...a.ledger.lines];
    answering(a, change);
    cut(a, false);
    await pass(clock, 10_000);
    expect(server.roster().epochId).toBeDefined();
    expect(a.renewer.state).toBe('diverged');
    expect(a.ledger.lines).toEqual(lines);
  });

  function forged(line: FeedLine): FeedLine {
    const { sealed } = line;
    if (sealed.entry.kind !== 'epoch') return line;
    return { ...line, sealed: { ...sealed, entry: { ...sealed.entry, sig: 'AAAA' } } };
  }
});

describe('a replica that left an epoch, with which the fleet goes on after all', () => {
  const until = async (clock: FakeClock, isSo: () => boolean): Promise<void> => {
    for (let waitedMs = 0; !isSo() && waitedMs < 1_200; waitedMs += 100) await pass(clock, 100);
    expect(isSo()).toBe(true);
  };

  it.each([0, 200])('goes on with it too, %i ms after it has followed another one', async (followedMs) => {
    const { clock, server, a, b } = await startPair();
    const c = await startSettled({ clock, server, name: 'c', seed: 3, exclusive: false, bootstrap: false });
    await pass(clock, OVER_MS);
    // b hears nothing, and a and c go on in the second epoch, where j1 is revoked.
    cut(b, true);
    const { length } = server.lines;
    const first = b.cursor.epochId;
    server.restart();
    await until(clock, () => [a, c].every((one) => isFresh(one) && one.cursor.epochId !== first));
    await c.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 200);
    const second = c.cursor.epochId;
    expect([a, c].map(isFresh)).toEqual([true, true]);
    // It is lost, and b, still a witness of the first one, opens a third on that; c follows, and a hears nothing.
    for (const one of [a, c]) cut(one, true);
    server.restart(length);
    cut(b, false);
    await until(clock, () => isFresh(b) && b.cursor.epochId !== first);
    cut(c, false);
    await until(clock, () => c.ledger.beside.length > 0);
    await pass(clock, followedMs);
    // That one is lost as well, and a, still a witness of the second, opens the next on it.
    for (const one of [b, c]) cut(one, true);
    server.flush();
    cut(a, false);
    const isGoingOn = ({ sealed: { entry } }: FeedLine): boolean =>
      entry.kind === 'epoch' && entry.base?.epochId === second;
    await until(clock, () => server.lines.some(isGoingOn));
    for (const one of [b, c]) cut(one, false);
    await pass(clock, OVER_MS);
    expect([a, b, c].map(isFresh), c.renewer.state).toEqual([true, true, true]);
    for (const one of [a, b, c]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    expect(c.ledger.lines).toEqual(a.ledger.lines);
    await enforce(c, 'j2');
  });
});
