/** Orders to lock and lift, from the order to its proof. */
import { describe, expect, it } from 'vitest';
import { noteKeyOf } from '../../src/evidence/note.ts';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import type { Target } from '../../src/feed/entry.ts';
import { Authoriser } from '../../src/flows/authorise.ts';
import type { RevocationOrder, RevocationStatus } from '../../src/flows/revoke.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass, startReplica as start } from '../support/replicas.ts';

const NOW_MS = 1_800_000_000_000;
const NOW_S = NOW_MS / 1000;
const TOKEN = tokenOf('billing', 'j1', NOW_S);
const BILLING: Target = {
  kind: 'subject',
  issuer: ISSUER,
  value: 'billing',
  cutoffS: NOW_S,
  untilS: NOW_S + 9,
};

function lockOrder(over: Partial<RevocationOrder> = {}): RevocationOrder {
  return orderOf({ targets: [BILLING], expiresAtMs: NOW_MS + 60_000, reason: 'odd', ...over });
}

async function lock(replica: TestReplica, over: Partial<RevocationOrder> = {}): Promise<RevocationStatus> {
  const pending = replica.revoker.revoke(lockOrder(over));
  pending.catch(() => undefined);
  await settle();
  await pass(replica.clock, 100);
  return pending;
}

async function openSession(replica: TestReplica): Promise<string> {
  const request = { ...requestOf(TOKEN), subject: undefined };
  const { id = '' } = await replica.keeper.open({ kind: 'test', selfEnds: false, request });
  return id;
}

const ask = (replica: TestReplica) => replica.checker.check(requestOf(TOKEN));

describe('an order to lock', () => {
  it('is enforced as a revocation is, with a receipt that says that it is a lock and until when', async () => {
    const replica = await start();
    expect(ask(replica)).toMatchObject({ effect: 'allow' });
    const status = await lock(replica);
    expect(status).toMatchObject({ state: 'enforced', closure: 'CLOSED', isReached: true, seen: true });
    expect(status.id).toMatch(/^lck_/);
    expect(ask(replica)).toMatchObject({ reason: 'locked', revocation: status.id });
    const receipt = await replica.revoker.receipt(status.id);
    expect(verifyReceipt(receipt, [noteKeyOf('writ/test', replica.logKey.public)])).toMatchObject({
      id: status.id,
      kind: 'lock',
      state: 'enforced',
      expiresAt: new Date(NOW_MS + 60_000).toISOString(),
      // Neither a cutoff nor an end of its own: the lock ends as a whole.
      targets: [{ kind: 'subject', issuer: ISSUER, value: 'billing' }],
      notCovered: expect.arrayContaining([
        'the time after the lock was lifted or ended by itself',
      ]) as unknown,
    });
    await settle();
    expect(await replica.revoker.status(status.id)).toMatchObject({ state: 'enforced', lateAccepts: 0 });
    expect(replica.view.record(status.id)).toBeUndefined();
  });

  it('waits for the sessions that it kills', async () => {
    const replica = await start();
    const session = await openSession(replica);
    const pending = replica.revoker.revoke(lockOrder());
    await settle();
    expect(replica.keeper.ping(session).kill).toMatchObject({ reason: 'locked' });
    replica.keeper.closed(session);
    await pass(replica.clock, 100);
    expect(await pending).toMatchObject({ state: 'enforced', sessions: { matched: 1, killed: 1 } });
  });

  it('shows accepts that came although it was enforced', async () => {
    const replica = await start();
    const { id } = await lock(replica);
    await settle();
    const handles = replica.fingerprinter.print([{ kind: 'sub', parts: [ISSUER, 'billing'] }]);
    replica.lastAccepts.record(handles, NOW_S + 9, replica.clock.now().wallMs);
    expect(await replica.revoker.status(id)).toMatchObject({ state: 'enforced', lateAccepts: 1 });
  });

  it('under one Idempotency-Key is one lock, also once it is over; another body is a conflict', async () => {
    const replica = await start();
    const order = { idempotencyKey: 'k', request: { a: 1 }, expiresAtMs: NOW_MS + 5_000 };
    const [one, two] = [await lock(replica, order), await lock(replica, order)];
    expect(two.id).toBe(one.id);
    expect(
      await replica.revoker.revoke(orderOf({ targets: [BILLING], idempotencyKey: 'k' })),
    ).not.toMatchObject({
      id: one.id,
    });
    await expect(lock(replica, { ...order, request: { a: 2 } })).rejects.toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
    });
    await pass(replica.clock, 6_000);
    expect(await lock(replica, order)).toMatchObject({ id: one.id, state: 'enforced' });
  });

  it.each([
    [NOW_MS, 'past'],
    [NOW_MS - 1, 'past'],
    [NOW_MS + LIMITS.lockLifeMaxMs + 1_000, 'days ahead'],
  ])('that would end at %s is refused before anything is appended', async (expiresAtMs, said) => {
    const replica = await start();
    const before = replica.server.lines.length;
    await expect(lock(replica, { expiresAtMs })).rejects.toMatchObject({
      code: 'TIME_INVALID',
      field: 'expiresAt',
      message: expect.stringContaining(said) as string,
    });
    expect(replica.server.lines).toHaveLength(before);
  });

  it('ends on a whole second, never before it was to end', async () => {
    const replica = await start();
    await lock(replica, { expiresAtMs: NOW_MS + 1_001 });
    replica.clock.advance(1_800);
    await settle();
    expect(ask(replica)).toMatchObject({ reason: 'locked' });
    replica.clock.advance(100);
    await settle();
    expect(ask(replica)).toMatchObject({ effect: 'allow' });
  });

  it('is refused when too much is locked, and what is locked stays so', async () => {
    const replica = await start();
    const { id } = await lock(replica);
    Object.defineProperty(replica.view.locks, 'size', { value: LIMITS.lockedHandlesMax, configurable: true });
    await expect(lock(replica)).rejects.toMatchObject({ code: 'OVERLOADED' });
    Reflect.deleteProperty(replica.view.locks, 'size');
    expect(ask(replica)).toMatchObject({ revocation: id });
  });
});

describe('a lock that is over before it is proven', () => {
  it('is never called enforced: lifted while a session is silent, it answers at once what it reached', async () => {
    const replica = await start();
    await openSession(replica);
    const pending = replica.revoker.revoke(lockOrder({ waitMs: 30_000 }));
    await settle();
    const [{ record } = { record: undefined }] = replica.view.locks.inForce(NOW_S);
    const lifting = replica.lifter.lift(record?.id ?? '', 'admin');
    await settle();
    expect(await lifting).toMatchObject({ isApplied: true });
    await pass(replica.clock, 200);
    const status = await pending;
    expect(status).toMatchObject({ isReached: false, hasReceipt: false });
    expect(status.state).not.toBe('enforced');
    await pass(replica.clock, 3_000);
    expect(await replica.revoker.status(status.id)).toMatchObject({ hasReceipt: false });
    expect((await replica.revoker.status(status.id)).state).not.toBe('enforced');
    expect(replica.effects.outcome(status.id)).toBeUndefined();
  });

  it('is not proven after its end either, though every session has closed by then', async () => {
    const replica = await start();
    const session = await openSession(replica);
    const pending = replica.revoker.revoke(lockOrder({ expiresAtMs: NOW_MS + 1_000, waitMs: 30_000 }));
    await settle();
    await pass(replica.clock, 1_000);
    replica.keeper.closed(session);
    await pass(replica.clock, 500);
    expect(await pending).toMatchObject({ isReached: false, hasReceipt: false });
  });

  it('is not proven when it ends between the last reading and the receipt', async () => {
    const replica = await start({ exclusive: false });
    await pass(replica.clock, 4_000);
    const judge = replica.table.judge.bind(replica.table);
    let isLate = false;
    replica.table.judge = (question, now) => {
      const answer = judge(question, now);
      // Everyone has said so; what follows is the last reading.
      if (answer.rule !== undefined && !isLate) {
        isLate = true;
        replica.clock.setForward(2_000);
      }
      return answer;
    };
    const pending = replica.revoker.revoke(lockOrder({ expiresAtMs: NOW_MS + 4_000 + 2_000, waitMs: 1_000 }));
    await settle();
    await pass(replica.clock, 1_200);
    const status = await pending;
    expect(isLate).toBe(true);
    expect(status.state).not.toBe('enforced');
    await pass(replica.clock, 200);
    expect(replica.server.lines.some(({ sealed }) => sealed.entry.kind === 'outcome')).toBe(false);
  });
});

describe('a lock that is over on one replica and in force on another', () => {
  const statusOf = ({ state, sessions: { matched, unconfirmed } }: RevocationStatus) => ({
    state,
    matched,
    unconfirmed,
  });

  it('is not called enforced by the one whose clock is behind while a session is silent at the other', async () => {
    const [clock, ahead] = [new FakeClock(), new FakeClock()];
    const server = new MemoryFeedServer();
    const passBoth = async (ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 100) {
        ahead.advance(100);
        await pass(clock, 100);
      }
    };
    const a = await start({ clock, server, exclusive: false });
    await passBoth(4_000);
    ahead.setForward(2_000);
    const b = await start({ clock: ahead, server, name: 'b', exclusive: false });
    await passBoth(4_000);
    const session = await openSession(b);
    const expiresAtMs = clock.now().wallMs + 4_000;
    const pending = a.revoker.revoke(lockOrder({ expiresAtMs, waitMs: 3_900 }));
    await passBoth(3_000);
    const [{ record } = { record: undefined }] = a.view.locks.inForce(Math.floor(clock.now().wallMs / 1000));
    const id = record?.id ?? '';
    expect(b.view.locks.isInForce(id, Math.floor(ahead.now().wallMs / 1000))).toBe(false);
    const asked = a.revoker.status(id);
    await passBoth(200);
    expect(statusOf(await asked)).toEqual({ state: 'partial', matched: 1, unconfirmed: 1 });
    await passBoth(1_000);
    expect((await pending).state).not.toBe('enforced');
    // It has closed: nobody is answered for any more.
    expect(b.sessions.claims()).toEqual([id]);
    b.keeper.closed(session);
    await passBoth(600);
    expect(b.sessions.claims()).toEqual([]);
  });

  it('is not called enforced by the one that has not read the lift', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const a = await start({ clock, server, exclusive: false });
    await pass(clock, 4_000);
    const b = await start({ clock, server, name: 'b', exclusive: false });
    await pass(clock, 4_000);
    await openSession(b);
    const pending = a.revoker.revoke(lockOrder({ waitMs: 9_000 }));
    await settle();
    await pass(clock, 200);
    const id = a.view.locks.inForce(NOW_S)[0]?.record.id ?? '';
    // What it reads from now on comes late.
    const renew = a.store.renew.bind(a.store);
    const late = Promise.withResolvers<void>();
    a.store.renew = async (request) => {
      await late.promise;
      return renew(request);
    };
    const lifting = b.lifter.lift(id, 'admin');
    await pass(clock, 1_500);
    expect(await lifting).toMatchObject({ isApplied: true });
    expect(a.view.locks.isInForce(id, NOW_S)).toBe(true);
    late.resolve();
    await pass(clock, 1_500);
    expect((await pending).state).not.toBe('enforced');
    expect(
      server.lines.filter(({ sealed: { entry } }) => 'state' in entry && entry.state === 'enforced'),
    ).toEqual([]);
  });
});

describe('an order to lift', () => {
  it('is in force here when it is answered, and the subject is let in again', async () => {
    const replica = await start();
    const { id } = await lock(replica);
    const lifting = replica.lifter.lift(id, 'admin');
    await settle();
    expect(await lifting).toMatchObject({ isApplied: true, wasOver: false, boundMs: 3_252 });
    expect(ask(replica)).toMatchObject({ effect: 'allow' });
  });

  it('twice is one tombstone, says that it was over, and appends nothing', async () => {
    const replica = await start();
    const { id } = await lock(replica);
    const both = [replica.lifter.lift(id, 'admin'), replica.lifter.lift(id, 'other')];
    await settle();
    expect(await Promise.all(both)).toMatchObject([{ wasOver: false }, { wasOver: false }]);
    const lifts = replica.server.lines.filter(({ sealed }) => sealed.entry.kind === 'lift');
    expect(lifts).toHaveLength(1);
    expect(await replica.lifter.lift(id, 'admin')).toMatchObject({ wasOver: true, isApplied: true });
    expect(replica.server.lines.filter(({ sealed }) => sealed.entry.kind === 'lift')).toHaveLength(1);
  });

  it('of a lock that ended by itself is harmless and appends nothing', async () => {
    const replica = await start();
    const { id } = await lock(replica, { expiresAtMs: NOW_MS + 1_000 });
    await pass(replica.clock, 1_000);
    expect(await replica.lifter.lift(id, 'admin')).toMatchObject({ wasOver: true });
    expect(replica.server.lines.some(({ sealed }) => sealed.entry.kind === 'lift')).toBe(false);
  });

  it('of a revocation is refused, and the credential stays dead', async () => {
    const replica = await start();
    const pending = replica.revoker.revoke(orderOf({ targets: [BILLING] }));
    await settle();
    const { id } = await pending;
    await expect(replica.lifter.lift(id, 'admin')).rejects.toMatchObject({ code: 'NOT_LIFTABLE' });
    await expect(replica.lifter.lift('lck_unknown', 'admin')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(replica.server.lines.some(({ sealed }) => sealed.entry.kind === 'lift')).toBe(false);
    expect(ask(replica)).toMatchObject({ reason: 'cutoff', revocation: id });
  });

  it('says when it has not come back in time', async () => {
    const replica = await start();
    const { id } = await lock(replica);
    const lifting = replica.lifter.lift(id, 'admin');
    for (let i = 0; i < 200; i++) replica.store.next('renew', 'lose-request');
    await settle();
    await pass(replica.clock, 6_000);
    expect(await lifting).toMatchObject({ isApplied: false, wasOver: false });
  });
});

describe('several replicas', () => {
  it('all refuse what one locks, and all let in what another lifts', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const a = await start({ clock, server, exclusive: false });
    const b = await start({ clock, server, name: 'b', exclusive: false });
    await pass(clock, 4_000);
    const session = await openSession(b);
    const pending = a.revoker.revoke(lockOrder({ expiresAtMs: NOW_MS + 60_000 }));
    await settle();
    expect(b.keeper.ping(session).kill).toMatchObject({ reason: 'locked' });
    b.keeper.closed(session);
    await pass(clock, 300);
    const { id, state, sessions } = await pending;
    expect({ state, killed: sessions.killed }).toEqual({ state: 'enforced', killed: 1 });
    expect(ask(b)).toMatchObject({ reason: 'locked', revocation: id });
    const lifting = b.lifter.lift(id, 'admin');
    await pass(clock, 600);
    expect(await lifting).toMatchObject({ isApplied: true });
    expect([ask(a), ask(b)]).toMatchObject([{ effect: 'allow' }, { effect: 'allow' }]);
  });

  it('end in different seconds when their clocks differ, each by its own', async () => {
    const clock = new FakeClock();
    const behind = new FakeClock(NOW_MS - 2_000);
    const server = new MemoryFeedServer();
    const a = await start({ clock, server, exclusive: false });
    await pass(clock, 4_000);
    const b = await start({ clock: behind, server, name: 'b', exclusive: false });
    for (let i = 0; i < 40; i++) {
      behind.advance(100);
      await pass(clock, 100);
    }
    await lock(a, { expiresAtMs: clock.now().wallMs + 1_000, wait: 'durable' });
    behind.advance(100);
    await settle();
    for (let i = 0; i < 10; i++) {
      behind.advance(100);
      await pass(clock, 100);
    }
    expect(ask(a)).toMatchObject({ effect: 'allow' });
    expect(ask(b)).toMatchObject({ reason: 'locked' });
  });
});

describe('who may', () => {
  const scopes = { lock: 'lock:subject', revoke: 'revoke:subject', grant: 'grant' } as const;

  async function callerWith(scope: string) {
    const { verifier, view, lease, policy, clock } = await start();
    const authoriser = new Authoriser({ adminToken: 'x', verifier, scopes, view, lease, policy, clock });
    const token = `${tokenOf('ops', 'c1', NOW_S)}|${scope}`;
    const caller = await authoriser.authenticate({ scheme: 'Bearer', token });
    return (need: Parameters<Authoriser['authorise']>[1]): boolean => {
      try {
        authoriser.authorise(caller, need);
        return true;
      } catch (error) {
        expect(error).toMatchObject({ code: 'FORBIDDEN' });
        return false;
      }
    };
  }

  it('lock may lift what anybody locked, up to its width', async () => {
    const may = await callerWith('lock');
    expect(may({ act: 'lock', what: 'subject' })).toBe(true);
    expect(may({ act: 'lift', what: 'token', isOwn: false })).toBe(true);
    expect(may({ act: 'lock', what: 'client' })).toBe(false);
    expect(may({ act: 'lift', what: 'client', isOwn: true })).toBe(false);
    expect(may({ act: 'revoke', what: 'token' })).toBe(false);
    expect(may({ act: 'grant' })).toBe(false);
  });

  it('revoke may lock as much, and lift only what it locked itself', async () => {
    const may = await callerWith('revoke');
    expect(may({ act: 'lock', what: 'subject' })).toBe(true);
    expect(may({ act: 'lock', what: 'client' })).toBe(false);
    expect(may({ act: 'lift', what: 'subject', isOwn: true })).toBe(true);
    expect(may({ act: 'lift', what: 'subject', isOwn: false })).toBe(false);
  });

  it('grant may take away as well, and nothing else', async () => {
    const may = await callerWith('grant');
    expect(may({ act: 'grant' })).toBe(true);
    expect(may({ act: 'ungrant' })).toBe(true);
    expect(may({ act: 'lock', what: 'token' })).toBe(false);
    expect(may({ act: 'read' })).toBe(false);
  });
});
