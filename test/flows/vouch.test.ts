/**
 * Who is let in: nobody on the store's word alone. A hostile client with a replica's rights may show a newcomer, or one
 * who comes back, an earlier moment; nothing that was enforced after it is ever accepted there.
 */
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-time.ts';
import { epoch } from '../support/feed-entries.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, enforce, epochOf, isFresh, jti, reasonOf } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { MemoryLedger, orderOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';

interface Fleet {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  readonly a: TestReplica;
  readonly b: TestReplica;
  /** How many lines there were before `j1` was enforced. */
  readonly before: number;
}

/** Two replicas; `j1` is enforced, by acknowledgement of both. */
async function start(): Promise<Fleet> {
  const clock = new FakeClock();
  const server = new MemoryFeedServer();
  const a = await startSettled({ clock, server, name: 'a' });
  await pass(clock, 1_000);
  const b = await startSettled({ clock, server, name: 'b', seed: 2 });
  await pass(clock, 3_000);
  const before = server.lines.length;
  await enforce(a, 'j1');
  expect(await reasonOf(b, 'j1')).toBe('revoked');
  return { clock, server, a, b, before };
}

const join = ({ clock, server }: Fleet, name: string, seed: number): Promise<TestReplica> =>
  startSettled({ clock, server, name, seed, bootstrap: false });

describe('a newcomer', () => {
  it('is let in by the signed word of who holds a lease, and then denies what was enforced before', async () => {
    const fleet = await start();
    const c = await join(fleet, 'c', 3);
    await pass(fleet.clock, 1_000);
    expect(isFresh(c)).toBe(true);
    expect(await reasonOf(c, 'j1')).toBe('revoked');
    expect(await reasonOf(c, 'j9')).toBe('permitted');
  });

  it('to whom an earlier moment is shown says no yes, and nor do two who vouch for each other', async () => {
    const fleet = await start();
    for (const one of [fleet.a, fleet.b]) cut(one, true);
    fleet.server.rollBack(fleet.before);
    const c = await join(fleet, 'c', 3);
    const d = await join(fleet, 'd', 4);
    for (let i = 0; i < 10; i++) {
      await pass(fleet.clock, 1_000);
      for (const one of [c, d]) {
        expect(isFresh(one)).toBe(false);
        expect(await reasonOf(one, 'j1')).toBe('fenced');
      }
    }
    expect(c.renewer.state).toBe('awaiting');
  });

  it('is not let in by who holds a lease of another history, nor by who only remembers one', async () => {
    const fleet = await start();
    const { rows } = fleet.server.roster();
    for (const one of [fleet.a, fleet.b]) cut(one, true);
    fleet.server.rollBack(fleet.before);
    const c = await join(fleet, 'c', 3);
    await pass(fleet.clock, 500);
    const opening = c.cursor.opening!;
    const at = { epoch: opening.epochId === c.cursor.epochId ? c.cursor.position.epoch : 0, sequence: 1 };
    // What a and b signed on the true history covers c's place, with another chain there.
    expect(rows.map(({ acknowledgement }) => typeof acknowledgement)).toEqual(['string', 'string']);
    expect(await c.vouching.admits(opening, at, rows)).toBe(false);
    const forged = rows.map((row) => ({ ...row, acknowledgement: `${row.acknowledgement}x` }));
    expect(await c.vouching.admits(opening, at, forged)).toBe(false);
    const [first, second] = rows;
    const swapped = [{ ...first!, acknowledgement: second!.acknowledgement }];
    expect(await c.vouching.admits(opening, at, swapped)).toBe(false);
    expect(await c.vouching.admits(opening, at, [{ ...first!, acknowledgement: undefined }])).toBe(false);
  });

  it('is let in where everyone has said goodbye, and not where somebody only fell silent', async () => {
    const fleet = await start();
    forget(fleet.a);
    await fleet.a.stop();
    fleet.server.isReachable = false;
    forget(fleet.b);
    await fleet.b.stop();
    fleet.server.isReachable = true;
    const c = await join(fleet, 'c', 3);
    await pass(fleet.clock, 10_000);
    expect(isFresh(c)).toBe(false);
    // Its process is gone; its data directory is not.
    const { clock, server } = fleet;
    const b = await startSettled({ clock, server, name: 'b', seed: 4, ledger: fleet.b.ledger });
    await pass(clock, 1_000);
    for (const one of [b, c]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
    for (const one of [b, c]) {
      forget(one);
      await one.stop();
    }
    const d = await join(fleet, 'd', 5);
    await pass(clock, 1_000);
    expect(isFresh(d)).toBe(true);
    expect(await reasonOf(d, 'j1')).toBe('revoked');
  });

  it('that nobody lets in may end the epoch by an operator’s word, and others go on with it', async () => {
    const fleet = await start();
    fleet.server.isReachable = false;
    for (const one of [fleet.a, fleet.b]) {
      forget(one);
      await one.stop();
    }
    fleet.server.isReachable = true;
    const c = await join(fleet, 'c', 3);
    await pass(fleet.clock, 2_000);
    expect(isFresh(c)).toBe(false);
    await expect(c.replica.openEpoch('new-fleet')).rejects.toMatchObject({ code: 'ALREADY_OPEN' });
    await c.replica.openEpoch('accept-amnesia', 'both hosts are gone');
    await pass(fleet.clock, 1_000);
    expect(isFresh(c)).toBe(true);
    expect(await reasonOf(c, 'j1')).toBe('revoked');
    const refused = { code: 'ALREADY_OPEN' };
    await expect(c.replica.openEpoch('accept-amnesia', 'again')).rejects.toMatchObject(refused);
    const { id } = await c.revoker.revoke(orderOf({ targets: [jti('j5')], wait: 'durable' }));
    await pass(fleet.clock, 5_000);
    expect(await c.revoker.receipt(id)).toBeDefined();
    const [, statement = ''] = /^statement [^.]+\.([^.]+)\./m.exec((await c.revoker.receipt(id)) ?? '') ?? [];
    expect(Buffer.from(statement, 'base64url').toString()).toMatch(
      /an operator accepted at .*: both hosts are gone/,
    );
    const { clock, server } = fleet;
    const b = await startSettled({ clock, server, name: 'b', seed: 4, ledger: fleet.b.ledger });
    await pass(clock, 1_000);
    expect(isFresh(b)).toBe(true);
    expect(await reasonOf(b, 'j1')).toBe('revoked');
  });
});

describe('a store that is shown as it was', () => {
  it('is closed by the first who knows better, and given back what was enforced (THREATS 10.12)', async () => {
    const fleet = await start();
    fleet.server.rollBack(fleet.before);
    await pass(fleet.clock, 2_000);
    const c = await join(fleet, 'c', 3);
    await pass(fleet.clock, 2_000);
    for (const one of [fleet.a, fleet.b, c]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
  });

  it('as the open epoch of another run fences everyone, whoever comes first (THREATS 10.18)', async () => {
    const fleet = await start();
    const { clock, server, a, b } = fleet;
    for (const one of [a, b]) cut(one, true);
    await pass(clock, OVER_MS);
    server.restart(fleet.before);
    server.pretend();
    // Cut off since before the copy was taken: its cursor is in it, and it lacks nothing there.
    const ledger = new MemoryLedger();
    ledger.lines.push(...server.lines.slice(0, fleet.before - 1));
    await ledger.held.keep(a.cursor.epochId!, false);
    const stale = makeReplica({ clock, server, name: 'b', seed: 9, ledger, bootstrap: false });
    await stale.start();
    await pass(clock, OVER_MS);
    expect(stale.renewer.state).toBe('diverged');
    expect(isFresh(stale)).toBe(false);
    expect(await reasonOf(stale, 'j1')).toBe('fenced');
  });
});

describe('an epoch that nobody of the fleet has opened', () => {
  it('is followed by nobody, and stands beside the history once the store is closed', async () => {
    const { clock, server, a, b } = await start();
    const { epochId, nextRunId: runId } = server.roster();
    server.openEpoch({ closedEpochId: epochId, runId, epochS: 1, sealed: epoch('ep_forged', runId) });
    await pass(clock, OVER_MS);
    for (const one of [a, b]) {
      expect(one.renewer.state).toBe('diverged');
      expect(isFresh(one)).toBe(false);
    }
    server.restart();
    await pass(clock, OVER_MS);
    for (const one of [a, b]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
    expect(server.lines.some(({ sealed }) => sealed.entry.id === 'ent_ep_forged')).toBe(false);
    expect(a.log.map(({ sentence }) => sentence)).toContain(
      'the store holds what nobody may have written there',
    );
  });
});

describe('a data directory that was left', () => {
  it('does not open the next epoch: somebody may have enforced what it will never know', async () => {
    const fleet = await start();
    const { clock, server, a, b } = fleet;
    forget(a);
    await a.stop();
    await enforce(b, 'j2');
    forget(b);
    await b.stop();
    server.forget();
    const again = await startSettled({ clock, server, name: 'a', seed: 7, ledger: a.ledger });
    await pass(clock, OVER_MS);
    expect(isFresh(again)).toBe(false);
    expect(await reasonOf(again, 'j2')).toBe('fenced');
    // Whoever is missing may be a process that is being restarted: nobody is told to give it up before a minute is over.
    expect(epochOf(again)).toMatch(/it waits for b$/);
    clock.advance(60_000);
    expect(epochOf(again)).toMatch(
      /it waits for b; if they are gone for good: writ epoch open --accept-amnesia/,
    );
  });

  it('stays on the roster where its goodbye was not heard', async () => {
    const fleet = await start();
    const { clock, server, a, b } = fleet;
    server.isReachable = false;
    for (const one of [a, b]) {
      forget(one);
      await one.stop();
    }
    expect(a.ledger.held.isLeft).toBe(false);
    server.restart();
    server.isReachable = true;
    const again = await Promise.all(
      [a, b].map((one, i) =>
        startSettled({ clock, server, name: one.identity.replica, seed: 20 + i, ledger: one.ledger }),
      ),
    );
    await pass(clock, OVER_MS);
    for (const one of again) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
  });

  it('and the whole fleet with it, says that an operator has to', async () => {
    const fleet = await start();
    const { clock, server, a, b } = fleet;
    for (const one of [a, b]) {
      forget(one);
      await one.stop();
    }
    server.restart();
    const again = await startSettled({ clock, server, name: 'b', seed: 7, ledger: b.ledger });
    await pass(clock, 1_000);
    expect(epochOf(again)).toMatch(/is closed; everyone had left it$/);
    await pass(clock, 5_000);
    expect(epochOf(again)).toMatch(
      /is closed; everyone had left it; .* writ epoch open --accept-amnesia --reason '…'$/,
    );
    for (const one of [again, await startSettled({ clock, server, name: 'c', seed: 8, bootstrap: false })])
      await expect(one.replica.openEpoch('new-fleet')).rejects.toMatchObject({ code: 'NOT_NEW' });
    await again.replica.openEpoch('accept-amnesia', 'a planned shutdown');
    await pass(clock, 1_000);
    expect(isFresh(again)).toBe(true);
    expect(await reasonOf(again, 'j1')).toBe('revoked');
  });

  it('says so too where nobody heard the last goodbye', async () => {
    const { clock, server, a, b } = await start();
    forget(a);
    await a.stop();
    await pass(clock, 1_000);
    b.store.next('append', 'lose-request');
    forget(b);
    await b.stop();
    server.restart();
    const again = await startSettled({ clock, server, name: 'b', seed: 7, ledger: b.ledger });
    const other = await startSettled({ clock, server, name: 'a', seed: 8, ledger: a.ledger });
    await pass(clock, 6_000);
    expect(epochOf(again)).toMatch(/is closed; everyone had left it; .* writ epoch open --accept-amnesia/);
    expect(epochOf(other)).toMatch(
      /is closed; this replica had left it; it is opened again by who had not: b$/,
    );
  });
});

describe('a data directory that left an epoch which nobody else had come into', () => {
  /** The opener of the second epoch, b, is stopped in order while a is away. */
  async function startWhereTheOpenerLeft(): Promise<Fleet> {
    const fleet = await start();
    const { clock, server, a, b } = fleet;
    cut(a, true);
    server.restart();
    await pass(clock, 1_500);
    expect(b.cursor.opening).toMatchObject({ rule: 'witness', by: b.identity.incarnation });
    forget(b);
    await b.stop();
    expect(b.ledger.held.isLeft).toBe(true);
    await pass(clock, OVER_MS);
    return { ...fleet, before: server.lines.length };
  }

  const startAgain = ({ clock, server }: Fleet, { identity, ledger }: TestReplica, seed: number) =>
    startSettled({ clock, server, name: identity.replica, seed, ledger, bootstrap: false });

  it('comes back into it once all who may know of more have heard of it, and all have a lease', async () => {
    const fleet = await startWhereTheOpenerLeft();
    const { clock, a, b } = fleet;
    const again = await startAgain(fleet, b, 7);
    await pass(clock, 2_000);
    expect(again.renewer.state).toBe('awaiting');
    cut(a, false);
    await pass(clock, 2_000);
    for (const one of [a, again]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
    await enforce(again, 'j2');
    expect(await reasonOf(a, 'j2')).toBe('revoked');
  });

  it('does not come back where an earlier moment is shown and who knows of more is silent, whoever else is there', async () => {
    const fleet = await startWhereTheOpenerLeft();
    const { clock, server, a, b, before } = fleet;
    cut(a, false);
    await pass(clock, 2_000);
    await enforce(a, 'j2');
    cut(a, true);
    server.rollBack(before);
    const again = await startAgain(fleet, b, 7);
    const c = await join(fleet, 'c', 8);
    for (let i = 0; i < 10; i++) {
      await pass(clock, 1_000);
      for (const one of [again, c]) {
        expect(one.renewer.state).toBe('awaiting');
        expect(await reasonOf(one, 'j2')).toBe('fenced');
      }
    }
    // It has another history by now: its word is none about this one.
    cut(a, false);
    await pass(clock, OVER_MS);
    for (const one of [again, c]) expect(await reasonOf(one, 'j2')).not.toBe('permitted');
    for (const one of [again, c]) expect(isFresh(one)).toBe(false);
  });

  it('does not come back by a word from before it joined', async () => {
    const fleet = await startWhereTheOpenerLeft();
    const { clock, server, a, b } = fleet;
    const again = await startAgain(fleet, b, 7);
    await pass(clock, 1_000);
    cut(again, true);
    cut(a, false);
    await pass(clock, 1_000);
    expect(a.renewer.state).toBe('awaiting');
    const opening = a.cursor.opening!;
    const { position } = a.cursor;
    const { rows } = server.roster();
    const ofOthers = rows.filter(({ incarnation }) => incarnation === a.identity.incarnation);
    expect(
      await again.vouching.admits(opening, { ...position, sequence: position.sequence + 1 }, ofOthers),
    ).toBe(false);
  });

  it('and keeps no fleet waiting that is stopped in order and started again all at once', async () => {
    const fleet = await start();
    const { clock, a, b } = fleet;
    for (const one of [a, b]) {
      forget(one);
      await one.stop();
    }
    const again = await Promise.all([startAgain(fleet, a, 7), startAgain(fleet, b, 8)]);
    await pass(clock, 2_000);
    for (const one of again) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
  });
});

describe('an operator’s epoch', () => {
  it('is not opened where the store is another by then', async () => {
    const { clock, server, a } = await start();
    cut(a, true);
    await pass(clock, OVER_MS);
    const refused = { code: 'ALREADY_OPEN' };
    // Others have opened one meanwhile, or are at it.
    const open = server.roster();
    const closed = { ...open, epochId: undefined, closedEpochId: open.epochId };
    a.store.restore = () => Promise.resolve({ kind: 'lost' });
    a.store.roster = () => Promise.resolve(closed);
    await expect(a.replica.openEpoch('accept-amnesia', 'x')).rejects.toMatchObject(refused);
    const head = {
      copy: 'current',
      epochId: open.epochId,
      position: a.cursor.position,
      chain: a.cursor.chain,
    };
    a.store.restore = () => Promise.resolve({ kind: 'restored', head, newer: [] });
    // Or have opened one that was lost again, while this process was paused.
    for (const later of [open, { ...closed, nextRunId: `${closed.nextRunId}1` }]) {
      const readings = [closed, later];
      a.store.roster = () => Promise.resolve(readings.shift() ?? later);
      await expect(a.replica.openEpoch('accept-amnesia', 'x')).rejects.toMatchObject(refused);
    }
    expect(server.lines.filter(({ sealed }) => sealed.entry.kind === 'epoch')).toHaveLength(1);
  });
});

describe('a replica that hears of a closing that was none', () => {
  it('goes on in the epoch it had joined, without joining it twice', async () => {
    const { clock, server, b } = await start();
    const renew = b.store.renew.bind(b.store);
    b.store.renew = async (request) => {
      await renew(request);
      b.store.renew = renew;
      return { kind: 'closed', epochId: undefined };
    };
    const before = server.lines.length;
    await pass(clock, 1_500);
    expect(isFresh(b)).toBe(true);
    expect(server.lines).toHaveLength(before);
  });
});

describe('a replica whose disk fails while it takes over what a closed store has more', () => {
  it('opens nothing, and says so', async () => {
    const { clock, server, a, b } = await start();
    cut(a, true);
    await pass(clock, 500);
    await b.revoker.revoke(orderOf({ targets: [jti('j2')], wait: 'durable' }));
    cut(b, true);
    await pass(clock, OVER_MS);
    server.restart();
    a.ledger.fails = true;
    cut(a, false);
    await pass(clock, OVER_MS);
    expect(isFresh(a)).toBe(false);
    expect(a.log.at(-1)).toMatchObject({ sentence: 'the feed could not be joined', code: 'INTERNAL' });
    expect(server.roster().epochId).toBeUndefined();
  });
});
