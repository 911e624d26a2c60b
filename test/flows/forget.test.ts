/** Who is taken off the roster, when, by whom, and what becomes of it when it comes back. */
import { describe, expect, it } from 'vitest';
import { comparePositions } from '../../src/feed/position.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, enforce, isFresh, jti, reasonOf } from '../support/memory-fleet.ts';
import { readinessOf } from '../support/readiness.ts';
import type { TestReplica, TestReplicaOptions } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';

const ROSTER_FORGET_MS = 20_000;

interface Fleet {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  readonly replicas: TestReplica[];
}

async function start(...names: string[]): Promise<Fleet> {
  const fleet = { clock: new FakeClock(), server: new MemoryFeedServer(), replicas: [] as TestReplica[] };
  for (const [i, name] of names.entries()) fleet.replicas.push(await join(fleet, name, i + 1));
  await pass(fleet.clock, 2_000);
  for (const replica of fleet.replicas) expect(isFresh(replica)).toBe(true);
  return fleet;
}

async function join(
  { clock, server }: Fleet,
  name: string,
  seed: number,
  over: Partial<TestReplicaOptions> = {},
): Promise<TestReplica> {
  const options = { clock, server, name, seed, exclusive: false, rosterForgetMs: ROSTER_FORGET_MS, ...over };
  const replica = await startSettled(options);
  await pass(clock, 1_000);
  return replica;
}

/** SIGKILL: nothing is said. */
async function kill(replica: TestReplica): Promise<void> {
  forget(replica);
  cut(replica, true);
  await replica.stop();
}

const eventsOf = ({ server }: Fleet): string[] =>
  server.lines.flatMap(({ sealed: { entry } }) =>
    entry.kind === 'replica' && entry.event !== 'joined' ? [`${entry.event} ${entry.incarnation}`] : [],
  );

const stateOf = (by: TestReplica, incarnation: string): string | undefined =>
  by.members.lookup(incarnation)?.state;

const order = (replica: string) => ({ replica, reason: 'scrapped', caller: 'admin' });

const AWAITING = 'awaiting: nobody with a lease has acknowledged this replica yet';

describe('a replica that is silent for rosterForget', () => {
  it('is forgotten once, with a signed entry that says for how long, and is in no receipt from then on', async () => {
    const fleet = await start('a', 'b', 'c');
    const [a, b, c] = fleet.replicas as [TestReplica, TestReplica, TestReplica];
    await kill(c);
    await pass(fleet.clock, ROSTER_FORGET_MS - 3_000);
    expect(eventsOf(fleet)).toEqual([]);
    await pass(fleet.clock, 3_000 + 2 * OVER_MS);
    expect(eventsOf(fleet)).toEqual(['forgotten inc_c3']);
    const entry = fleet.server.lines.at(-1)?.sealed.entry;
    expect(entry).toMatchObject({ event: 'forgotten', replica: 'c', reason: 'silent for 21 s' });
    expect(entry).not.toHaveProperty('caller');
    for (const one of [a, b]) {
      expect(stateOf(one, 'inc_c3')).toBe('forgotten');
      expect(one.surveyor.look().map(({ replica }) => replica)).toEqual(['a', 'b']);
    }
    const done = await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(fleet.clock, 1_000);
    expect((await a.revoker.status(done.id)).replicas.map(({ replica }) => replica).sort()).toEqual([
      'a',
      'b',
    ]);
  });

  it('is fenced for good when it comes back, says so loudly, and is a newcomer after a restart', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    cut(b, true);
    await pass(fleet.clock, ROSTER_FORGET_MS + OVER_MS);
    await enforce(a, 'j1');
    expect(eventsOf(fleet)).toEqual(['forgotten inc_b2']);
    cut(b, false);
    await pass(fleet.clock, 2_000);
    expect(b.renewer.state).toBe('forgotten');
    expect(readinessOf(b, 'store')).toMatch(/^forgotten: .*restart it$/);
    expect(b.log).toContainEqual({
      level: 'error',
      sentence: 'this incarnation is fenced for good: restart it',
      state: 'forgotten',
    });
    expect(await reasonOf(b, 'j1')).toBe('fenced');
    await kill(b);
    const again = await join(fleet, 'b', 9, { ledger: b.ledger });
    const joined = fleet.server.lines.at(-1)?.sealed.entry;
    expect(joined).toMatchObject({ event: 'joined', incarnation: 'inc_b9' });
    // Its disk did not know, and claims the place of the one before: that one stays forgotten all the same.
    expect(joined).toMatchObject({ succeeds: 'inc_b2' });
    for (const one of [a, again]) expect(stateOf(one, 'inc_b2')).toBe('forgotten');
    expect(isFresh(again)).toBe(true);
    expect(await reasonOf(again, 'j1')).toBe('revoked');
  });

  it('keeps its place when it renews in time, and silence that nobody could hear does not count', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    cut(b, true);
    await pass(fleet.clock, ROSTER_FORGET_MS - OVER_MS);
    cut(b, false);
    await pass(fleet.clock, 1_000);
    cut(b, true);
    await pass(fleet.clock, ROSTER_FORGET_MS - OVER_MS);
    // The store is away, for both; whoever is back first has not listened meanwhile.
    cut(a, true);
    await pass(fleet.clock, 2 * ROSTER_FORGET_MS);
    cut(a, false);
    await pass(fleet.clock, ROSTER_FORGET_MS - OVER_MS);
    expect(eventsOf(fleet)).toEqual([]);
    expect(isFresh(a)).toBe(true);
    cut(b, false);
    await pass(fleet.clock, 1_000);
    expect(isFresh(b)).toBe(true);
  });

  it('is left alone when it renews between the look and the forgetting', async () => {
    const fleet = await start('a', 'b');
    const [, b] = fleet.replicas as [TestReplica, TestReplica];
    const [a] = fleet.replicas as [TestReplica];
    cut(b, true);
    a.store.next('forget', 'hold-request');
    await pass(fleet.clock, ROSTER_FORGET_MS + OVER_MS);
    expect(fleet.server.held).toBe(1);
    cut(b, false);
    await pass(fleet.clock, 1_000);
    fleet.server.release();
    await pass(fleet.clock, 1_000);
    expect(eventsOf(fleet)).toEqual([]);
    expect(isFresh(b)).toBe(true);
  });

  it('is tried again when the store did not answer', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await kill(b);
    a.store.next('forget', 'lose-request');
    const forgets = a.store.forget.bind(a.store);
    let broken = 1;
    a.store.forget = (request) => (broken-- > 0 ? Promise.reject(new Error('unforeseen')) : forgets(request));
    await pass(fleet.clock, ROSTER_FORGET_MS + 4 * OVER_MS);
    expect(eventsOf(fleet)).toEqual(['forgotten inc_b2']);
    const codes = a.log.filter(({ sentence }) => sentence === 'a replica could not be forgotten');
    expect(codes.map(({ code }) => code)).toEqual(['INTERNAL', 'APPEND_UNCERTAIN']);
  });

  it('says so when it comes back to a closed epoch, and not that it had left', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await kill(b);
    await pass(fleet.clock, ROSTER_FORGET_MS + 2 * OVER_MS);
    expect(eventsOf(fleet)).toEqual(['forgotten inc_b2']);
    cut(a, true);
    await pass(fleet.clock, OVER_MS);
    fleet.server.restart();
    const again = await join(fleet, 'b', 8, { ledger: b.ledger, bootstrap: false });
    expect(readinessOf(again, 'epoch')).toMatch(
      /is closed; this replica was forgotten in it; it is opened again by who was not: a$/,
    );
    cut(a, false);
    await pass(fleet.clock, OVER_MS);
    expect([a, again].map(isFresh)).toEqual([true, true]);
  });

  it('is not forgotten in a closed epoch, though it alone holds what was enforced (THREATS 10.7)', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    cut(a, true);
    await pass(fleet.clock, OVER_MS);
    await enforce(b, 'j1');
    cut(b, true);
    await pass(fleet.clock, OVER_MS);
    fleet.server.forget();
    cut(a, false);
    await pass(fleet.clock, 2 * ROSTER_FORGET_MS);
    expect(eventsOf(fleet)).toEqual([]);
    expect(isFresh(a)).toBe(false);
    await expect(a.forgetter.forget(order('b'))).rejects.toMatchObject({
      code: 'EPOCH_CLOSED',
      message: expect.stringContaining('/readyz') as string,
    });
    expect(readinessOf(a, 'epoch')).toMatch(/it waits for b$/);
    cut(b, false);
    await pass(fleet.clock, OVER_MS);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  });
});

describe('a closed epoch', () => {
  it('is reopened by all but those that were forgotten before it closed', async () => {
    const fleet = await start('a', 'b', 'c');
    const [a, b, c] = fleet.replicas as [TestReplica, TestReplica, TestReplica];
    await kill(c);
    await pass(fleet.clock, OVER_MS);
    await a.forgetter.forget(order('c'));
    await enforce(a, 'j1');
    fleet.server.isReachable = false;
    await pass(fleet.clock, OVER_MS);
    fleet.server.restart();
    fleet.server.isReachable = true;
    await pass(fleet.clock, 2_000);
    for (const one of [a, b]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
    const rules = fleet.server.lines.flatMap(({ sealed: { entry } }) =>
      entry.kind === 'epoch' ? [entry.rule] : [],
    );
    expect(rules).toEqual(['bootstrap', 'roster']);
  });

  it('is not opened by who has left it, nor is a newcomer admitted: an empty roster is not whole (THREATS 10.8)', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    await enforce(a, 'j1');
    forget(a);
    await a.stop();
    expect(eventsOf(fleet)).toEqual(['left inc_a1']);
    // Nobody is there who could acknowledge it: it is admitted at once, and enforces what a knows nothing of.
    const j = await join(fleet, 'j', 2);
    await enforce(j, 'j2');
    await kill(j);
    fleet.server.restart();
    fleet.server.forget();
    const again = await join(fleet, 'a', 9, { ledger: a.ledger, bootstrap: false });
    const newcomer = await join(fleet, 'n', 3, { bootstrap: false });
    await pass(fleet.clock, OVER_MS);
    for (const one of [again, newcomer]) expect(await reasonOf(one, 'j2')).toBe('fenced');
    expect(fleet.server.roster().epochId).toBeUndefined();
  });
});

describe('a replica that was forgotten', () => {
  it('has no lease again, though a thief has written it back to the roster', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    cut(b, true);
    await pass(fleet.clock, OVER_MS);
    await a.forgetter.forget({ replica: 'b', reason: undefined, caller: 'admin' });
    const renew = b.store.renew.bind(b.store);
    // As of a newcomer's row.
    b.store.renew = async (request) => {
      const said = await renew(request);
      const { rows, runId, head } = fleet.server.roster();
      const lines = fleet.server.lines.filter(
        ({ position }) => comparePositions(position, request.position) > 0,
      );
      return said.kind === 'stale' ? { kind: 'lease', lines, head, rows, runId } : said;
    };
    cut(b, false);
    await pass(fleet.clock, OVER_MS);
    expect(b.members.lookup('inc_b2')?.state).toBe('forgotten');
    expect([b.renewer.state, isFresh(b), await reasonOf(b, 'j1')]).toEqual(['forgotten', false, 'fenced']);
  });
});

describe('an incarnation whose data directory lives on', () => {
  it('is no longer counted as soon as it is surely over, however often that is', async () => {
    const fleet = await start('a', 'b');
    const [a] = fleet.replicas as [TestReplica, TestReplica];
    let b = fleet.replicas[1] as TestReplica;
    for (let seed = 10; seed < 13; seed++) {
      await kill(b);
      b = await join(fleet, 'b', seed, { ledger: b.ledger });
      await pass(fleet.clock, 500);
      const states = a.surveyor.look().map(({ incarnation, state }) => `${incarnation} ${state}`);
      expect(states.at(-1)).toBe(`inc_b${seed} live`);
    }
    await pass(fleet.clock, 3 * OVER_MS);
    expect(eventsOf(fleet)).toEqual(['forgotten inc_b2', 'forgotten inc_b10', 'forgotten inc_b11']);
    // What the store shows of them for a while longer is known to be over.
    expect(fleet.server.roster().rows).toHaveLength(5);
    expect(a.surveyor.look().map(({ incarnation }) => incarnation)).toEqual(['inc_a1', 'inc_b12']);
    expect(isFresh(b)).toBe(true);
  });
});

describe('an operator', () => {
  it('forgets at once whose lease is surely over, with a reason, and nobody before that', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await kill(b);
    await pass(fleet.clock, 1_000);
    await expect(a.forgetter.forget(order('b'))).rejects.toMatchObject({
      code: 'STILL_LEASED',
      message: expect.stringMatching(/^inc_b2: its lease may be good for \d+ ms yet$/) as string,
    });
    await pass(fleet.clock, OVER_MS);
    expect(await a.forgetter.forget(order('b'))).toEqual({ forgotten: ['inc_b2'], kept: [] });
    expect(fleet.server.lines.at(-1)?.sealed.entry).toMatchObject({
      ...{ event: 'forgotten', incarnation: 'inc_b2', reason: 'scrapped', caller: 'admin', by: 'inc_a1' },
    });
    await pass(fleet.clock, 1_000);
    await expect(a.forgetter.forget(order('b'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(a.forgetter.forget(order('nobody'))).rejects.toMatchObject({
      ...{ code: 'NOT_FOUND', message: 'no replica of that name is on the roster' },
    });
  });

  it('is told of one that has left', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    forget(b);
    await b.stop();
    await pass(fleet.clock, 1_000);
    await expect(a.forgetter.forget(order('b'))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('on the roster: it has left') as string,
    });
  });

  it('forgets the silent incarnations of a name and keeps the others, the one that is asked among them', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await kill(b);
    // Another data directory under the same name.
    await join(fleet, 'b', 7, {});
    await pass(fleet.clock, OVER_MS);
    const { forgotten, kept } = await a.forgetter.forget({ ...order('b'), reason: undefined });
    expect(forgotten).toEqual(['inc_b2']);
    expect(kept).toEqual([
      {
        incarnation: 'inc_b7',
        why: expect.stringMatching(/^its lease may be good for \d+ ms yet$/) as string,
      },
    ]);
    await expect(a.forgetter.forget(order('a'))).rejects.toMatchObject({
      code: 'STILL_LEASED',
      message: 'inc_a1: it is the one that was asked',
    });
  });

  it('is told when it has renewed after all', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    cut(b, true);
    await pass(fleet.clock, OVER_MS);
    a.store.next('forget', 'hold-request');
    const forgetting = a.forgetter.forget(order('b'));
    const refused = expect(forgetting).rejects.toMatchObject({ message: 'inc_b2: it has renewed just now' });
    await settle();
    cut(b, false);
    await pass(fleet.clock, 1_000);
    fleet.server.release();
    await settle();
    await refused;
    expect(isFresh(b)).toBe(true);
  });

  it('asks one that has a lease; where nobody has one any more, amnesia is accepted over the open epoch', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    await enforce(a, 'j1');
    await kill(a);
    const b = await join(fleet, 'b', 2);
    await pass(fleet.clock, OVER_MS);
    expect(b.renewer.state).toBe('awaiting');
    expect(readinessOf(b, 'store')).toBe(AWAITING);
    await pass(fleet.clock, 60_000);
    expect(readinessOf(b, 'store')).toBe(
      `${AWAITING}; if they are gone for good: writ epoch open --accept-amnesia --reason '…'`,
    );
    await expect(b.forgetter.forget(order('a'))).rejects.toMatchObject({
      code: 'FENCED',
      message: expect.stringContaining('/readyz') as string,
    });
    await expect(b.replica.openEpoch('new-fleet')).rejects.toMatchObject({ code: 'ALREADY_OPEN' });
    await b.replica.openEpoch('accept-amnesia', 'its disk is gone');
    await pass(fleet.clock, 2_000);
    expect(isFresh(b)).toBe(true);
    expect(await reasonOf(b, 'j1')).toBe('revoked');
    await expect(b.replica.openEpoch('accept-amnesia', 'again')).rejects.toMatchObject({
      code: 'ALREADY_OPEN',
    });
    await pass(fleet.clock, ROSTER_FORGET_MS + OVER_MS);
    expect(eventsOf(fleet)).toEqual(['forgotten inc_a1']);
  });

  it('cannot forget in an epoch that this replica has not joined', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    const roster = await a.store.roster();
    a.store.roster = () => Promise.resolve({ ...roster, epochId: 'ep_other' });
    await expect(a.forgetter.forget(order('a'))).rejects.toMatchObject({ code: 'EPOCH_CLOSED' });
  });
});
