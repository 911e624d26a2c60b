import { describe, expect, it } from 'vitest';
import { noteKeyOf } from '../../src/evidence/note.ts';
import { receiptDigest, verifyReceipt } from '../../src/evidence/receipt.ts';
import type { RevocationEntry, SealedEntry, Target, UnsignedEntry } from '../../src/feed/entry.ts';
import { parseEntry, sealEntry } from '../../src/feed/entry.ts';
import type { RevocationStatus } from '../../src/flows/revoke.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { forget, pass, startReplica as start } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
const jti = (value: string): Target => ({ kind: 'jti', issuer: ISSUER, value });
const subject = (value: string, cutoffS = NOW_S): Target => ({
  kind: 'subject',
  issuer: ISSUER,
  value,
  cutoffS,
});

/** Moves time in small steps until `work` is done. */
async function run<T>(replica: TestReplica, work: Promise<T>, stepMs = 50, steps = 400): Promise<T> {
  let isDone = false;
  const watched = work.finally(() => (isDone = true));
  watched.catch(() => undefined);
  for (let i = 0; i < steps && !isDone; i++) {
    await settle();
    if (!isDone) replica.clock.advance(stepMs);
  }
  return watched;
}

async function openSession(replica: TestReplica, token: string, selfEnds = false): Promise<string> {
  const { id } = await replica.keeper.open({
    kind: 'test',
    selfEnds,
    request: { ...requestOf(token), subject: undefined },
  });
  return id ?? '';
}

type Unsigned = Extract<UnsignedEntry, { kind: 'revocation' }>;

const LATER = '2027-01-15T08:00:00.001Z';
const APPENDED_NOTHING = { code: 'APPEND_UNCERTAIN' };
const STRANGER = signingKeyOf(new Uint8Array(32).fill(99));

describe('a revocation', () => {
  it('is enforced, with a receipt that a stranger verifies and an outcome that names it', async () => {
    const replica = await start();
    const token = tokenOf('billing', 'j1', NOW_S);
    expect(replica.checker.check(requestOf(token))).toMatchObject({ effect: 'allow' });
    const status = await run(replica, replica.revoker.revoke(orderOf({ targets: [jti('j1')] })));
    expect(status).toMatchObject({
      state: 'enforced',
      closure: 'CLOSED',
      isReached: true,
      seen: true,
      lateAccepts: 0,
      boundMs: 3252,
    });
    expect(status.replicas).toEqual([expect.objectContaining({ replica: 'a', state: 'acknowledged' })]);
    expect(replica.revoker.received).toBe(1);
    expect(replica.revoker.enforcedS.count).toBe(1);
    expect(replica.follower.propagationS.count).toBe(1);
    await run(
      replica,
      (async () => {
        while (replica.revoker.openCount > 0) await settle();
      })(),
    );
    expect(replica.checker.check(requestOf(token))).toMatchObject({
      effect: 'deny',
      reason: 'revoked',
      revocation: status.id,
    });
    const receipt = await replica.revoker.receipt(status.id);
    const keyring = [noteKeyOf('writ/test', replica.logKey.public)];
    expect(verifyReceipt(receipt, keyring)).toMatchObject({
      id: status.id,
      state: 'enforced',
      rule: 'acknowledged',
    });
    await settle();
    expect(replica.effects.outcome(status.id)).toMatchObject({
      state: 'enforced',
      receipt: receiptDigest(receipt),
    });
    expect(replica.crashes).toContain('answer.before');
  });

  it('says what would die and appends nothing in a dry run', async () => {
    const replica = await start();
    const token = tokenOf('billing', 'j1', NOW_S);
    void replica.checker.check(requestOf(token));
    await openSession(replica, token);
    const before = replica.server.lines.length;
    expect(await replica.revoker.dryRun([jti('j1'), jti('other')])).toMatchObject({
      targets: 2,
      sessions: 1,
      seen: true,
    });
    expect(await replica.revoker.dryRun([jti('other')])).toEqual({
      targets: 1,
      sessions: 0,
      seen: false,
      lastAcceptMs: undefined,
    });
    expect(replica.server.lines).toHaveLength(before);
    expect(replica.checker.check(requestOf(token))).toMatchObject({ effect: 'allow' });
  });

  it('waits for the holder of a session, and is enforced once it has confirmed', async () => {
    const replica = await start();
    const id = await openSession(replica, tokenOf('billing', 'j1', NOW_S));
    const pending = replica.revoker.revoke(
      orderOf({ targets: [jti('j1')], reason: 'leaked', ticket: 'INC-1' }),
    );
    let isAnswered = false;
    void pending.then(() => (isAnswered = true));
    await settle();
    replica.clock.advance(500);
    await settle();
    expect(isAnswered).toBe(false);
    expect(replica.keeper.ping(id)).toMatchObject({ freshForMs: 0, kill: { reason: 'revoked' } });
    replica.keeper.closed(id);
    const status = await run(replica, pending);
    expect(status).toMatchObject({ state: 'enforced', sessions: { matched: 1, killed: 1, unconfirmed: 0 } });
  });

  it('stays partial while a holder is silent, names it, and turns enforced with a late proof', async () => {
    const replica = await start();
    const id = await openSession(replica, tokenOf('billing', 'j1', NOW_S));
    const status = await run(replica, replica.revoker.revoke(orderOf({ targets: [jti('j1')] })));
    expect(status).toMatchObject({
      state: 'partial',
      closure: 'PARTIAL',
      isReached: false,
      hasReceipt: true,
    });
    expect(status.sessions).toMatchObject({
      matched: 1,
      killed: 0,
      unconfirmed: 1,
      silent: [{ kind: 'test' }],
    });
    const keyring = [noteKeyOf('writ/test', replica.logKey.public)];
    expect(verifyReceipt(await replica.revoker.receipt(status.id), keyring)).toMatchObject({
      state: 'partial',
    });
    expect(await replica.revoker.status(status.id)).toMatchObject({ state: 'partial' });
    replica.keeper.closed(id);
    await settle();
    expect(await run(replica, replica.revoker.status(status.id))).toMatchObject({
      state: 'enforced',
      sessions: { killed: 1, unconfirmed: 0 },
    });
    await settle();
    expect(await replica.revoker.status(status.id)).toMatchObject({
      state: 'enforced',
      closure: 'CLOSED',
      isReached: true,
    });
  });

  it('counts a session that ends by itself only once its holder cannot go on', async () => {
    const replica = await start();
    const id = await openSession(replica, tokenOf('billing', 'j1', NOW_S), true);
    const { freshForMs } = replica.keeper.ping(id);
    const order = orderOf({ targets: [jti('j1')], waitMs: 30_000 });
    const begunMs = replica.clock.now().monoMs;
    const status = await run(replica, replica.revoker.revoke(order));
    expect(status).toMatchObject({ state: 'enforced', sessions: { matched: 1, killed: 1 } });
    expect(replica.clock.now().monoMs - begunMs).toBeGreaterThanOrEqual(freshForMs);
  });

  it('answers at once when only durable is asked for, and goes on', async () => {
    const replica = await start();
    const id = await openSession(replica, tokenOf('billing', 'j1', NOW_S));
    const status = await replica.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    expect(status).toMatchObject({ state: 'durable', isReached: true, hasReceipt: false });
    replica.keeper.closed(id);
    await settle();
    replica.clock.advance(50);
    await settle();
    expect(await replica.revoker.status(status.id)).toMatchObject({ state: 'enforced' });
  });

  it('is answered as it stands when the caller has no more patience', async () => {
    const replica = await start();
    await openSession(replica, tokenOf('billing', 'j1', NOW_S));
    const status = await run(replica, replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 100 })));
    expect(status).toMatchObject({ state: 'durable', isReached: false });
  });

  it('is found again after a restart, and enforced then when it was not before', async () => {
    const replica = await start();
    const { id } = await replica.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'accepted' }));
    replica.closing.abort();
    await settle();
    const next = await start({
      clock: replica.clock,
      server: replica.server,
      ledger: replica.ledger,
      receipts: replica.receipts,
      seed: 2,
    });
    expect(next.checker.check(requestOf(tokenOf('billing', 'j1', NOW_S)))).toMatchObject({
      reason: 'revoked',
    });
    await next.revoker.status(id);
    // The run before may still hold its lease, for all that this one knows.
    await pass(next.clock, 4_000);
    expect(await next.revoker.status(id)).toMatchObject({ state: 'enforced' });
  });

  it('is not found when there is none, nor a receipt', async () => {
    const replica = await start();
    await expect(replica.revoker.status('rev_none')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(replica.revoker.receipt('rev_none')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('does not show a receipt that was swapped', async () => {
    const replica = await start();
    const one = await run(replica, replica.revoker.revoke(orderOf({ targets: [jti('j1')] })));
    const two = await run(replica, replica.revoker.revoke(orderOf({ targets: [jti('j2')] })));
    await settle();
    replica.receipts.texts.set(one.id, replica.receipts.texts.get(two.id) ?? '');
    await expect(replica.revoker.receipt(one.id)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    await expect(replica.revoker.status(one.id)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
  });

  it('shows an accept that came after it was enforced, even long after', async () => {
    const replica = await start();
    const { id } = await run(replica, replica.revoker.revoke(orderOf({ targets: [jti('j1')] })));
    await settle();
    // What a broken index would do: the credential is accepted all the same.
    const [dead] = runAtOnce(replica.view.deadHandles([jti('j1')]));
    const handles = replica.fingerprinter.print([{ kind: 'jti', parts: [ISSUER, 'j1'] }]);
    expect([handles.prints[0], handles.prints[1]]).toEqual([dead?.hi, dead?.lo]);
    replica.lastAccepts.record(handles, NOW_S, replica.clock.now().wallMs);
    expect(await replica.revoker.status(id)).toMatchObject({ lateAccepts: 1 });
  });

  it('acknowledges late accepts while it is not enforced', async () => {
    const replica = await start();
    const id = await openSession(replica, tokenOf('billing', 'j1', NOW_S));
    const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await settle();
    replica.clock.advance(20);
    replica.lastAccepts.record(
      replica.fingerprinter.print([{ kind: 'jti', parts: [ISSUER, 'j1'] }]),
      NOW_S,
      replica.clock.now().wallMs,
    );
    replica.keeper.closed(id);
    const status = await run(replica, pending);
    expect(status.lateAccepts).toBe(1);
    expect(status.revocationWindowMs).toBe(20);
  });

  it('is not blamed for the late accepts of another', async () => {
    const replica = await start();
    const one = await openSession(replica, tokenOf('billing', 'j1', NOW_S));
    const two = await openSession(replica, tokenOf('billing', 'j2', NOW_S));
    const order = (value: string) =>
      replica.revoker.revoke(orderOf({ targets: [jti(value)], waitMs: 30_000 }));
    const pending = Promise.all([order('j1'), order('j2')]);
    await settle();
    replica.lastAccepts.record(
      replica.fingerprinter.print([{ kind: 'jti', parts: [ISSUER, 'j2'] }]),
      NOW_S,
      replica.clock.now().wallMs,
    );
    replica.keeper.closed(one);
    replica.keeper.closed(two);
    expect((await run(replica, pending)).map(({ lateAccepts }) => lateAccepts)).toEqual([0, 1]);
  });

  it('is answered for from memory until its outcome has come back', async () => {
    const replica = await start();
    const renew = replica.store.renew.bind(replica.store);
    const gate = Promise.withResolvers<void>();
    replica.store.renew = async (request) => {
      const reply = await renew(request);
      const isOutcome =
        reply.kind === 'lease' && reply.lines.some(({ sealed }) => sealed.entry.kind === 'outcome');
      if (isOutcome) await gate.promise;
      return reply;
    };
    const status = await run(replica, replica.revoker.revoke(orderOf({ targets: [jti('j1')] })));
    expect(status.state).toBe('enforced');
    replica.clock.advance(300);
    await settle();
    expect(await replica.revoker.status(status.id)).toMatchObject({ state: 'enforced' });
    expect(await replica.revoker.receipt(status.id)).toContain('writ-receipt@v1');
    gate.resolve();
    await settle();
    expect(await replica.revoker.status(status.id)).toMatchObject({ state: 'enforced', isReached: true });
    expect(replica.receipts.texts.size).toBe(1);
  });

  it('survives a disk that does not take its receipt at first', async () => {
    const replica = await start();
    const write = replica.receipts.write.bind(replica.receipts);
    replica.receipts.write = () => Promise.reject(new Error('disk'));
    const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await pass(replica.clock, 500);
    expect(replica.log.at(-1)).toMatchObject({
      sentence: 'enforcement waits',
      code: 'INTERNAL',
    });
    replica.receipts.write = write;
    expect(await run(replica, pending)).toMatchObject({ state: 'enforced' });
  });

  it('is what the replica that enforced it says, where the order is repeated on another', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const a = await start({ clock, server, exclusive: false });
    const b = await start({ clock, server, name: 'b', exclusive: false });
    await pass(clock, 3_400);
    const order = orderOf({ targets: [jti('j1')], idempotencyKey: 'k1' });
    const { id } = await run(a, a.revoker.revoke(order));
    await pass(clock, 1_000);
    await a.replica.stop();
    forget(a);
    const there = await run(b, b.revoker.revoke(order));
    expect(there).toMatchObject({ id, state: 'enforced', closure: 'CLOSED', isReached: true });
    expect(there).toMatchObject({ hasReceipt: false, replicas: [], sessions: { matched: 0 } });
    expect(await b.revoker.status(id)).toEqual(there);
    // The proof itself is on the other's disk.
    await expect(b.revoker.receipt(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('is found when this disk has lost its line, and followed no further', async () => {
    const replica = await start();
    const { id } = await run(replica, replica.revoker.revoke(orderOf({ targets: [jti('j1')] })));
    await settle();
    replica.ledger.lines.length = 0;
    expect(await replica.revoker.status(id)).toMatchObject({ state: 'enforced' });
    const keyed = await run(
      replica,
      replica.revoker.revoke(orderOf({ targets: [jti('j2')], idempotencyKey: 'k2' })),
    );
    await settle();
    replica.ledger.lines.length = 0;
    expect(keyed.state).toBe('enforced');
    const again = await replica.revoker.revoke(orderOf({ targets: [jti('j2')], idempotencyKey: 'k2' }));
    expect(again).toMatchObject({ id: keyed.id, state: 'enforced' });
  });

  it('is not enforced when the last reading finds another history', async () => {
    const replica = await start();
    const roster = replica.store.roster.bind(replica.store);
    let readings = 0;
    replica.store.roster = async (at) => {
      const reading = await roster(at);
      return at !== undefined && ++readings < 10 ? { ...reading, runId: 'another' } : reading;
    };
    const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 300 }));
    expect(await run(replica, pending)).toMatchObject({
      state: 'accepted',
      closure: 'UNKNOWN',
      isReached: false,
    });
  });

  it('of many targets waits until those before it are applied here, and is refused where they are not', async () => {
    const replica = await start();
    const { ledger, revoker, server } = replica;
    const held = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    const appended = (): number =>
      server.lines.filter(({ sealed: { entry } }) => entry.kind === 'revocation').length;
    const order = async (value: string, count: number): Promise<string> => {
      const targets = Array.from({ length: count }, (_, i) => jti(`${value}-${i}`));
      return (await revoker.revoke(orderOf({ targets, wait: 'accepted', waitMs: 0 }))).state;
    };
    const bulks = (name: string, count: number): Promise<PromiseSettledResult<string>[]> =>
      Promise.allSettled(Array.from({ length: count }, (_, i) => order(`${name}${i}`, 1_000)));
    ledger.onKeep = () => held[0].promise;
    const first = bulks('first', 6);
    await pass(replica.clock, 500);
    expect(appended()).toBe(4);
    await order('small', 1);
    expect(appended()).toBe(5);
    held[0].resolve();
    const settled = await run(replica, first);
    expect(settled.map(({ status }) => status)).toEqual(Array(6).fill('fulfilled'));
    await pass(replica.clock, 5_000);
    ledger.onKeep = () => held[1].promise;
    const last = (await run(replica, bulks('second', 5))).at(-1);
    expect(last).toMatchObject({ reason: { code: 'OVERLOADED' } });
    expect(appended()).toBe(7 + 4);
    held[1].resolve();
  });

  it('forgets the oldest effects that no session stands on', async () => {
    const replica = await start();
    await openSession(replica, tokenOf('billing', 'j0', NOW_S));
    replica.closing.abort();
    for (let i = 0; i < 1_030; i++)
      await replica.revoker.revoke(orderOf({ targets: [jti(`j${i}`)], wait: 'durable' }));
    await settle();
    replica.clock.advance(600);
    await settle();
    expect(replica.view.size).toBe(1_030);
    // Its session is still answered for.
    expect(replica.effects.outcomes(replica.clock.now())).toEqual([
      expect.objectContaining({ matched: 1, pending: 1 }),
    ]);
  });
});

describe('an Idempotency-Key', () => {
  const keyed = (value: string, key = 'k1'): Parameters<TestReplica['revoker']['revoke']>[0] =>
    orderOf({ targets: [jti(value)], idempotencyKey: key });

  it('makes a repeated order one entry and one answer', async () => {
    const replica = await start();
    const first = await run(replica, replica.revoker.revoke(keyed('j1')));
    await settle();
    const again = await replica.revoker.revoke(keyed('j1'));
    expect(again).toMatchObject({ id: first.id, position: first.position, state: 'enforced' });
    expect(replica.server.lines.filter(({ sealed }) => sealed.entry.kind === 'revocation')).toHaveLength(1);
  });

  it('is a conflict with another body, and another order for another caller', async () => {
    const replica = await start();
    const first = await run(replica, replica.revoker.revoke(keyed('j1')));
    await expect(replica.revoker.revoke(keyed('j2'))).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
    const other = await run(replica, replica.revoker.revoke({ ...keyed('j1'), caller: 'x|y' }));
    expect(other.id).not.toBe(first.id);
  });

  it('appends once when two orders come at once', async () => {
    const replica = await start();
    const both: RevocationStatus[] = await run(
      replica,
      Promise.all([replica.revoker.revoke(keyed('j1')), replica.revoker.revoke(keyed('j1'))]),
    );
    expect(both[0]?.id).toBe(both[1]?.id);
    expect(replica.server.lines.filter(({ sealed }) => sealed.entry.kind === 'revocation')).toHaveLength(1);
  });

  it('settles an append whose fate was unknown', async () => {
    const replica = await start();
    replica.store.next('append', 'lose-reply');
    await expect(replica.revoker.revoke(keyed('j1'))).rejects.toMatchObject({ code: 'APPEND_UNCERTAIN' });
    expect(await run(replica, replica.revoker.revoke(keyed('j1')))).toMatchObject({ state: 'enforced' });
    expect(replica.server.lines.filter(({ sealed }) => sealed.entry.kind === 'revocation')).toHaveLength(1);
  });

  it('stays uncertain while the entry does not come back', async () => {
    const replica = await start();
    await replica.replica.stop();
    replica.store.next('append', 'lose-reply');
    replica.lease.adopt(replica.clock.now());
    await expect(replica.revoker.revoke(keyed('j1'))).rejects.toMatchObject({ code: 'APPEND_UNCERTAIN' });
    const again = replica.revoker.revoke({ ...keyed('j1'), waitMs: 100 });
    again.catch(() => undefined);
    await settle();
    replica.clock.advance(100);
    await expect(again).rejects.toMatchObject({ code: 'APPEND_UNCERTAIN' });
  });
});

describe('a revocation that cannot be appended', () => {
  it('is refused without a lease, and nothing is appended', async () => {
    const replica = await start();
    await settle();
    replica.lease.drop();
    const before = replica.server.lines.length;
    await expect(replica.revoker.revoke(orderOf({ targets: [jti('j1')] }))).rejects.toMatchObject({
      code: 'FENCED',
    });
    expect(replica.server.lines).toHaveLength(before);
  });

  it('is refused before an epoch is open', async () => {
    const replica = await start({ bootstrap: false });
    await expect(replica.revoker.revoke(orderOf({ targets: [jti('j1')] }))).rejects.toMatchObject({
      code: 'EPOCH_CLOSED',
    });
  });
});

describe('enforcement', () => {
  it('sees an acknowledgement a quarter later than it came, at most', async () => {
    const { clock, a, b } = await startPair();
    const disk = Promise.withResolvers<void>();
    b.ledger.onKeep = () => disk.promise;
    let state = '';
    const pending = a.revoker
      .revoke(orderOf({ targets: [jti('j1')] }))
      .then((status) => (state = status.state));
    await settle();
    for (let passedMs = 0; passedMs < 8; passedMs++) {
      clock.advance(1);
      await settle();
    }
    disk.resolve();
    await settle();
    expect(state).toBe('');
    clock.advance(2);
    await settle();
    expect(state).toBe('enforced');
    await pending;
  });

  it('goes on through a store that is away for a while', async () => {
    const replica = await start();
    const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    replica.store.next('roster', 'lose-request');
    replica.store.next('roster', 'lose-request');
    expect(await run(replica, pending)).toMatchObject({ state: 'enforced' });
    expect(replica.log.filter(({ sentence }) => sentence.startsWith('enforcement waits'))).toHaveLength(1);
  });

  it('waits for another replica until its lease is surely over, by the monotonic clock alone', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const a = await start({ clock, server, exclusive: false });
    const b = await start({ clock, server, name: 'b', exclusive: false });
    await pass(clock, 3_400);
    expect(b.lease.isFresh(clock.now())).toBe(true);
    await b.replica.stop();
    forget(b);
    const c = await start({ clock, server, name: 'c', exclusive: false });
    await pass(clock, 1_000);
    expect(c.lease.isFresh(clock.now())).toBe(true);
    // c falls silent without a word.
    for (let i = 0; i < 100; i++) c.store.next('renew', 'lose-request');
    const pending = a.revoker.revoke(orderOf({ targets: [subject('billing')], waitMs: 30_000 }));
    let isAnswered = false;
    void pending.then(() => (isAnswered = true));
    await settle();
    clock.setForward(3_600_000);
    clock.advance(100);
    await settle();
    expect(isAnswered).toBe(false);
    const begunMs = clock.now().monoMs;
    const status = await run(a, pending);
    expect(status.state).toBe('enforced');
    expect(clock.now().monoMs - begunMs).toBeGreaterThan(2_000);
    expect(status.replicas).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ replica: 'a', state: 'acknowledged' }),
        expect.objectContaining({
          replica: 'c',
          state: 'fenced',
          notLaterThan: expect.any(String) as string,
        }),
      ]),
    );
    // What c had let in cannot be known, and the receipt says so.
    const receipt = await a.revoker.receipt(status.id);
    const facts = verifyReceipt(receipt, [noteKeyOf('writ/test', a.logKey.public)]);
    expect(facts.notCovered).toContainEqual(
      expect.stringContaining('live sessions that a replica which is gone had let in'),
    );
  });

  it('says up to when what it names is dead, in answer and receipt, where it has a cutoff', async () => {
    const replica = await start();
    const keyring = [noteKeyOf('writ/test', replica.logKey.public)];
    const limitOf = async (...targets: Target[]) => {
      const status = await run(replica, replica.revoker.revoke(orderOf({ targets, waitMs: 30_000 })));
      const facts = verifyReceipt(await replica.revoker.receipt(status.id), keyring);
      expect(facts.notCovered).toEqual(status.notCovered);
      return status.notCovered.filter((what) => what.includes('issued after'));
    };
    const [first, last] = [NOW_S - 60, NOW_S].map((atS) => new Date(atS * 1000).toISOString());
    expect(await limitOf(jti('j1'))).toEqual([]);
    expect(await limitOf(subject('a'), jti('j2'))).toEqual([`credentials issued after the cutoff, ${last}`]);
    expect(await limitOf(subject('b', NOW_S - 60), subject('c'))).toEqual([
      `credentials issued after their cutoffs, from ${first} to ${last}`,
    ]);
  });

  it('has no word for durable where the store does not fsync, and is enforced all the same', async () => {
    const replica = await start({ durability: 'accepted' });
    const order = orderOf({ targets: [jti('j1')], wait: 'accepted' });
    expect(await replica.revoker.revoke(order)).toMatchObject({ state: 'accepted', isReached: true });
    const status = await run(
      replica,
      replica.revoker.revoke(orderOf({ targets: [jti('j2')], waitMs: 30_000 })),
    );
    expect(status.state).toBe('enforced');
  });

  it('is said by the clock only, where the configuration demands it', async () => {
    const replica = await start({ barrier: 'wait' });
    const begunMs = replica.clock.now().monoMs;
    const status = await run(
      replica,
      replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 })),
    );
    expect(status.state).toBe('enforced');
    expect(replica.clock.now().monoMs - begunMs).toBeGreaterThanOrEqual(3_252);
    const keyring = [noteKeyOf('writ/test', replica.logKey.public)];
    expect(verifyReceipt(await replica.revoker.receipt(status.id), keyring)).toMatchObject({ rule: 'wait' });
  });

  it.each<readonly [string, (entry: Unsigned, by: TestReplica) => SealedEntry, string]>([
    [
      'the same order that another run of it had sealed',
      (entry, { identity }) => sealEntry({ ...entry, at: LATER }, identity.key),
      'enforced',
    ],
    [
      'one under its id that nobody has signed, whoever was first',
      (entry) => sealEntry({ ...entry, at: LATER }, STRANGER),
      'accepted',
    ],
    [
      'one under its id that is another order',
      (entry, { identity }) => sealEntry({ ...entry, body: 'f'.repeat(64) }, identity.key),
      'accepted',
    ],
    [
      'another entry',
      (entry, { identity }) => sealEntry({ ...entry, id: 'rev_other' }, identity.key),
      'accepted',
    ],
  ])('is proven by a final reading, which finds its own entry: %s', async (_, other, state) => {
    const replica = await start();
    const roster = replica.store.roster.bind(replica.store);
    replica.store.roster = async (at) => {
      const reading = await roster(at);
      if (reading.line === undefined) return reading;
      const { sig: _sig, ...entry } = parseEntry(reading.line.text).entry as RevocationEntry;
      const { text } = other(entry, replica);
      return { ...reading, line: { ...reading.line, text } };
    };
    const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 1_000 }));
    expect(await run(replica, pending)).toMatchObject({ state });
  });

  it.each([
    ['before it', 0, APPENDED_NOTHING],
    ['when it is appended again', 1, { state: 'accepted' }],
  ])('is not proven by what a thief appends under its id %s', async (_, from, answer) => {
    const replica = await start();
    const session = await openSession(replica, tokenOf('billing', 'j1', NOW_S));
    const append = replica.store.append.bind(replica.store);
    let appends = 0;
    replica.store.append = (epochId, sealed) => {
      const { sig: _sig, ...entry } = sealed.entry as RevocationEntry;
      if (entry.kind === 'revocation' && appends++ >= from)
        replica.server.append(epochId, sealEntry({ ...entry, at: LATER }, STRANGER));
      return append(epochId, sealed);
    };
    const pending = replica.revoker
      .revoke(orderOf({ targets: [jti('j1')], waitMs: 10_000 }))
      .catch((error: unknown) => error);
    await settle();
    replica.server.restart();
    replica.keeper.closed(session);
    expect(await run(replica, pending)).toMatchObject(answer);
    expect(appends).toBeGreaterThan(from);
    expect(replica.receipts.texts.size).toBe(0);
  });

  it('is appended again when the store lost the history that held it', async () => {
    const replica = await start();
    const session = await openSession(replica, tokenOf('billing', 'j1', NOW_S));
    const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await settle();
    replica.server.restart();
    await settle();
    replica.clock.advance(600);
    await settle();
    replica.keeper.closed(session);
    const status = await run(replica, pending);
    expect(status.state).toBe('enforced');
    expect(replica.log.some(({ sentence }) => sentence.includes('appended again'))).toBe(true);
    const revocations = replica.server.lines.filter(({ sealed }) => sealed.entry.kind === 'revocation');
    expect(revocations.at(-1)?.position.epoch).toBe(replica.cursor.position.epoch);
  });
});
