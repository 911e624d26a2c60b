import { describe, expect, it } from 'vitest';
import type { Session } from '../../src/session/session.ts';
import { sessionRefOf } from '../../src/session/session.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { settle } from '../support/fake-time.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { makeReplica, startSettled as start } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;

/** Opens a session of `billing` on invoice `resource`; the answer is its id. */
async function open(replica: TestReplica, resource: string, token = tokenOf('billing', 'j1', NOW_S)) {
  const [subject = ''] = token.split('|');
  const request = requestOf(token, {
    subject: { type: 'service', id: subject },
    resource: { type: 'invoice', id: resource },
  });
  const { id, decision } = await replica.keeper.open({ kind: 'k', selfEnds: false, request });
  expect(decision).toMatchObject({ effect: 'allow' });
  return id ?? '';
}

function find(replica: TestReplica, id: string): Session {
  return replica.keeper.find(id);
}

const resourceOf = ({ resource }: JsonObject): string => (resource as { id: string }).id;

describe('a policy that changes', () => {
  it('kills the sessions it denies, tells why, and leaves the others', async () => {
    const replica = await start();
    const [kept, denied] = [await open(replica, '1'), await open(replica, '2')];
    const heard: unknown[] = [];
    replica.sessions.attach(sessionRefOf(denied), { kill: (event) => void heard.push(event) });
    replica.policy.rule = (input) => resourceOf(input) === '1';
    replica.reevaluator.policyChanged();
    expect(replica.reevaluator.isOwing).toBe(true);
    await settle();
    expect(replica.reevaluator.isOwing).toBe(false);
    expect(find(replica, kept).kill).toBeUndefined();
    expect(find(replica, denied).kill).toMatchObject({ reason: 'policy_denied' });
    expect(heard).toEqual([{ reason: 'policy_denied', position: expect.any(String) as string }]);
    expect(replica.reviewer.counts.get('policy')).toEqual({ reviewed: 2, killed: 1 });
    expect(replica.killed).toMatchObject([
      {
        decision: { effect: 'deny', reason: 'policy_denied' },
        occasion: { source: 'review', cause: 'policy', session: sessionRefOf(denied) },
      },
    ]);
    expect(replica.killed[0]?.occasion.asked).toMatchObject({ resource: { id: '2' } });
    expect(replica.sessions.kills.list()).toContainEqual({ reason: 'policy_denied', told: 1, killed: 0 });
    expect(replica.log).toContainEqual(
      expect.objectContaining({ sentence: 'live sessions were evaluated again', count: 2 }),
    );
    // One that was told is not decided again.
    expect(replica.reviewer.review(find(replica, denied), 'policy')).toBe('ended');
    expect(replica.reviewer.counts.get('policy')).toEqual({ reviewed: 2, killed: 1 });
  });

  it('is no accept of anything', async () => {
    const replica = await start();
    await open(replica, '1');
    const [hi = 0, lo = 0] = replica.fingerprinter.print([{ kind: 'jti', parts: [ISSUER, 'j1'] }]).prints;
    const before = replica.lastAccepts.seen(hi, lo);
    replica.clock.advance(100);
    replica.reevaluator.policyChanged();
    await settle();
    expect(replica.reviewer.counts.get('policy')?.reviewed).toBe(1);
    expect(replica.lastAccepts.seen(hi, lo)).toEqual(before);
  });

  it('says when nothing of it spoke, or it trapped: both are a no', async () => {
    const replica = await start();
    const [one, other] = [await open(replica, '1'), await open(replica, '2')];
    const { policy } = replica;
    policy.decide = (input) =>
      resourceOf(input) === '1' ? { kind: 'undefined' } : { kind: 'error', detail: 'policy trapped' };
    replica.reevaluator.policyChanged();
    await settle();
    expect(find(replica, one).kill).toMatchObject({ reason: 'policy_undefined' });
    expect(find(replica, other).kill).toMatchObject({ reason: 'policy_error' });
  });

  it('decides in slices; a change during the pass begins again for those decided before it', async () => {
    const replica = await start();
    const { clock, policy, reevaluator } = replica;
    const ids: string[] = [];
    for (let i = 0; i < 100; i++) ids.push(await open(replica, String(i)));
    let asked = 0;
    policy.rule = () => {
      clock.advanceMono(0.3);
      asked += 1;
      return true;
    };
    reevaluator.policyChanged();
    // Four of them fill a millisecond: then the loop turns.
    while (asked < 40) {
      const before = asked;
      await clock.yield();
      expect(asked - before).toBeLessThanOrEqual(4);
    }
    expect(asked).toBeLessThan(60);
    policy.rule = (input) => {
      asked += 1;
      return resourceOf(input) !== '0';
    };
    reevaluator.policyChanged();
    const late = await open(replica, 'late');
    asked = 0;
    for (let i = 0; i < 10; i++) await settle();
    // Each once by the new policy, and the one that was opened under it not at all.
    expect(asked).toBe(100);
    expect(find(replica, ids[0] ?? '').kill).toMatchObject({ reason: 'policy_denied' });
    expect(find(replica, ids[99] ?? '').kill).toBeUndefined();
    expect(find(replica, late).kill).toBeUndefined();
    expect(reevaluator.isOwing).toBe(false);
  });

  it('reaches every session although grants keep changing, and before the rest of those', async () => {
    const replica = await start();
    const { clock, policy, reevaluator, reviewer } = replica;
    const workers = Array.from({ length: 50 }, (_, i) => `worker${String(i)}`);
    for (const worker of workers) await open(replica, '1', tokenOf(worker, worker, NOW_S));
    const victim = await open(replica, '2');
    policy.rule = (input) => {
      clock.advanceMono(0.3);
      return resourceOf(input) === '1';
    };
    const grantReviews = () => reviewer.counts.get('grant')?.reviewed ?? 0;
    reevaluator.subjectsChanged(workers);
    await clock.yield();
    await clock.yield();
    const before = grantReviews();
    expect(before).toBeGreaterThan(0);
    reevaluator.policyChanged();
    for (let turns = 0; turns < 500 && find(replica, victim).kill === undefined; turns++) {
      reevaluator.subjectsChanged(workers);
      await clock.yield();
    }
    expect(find(replica, victim).kill).toMatchObject({ reason: 'policy_denied' });
    expect(grantReviews()).toBeLessThanOrEqual(before + 5);
    expect(reevaluator.isOwing).toBe(true);
    for (let i = 0; i < 20; i++) await settle();
    expect(reevaluator.isOwing).toBe(false);
  });

  it('stops with the process', async () => {
    const replica = await start();
    const { policy, clock } = replica;
    for (let i = 0; i < 200; i++) await open(replica, String(i));
    policy.rule = () => {
      clock.advanceMono(0.3);
      return true;
    };
    policy.evaluations = 0;
    replica.reevaluator.policyChanged();
    await clock.yield();
    await replica.stop();
    expect(policy.evaluations).toBeGreaterThan(0);
    expect(policy.evaluations).toBeLessThan(100);
  });

  it('reaches a holder that pings before the pass reaches its session', async () => {
    const replica = await start();
    const id = await open(replica, '1');
    replica.policy.rule = () => false;
    replica.reevaluator.policyChanged();
    expect(replica.keeper.ping(id)).toMatchObject({ freshForMs: 0, kill: { reason: 'policy_denied' } });
    expect(replica.reviewer.counts.get('holder')).toEqual({ reviewed: 1, killed: 1 });
  });
});

describe('a replica that cannot know', () => {
  it('kills nobody for it, and decides again once it can', async () => {
    const replica = await start();
    const { lease, policy, reevaluator, clock, sessions } = replica;
    // That nothing is known ends it soon: this is about the moment before.
    sessions.killWhere = () => 0;
    const id = await open(replica, '1');
    policy.rule = () => false;
    lease.drop();
    reevaluator.policyChanged();
    reevaluator.subjectsChanged(['billing']);
    await settle();
    expect(find(replica, id).kill).toBeUndefined();
    expect(reevaluator.isOwing).toBe(true);
    clock.advance(600);
    await settle();
    clock.advance(100);
    await settle();
    expect(find(replica, id).kill).toMatchObject({ reason: 'policy_denied' });
    expect(reevaluator.isOwing).toBe(false);
  });

  it('does not lose whose grants have changed', async () => {
    const replica = await start();
    const { lease, policy, reevaluator, clock, sessions } = replica;
    // That nothing is known ends it soon: this is about the moment before.
    sessions.killWhere = () => 0;
    const id = await open(replica, '1');
    policy.rule = () => false;
    lease.drop();
    reevaluator.subjectsChanged(['billing']);
    await settle();
    expect(find(replica, id).kill).toBeUndefined();
    expect(reevaluator.isOwing).toBe(true);
    clock.advance(600);
    await settle();
    clock.advance(100);
    await settle();
    expect(find(replica, id).kill).toMatchObject({ reason: 'policy_denied' });
    expect(reevaluator.isOwing).toBe(false);
  });
});

describe('subjects whose grants change', () => {
  it('have their sessions decided again, and those that they act in; nobody else has', async () => {
    const replica = await start();
    const { policy, reevaluator } = replica;
    const own = await open(replica, '1');
    const other = await open(replica, '2', tokenOf('other', 'j2', NOW_S));
    policy.rule = () => false;
    reevaluator.subjectsChanged(['billing', 'nobody']);
    await settle();
    expect(find(replica, own).kill).toMatchObject({ reason: 'policy_denied' });
    expect(find(replica, other).kill).toBeUndefined();
    expect(replica.reviewer.counts.get('grant')).toEqual({ reviewed: 1, killed: 1 });
    // The plain verifier's tokens are all presented by one agent.
    reevaluator.subjectsChanged(['agent']);
    await settle();
    expect(find(replica, other).kill).toMatchObject({ reason: 'policy_denied' });
  });
});

describe('a holder that pings before the pass has reached its session', () => {
  it.each(['billing', 'agent'])(
    'is told that the grant of %s is gone, and nobody else is asked',
    async (id) => {
      const replica = await start();
      const { clock, policy, reevaluator, keeper, reviewer } = replica;
      for (let i = 0; i < 20; i++) await open(replica, '1', tokenOf('billing', `b${String(i)}`, NOW_S));
      const last = await open(replica, '2');
      policy.rule = (input) => {
        clock.advanceMono(0.6);
        return resourceOf(input) === '1';
      };
      reevaluator.subjectsChanged([id]);
      expect(reevaluator.owes(find(replica, last))).toBe(true);
      // The pass is under way with this very subject.
      for (let i = 0; i < 3; i++) await clock.yield();
      expect(reviewer.counts.get('grant')?.reviewed).toBeGreaterThan(0);
      expect(find(replica, last).kill).toBeUndefined();
      expect(keeper.ping(last)).toMatchObject({ freshForMs: 0, kill: { reason: 'policy_denied' } });
      for (let i = 0; i < 5; i++) await settle();
      expect(reevaluator.isOwing).toBe(false);
      expect(reevaluator.owes(find(replica, last))).toBe(false);
      expect(reviewer.counts.get('holder')).toEqual({ reviewed: 1, killed: 1 });
    },
  );

  it('is not decided again for the grants of others', async () => {
    const replica = await start();
    const id = await open(replica, '1');
    replica.reevaluator.subjectsChanged(['other']);
    expect(replica.reevaluator.owes({ ...find(replica, id), actor: undefined })).toBe(false);
    expect(replica.keeper.ping(id).kill).toBeUndefined();
    expect(replica.reviewer.counts.get('holder')?.reviewed).toBe(0);
  });
});

describe('a session of an earlier run', () => {
  it('is decided again at start: nobody knows by which policy it was', async () => {
    const before = await start();
    const [kept, denied] = [await open(before, '1'), await open(before, '2')];
    const replica = makeReplica({ clock: before.clock });
    replica.policy.rule = (input) => resourceOf(input) === '1';
    for (const record of before.records) replica.sessions.restore(record, 0, replica.clock.now());
    await replica.start();
    await settle();
    expect(find(replica, kept).kill).toBeUndefined();
    expect(find(replica, denied).kill).toMatchObject({ reason: 'policy_denied' });
  });

  it('that does not say what it was decided on is killed, and the log says so', async () => {
    const before = await start();
    const id = await open(before, '1');
    const replica = makeReplica({ clock: before.clock });
    for (const { grounds: _, ...record } of before.records)
      replica.sessions.restore(record, 0, replica.clock.now());
    await replica.start();
    await settle();
    expect(find(replica, id).kill).toMatchObject({ reason: 'policy_denied' });
    expect(replica.log).toContainEqual(
      expect.objectContaining({ sentence: 'a session that cannot be decided again was killed' }),
    );
  });
});

describe('a session whose credential says no end', () => {
  it('lives on by what policy says, and any fresher credential has one', async () => {
    const before = await start();
    const id = await open(before, '1');
    const replica = makeReplica({ clock: before.clock });
    for (const record of before.records)
      replica.sessions.restore({ ...record, expiresAtS: undefined }, 0, replica.clock.now());
    await replica.start();
    await settle();
    expect(replica.reviewer.counts.get('policy')).toEqual({ reviewed: 1, killed: 0 });
    const token = tokenOf('billing', 'j2', NOW_S);
    expect(await replica.keeper.refresh(id, { scheme: 'Bearer', token })).toMatchObject({ taken: {} });
  });
});

describe('a reason that was not foreseen', () => {
  it('is told as no more than a denial', async () => {
    const replica = await start();
    const id = await open(replica, '1');
    replica.checker.reconsider = () => ({ effect: 'deny', reason: 'inactive' });
    expect(replica.reviewer.review(find(replica, id), 'policy')).toBe('ended');
    expect(find(replica, id).kill).toMatchObject({ reason: 'policy_denied' });
  });
});

describe('a pass over sessions that were decided already', () => {
  it('goes by them, and ends at once when the process stops', async () => {
    const replica = await start();
    for (let i = 0; i < 200; i++) await open(replica, String(i));
    const [first] = replica.sessions.all();
    replica.reevaluator.policyChanged();
    for (const session of replica.sessions.all()) if (session !== first) replica.sessions.confirm(session);
    await settle();
    expect(replica.reviewer.counts.get('policy')).toEqual({ reviewed: 1, killed: 0 });
    const stopping = replica.stop();
    replica.reevaluator.policyChanged();
    await stopping;
    expect(replica.reviewer.counts.get('policy')?.reviewed).toBe(1);
    await replica.reevaluator.run(replica.closing.signal);
    expect(replica.reevaluator.isOwing).toBe(true);
  });
});

describe('a revocation that the kill has not reached yet', () => {
  it('is what a session dies of when it is decided again first', async () => {
    const replica = await start();
    const id = await open(replica, '1');
    const { sessions } = replica;
    const order = orderOf({ targets: [{ kind: 'jti', issuer: ISSUER, value: 'other' }], wait: 'durable' });
    await replica.revoker.revoke(order);
    await settle();
    expect(find(replica, id).kill).toBeUndefined();
    replica.view.verdict = () => ({
      state: 'revoked',
      by: { id: 'rev_1', reason: 'revoked', position: '1-1' },
    });
    expect(replica.reviewer.review(find(replica, id), 'policy')).toBe('ended');
    expect(find(replica, id).kill).toMatchObject({ reason: 'revoked', revocation: 'rev_1' });
    // One that is over meanwhile counts as no kill.
    const gone = find(replica, id);
    sessions.end(sessionRefOf(id));
    expect(sessions.killOne(gone, { reason: 'revoked', position: '1-1' }, replica.clock.now())).toBe(false);
  });
});
