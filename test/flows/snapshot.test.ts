/**
 * Growth: a fleet writes its fold down, trims what came before once everybody has said that it is theirs too, and who
 * comes later begins there. On the memory store, with time moved by hand.
 */
import { describe, expect, it } from 'vitest';
import { parseEntry, sealEntry } from '../../src/feed/entry.ts';
import type { Snapshot } from '../../src/feed/feed-store.ts';
import { ORIGIN, comparePositions, renderPosition } from '../../src/feed/position.ts';
import { digesting } from '../../src/feed/snapshot.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import type { RevocationRecord } from '../../src/revocation/records.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { NOW_S, cut, epochOf, isFresh, jti, reasonOf } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { readinessOf } from '../support/readiness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';

const EVERY = 10;

interface Fleet {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  readonly replicas: TestReplica[];
}

let seeds = 0;
let grown = 0;

async function join(fleet: Fleet, name: string, over = {}): Promise<TestReplica> {
  const { clock, server } = fleet;
  seeds += 1;
  const one = await startSettled({ clock, server, name, seed: seeds, snapshotEvery: EVERY, ...over });
  await pass(clock, 1_500);
  return one;
}

async function start(...names: string[]): Promise<Fleet> {
  grown = 0;
  const fleet: Fleet = { clock: new FakeClock(), server: new MemoryFeedServer(), replicas: [] };
  for (const name of names) fleet.replicas.push(await join(fleet, name));
  await pass(fleet.clock, 2_000);
  return fleet;
}

async function revoke(by: TestReplica, value: string): Promise<void> {
  await by.revoker.revoke(orderOf({ targets: [jti(value)], wait: 'durable' }));
}

const kindsOf = ({ server }: Fleet): string[] => server.lines.map(({ sealed }) => sealed.entry.kind);

async function grow(fleet: Fleet, by: TestReplica, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await revoke(by, `g${grown++}`);
    await pass(fleet.clock, 600);
  }
}

async function growUntilTrimmed(fleet: Fleet, by: TestReplica): Promise<void> {
  for (let i = 0; i < 60 && !isTrimmed(fleet); i++) await grow(fleet, by, 1);
  expect(isTrimmed(fleet)).toBe(true);
}

const isTrimmed = ({ server }: Fleet): boolean => (server.lines[0]?.position.sequence ?? 0) > 1;

const errorsOf = ({ log }: TestReplica): string[] =>
  log.filter(({ level }) => level === 'error').map(({ sentence }) => sentence);

/** Appends a mark of that time at once, and waits until it is dealt with. */
async function markAt(fleet: Fleet, by: TestReplica, endedBeforeS: number): Promise<void> {
  seeds += 1;
  await by.appender.append(by.appender.seal({ id: `mrk_${seeds}`, kind: 'mark', endedBeforeS }));
  await pass(fleet.clock, 1_500);
}

describe('a fleet that grows', () => {
  it('writes its fold down and trims what came before it', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await revoke(a, 'first');
    await growUntilTrimmed(fleet, b);
    expect(kindsOf(fleet)).toContain('snapshot');
    expect(a.snapshots.statement).toEqual(b.snapshots.statement);
    for (const one of [a, b]) {
      expect(one.snapshots.agrees).toBe(true);
      expect(one.snapshots.entriesSinceMark).toBeGreaterThan(0);
      expect(await reasonOf(one, 'first')).toBe('revoked');
      expect(errorsOf(one)).toEqual([]);
    }
    const marks = fleet.server.lines.filter(({ sealed }) => sealed.entry.kind === 'mark');
    expect(new Set(marks.map(({ sealed }) => sealed.entry.id)).size).toBe(marks.length);
  });

  it('writes it down as soon as the lines weigh more than it, however few they are', async () => {
    const fleet = await start();
    const a = await join(fleet, 'a', { snapshotEvery: 1_000, linesBytesMin: 2_000 });
    const order = async (i: number): Promise<void> => {
      const targets = Array.from({ length: 20 }, (_, k) => jti(`${'n'.repeat(100)}${i}-${k}`));
      await a.revoker.revoke(orderOf({ targets, wait: 'durable' }));
      await pass(fleet.clock, 600);
    };
    const marks = new Set<number>();
    for (let i = 0; i < 60; i++) {
      await order(i);
      for (const { position, sealed } of fleet.server.lines)
        if (sealed.entry.kind === 'mark') marks.add(position.sequence);
    }
    // The snapshot is larger in the end than what is enough at first.
    const [first = 0, second = 0, ...later] = [...marks];
    expect(second - first).toBeLessThan((later.at(-1) ?? 0) - (later.at(-2) ?? 0));
    // From the mark before on it goes on holding all.
    await grow(fleet, a, 1);
    expect(fleet.server.lines.length).toBeLessThan(60);
    const b = await join(fleet, 'b');
    expect(b.ledger.base).toBeDefined();
    expect(await reasonOf(b, `${'n'.repeat(100)}0-0`)).toBe('revoked');
  });

  it('lets a newcomer begin there: it denies all that is dead, and computes the same tree', async () => {
    const fleet = await start('a', 'b');
    const [a] = fleet.replicas as [TestReplica];
    await revoke(a, 'first');
    await growUntilTrimmed(fleet, a);
    const c = await join(fleet, 'c');
    expect(c.ledger.base).toBeDefined();
    expect(isFresh(c)).toBe(true);
    for (const value of ['first', 'g0']) expect(await reasonOf(c, value)).toBe('revoked');
    expect(c.tree.checkpoint()).toBe(a.tree.checkpoint());
    const membersOf = (one: TestReplica) =>
      one.members.list().map(({ key, place: _, ...member }) => ({ ...member, x: key.x }));
    expect(membersOf(c)).toEqual(membersOf(a));
    expect(c.view.records({ limit: 1_000 })).toEqual(a.view.records({ limit: 1_000 }));
    await grow(fleet, c, 15);
    expect(c.snapshots.statement).toBeDefined();
    expect(c.snapshots.statement).toEqual(a.snapshots.statement);
  });

  it('hands on locks and grants with their tombstones, and what each revocation has reached (THREATS 10.16)', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    const expiresAtMs = fleet.clock.now().wallMs + 3_600_000;
    const locked = orderOf({ targets: [jti('locked')], expiresAtMs });
    const [kept, lifted] = [
      a.revoker.revoke(locked),
      a.revoker.revoke({ ...locked, targets: [jti('lifted')], reason: 'odd', request: { targets: 2 } }),
    ];
    const enforced = a.revoker.revoke(orderOf({ targets: [jti('enforced')], reason: 'leaked', ticket: 'T' }));
    await pass(fleet.clock, 5_000);
    const { id } = await lifted;
    const cutoff = { kind: 'subject', issuer: ISSUER, value: 'gone', cutoffS: NOW_S } as const;
    await a.revoker.revoke(orderOf({ targets: [cutoff], wait: 'durable' }));
    const about = { subject: { id: 'billing' }, action: 'granted', resource: { type: 'invoice' } };
    const facts = { ...about, caller: 'admin', body: 'b'.repeat(64) };
    const untilS = NOW_S + 7_200;
    for (const [grant, until] of [
      ['grt_1', {}],
      ['grt_2', {}],
      ['grt_3', { untilS }],
    ] as const)
      await a.appender.append(a.appender.seal({ id: grant, kind: 'grant', ...facts, ...until }));
    for (const [ungrant, grant, until] of [
      ['u2', 'grt_2', {}],
      ['u3', 'grt_3', { untilS }],
    ] as const)
      await a.appender.append(
        a.appender.seal({ id: ungrant, kind: 'ungrant', grant, caller: 'admin', ...until }),
      );
    const lift = { id: 'lft_1', kind: 'lift', lock: id, untilS: NOW_S + 3_700, caller: 'admin' } as const;
    await a.appender.append(a.appender.seal(lift));
    await markAt(fleet, a, NOW_S - 100);
    const b = await join(fleet, 'b');
    expect(await reasonOf(b, 'locked')).toBe('locked');
    const [before, after] = [tokenOf('gone', 'x', NOW_S), tokenOf('gone', 'x', NOW_S + 1)].map((token) =>
      b.checker.check({ ...requestOf(token), subject: { type: 'service', id: 'gone' } }),
    );
    expect([(await before!).reason, (await after!).reason]).toEqual(['cutoff', 'permitted']);
    expect(await reasonOf(b, 'lifted')).toBe('permitted');
    expect(b.view.locks.record(id)).toEqual(a.view.locks.record(id));
    for (const grant of ['grt_1', 'grt_2', 'grt_3'])
      expect(b.grants.record(grant)).toEqual(a.grants.record(grant));
    expect(b.grants.isInForce('grt_1', NOW_S)).toBe(true);
    expect(b.grants.isInForce('grt_2', NOW_S)).toBe(false);
    for (const one of [await enforced, await kept]) {
      expect(b.effects.outcome(one.id)?.state).toBe('enforced');
      expect(b.effects.isUnfinished(one.id)).toBe(false);
    }
    // A stale replica would append the lifted lock again: it does not come back.
    expect(b.view.locks.isInForce(id, NOW_S)).toBe(false);
    await grow(fleet, b, 15);
    expect(b.snapshots.statement).toEqual(a.snapshots.statement);
  });

  it('lets go what has ended at a mark, by the time that the mark says, and not before', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    const ending = { ...jti('ending'), untilS: NOW_S + 100 };
    await a.revoker.revoke(orderOf({ targets: [ending, { ...jti('later'), untilS: NOW_S + 200_000 }] }));
    await a.revoker.revoke(orderOf({ targets: [{ ...ending, value: 'other' }], request: { other: true } }));
    await pass(fleet.clock, 110_000);
    expect([a.view.size, b.view.size]).toEqual([3, 3]);
    await markAt(fleet, a, NOW_S + 90);
    expect([a.view.size, b.view.size]).toEqual([3, 3]);
    await markAt(fleet, b, NOW_S + 105);
    expect([a.view.size, b.view.size]).toEqual([1, 1]);
    // An Idempotency-Key may still ask for it.
    expect(a.view.records({ limit: 9 })).toHaveLength(2);
    fleet.clock.advance(90_000_000);
    await pass(fleet.clock, 3_000);
    await markAt(fleet, a, NOW_S + 89_000);
    expect(a.view.records({ limit: 9 })).toHaveLength(1);
    expect(a.snapshots.statement).toEqual(b.snapshots.statement);
    // A time that goes back changes nothing: it was over.
    await markAt(fleet, a, NOW_S);
    expect(a.snapshots.statement).toEqual(b.snapshots.statement);
  });

  it('hands on what is not enforced yet, and lets it go with what it is about', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    const said = { caller: 'admin', body: 'b'.repeat(64) };
    const targets = [{ ...jti('open'), untilS: NOW_S + 100 }];
    await a.appender.append(a.appender.seal({ id: 'rev_open', kind: 'revocation', targets, ...said }));
    const reached = { revocation: 'rev_open', state: 'partial', receipt: 'f'.repeat(64) } as const;
    const sessions = { matched: 1, killed: 0, unconfirmed: 1 };
    await a.appender.append(a.appender.seal({ id: 'out_1', kind: 'outcome', ...reached, ...sessions }));
    await markAt(fleet, a, NOW_S - 100);
    const b = await join(fleet, 'b');
    expect(b.effects.isUnfinished('rev_open')).toBe(true);
    expect(b.effects.outcome('rev_open')?.state).toBe('partial');
    await markAt(fleet, b, NOW_S - 90);
    expect(b.snapshots.statement).toEqual(a.snapshots.statement);
    fleet.clock.advance(90_000_000);
    await pass(fleet.clock, 3_000);
    await markAt(fleet, b, NOW_S + 89_000);
    for (const one of [a, b]) {
      expect(one.effects.isUnfinished('rev_open')).toBe(false);
      expect(one.effects.outcome('rev_open')).toBeUndefined();
    }
  });

  it('lets nothing leave by the clock between two marks, where replicas compare', () => {
    expect(makeReplica({ name: 'x', snapshotEvery: EVERY }).snapshots.forgetS(NOW_S)).toBe(0);
    expect(makeReplica({ name: 'x' }).snapshots.forgetS(NOW_S)).toBe(NOW_S);
  });

  it('trims nothing while a replica that may hold a lease has not said the digest (THREATS 10.17)', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    // Another table than everybody's: as a bug, or a disk, would make it.
    b.view.restoreRecord({ ...recordOf(a), id: 'rev_nobody_appended' }, Number.POSITIVE_INFINITY);
    await grow(fleet, a, 40);
    expect(isTrimmed(fleet)).toBe(false);
    const said = 'the snapshot is not what this replica holds: nothing will be trimmed';
    const differing = [a, b].filter((one) => errorsOf(one).includes(said));
    expect(differing).toHaveLength(1);
    expect(differing[0]?.snapshots.agrees).toBe(false);
    // What it does not hold itself it has not lost either.
    expect(b.view.record('rev_nobody_appended')).toBeDefined();
  });

  it('passes over a mark that is ahead of its clock, and trims nothing by it', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    await a.revoker.revoke(
      orderOf({ targets: [{ ...jti('ending'), untilS: NOW_S + 1_000 }], wait: 'durable' }),
    );
    await pass(fleet.clock, 500);
    await markAt(fleet, a, NOW_S + 2_000);
    expect(errorsOf(a)).toEqual(['a mark is ahead of this clock and was passed over']);
    expect(a.snapshots.statement).toBeUndefined();
    expect(await reasonOf(a, 'ending')).toBe('revoked');
    expect(fleet.server.readSnapshot()).toBeUndefined();
  });

  it('tries again what the store did not take', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    a.store.next('writeSnapshot', 'lose-request');
    a.store.next('trim', 'lose-reply');
    await growUntilTrimmed(fleet, a);
    await pass(fleet.clock, 12_000);
    expect(a.log.filter(({ sentence }) => sentence === 'a snapshot waits')).toHaveLength(1);
    expect(await reasonOf(a, 'g0')).toBe('revoked');
  });

  it('goes on when what it would write down cannot be, or another mark has come meanwhile', async () => {
    const fleet: Fleet = { clock: new FakeClock(), server: new MemoryFeedServer(), replicas: [] };
    const a = await join(fleet, 'a', { sliceMs: 0 });
    const seal = (id: string) => a.appender.seal({ id, kind: 'mark', endedBeforeS: NOW_S - 100 });
    a.store.writeSnapshot = () => Promise.reject(new Error('a bug'));
    await a.appender.append(seal('mrk_x'));
    const { position } = await a.appender.append(seal('mrk_y'));
    // The loop turns at each of thousands of pieces, and no time goes by.
    const turn = async (isOver: () => boolean): Promise<void> => {
      await pass(fleet.clock, 500);
      for (let i = 0; i < 5_000 && !isOver(); i++) await settle();
    };
    await turn(() => a.snapshots.statement !== undefined);
    expect(a.snapshots.statement?.mark).toBe(renderPosition(position));
    await pass(fleet.clock, 1_000);
    expect(a.log.find(({ sentence }) => sentence === 'a snapshot waits')).toMatchObject({ code: 'INTERNAL' });
    // No JSON has such a number.
    a.view.restoreRecord({ ...recordOf(a), id: 'rev_x', targetsCount: 1n as unknown as number }, 1e12);
    await a.appender.append(seal('mrk_z'));
    await turn(() => errorsOf(a).length > 0);
    expect(errorsOf(a)).toEqual(['a snapshot could not be made']);
    expect(isFresh(a)).toBe(true);
  });

  it('leaves a snapshot alone whose epoch is over', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    a.store.fate = (command) => (command === 'writeSnapshot' ? 'lose-request' : 'deliver');
    await grow(fleet, a, 15);
    expect(a.snapshots.statement).toBeDefined();
    fleet.server.restart();
    await pass(fleet.clock, 2_000);
    expect(isFresh(a)).toBe(true);
    a.store.fate = () => 'deliver';
    await pass(fleet.clock, 12_000);
    expect(fleet.server.readSnapshot()).toBeUndefined();
    expect(isTrimmed(fleet)).toBe(false);
  });
});

function recordOf({ view }: TestReplica): RevocationRecord {
  const [first] = view.records({ limit: 1 });
  return (
    first ?? {
      id: '',
      position: ORIGIN,
      at: '2026-11-24T05:00:00.000Z',
      caller: 'admin',
      body: '',
      targetsCount: 1,
    }
  );
}

describe('a replica that lacks what was trimmed', () => {
  /** `b` was cut off while the feed went on without it. */
  async function away(): Promise<{ fleet: Fleet; a: TestReplica; b: TestReplica }> {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    cut(b, true);
    await pass(fleet.clock, 4_000);
    await revoke(a, 'meanwhile');
    await growUntilTrimmed(fleet, a);
    return { fleet, a, b };
  }

  it('begins at the snapshot, keeps all that it had, and denies what it missed before its first yes', async () => {
    const { fleet, a, b } = await away();
    const own = b.cursor.position;
    cut(b, false);
    await pass(fleet.clock, 3_000);
    expect(isFresh(b)).toBe(true);
    expect(comparePositions(b.cursor.position, own)).toBeGreaterThan(0);
    expect(await reasonOf(b, 'meanwhile')).toBe('revoked');
    await grow(fleet, a, 15);
    expect(b.snapshots.statement).toEqual(a.snapshots.statement);
    expect(errorsOf(b).filter((sentence) => sentence !== 'no lease was renewed')).toEqual([]);
  });

  it('stays fenced and says so where there is no snapshot, or none that leads further', async () => {
    const { fleet, b } = await away();
    cut(b, false);
    b.store.readSnapshot = async () => Promise.resolve(undefined);
    await pass(fleet.clock, 2_000);
    expect(b.renewer.state).toBe('trimmed');
    expect(isFresh(b)).toBe(false);
  });

  it('goes on from its own disk, which begins at the snapshot', async () => {
    const { fleet, a } = await away();
    const c = await join(fleet, 'c');
    await revoke(a, 'after');
    await pass(fleet.clock, 1_000);
    forget(c);
    await c.stop();
    const again = await join(fleet, 'c', { ledger: c.ledger });
    expect(isFresh(again)).toBe(true);
    for (const value of ['meanwhile', 'after']) expect(await reasonOf(again, value)).toBe('revoked');
    expect(again.tree.checkpoint()).toBe(a.tree.checkpoint());
    // It had crashed before the first line was kept.
    forget(again);
    await again.stop();
    again.ledger.lines.length = 0;
    const third = await join(fleet, 'c', { ledger: again.ledger });
    expect(isFresh(third)).toBe(true);
    expect(await reasonOf(third, 'meanwhile')).toBe('revoked');
  });
});

describe('a fleet whose store forgot after it was trimmed', () => {
  /** `a` holds everything, `b` and whoever it calls begin at a snapshot. */
  async function based(): Promise<{ fleet: Fleet; a: TestReplica; b: TestReplica }> {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    await revoke(a, 'first');
    await growUntilTrimmed(fleet, a);
    const b = await join(fleet, 'b');
    await grow(fleet, b, 3);
    return { fleet, a, b };
  }

  it('is given the snapshot back, and the lines after it, by a witness that holds no more', async () => {
    const { fleet, a, b } = await based();
    cut(a, true);
    fleet.server.flush();
    await pass(fleet.clock, 2_000);
    expect(isFresh(b)).toBe(true);
    expect(fleet.server.lines[0]?.sealed.entry.kind).toBe('mark');
    const c = await join(fleet, 'c');
    expect(isFresh(c)).toBe(true);
    expect(await reasonOf(c, 'first')).toBe('revoked');
    // Who holds everything goes on, too.
    cut(a, false);
    await pass(fleet.clock, 3_000);
    expect(isFresh(a)).toBe(true);
    expect(a.tree.checkpoint()).toBe(b.tree.checkpoint());
  });

  it('lets a newcomer begin at the snapshot while it is closed, which then follows like the others', async () => {
    const { fleet, a, b } = await based();
    for (const one of [a, b]) cut(one, true);
    await pass(fleet.clock, 4_000);
    fleet.server.restart();
    const c = await join(fleet, 'c');
    expect(c.ledger.base).toBeDefined();
    expect(c.cursor.position).toEqual(a.cursor.position);
    expect(isFresh(c)).toBe(false);
    for (const one of [a, b]) cut(one, false);
    await pass(fleet.clock, 4_000);
    for (const one of [a, b, c]) expect(isFresh(one)).toBe(true);
    expect(await reasonOf(c, 'first')).toBe('revoked');
    expect(errorsOf(c)).toEqual([]);
  });

  it('goes on where the store kept what it had', async () => {
    const { fleet, a, b } = await based();
    fleet.server.restart();
    await pass(fleet.clock, 2_000);
    for (const one of [a, b, await join(fleet, 'c')]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'first')).toBe('revoked');
    }
  });

  describe('and where one was away for long', () => {
    /** All but `c` begin at a snapshot, and all lease and the store's disk are lost. */
    async function away(): Promise<{ fleet: Fleet; b: TestReplica; c: TestReplica }> {
      const fleet = await start('a');
      const [a] = fleet.replicas as [TestReplica];
      const c = await join(fleet, 'c', { bootstrap: false });
      await revoke(a, 'first');
      cut(c, true);
      await growUntilTrimmed(fleet, a);
      const b = await join(fleet, 'b', { bootstrap: false });
      await a.stop();
      await pass(fleet.clock, 1_000);
      cut(b, true);
      await pass(fleet.clock, 4_000);
      fleet.server.forget();
      cut(b, false);
      await pass(fleet.clock, 1_000);
      return { fleet, b, c };
    }

    it('begins again by itself, and the fleet with it', async () => {
      const { fleet, b, c } = await away();
      expect(epochOf(b)).toContain('it waits for c');
      cut(c, false);
      await pass(fleet.clock, 5_000);
      for (const one of [b, c]) {
        expect(isFresh(one), epochOf(one)).toBe(true);
        for (const value of ['first', 'g0']) expect(await reasonOf(one, value)).toBe('revoked');
      }
      expect(c.ledger.base).toBeDefined();
    });

    it('waits for an operator where it cannot, and says why', async () => {
      const { fleet, b, c } = await away();
      c.store.readSnapshot = () => Promise.resolve(undefined);
      cut(c, false);
      await pass(fleet.clock, 5_000);
      expect(isFresh(b)).toBe(false);
      fleet.clock.advance(60_000);
      expect(epochOf(b)).toMatch(
        /is closed; c reports \d+-\d+, which is before the snapshot that this ledger begins with: if nothing was decided there that is not here, writ epoch open --accept-amnesia --reason '…', here$/,
      );
    });
  });

  it('stays closed while somebody reports a place that whoever has most cannot judge any more', async () => {
    const { fleet, a, b } = await based();
    fleet.server.isReachable = false;
    await pass(fleet.clock, 4_000);
    fleet.server.forget();
    fleet.server.isReachable = true;
    await pass(fleet.clock, 3_000);
    // Both hold the same: the roster reopens.
    for (const one of [a, b]) expect(isFresh(one)).toBe(true);
    expect(await reasonOf(await join(fleet, 'c'), 'first')).toBe('revoked');
  });
});

describe('a replica that holds more than the others, because the store lost what only it had', () => {
  /** What `only` does while `a` is cut off is lost, and `a` opens the next epoch without it. */
  async function lose(only: (fleet: Fleet, b: TestReplica) => Promise<void>): Promise<Fleet> {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await grow(fleet, a, 2);
    cut(a, true);
    await pass(fleet.clock, 100);
    await only(fleet, b);
    for (const one of fleet.replicas.slice(1)) cut(one, true);
    fleet.server.flush();
    cut(a, false);
    await pass(fleet.clock, 1_500);
    // Where that took longer than its lease, an operator says that it is the one to go on.
    if (!isFresh(a)) await a.replica.openEpoch('accept-amnesia', 'a test');
    await pass(fleet.clock, 1_500);
    expect(isFresh(a), epochOf(a)).toBe(true);
    return fleet;
  }

  async function comeBack(fleet: Fleet): Promise<void> {
    for (const one of fleet.replicas) cut(one, false);
    await pass(fleet.clock, 5_000);
    for (const one of fleet.replicas) expect(isFresh(one), one.renewer.state).toBe(true);
  }

  const expectOneFold = async (fleet: Fleet): Promise<void> => {
    await growUntilTrimmed(fleet, fleet.replicas[0] as TestReplica);
    for (const one of fleet.replicas) {
      expect(one.snapshots.agrees).toBe(true);
      expect(one.cursor.tails).toEqual([]);
      expect(one.snapshots.statement).toEqual(fleet.replicas[0]?.snapshots.statement);
    }
  };

  it('holds the same as they do once that was appended again, and the fleet goes on trimming', async () => {
    const fleet = await lose(async ({ clock }, b) => {
      await revoke(b, 'alone');
      await revoke(b, 'both');
      const out = {
        kind: 'outcome',
        revocation: 'rev_x',
        state: 'partial',
        receipt: 'f'.repeat(64),
      } as const;
      const reached = { matched: 0, killed: 0, unconfirmed: 0 };
      await b.appender.append(b.appender.seal({ id: 'out_x', ...out, ...reached }));
      await pass(clock, 500);
    });
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    expect(await reasonOf(b, 'alone')).toBe('revoked');
    // The same target, in the meantime, by another order: which of the two is named must not depend on who came first.
    await a.revoker.revoke(orderOf({ targets: [jti('both')], caller: 'other', wait: 'durable' }));
    await comeBack(fleet);
    for (const one of [a, b]) expect(await reasonOf(one, 'alone')).toBe('revoked');
    await expectOneFold(fleet);
  });

  it('brings who joined before what they signed, who left, and who succeeds whom', async () => {
    const fleet = await lose(async (lost) => {
      const c = await join(lost, 'c');
      const die = async (one: TestReplica): Promise<void> => {
        cut(one, true);
        forget(one);
        await one.stop();
      };
      await die(c);
      const again = await join(lost, 'c', { ledger: c.ledger });
      const d = await join(lost, 'd');
      await revoke(again, 'by-c');
      await pass(lost.clock, 300);
      await d.stop();
      // It never comes back.
      await die(again);
    });
    const [a] = fleet.replicas as [TestReplica];
    await comeBack(fleet);
    expect(await reasonOf(a, 'by-c')).toBe('revoked');
    expect(errorsOf(a)).not.toContain('an entry without a valid signature was ignored');
    expect(
      a.members
        .list()
        .map(({ replica, state }) => `${replica} ${state}`)
        .toSorted(),
    ).toEqual(['a joined', 'b joined', 'c joined', 'c succeeded', 'd left'].toSorted());
    await expectOneFold(fleet);
  });

  it('appends nothing that nobody signed, though it stands in its ledger', async () => {
    const fleet = await lose(async ({ clock }, b) => {
      const { text, entry } = b.appender.seal({
        id: 'lft_x',
        kind: 'lift',
        lock: 'l',
        untilS: NOW_S,
        caller: 'x',
      });
      const sig = 'A'.repeat(86);
      await b.store.append(b.cursor.epochId as string, {
        text: text.replace(/"sig":"[^"]*"/, `"sig":"${sig}"`),
        entry: { ...entry, sig },
      });
      await pass(clock, 500);
    });
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await comeBack(fleet);
    expect(fleet.server.lines.map(({ sealed }) => sealed.entry.id)).not.toContain('lft_x');
    expect(errorsOf(a)).not.toContain('an entry without a valid signature was ignored');
    expect(b.cursor.tails).toEqual([]);
  });
});

describe('a snapshot that is not to be believed', () => {
  /** What becomes of a newcomer where the store holds `make` of the real one. */
  async function newcomer(
    make: (snapshot: Snapshot, by: TestReplica) => Snapshot,
  ): Promise<{ c: TestReplica; detail: string | undefined; fleet: Fleet; real: Snapshot }> {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    await growUntilTrimmed(fleet, a);
    const real = fleet.server.readSnapshot() as Snapshot;
    const seed = seeds + 1;
    const c = makeReplica({
      clock: fleet.clock,
      server: fleet.server,
      name: 'c',
      seed,
      snapshotEvery: EVERY,
    });
    const given = make(real, a);
    c.store.readSnapshot = async () => Promise.resolve(given);
    await c.start();
    await pass(fleet.clock, 2_000);
    expect(isFresh(c)).toBe(false);
    expect(await reasonOf(c, 'g0')).not.toBe('permitted');
    const refusal = c.log.find(({ sentence }) => sentence === 'the snapshot in the store was refused');
    return { c, detail: refusal?.detail as string | undefined, fleet, real };
  }

  it('is read again after a while only, and whoever needs it says why it has none', async () => {
    const { c, fleet } = await newcomer((one) => ({ ...one, entry: 'x' }));
    let times = 0;
    const { readSnapshot } = c.store as { readSnapshot: () => Promise<Snapshot | undefined> };
    c.store.readSnapshot = () => {
      times += 1;
      return readSnapshot();
    };
    await pass(fleet.clock, 25_000);
    expect(times).toBeGreaterThanOrEqual(2);
    expect(times).toBeLessThanOrEqual(5);
    expect(readinessOf(c, 'store')).toContain('entry is not JSON');
  });

  /** Says of `snapshot` what a member would who had made it. */
  function signed(snapshot: Snapshot, by: TestReplica): Snapshot {
    const digest = runAtOnce(digesting(snapshot.chunks));
    const mark = renderPosition(snapshot.position);
    const { text } = by.appender.seal({ id: 'snp', kind: 'snapshot', mark, digest, sizeBytes: 1 });
    return { ...snapshot, digest, entry: text };
  }

  const altered = (chunks: readonly Uint8Array[], at: number, text: string): readonly Uint8Array[] =>
    chunks.map((chunk, i) => (i === at ? Buffer.from(text) : chunk));

  it.each<readonly [string, RegExp, (snapshot: Snapshot, by: TestReplica) => Snapshot]>([
    ['altered', /digest/, (one) => ({ ...one, chunks: altered(one.chunks, 1, 'x') })],
    ['cut short', /digest/, (one) => ({ ...one, chunks: one.chunks.slice(0, -1) })],
    ['empty', /digest/, (one) => ({ ...one, chunks: [] })],
    ['named by no entry', /entry is not JSON/, (one) => ({ ...one, entry: 'x' })],
    [
      'named by an entry of another kind',
      /no snapshot entry/,
      (one, by) => ({ ...one, entry: by.appender.seal({ id: 'm', kind: 'mark', endedBeforeS: 1 }).text }),
    ],
    [
      'of another place than its entry says',
      /another place/,
      (one, by) => ({ ...signed({ ...one, position: { epoch: 1, sequence: 2 } }, by) }),
    ],
    ['of another epoch than it says', /another place/, (one) => ({ ...one, epochId: 'ep_other' })],
    [
      'signed with the key of a replica alone',
      /nobody of this fleet/,
      (one, { identity: { key } }) => {
        const { sig: _, ...unsigned } = parseEntry(one.entry).entry;
        return { ...one, entry: sealEntry(unsigned, key).text };
      },
    ],
    [
      'signed in the name of a member',
      /nobody of this fleet/,
      (one) => ({ ...one, entry: one.entry.replace(/"sizeBytes":\d+/, '"sizeBytes":9') }),
    ],
    [
      'with a header of no known shape',
      /header/,
      (one, by) => signed({ ...one, chunks: altered(one.chunks, 0, '\0{}') }, by),
    ],
    [
      'with a header that is none',
      /header/,
      (one, by) => signed({ ...one, chunks: altered(one.chunks, 0, '\0{') }, by),
    ],
    ['with a position that is none', /position/, (one, by) => signed(withHeader(one, { position: 'x' }), by)],
    [
      'of another kind of entry than a mark',
      /of no mark/,
      (one, by) =>
        signed(
          withHeader(one, {
            mark: by.appender.seal({ id: 'l', kind: 'lift', lock: 'x', untilS: 1, caller: 'y' }).text,
          }),
          by,
        ),
    ],
    [
      'of no epoch',
      /of no epoch/,
      (one, by) =>
        signed(
          withHeader(one, { opening: by.appender.seal({ id: 'm', kind: 'mark', endedBeforeS: 1 }).text }),
          by,
        ),
    ],
    [
      'of an epoch that a stranger has opened',
      /nobody of this fleet has opened/,
      (one, by) => {
        const { opening } = headerOf(one);
        return signed(withHeader(one, { opening: opening.replace(/"runId":"[^"]*"/, '"runId":"x"') }), by);
      },
    ],
    ['with no chunks', /header/, (one, by) => signed({ ...one, chunks: [] }, by)],
    [
      'with a frontier in another spelling',
      /frontier/,
      (one, by) => signed(withHeader(one, { frontier: ['_'.repeat(43)] }), by),
    ],
    ['with a frontier that is none', /header/, (one, by) => signed(withHeader(one, { frontier: ['x'] }), by)],
    [
      'ahead of the clock',
      /ahead of this clock/,
      (one, by) => signed(withHeader(one, { endedBeforeS: 2_000_000_000 }), by),
    ],
    [
      'with a false certificate',
      /certificate/,
      (one, by) =>
        signed(
          {
            ...one,
            chunks: altered(one.chunks, 1, '\x01{"is":"member","certificate":"x","state":"joined"}\n'),
          },
          by,
        ),
    ],
    [
      'with an item of no known shape',
      /no known shape/,
      (one, by) => signed({ ...one, chunks: altered(one.chunks, 1, '\x01{}\n') }, by),
    ],
    [
      'with an item that is none',
      /no known shape/,
      (one, by) => signed({ ...one, chunks: altered(one.chunks, 1, '\x01{\n') }, by),
    ],
    ...['x', 'AAAAAAAAAAA'].map(
      (dead) =>
        [
          `with ${dead} for what a revocation has made dead`,
          /cannot be read/,
          (one: Snapshot, by: TestReplica) =>
            signed({ ...one, chunks: [...one.chunks, openWith({ dead })] }, by),
        ] as const,
    ),
  ])('is refused when it is %s', async (_, why, make) => {
    expect(String((await newcomer(make)).detail)).toMatch(why);
  });

  it.each<readonly [string, (snapshot: Snapshot) => readonly Uint8Array[]]>([
    ['a packed record that is cut', ({ chunks }) => [...chunks, Buffer.from([2, 0, 0])]],
    [
      'a packed record that refers to nothing',
      ({ chunks }) => [...chunks, Buffer.concat([Buffer.of(2), Buffer.alloc(16, 0x11)])],
    ],
    ['a chunk of no known kind', ({ chunks }) => [...chunks, Buffer.of(9)]],
  ])('is refused with %s, though a member signed it, until there is a whole one', async (_, make) => {
    const { c, detail, fleet, real } = await newcomer((one, by) => signed({ ...one, chunks: make(one) }, by));
    expect(detail).toBeDefined();
    expect(c.grants.kept).toBe(0);
    c.store.readSnapshot = async () => Promise.resolve(real);
    await pass(fleet.clock, 11_000);
    expect(isFresh(c)).toBe(true);
    expect(await reasonOf(c, 'g0')).toBe('revoked');
  });

  it('is loaded though it does not say what a revocation has made dead, as a version before this one', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    await growUntilTrimmed(fleet, a);
    const { clock, server } = fleet;
    const real = server.readSnapshot() as Snapshot;
    const c = makeReplica({ clock, server, name: 'c', seed: 98, snapshotEvery: EVERY });
    const earlier = signed({ ...real, chunks: [...real.chunks, openWith({})] }, a);
    c.store.readSnapshot = async () => Promise.resolve(earlier);
    await c.start();
    await pass(clock, 2_000);
    expect([isFresh(c), c.effects.isUnfinished('rev_open')]).toEqual([true, true]);
  });

  it('is no reason to go on where the disk does not take it', async () => {
    const fleet = await start('a');
    await growUntilTrimmed(fleet, fleet.replicas[0] as TestReplica);
    const { clock, server } = fleet;
    const c = makeReplica({ clock, server, name: 'c', seed: 99, snapshotEvery: EVERY });
    c.ledger.onKeep = () => {
      throw new Error('disk');
    };
    await c.start();
    await pass(clock, 1_000);
    expect(isFresh(c)).toBe(false);
    expect(errorsOf(c)).toContain('the feed could not be joined');
  });

  it('is passed over by who is further', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    await growUntilTrimmed(fleet, a);
    expect(await a.loader.load()).toBe(false);
    expect(errorsOf(a)).toEqual([]);
  });
});

/** A chunk with a revocation that is not enforced. */
function openWith(over: { readonly dead?: string }): Uint8Array {
  const said = { at: '2026-11-24T05:00:00.000Z', caller: 'admin', body: '', targetsCount: 1 };
  const open = { is: 'revocation', id: 'rev_open', position: '1-1', ...said, isUnfinished: true, ...over };
  return Buffer.from(`\x01${JSON.stringify(open)}\n`);
}

function headerOf({ chunks: [first = Buffer.of()] }: Snapshot): { readonly opening: string } {
  return JSON.parse(Buffer.from(first).toString('utf8', 1)) as { opening: string };
}

function withHeader(snapshot: Snapshot, over: Record<string, unknown>): Snapshot {
  const first = Buffer.from(`\0${JSON.stringify({ ...headerOf(snapshot), ...over })}`);
  return { ...snapshot, chunks: [first, ...snapshot.chunks.slice(1)] };
}

it('who begins at a snapshot while the store restarts is there soon after the others', async () => {
  const clock = new FakeClock();
  const server = new MemoryFeedServer();
  const a = await startSettled({ clock, server, name: 'a', snapshotEvery: 10, exclusive: false });
  await pass(clock, 4_000);
  const c = makeReplica({
    ...{ clock, server, name: 'c', seed: 9, snapshotEvery: 10 },
    ...{ exclusive: false, bootstrap: false },
  });
  await c.start();
  await pass(clock, 4_000);
  expect(isFresh(c)).toBe(true);
  cut(c, true);
  for (let i = 0; i < 60 && (server.lines[0]?.position.sequence ?? 0) <= 8; i++) {
    await a.revoker.revoke(orderOf({ targets: [jti(`g${i}`)], wait: 'durable' }));
    await pass(clock, 600);
  }
  expect(server.lines[0]?.position.sequence).toBeGreaterThan(8);
  let isFirst = true;
  const readSnapshot = c.store.readSnapshot.bind(c.store);
  c.store.readSnapshot = async () => {
    const snapshot = await readSnapshot();
    // It is read by pieces, and the store restarts after the last one.
    if (isFirst) {
      isFirst = false;
      server.restart();
    }
    return snapshot;
  };
  cut(c, false);
  await pass(clock, 1_500);
  expect(isFresh(a)).toBe(true);
  await pass(clock, 3_000);
  expect(isFresh(c)).toBe(true);
});
