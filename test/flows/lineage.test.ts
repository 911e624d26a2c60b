/** Which incarnations were processes on a data directory: by what stands in it, and not by a key alone (D-152). */
import { expect, it } from 'vitest';
import { sealEntry } from '../../src/feed/entry.ts';
import type { ReplicaEntry } from '../../src/feed/entry.ts';
import { Lineage } from '../../src/flows/lineage.ts';
import { isFresh, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { MemoryLedger } from '../support/replica-harness.ts';
import { forget, makeReplica, pass } from '../support/replicas.ts';

const FLEET = { exclusive: false, bootstrap: false } as const;

/** The next process on the directory of `b`. */
function nextOf({ clock, server, ledger }: TestReplica, seed: number): TestReplica {
  return makeReplica({ clock, server, name: 'b', ledger, seed, ...FLEET });
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
])('is not told by an entry %s', async (_, make) => {
  const { clock, b } = await startPair();
  await b.stop();
  const { sig: _sig, ...entry } = JSON.parse(b.ledger.lastJoined.word as string) as ReplicaEntry;
  b.ledger.lastJoined.word = make(entry, b);
  await nextOf(b, 3).start();
  await pass(clock, 1_000);
  expect(succeedsOf(b)).toEqual([undefined, undefined]);
});

it('has in it who is said by the last that joined, and whoever those went on with', async () => {
  const { clock, a, b } = await startPair();
  await b.stop();
  const third = await nextOf(b, 3).start();
  await pass(clock, 1_000);
  await third.stop();
  const fourth = await nextOf(b, 4).start();
  await pass(clock, 1_000);
  const { identity, members } = fourth;
  const lineage = new Lineage(identity, members, b.ledger.lastJoined);
  const all = ['inc_b4', 'inc_b3', 'inc_b2', 'inc_a1', 'inc_x'].filter((one) => lineage.covers(one));
  expect(all).toEqual(['inc_b4', 'inc_b3', 'inc_b2']);
  expect(new Lineage(identity, members, new MemoryLedger().lastJoined).covers('inc_b4')).toBe(false);
  expect(new Lineage(a.identity, a.members, a.ledger.lastJoined).covers('inc_b4')).toBe(false);
});
