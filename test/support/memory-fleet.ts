/** What tests of several replicas on one memory store do to them, and ask of them. */
import { expect } from 'vitest';
import type { Target } from '../../src/feed/entry.ts';
import type { OpenRule } from '../../src/flows/join.ts';
import { FakeClock } from './fake-time.ts';
import { MemoryFeedServer } from './memory-feed-store.ts';
import type { TestReplica, TestReplicaOptions } from './replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from './replica-harness.ts';
import { readinessOf } from './readiness.ts';
import { forget, pass, startSettled } from './replicas.ts';

export const NOW_S = 1_800_000_000;
/** Replicas of a fleet that marks and lets go every few lines. */
export const GROWING = { exclusive: false, snapshotEvery: 10 } as const;

/** Longer than any lease. */
export const OVER_MS = 4_000;

export const jti = (value: string): Target => ({ kind: 'jti', issuer: ISSUER, value });

export const isFresh = ({ lease, clock }: TestReplica): boolean => lease.isFresh(clock.now());

/** Why the token with that `jti` is permitted or not. */
export const reasonOf = async ({ checker }: TestReplica, value: string): Promise<string> =>
  (await checker.check(requestOf(tokenOf('billing', value, NOW_S)))).reason;

export async function enforce(by: TestReplica, value: string, withinMs = 5_000): Promise<void> {
  const pending = by.revoker.revoke(orderOf({ targets: [jti(value)], waitMs: 30_000 }));
  await pass(by.clock, withinMs);
  expect(await pending).toMatchObject({ state: 'enforced' });
}

/** Cut off in both directions, or no longer. */
export function cut(replica: TestReplica, isCut: boolean): void {
  replica.store.fate = () => (isCut ? 'lose-request' : 'deliver');
}

/** The process is gone without a word to the store. */
export async function kill(replica: TestReplica): Promise<void> {
  cut(replica, true);
  forget(replica);
  await replica.stop();
}

/** After the store was erased: a newcomer with an empty disk opens an epoch on an operator's word. */
export async function beginAnew(
  { clock, server }: { clock: FakeClock; server: MemoryFeedServer },
  common: Partial<TestReplicaOptions> = {},
  rule: OpenRule = 'new-fleet',
): Promise<TestReplica> {
  server.flush();
  const both = { exclusive: false, ...common };
  const c = await startSettled({ clock, server, name: 'c', seed: 7, bootstrap: false, ...both });
  await c.replica.openEpoch(rule, rule === 'accept-amnesia' ? 'all is gone' : undefined);
  await pass(clock, OVER_MS);
  expect(isFresh(c)).toBe(true);
  return c;
}

/** Revokes until the store has let go of what comes before its newest mark. */
export async function grow(by: TestReplica): Promise<void> {
  const isTrimmed = (): boolean => (by.server.lines[0]?.position.sequence ?? 0) > 1;
  for (let i = 0; i < 60 && !isTrimmed(); i++) await enforce(by, `g${i}`, 600);
  expect(isTrimmed()).toBe(true);
}

/** What comes of `work` within a second. */
export async function within<T>(clock: FakeClock, work: Promise<T>, ms = 1_000): Promise<T> {
  const [result] = await Promise.all([work, pass(clock, ms)]);
  return result;
}

export const epochOf = (replica: TestReplica): string | undefined => readinessOf(replica, 'epoch');

/** Two replicas with a lease that have watched each other for longer than one; only the first opens an empty store. */
export async function startPair(common: Partial<TestReplicaOptions> = {}) {
  const clock = new FakeClock();
  const server = new MemoryFeedServer();
  const both = { exclusive: false, ...common };
  const a = await startSettled({ clock, server, name: 'a', ...both });
  await pass(clock, 1_000);
  const b = await startSettled({ clock, server, name: 'b', seed: 2, bootstrap: false, ...both });
  await pass(clock, 4_000);
  for (const one of [a, b]) expect(isFresh(one)).toBe(true);
  return { clock, server, a, b };
}

/** Nothing reaches a while `inTail` is done; then the store loses it, and a opens an epoch that goes on without. b is cut off still. */
export async function part(a: TestReplica, b: TestReplica, inTail: () => Promise<unknown>): Promise<void> {
  const { clock, server } = a;
  cut(a, true);
  await pass(clock, 300);
  await inTail();
  cut(b, true);
  server.flush();
  cut(a, false);
  await pass(clock, 1_500);
  expect(isFresh(a)).toBe(true);
}

/** b appends j1, which the epoch that a then opens goes on without. b is cut off still. */
export async function startPairThatParts() {
  const fleet = await startPair();
  const { clock, a, b } = fleet;
  await part(a, b, async () => {
    await b.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 500);
  });
  return fleet;
}
