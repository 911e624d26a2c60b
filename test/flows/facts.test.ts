/** Locks and grants on their way through a replica: index, disk, sessions, whoever listens; and over a restart. */
import { describe, expect, it } from 'vitest';
import type { LockEntry } from '../../src/feed/entry.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, MemoryLedger, requestOf, tokenOf } from '../support/replica-harness.ts';
import { makeReplica, startReplica as start } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
const TOKEN = tokenOf('billing', 'j1', NOW_S);
const BILLING: LockEntry['targets'] = [{ kind: 'subject', issuer: ISSUER, value: 'billing' }];
const BODY = 'b'.repeat(64);

type Facts = Parameters<TestReplica['appender']['seal']>[0];

/** Appends entries and lets this replica apply them. */
async function append(replica: TestReplica, ...entries: Facts[]): Promise<void> {
  for (const facts of entries) await replica.appender.append(replica.appender.seal(facts));
  await settle();
}

const lockOf = (id: string, expiresAtS = NOW_S + 100): Facts => ({
  kind: 'lock',
  id,
  targets: BILLING,
  expiresAtS,
  caller: 'admin',
  body: BODY,
});
const liftOf = (lock: string): Facts => ({
  kind: 'lift',
  id: `lft_${lock}`,
  lock,
  untilS: NOW_S + 100,
  caller: 'admin',
});
const grantOf = (
  id: string,
  over: { issuer?: string; untilS?: number; subject?: { id: string } } = {},
): Facts => ({
  kind: 'grant',
  id,
  subject: { id: 'billing' },
  action: 'granted',
  resource: { type: 'invoice' },
  caller: 'admin',
  body: BODY,
  ...over,
});
const ungrantOf = (grant: string): Facts => ({ kind: 'ungrant', id: `ung_${grant}`, grant, caller: 'admin' });

function ask(replica: TestReplica, token = TOKEN, name = 'read') {
  return replica.checker.check(requestOf(token, { action: { name } }));
}

function askBare(replica: TestReplica, name: string) {
  return replica.checker.check(requestOf(undefined, { action: { name } }));
}

async function openSession(replica: TestReplica, token = TOKEN): Promise<string> {
  const { id = '' } = await replica.keeper.open({
    kind: 'test',
    selfEnds: false,
    request: { ...requestOf(token), subject: undefined },
  });
  return id;
}

describe('a lock in the feed', () => {
  it('denies by name, asks no policy, kills the sessions it names, and works again after its lift', async () => {
    const replica = await start();
    const session = await openSession(replica);
    const evaluations = replica.policy.evaluations;
    await append(replica, lockOf('lck_1'));
    expect(ask(replica)).toMatchObject({ effect: 'deny', reason: 'locked', revocation: 'lck_1' });
    expect(replica.policy.evaluations).toBe(evaluations);
    expect(replica.keeper.ping(session)).toMatchObject({
      freshForMs: 0,
      kill: { reason: 'locked', revocation: 'lck_1' },
    });
    await append(replica, liftOf('lck_1'));
    expect(ask(replica)).toMatchObject({ effect: 'allow' });
    // What was killed stays killed; what comes after the lift lives.
    expect(replica.keeper.ping(session).kill).toMatchObject({ reason: 'locked' });
    expect(replica.keeper.ping(await openSession(replica)).kill).toBeUndefined();
  });

  it('ends by itself, judged at each decision by the clock alone', async () => {
    const replica = await start();
    await append(replica, lockOf('lck_1', NOW_S + 2));
    replica.closing.abort();
    await replica.replica.stop();
    replica.lease.adopt(replica.clock.now());
    replica.clock.advance(1_999);
    replica.lease.adopt(replica.clock.now());
    expect(ask(replica)).toMatchObject({ reason: 'locked' });
    replica.clock.advance(1);
    expect(ask(replica)).toMatchObject({ effect: 'allow' });
  });

  it('that the same page lifts kills nobody', async () => {
    const replica = await start();
    const session = await openSession(replica);
    const sealed = [lockOf('lck_1'), liftOf('lck_1')].map((facts) => replica.appender.seal(facts));
    await Promise.all(sealed.map((one) => replica.appender.append(one)));
    await settle();
    expect(replica.keeper.ping(session).kill).toBeUndefined();
    expect(ask(replica)).toMatchObject({ effect: 'allow' });
  });

  it('whose lift was replayed before it does nothing', async () => {
    const replica = await start();
    const session = await openSession(replica);
    await append(replica, liftOf('lck_1'), lockOf('lck_1'));
    expect(ask(replica)).toMatchObject({ effect: 'allow' });
    expect(replica.keeper.ping(session).kill).toBeUndefined();
  });

  it('counts an accept that it should have stopped as late, and none after it is over', async () => {
    const replica = await start();
    const handles = replica.fingerprinter.print([{ kind: 'sub', parts: [ISSUER, 'billing'] }]);
    const session = await openSession(replica);
    await append(replica, lockOf('lck_1', NOW_S + 5));
    const late = () =>
      replica.effects
        .outcomes(replica.clock.now())
        .map(({ revocation, lateAccepts }) => [revocation, lateAccepts]);
    expect(late()).toEqual([['lck_1', 0]]);
    replica.lastAccepts.record(handles, NOW_S, replica.clock.now().wallMs);
    expect(late()).toEqual([['lck_1', 1]]);
    replica.clock.advance(5_000);
    await settle();
    await replica.renewer.renewOnce();
    // What it has killed is answered for until it has closed.
    expect(late()).toEqual([['lck_1', 0]]);
    replica.keeper.closed(session);
    await replica.renewer.renewOnce();
    expect(late()).toEqual([]);
  });
});

describe('locks over a restart', () => {
  it('are replayed: what is locked stays locked, what was lifted does not', async () => {
    const clock = new FakeClock();
    const first = await start({ clock });
    await append(first, lockOf('lck_1'), lockOf('lck_2'), liftOf('lck_2'));
    await first.stop();
    const second = await start({ clock, server: first.server, ledger: first.ledger, seed: 2 });
    expect(ask(second)).toMatchObject({ reason: 'locked', revocation: 'lck_1' });
    await append(second, liftOf('lck_1'));
    expect(ask(second)).toMatchObject({ effect: 'allow' });
  });

  it('kill the sessions that they reach, and none that were opened after they were over', async () => {
    const clock = new FakeClock();
    const first = await start({ clock });
    await append(first, lockOf('lck_over', NOW_S + 1), lockOf('lck_lifted'), liftOf('lck_lifted'));
    clock.advance(1_000);
    await settle();
    await openSession(first);
    const [record] = first.records;
    await first.stop();
    const lines = [...first.ledger.lines];
    const revive = async (extra: Facts[]): Promise<TestReplica> => {
      const ledger = new MemoryLedger();
      ledger.lines.push(...lines);
      // A lock and its lift are not in one page.
      ledger.read = (after) => MemoryLedger.prototype.read.call(ledger, after, 1);
      const replica = makeReplica({ clock, server: first.server, ledger, seed: 2 + extra.length });
      if (record !== undefined) replica.sessions.restore(record, clock.now().monoMs, clock.now());
      await replica.start();
      await append(replica, ...extra);
      return replica;
    };
    const spared = await revive([]);
    expect(spared.sessions.list(1)[0]?.kill).toBeUndefined();
    await spared.stop();
    const stopped = await revive([lockOf('lck_new')]);
    expect(stopped.sessions.list(1)[0]?.kill).toMatchObject({ reason: 'locked', revocation: 'lck_new' });
  });

  it('kill what the run before could not kill any more', async () => {
    const clock = new FakeClock();
    const first = await start({ clock });
    await openSession(first);
    const [record] = first.records;
    await append(first, lockOf('lck_1'));
    await first.stop();
    const second = makeReplica({ clock, server: first.server, ledger: first.ledger, seed: 2 });
    if (record !== undefined) second.sessions.restore(record, clock.now().monoMs, clock.now());
    await second.start();
    expect(second.sessions.list(1)[0]?.kill).toMatchObject({ reason: 'locked', revocation: 'lck_1' });
    // Counted under the lock: its proof waits for this session.
    expect(second.sessions.tally('lck_1', clock.now())).toMatchObject({ matched: 1 });
  });
});

describe('a grant in the feed', () => {
  it('is what policy reads from then on, until it is taken away, and whoever listens is told of its subject', async () => {
    const replica = await start();
    expect(ask(replica, TOKEN, 'granted')).toMatchObject({ effect: 'deny', reason: 'policy_denied' });
    await append(replica, grantOf('grt_1'));
    expect(ask(replica, TOKEN, 'granted')).toMatchObject({ effect: 'allow' });
    expect(askBare(replica, 'granted')).toMatchObject({ effect: 'allow' });
    expect(replica.changedSubjects).toEqual(['billing']);
    await append(replica, ungrantOf('grt_1'), grantOf('grt_1'));
    expect(ask(replica, TOKEN, 'granted')).toMatchObject({ effect: 'deny' });
    expect(replica.changedSubjects).toEqual(['billing', 'billing']);
  });

  it('tells its listener after it is on disk, and never when that failed', async () => {
    const replica = await start();
    const told: string[][] = [];
    replica.ledger.onKeep = () => void told.push([...replica.changedSubjects]);
    await append(replica, grantOf('grt_1'));
    expect(told[0]).toEqual([]);
    expect(replica.changedSubjects).toEqual(['billing']);
    replica.ledger.onKeep = () => undefined;
    replica.ledger.fails = true;
    await append(replica, ungrantOf('grt_1'));
    expect(replica.changedSubjects).toEqual(['billing']);
  });

  it('is over at the edge of its second, and a clock that is set back does not revive it', async () => {
    const replica = await start();
    await append(replica, grantOf('grt_1', { untilS: NOW_S + 1 }));
    replica.clock.advance(999);
    expect(ask(replica, TOKEN, 'granted')).toMatchObject({ effect: 'allow' });
    replica.clock.advance(1);
    expect(ask(replica, TOKEN, 'granted')).toMatchObject({ effect: 'deny' });
  });

  it('of an issuer is not held by a subject that was only asserted; that of the current actor counts', async () => {
    const replica = await start();
    await append(replica, grantOf('grt_1', { issuer: ISSUER }));
    expect(askBare(replica, 'granted')).toMatchObject({ effect: 'deny' });
    expect(ask(replica, TOKEN, 'granted')).toMatchObject({ effect: 'allow' });
    await append(replica, ungrantOf('grt_1'), grantOf('grt_2', { issuer: ISSUER, subject: { id: 'agent' } }));
    expect(ask(replica, TOKEN, 'granted')).toMatchObject({ effect: 'allow' });
  });

  it('changes nothing for one who is locked or revoked: the verdict comes first', async () => {
    const replica = await start();
    await append(replica, grantOf('grt_1'), lockOf('lck_1'));
    expect(ask(replica, TOKEN, 'granted')).toMatchObject({ effect: 'deny', reason: 'locked' });
  });

  it('is there after a restart, and one that was taken away is not', async () => {
    const clock = new FakeClock();
    const first = await start({ clock });
    await append(first, grantOf('grt_1'), grantOf('grt_2', { subject: { id: 'other' } }), ungrantOf('grt_2'));
    await first.stop();
    const second = await start({ clock, server: first.server, ledger: first.ledger, seed: 2 });
    expect(ask(second, TOKEN, 'granted')).toMatchObject({ effect: 'allow' });
    expect(second.grants.liveFor('other', ISSUER, undefined, NOW_S).grants).toEqual([]);
    // Sessions of the run before may stand on what changed: they are looked at again.
    expect(second.changedSubjects).toEqual(['billing', 'other']);
  });

  it('is Writ’s own fact in the data API: what the input says under that name counts for nothing', async () => {
    const replica = await start();
    const forged = { subject: { id: 'billing' }, grants: [{ action: 'granted' }], now: 1 };
    expect(replica.checker.evaluate('echo', forged, undefined)).toMatchObject({
      value: { value: { grants: [], now: NOW_S } },
    });
    await append(replica, grantOf('grt_1'));
    const credential = { scheme: 'Bearer', token: TOKEN } as const;
    expect(
      replica.checker.evaluate('echo', { x: 1 }, await replica.checker.verify(credential)),
    ).toMatchObject({
      value: { value: { x: 1, grants: [{ id: 'grt_1' }] } },
    });
  });
});
