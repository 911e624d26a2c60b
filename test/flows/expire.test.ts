import { describe, expect, it } from 'vitest';
import type { Session } from '../../src/session/session.ts';
import { sessionRefOf } from '../../src/session/session.ts';
import { settle } from '../support/fake-time.ts';
import { cut, isFresh } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { makeReplica, startSettled as start } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
/** The plain verifier's tokens live an hour; the skew is 5 s. */
const LIFE_S = 3_600;
const SKEW_S = 5;

/** A token of `billing` that is accepted for `forS` more seconds. */
function endingIn(forS: number, jti = 'j1'): string {
  return tokenOf('billing', jti, NOW_S + forS - LIFE_S - SKEW_S);
}

async function open(replica: TestReplica, token: string): Promise<string> {
  const { id } = await replica.keeper.open({ kind: 'k', selfEnds: false, request: requestOf(token) });
  return id ?? expect.unreachable();
}

const killOf = (replica: TestReplica, id: string): Session['kill'] => replica.keeper.find(id).kill;

async function advance(replica: TestReplica, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 250) {
    replica.clock.advance(Math.min(250, left));
    await settle();
  }
}

describe('a session whose credential ends', () => {
  it('dies at the moment at which the credential would be refused, not before', async () => {
    const replica = await start();
    const [first, second] = [await open(replica, endingIn(1)), await open(replica, endingIn(2, 'j2'))];
    await advance(replica, 999);
    expect(killOf(replica, first)).toBeUndefined();
    await advance(replica, 1);
    expect(killOf(replica, first)).toMatchObject({ reason: 'expired' });
    expect(killOf(replica, second)).toBeUndefined();
    await advance(replica, 1_000);
    expect(killOf(replica, second)).toMatchObject({ reason: 'expired' });
    expect(replica.reviewer.counts.get('time')).toEqual({ reviewed: 2, killed: 2 });
    expect(replica.sessions.due(replica.clock.now())).toBeUndefined();
  });

  it('and others by the thousand are counted dead by their leases without anybody asking for a tally', async () => {
    const replica = await start();
    const { sessions, clock } = replica;
    for (let i = 0; i < 1_000; i++)
      await replica.keeper.open({ kind: 'k', selfEnds: true, request: requestOf(endingIn(1, `many-${i}`)) });
    await advance(replica, 1_000);
    expect(sessions.endingCount).toBe(1_000);
    clock.advance(5_000);
    await replica.expirer.endDue(new AbortController().signal);
    expect(sessions.endingCount).toBe(0);
    expect(sessions.size).toBe(0);
  });

  it('is told by no ping that it may go on for longer', async () => {
    const replica = await start();
    const { keeper, clock } = replica;
    const { id = '', freshForMs } = await keeper.open({
      kind: 'k',
      selfEnds: false,
      request: requestOf(endingIn(1)),
    });
    expect(freshForMs).toBe(1_000);
    clock.advance(200);
    expect(keeper.ping(id)).toEqual({ freshForMs: 800, kill: undefined });
    // No timer has run.
    clock.setForward(800);
    expect(keeper.ping(id)).toMatchObject({ freshForMs: 0, kill: { reason: 'expired' } });
  });

  it('dies at once after a suspend, which only the wall clock has seen', async () => {
    const replica = await start();
    const ids = [await open(replica, endingIn(60)), await open(replica, endingIn(90, 'j2'))];
    const long = await open(replica, endingIn(1_000, 'j3'));
    replica.clock.setForward(100_000);
    await advance(replica, 250);
    for (const id of ids) expect(killOf(replica, id)).toMatchObject({ reason: 'expired' });
    expect(killOf(replica, long)?.reason).not.toBe('expired');
  });

  it('dies though the wall clock was set back and stands still', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(1));
    replica.clock.advanceMono(999);
    await settle();
    expect(killOf(replica, id)).toBeUndefined();
    replica.clock.advanceMono(1);
    await settle();
    expect(killOf(replica, id)).toMatchObject({ reason: 'expired' });
  });

  it('dies on a replica that is fenced too', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(1));
    replica.lease.drop();
    replica.clock.setForward(1_000);
    await replica.expirer.endDue(replica.closing.signal);
    expect(killOf(replica, id)).toMatchObject({ reason: 'expired' });
  });

  it('is among many that end together, and they die in slices', async () => {
    const replica = await start();
    for (let i = 0; i < 50; i++) await open(replica, endingIn(1, `j${String(i)}`));
    const { clock, sessions, reviewer } = replica;
    const heard = { kill: () => clock.advanceMono(0.5) };
    for (const { ref } of sessions.all()) sessions.attach(ref, heard);
    clock.advance(1_000);
    await clock.yield();
    expect(reviewer.counts.get('time')?.killed).toBeLessThan(10);
    const aborted = AbortSignal.abort();
    await replica.expirer.endDue(aborted);
    expect(reviewer.counts.get('time')?.killed).toBeLessThan(20);
    for (let i = 0; i < 8; i++) await settle();
    expect(reviewer.counts.get('time')?.killed).toBe(50);
  });
});

describe('a session of a replica that is fenced', () => {
  it('dies when the lease is over, though a renewal hangs', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(60));
    const { clock, lease } = replica;
    const { server, store } = replica;
    store.fate = (command) => (command === 'renew' ? 'hold-request' : 'deliver');
    while (lease.isFresh(clock.now())) {
      expect(killOf(replica, id)).toBeUndefined();
      await advance(replica, 50);
    }
    await settle();
    expect(killOf(replica, id)).toMatchObject({ reason: 'fenced' });
    store.fate = () => 'deliver';
    server.release();
  });
});

describe('a session whose grant ends', () => {
  /** Policy allows while a grant is in force. */
  function grantUntil(replica: TestReplica, ...ends: number[]): void {
    replica.grants.liveFor = (_subject, _issuer, _actor, nowS) => ({
      grants: [],
      earliestEndS: Math.min(Infinity, ...ends.filter((endS) => endS > nowS)),
    });
    replica.policy.rule = ({ now }) => ends.some((endS) => endS > (now as number));
  }

  it('dies at that moment by what policy says then, and lives on by another one', async () => {
    const replica = await start();
    grantUntil(replica, NOW_S + 1, NOW_S + 2);
    const id = await open(replica, endingIn(60));
    expect(replica.sessions.untilNextMs(replica.clock.now())).toBe(1_000);
    await advance(replica, 1_000);
    expect(killOf(replica, id)).toBeUndefined();
    expect(replica.reviewer.counts.get('time')).toEqual({ reviewed: 1, killed: 0 });
    await advance(replica, 1_000);
    expect(killOf(replica, id)).toMatchObject({ reason: 'policy_denied' });
  });

  it('dies though the wall clock stands still', async () => {
    const replica = await start();
    grantUntil(replica, NOW_S + 1);
    const id = await open(replica, endingIn(60));
    replica.clock.advanceMono(1_000);
    await settle();
    expect(killOf(replica, id)).toMatchObject({ reason: 'policy_denied' });
  });

  it('is asked again while that cannot be known', async () => {
    const replica = await start();
    grantUntil(replica, NOW_S + 1);
    const id = await open(replica, endingIn(60));
    const { lease, clock, expirer } = replica;
    // Looked at by nobody but this test: being fenced would end it.
    replica.closing.abort();
    await settle();
    const { signal } = new AbortController();
    clock.advance(1_000);
    lease.drop();
    await expirer.endDue(signal);
    expect(killOf(replica, id)).toBeUndefined();
    expect(replica.sessions.untilNextMs(clock.now())).toBe(250);
    clock.advance(250);
    lease.adopt(clock.now());
    await expirer.endDue(signal);
    expect(killOf(replica, id)).toMatchObject({ reason: 'policy_denied' });
  });
});

describe('a session that is not answered yet', () => {
  it('is not opened once it is over, whatever a request like it is told by now', async () => {
    const { keeper, sessions } = await start();
    const order = { kind: 'k', selfEnds: false, request: requestOf(endingIn(60)) };
    const { id = '', decide } = await keeper.open(order);
    expect(decide()).toMatchObject({ effect: 'allow' });
    sessions.end(sessionRefOf(id));
    expect(decide()).toMatchObject({ effect: 'deny', reason: 'policy_denied' });
  });
});

describe('a session whose fresher credential waits for its line', () => {
  it('is decided again before it is answered: it may not go on by a policy that runs no more', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(60));
    replica.keeper.requireLive(id);
    replica.policy.rule = () => false;
    replica.sessions.outdate();
    expect(() => replica.keeper.requireLive(id)).toThrow(
      expect.objectContaining({ code: 'SESSION_ENDED' }) as Error,
    );
    expect(killOf(replica, id)).toMatchObject({ reason: 'policy_denied' });
  });
});

describe('a session that is withdrawn', () => {
  it('is told to end, and one that is gone is none', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(60));
    replica.keeper.withdraw(id, { position: '7-1', policy: 'sha256:x', freshForMs: 1 });
    expect(killOf(replica, id)).toMatchObject({ reason: 'policy_denied', position: '7-1' });
    replica.keeper.closed(id);
    replica.keeper.withdraw(id, { position: '7-1', policy: 'sha256:x', freshForMs: 1 });
    expect(replica.sessions.size).toBe(0);
  });
});

describe('a fresher credential', () => {
  const present = (replica: TestReplica, id: string, token: string) =>
    replica.keeper.refresh(id, { scheme: 'Bearer', token });

  it('of the same subject takes the place of the one before: in the timetable, on disk, and for kills', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(1));
    await expect(present(replica, id, endingIn(10, 'j2'))).resolves.toMatchObject({
      decision: { effect: 'allow' },
      taken: { freshForMs: 2_950, expiresAtS: NOW_S + 10 - SKEW_S },
    });
    expect(replica.records).toHaveLength(2);
    expect(replica.records[1]).toMatchObject({ ref: sessionRefOf(id), expiresAtS: NOW_S + 10 - SKEW_S });
    await advance(replica, 1_000);
    expect(killOf(replica, id)).toBeUndefined();
    const kill = (value: string) =>
      replica.revoker.revoke(orderOf({ targets: [{ kind: 'jti', issuer: ISSUER, value }], wait: 'durable' }));
    await kill('j1');
    await settle();
    expect(killOf(replica, id)).toBeUndefined();
    await kill('j2');
    await settle();
    expect(killOf(replica, id)).toMatchObject({ reason: 'revoked' });
  });

  it('of somebody else, or of another issuer, changes nothing', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(60));
    for (const token of [
      tokenOf('other', 'j2', NOW_S),
      `${tokenOf('billing', 'j2', NOW_S)}||https://other.example`,
    ]) {
      expect(await present(replica, id, token)).toMatchObject({
        decision: { effect: 'deny', reason: 'subject_mismatch' },
      });
    }
    expect(replica.records).toHaveLength(1);
    expect(replica.keeper.ping(id).kill).toBeUndefined();
  });

  it('that is bad, dead, denied, or that cannot be judged now, changes nothing', async () => {
    const replica = await start();
    const { policy, keeper, lease, clock } = replica;
    const id = await open(replica, endingIn(60));
    await replica.revoker.revoke(
      orderOf({ targets: [{ kind: 'jti', issuer: ISSUER, value: 'dead' }], wait: 'durable' }),
    );
    await settle();
    expect(await present(replica, id, 'bad')).toMatchObject({ decision: { reason: 'invalid_credential' } });
    expect(await present(replica, id, endingIn(90, 'dead'))).toMatchObject({
      decision: { reason: 'revoked' },
    });
    policy.rule = ({ credential }) => !('scope' in (credential as { claims: object }).claims);
    const narrow = `${endingIn(90, 'j2')}|other`;
    expect(await present(replica, id, narrow)).toMatchObject({ decision: { reason: 'policy_denied' } });
    lease.drop();
    expect(await present(replica, id, endingIn(90, 'j2'))).toMatchObject({
      decision: { effect: 'indeterminate', reason: 'fenced' },
    });
    lease.adopt(clock.now());
    expect(keeper.ping(id).kill).toBeUndefined();
    expect(replica.records).toHaveLength(1);
  });

  it('must not end earlier; the same one again is no error', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(60));
    await expect(present(replica, id, endingIn(59, 'j2'))).rejects.toMatchObject({ code: 'NOT_FRESHER' });
    expect(await present(replica, id, endingIn(60))).toMatchObject({ taken: {} });
  });

  it('that was issued at or before a cutoff brings nobody back', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(3_600));
    const target = { kind: 'subject', issuer: ISSUER, value: 'billing', cutoffS: NOW_S } as const;
    await replica.revoker.revoke(orderOf({ targets: [target], wait: 'durable' }));
    await settle();
    expect(killOf(replica, id)).toMatchObject({ reason: 'cutoff' });
    await expect(present(replica, id, endingIn(3_605, 'j2'))).rejects.toMatchObject({
      code: 'SESSION_ENDED',
    });
  });

  it('comes too late for a session whose time has come, or that policy denies by now', async () => {
    const replica = await start();
    const [late, denied] = [await open(replica, endingIn(1)), await open(replica, endingIn(60, 'j2'))];
    // No timer has run.
    replica.clock.setForward(1_000);
    await expect(present(replica, late, endingIn(90, 'j3'))).rejects.toMatchObject({ code: 'SESSION_ENDED' });
    replica.policy.rule = () => false;
    await expect(present(replica, denied, endingIn(90, 'j4'))).rejects.toMatchObject({
      code: 'SESSION_ENDED',
    });
    expect(killOf(replica, late)).toMatchObject({ reason: 'expired' });
    expect(killOf(replica, denied)).toMatchObject({ reason: 'policy_denied' });
    await expect(present(replica, 'ses_none', endingIn(90))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('does not help a session that was killed or ended while it was verified', async () => {
    const replica = await start();
    const [killed, ended] = [await open(replica, endingIn(60)), await open(replica, endingIn(60, 'j2'))];
    const waiting = [killed, ended].map((id) => present(replica, id, `slow${endingIn(90, 'j3')}`));
    await replica.revoker.revoke(
      orderOf({ targets: [{ kind: 'jti', issuer: ISSUER, value: 'j1' }], wait: 'durable' }),
    );
    await settle();
    replica.keeper.closed(ended);
    replica.verifier.slow.resolve();
    await expect(waiting[0]).rejects.toMatchObject({ code: 'SESSION_ENDED' });
    await expect(waiting[1]).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('that cannot be put on disk leaves the one before', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(1));
    replica.sessionDisk.isFull = true;
    await expect(present(replica, id, endingIn(60, 'j2'))).rejects.toThrow('disk full');
    replica.sessionDisk.isFull = false;
    await advance(replica, 1_000);
    expect(killOf(replica, id)).toMatchObject({ reason: 'expired' });
  });
});

describe('what a session is decided on', () => {
  it('may only be so large, because it is kept', async () => {
    const replica = await start();
    const request = requestOf(endingIn(60), { context: { note: 'x'.repeat(20_000) } });
    await expect(replica.keeper.open({ kind: 'k', selfEnds: false, request })).rejects.toMatchObject({
      code: 'BODY_TOO_LARGE',
    });
    expect(replica.sessions.size).toBe(0);
  });
});

describe('a session that ended', () => {
  it('is neither killed nor scheduled when it is looked at once more', async () => {
    const replica = await start();
    const id = await open(replica, endingIn(60));
    const session = replica.keeper.find(id);
    replica.keeper.closed(id);
    replica.reviewer.schedule(session);
    expect(replica.sessions.untilNextMs(replica.clock.now())).toBe(Infinity);
    replica.policy.rule = () => false;
    expect(replica.reviewer.review(session, 'policy')).toBe('ended');
    expect(replica.reviewer.counts.get('policy')).toEqual({ reviewed: 1, killed: 0 });
  });
});

describe('a session under a policy that reads the time', () => {
  async function openUntil(untilS: number) {
    const replica = await start();
    replica.policy.revision = { ...replica.policy.revision, readsNow: true };
    replica.policy.rule = (input) => (input['now'] as number) < NOW_S + untilS;
    return { replica, id: await open(replica, tokenOf('billing', 'j1', NOW_S)) };
  }

  it('is told at its next ping that its time is over', async () => {
    const { replica, id } = await openUntil(5);
    await advance(replica, 4_750);
    expect(replica.keeper.ping(id).kill).toBeUndefined();
    await advance(replica, 250);
    expect(replica.keeper.ping(id)).toMatchObject({ freshForMs: 0, kill: { reason: 'policy_denied' } });
  });

  it('that never pings is killed within half a minute, and lives as long as policy says', async () => {
    const { replica, id } = await openUntil(50);
    await advance(replica, 49_000);
    expect(killOf(replica, id)).toBeUndefined();
    await advance(replica, 31_000);
    expect(killOf(replica, id)).toMatchObject({ reason: 'policy_denied' });
  });
});

describe('a lease that is over', () => {
  it('is said once, with how many sessions were told to end, and so is the next one; not at the start', async () => {
    const replica = makeReplica();
    const linesOf = () => replica.log.filter(({ sentence }) => /lease (is over|again)/.test(sentence));
    replica.store.fate = (command) => (command === 'roster' ? 'lose-request' : 'deliver');
    await replica.start();
    await advance(replica, 1_000);
    expect(linesOf()).toEqual([]);
    cut(replica, false);
    await advance(replica, 2_000);
    expect(isFresh(replica)).toBe(true);
    for (const jti of ['j1', 'j2']) await open(replica, endingIn(3_000, jti));
    cut(replica, true);
    await advance(replica, 10_000);
    const over = {
      level: 'warn',
      sentence: 'the lease is over: every answer is fenced, and live sessions were told to end',
      count: 2,
    };
    expect(linesOf()).toEqual([over]);
    cut(replica, false);
    await advance(replica, 5_000);
    expect(linesOf()).toMatchObject([
      over,
      { level: 'info', sentence: 'there is a lease again', durationMs: expect.any(Number) as number },
    ]);
  });
});
