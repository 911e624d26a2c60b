/** Which incarnations were processes on a data directory: by what stands in it, and not by a key alone (D-152). */
import { describe, expect, it } from 'vitest';
import { sealEntry } from '../../src/feed/entry.ts';
import type { ReplicaEntry } from '../../src/feed/entry.ts';
import { cut, enforce, isFresh, jti, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { readinessOf } from '../support/readiness.ts';
import { forget, makeReplica, pass } from '../support/replicas.ts';

const FLEET = { exclusive: false, bootstrap: false } as const;

/** The next process on its directory. */
function nextOf({ clock, server, ledger, identity }: TestReplica, seed: number): TestReplica {
  return makeReplica({ clock, server, name: identity.replica, ledger, seed, ...FLEET });
}

const succeedsOf = (one: TestReplica): (string | undefined)[] =>
  one.server.lines.flatMap(({ sealed: { entry } }) =>
    entry.kind === 'replica' && entry.event === 'joined' && entry.replica === 'b' ? entry.succeeds : [],
  );

it('is said by each that joins, and in each epoch', async () => {
  const { clock, server, b } = await startPair();
  await b.stop();
  const next = await nextOf(b, 3).start();
  await pass(clock, 1_000);
  server.restart();
  await pass(clock, 4_000);
  expect(isFresh(next)).toBe(true);
  expect(succeedsOf(b)).toEqual([undefined, 'inc_b2', 'inc_b2']);
});

it('is whole though one was killed before its line came back: the next one says it again', async () => {
  const { clock, a, b } = await startPair();
  forget(b);
  await b.stop();
  const killed = nextOf(b, 3);
  // Nobody hears of it.
  killed.store.append = () => new Promise(() => undefined);
  void killed.start();
  await pass(clock, 100);
  killed.closing.abort();
  const last = await nextOf(b, 4).start();
  await pass(clock, 4_000);
  expect(isFresh(last)).toBe(true);
  expect(succeedsOf(b)).toEqual([undefined, 'inc_b2', 'inc_b3']);
  expect(a.members.goesOn('inc_b4', 'inc_b2')).toBe(true);
});

it.each<readonly [string, (entry: Omit<ReplicaEntry, 'sig'>, b: TestReplica) => string]>([
  ['which nobody of the fleet has signed', (entry, { identity }) => sealEntry(entry, identity.key).text],
  ['of another directory', (entry, { logKey }) => sealEntry({ ...entry, key: logKey.public.x }, logKey).text],
  [
    'of another kind',
    ({ at, by }, b) => sealEntry({ v: 1, id: 'm', at, by, kind: 'mark', endedBeforeS: 1 }, b.logKey).text,
  ],
])('is told by the ledger where the file has an entry %s', async (_, make) => {
  const { clock, b } = await startPair();
  await b.stop();
  const { sig: _sig, ...entry } = JSON.parse(b.ledger.lastJoined.word as string) as ReplicaEntry;
  b.ledger.lastJoined.word = make(entry, b);
  await nextOf(b, 3).start();
  await pass(clock, 1_000);
  expect(succeedsOf(b)).toEqual([undefined, 'inc_b2']);
});

/** It is dead, and says no goodbye. */
function cutOff(one: TestReplica): TestReplica {
  cut(one, true);
  return one;
}

const states = (all: readonly TestReplica[]): string[] =>
  all.map((one) => (isFresh(one) ? 'fresh' : (readinessOf(one, 'epoch') ?? '')));

describe('a fleet goes on by itself, though the store restarts', () => {
  it('while everyone joins: `joined` is noted, and none was appended', async () => {
    const { clock, server, a, b } = await startPair();
    const all = [nextOf(cutOff(a), 11), nextOf(cutOff(b), 12)];
    // It answers, and takes nothing: a full disk (MISCONF), or it is about to restart.
    for (const one of all) one.store.fate = (command) => (command === 'append' ? 'lose-request' : 'deliver');
    for (const one of all) void one.start();
    await pass(clock, 400);
    server.restart();
    for (const one of all) one.store.fate = () => 'deliver';
    await pass(clock, 30_000);
    expect(states(all)).toEqual(['fresh', 'fresh']);
  });

  it('in an epoch that one has not had a lease of, and was killed before its line was appended', async () => {
    const { clock, server, a, b } = await startPair();
    const killed = nextOf(cutOff(b), 12);
    server.restart();
    await pass(clock, 1_000);
    expect(isFresh(a)).toBe(true);
    killed.store.fate = (command) => (command === 'append' ? 'lose-request' : 'deliver');
    void killed.start();
    await pass(clock, 300);
    // Long enough that a is no witness.
    cut(a, true);
    const next = nextOf(cutOff(killed), 13);
    await pass(clock, 4_000);
    server.restart();
    cut(a, false);
    await next.start();
    await pass(clock, 30_000);
    expect(states([a, next])).toEqual(['fresh', 'fresh']);
  });

  it.each([
    ['longer than a lease', true],
    ['and another one is its witness', false],
  ])('and comes back without the lines by which one was said again: %s', async (_, isLong) => {
    const { clock, server, a, b } = await startPair();
    const killed = nextOf(cutOff(b), 12);
    killed.store.fate = (command) => (command === 'append' ? 'lose-request' : 'deliver');
    void killed.start();
    await pass(clock, 300);
    const { length } = server.lines;
    // It says both, and reads neither.
    const next = nextOf(cutOff(killed), 13);
    next.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    cut(a, true);
    void next.start();
    await pass(clock, isLong ? 4_000 : 1_000);
    expect(server.lines.slice(length).filter(({ sealed }) => sealed.entry.by !== 'inc_a1')).toHaveLength(2);
    server.restart(length);
    cut(a, false);
    await pass(clock, 500);
    next.store.fate = () => 'deliver';
    await pass(clock, 60_000);
    expect(states([a, next])).toEqual(['fresh', 'fresh']);
    expect(a.members.goesOn('inc_b13', 'inc_b2')).toBe(true);
  });
});

/** Of `count` processes on its directory, each killed before it read what it had said, the last. */
async function lastKilled(count: number, first: TestReplica): Promise<TestReplica> {
  let last = first;
  for (let i = 0; i < count; i++) {
    last = nextOf(cutOff(last), 20 + i);
    last.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    void last.start();
    await pass(last.clock, 300);
  }
  return last;
}

const linesIn = ({ ledger }: TestReplica): number => ledger.lastJoined.word?.split('\n').length ?? 0;

it('is shown to who lacks a line of it that the directory had read, and the store lost', async () => {
  const { clock, server, a, b } = await startPair();
  const { length } = server.lines;
  // Cut off for less than a lease.
  cut(a, true);
  const third = await nextOf(cutOff(b), 3).start();
  await pass(clock, 300);
  const fourth = nextOf(cutOff(third), 4);
  // Without that line, and a goes on as the witness of its epoch.
  server.restart(length);
  cut(a, false);
  await pass(clock, 1_500);
  expect(isFresh(a)).toBe(true);
  // It joins, and is killed before its first lease.
  fourth.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
  void fourth.start();
  await pass(clock, 500);
  const all = [nextOf(cutOff(a), 11), nextOf(cutOff(fourth), 5)];
  server.restart();
  for (const one of all) void one.start();
  await pass(clock, 10_000);
  expect(states(all)).toEqual(['fresh', 'fresh']);
});

describe('the `joined` file', () => {
  it('has a line for each of them, the newest sixteen before the last: what is known here may have been lost elsewhere', async () => {
    const { clock, server, a, b } = await startPair();
    const killed = await lastKilled(3, b);
    expect(linesIn(killed)).toBe(4);
    const next = await nextOf(cutOff(killed), 13).start();
    server.restart();
    await pass(clock, 4_000);
    expect([isFresh(next), linesIn(next)]).toEqual([true, 5]);
    expect(a.members.goesOn('inc_b13', 'inc_b2')).toBe(true);
    const last = await nextOf(cutOff(next), 14).start();
    await pass(clock, 1_000);
    expect([isFresh(last), linesIn(last)]).toEqual([true, 6]);
  });

  it('has all of them said again of whom nobody has heard, in their order', async () => {
    const { clock, server, a, b } = await startPair();
    const { length } = server.lines;
    const killed = nextOf(cutOff(b), 12);
    killed.store.fate = (command) => (command === 'append' ? 'lose-request' : 'deliver');
    void killed.start();
    await pass(clock, 300);
    // It says both, and reads neither; nor does a, which goes on as the witness.
    cut(a, true);
    const other = nextOf(cutOff(killed), 13);
    other.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    void other.start();
    await pass(clock, 300);
    server.restart(length);
    cut(a, false);
    await pass(clock, 1_500);
    const next = await nextOf(cutOff(other), 14).start();
    await pass(clock, 1_000);
    expect([a, next].map(isFresh)).toEqual([true, true]);
    expect(succeedsOf(b)).toEqual([undefined, 'inc_b2', 'inc_b12', 'inc_b13']);
    expect(a.members.goesOn('inc_b14', 'inc_b2')).toBe(true);
  });

  it('stays small where one is killed at each start', async () => {
    const { b } = await startPair();
    expect(linesIn(await lastKilled(20, b))).toBe(17);
  });

  it('may be copied: whoever joins with a copy says the same ones again, and the later one has the lease', async () => {
    const { clock, server, a, b } = await startPair();
    const killed = cutOff(await lastKilled(2, b));
    const copy = killed.ledger.copy();
    const next = await nextOf(killed, 13).start();
    await pass(clock, 1_000);
    expect(isFresh(next)).toBe(true);
    const other = await makeReplica({ clock, server, name: 'b', ledger: copy, seed: 14, ...FLEET }).start();
    await pass(clock, 1_000);
    expect([isFresh(next), isFresh(other), linesIn(other)]).toEqual([false, true, 4]);
    expect(['inc_b13', 'inc_b14'].map((one) => a.members.goesOn(one, 'inc_b21'))).toEqual([false, false]);
    expect(a.members.goesOn('inc_b21', 'inc_b2')).toBe(true);
  });

  it('is not believed by half', async () => {
    const { clock, server, a, b } = await startPair();
    const { length } = server.lines;
    cut(a, true);
    const killed = await lastKilled(2, b);
    await pass(clock, 4_000);
    server.restart(length);
    cut(a, false);
    const lines = killed.ledger.lastJoined.word
      ?.split('\n')
      .map((line, i) => (i === 1 ? line.slice(9) : line));
    const next = nextOf(without(killed, lines?.join('\n')), 13);
    void next.start();
    await pass(clock, 30_000);
    expect(states([a, next])).toEqual(['fresh', 'fresh']);
  });
});

/** Its directory, with `word` in that file. */
function without(one: TestReplica, word?: string): TestReplica {
  one.ledger.lastJoined.word = word;
  return cutOff(one);
}

describe('a data directory whose `joined` file is gone, or cannot be read', () => {
  it.each([undefined, 'torn{"at":', '{}'])('goes on while the store is closed: %j', async (word) => {
    const { clock, server, a, b } = await startPair();
    for (const one of [a, b]) cut(one, true);
    server.restart();
    const all = [nextOf(without(a, word), 11), nextOf(without(b, word), 12)];
    for (const one of all) void one.start();
    await pass(clock, 30_000);
    expect(states(all)).toEqual(['fresh', 'fresh']);
  });

  it('goes on after a rolling upgrade, and the store restarts later, longer than a lease', async () => {
    const { clock, server, a, b } = await startPair();
    const nextA = nextOf(without(a), 11);
    await nextA.start();
    await pass(clock, 1_000);
    const nextB = nextOf(without(b), 12);
    await nextB.start();
    await pass(clock, 8_000);
    expect(states([nextA, nextB])).toEqual(['fresh', 'fresh']);
    await enforce(nextA, 'j1');
    server.isReachable = false;
    await pass(clock, 5_000);
    server.restart();
    server.isReachable = true;
    await pass(clock, 30_000);
    expect(states([nextA, nextB])).toEqual(['fresh', 'fresh']);
  });
});

it('an order is not proven by a process whose own joining nobody has heard of, itself included', async () => {
  const { clock, server, a, b } = await startPair();
  cut(a, true);
  const pending = b.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
  await pass(clock, 200);
  const { id } = await pending;
  cut(b, true);
  const next = makeReplica({
    ...{ clock, server, name: 'b', ledger: b.ledger, seed: 12 },
    ...{ exclusive: false, bootstrap: false },
  });
  // It answers, and takes nothing.
  next.store.fate = (command) => (command === 'append' ? 'lose-request' : 'deliver');
  void next.start();
  await pass(clock, 8_000);
  await next.revoker.status(id);
  await pass(clock, 8_000);
  const said = await next.revoker.status(id);
  const refused = next.log.filter(({ sentence }) => sentence.includes('does not verify'));
  expect({ said, refused }).toMatchObject({ said: { state: 'durable' }, refused: [] });
});

it('snapshots are the same everywhere, though the store lost that the row of a restarted process was let go', async () => {
  const { clock, server, a, b } = await startPair({ snapshotEvery: 8 });
  cut(b, true);
  const next = makeReplica({
    ...{ clock, server, name: 'b', ledger: b.ledger, seed: 12 },
    ...{ exclusive: false, bootstrap: false, snapshotEvery: 8 },
  });
  await next.start();
  const isForgotten = () =>
    server.lines.some(({ sealed: { entry } }) => entry.kind === 'replica' && entry.event === 'forgotten');
  // Until just before it is let go.
  for (let i = 0; i < 200 && !isForgotten(); i++) {
    if (i === 20) next.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    await pass(clock, 100);
    if (i >= 20 && !isForgotten()) {
      next.store.fate = () => 'deliver';
      await pass(clock, 100);
      next.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    }
  }
  expect(isForgotten()).toBe(true);
  cut(a, true);
  server.restart(server.lines.length - 1);
  next.store.fate = () => 'deliver';
  await pass(clock, 1_000);
  cut(a, false);
  await pass(clock, 8_000);
  expect([a, next].map(isFresh)).toEqual([true, true]);
  for (let i = 0; i < 30; i++) {
    void a.revoker.revoke(orderOf({ targets: [jti(`j${i}`)] }));
    await pass(clock, 300);
  }
  await pass(clock, 3_000);
  const [one, other] = [a, next].map(({ snapshots }) => snapshots.statement);
  expect(one?.mark).toBe(other?.mark);
  expect(one?.digest).toBe(other?.digest);
});
