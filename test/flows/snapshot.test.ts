/**
 * Growth: a fleet writes its fold down, trims what came before once everybody has said that it is theirs too, and who
 * comes later begins there. On the memory store, with time moved by hand.
 */
import { describe, expect, it } from 'vitest';
import type { Target } from '../../src/feed/entry.ts';
import { ORIGIN, comparePositions, renderPosition } from '../../src/feed/position.ts';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
const EVERY = 10;
const jti = (value: string): Target => ({ kind: 'jti', issuer: ISSUER, value });

interface Fleet {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  readonly replicas: TestReplica[];
}

let seeds = 0;

async function join(fleet: Fleet, name: string, over = {}): Promise<TestReplica> {
  const { clock, server } = fleet;
  seeds += 1;
  const one = await startSettled({ clock, server, name, seed: seeds, snapshotEvery: EVERY, ...over });
  await pass(clock, 1_500);
  return one;
}

async function start(...names: string[]): Promise<Fleet> {
  const fleet: Fleet = { clock: new FakeClock(), server: new MemoryFeedServer(), replicas: [] };
  for (const name of names) fleet.replicas.push(await join(fleet, name));
  await pass(fleet.clock, 2_000);
  return fleet;
}

async function revoke(by: TestReplica, value: string): Promise<void> {
  await by.revoker.revoke(orderOf({ targets: [jti(value)], wait: 'durable' }));
}

const reasonOf = async ({ checker }: TestReplica, value: string): Promise<string> =>
  (await checker.check(requestOf(tokenOf('billing', value, NOW_S)))).reason;

const kindsOf = ({ server }: Fleet): string[] => server.lines.map(({ sealed }) => sealed.entry.kind);

/** Revocations until the store has been trimmed. */
async function grow(fleet: Fleet, by: TestReplica, count = 40): Promise<void> {
  for (let i = 0; i < count; i++) {
    await revoke(by, `g${i}`);
    await pass(fleet.clock, 600);
  }
}

describe('a fleet that grows', () => {
  it('writes its fold down and trims what came before it', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await revoke(a, 'first');
    await grow(fleet, b);
    expect(kindsOf(fleet)).toContain('mark');
    expect(kindsOf(fleet)).toContain('snapshot');
    expect(fleet.server.lines[0]?.position.sequence).toBeGreaterThan(1);
    expect(a.snapshots.statement).toEqual(b.snapshots.statement);
    for (const one of [a, b]) expect(one.snapshots.agrees).toBe(true);
    for (const one of [a, b]) expect(await reasonOf(one, 'first')).toBe('revoked');
    expect([...a.log, ...b.log].filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('lets a newcomer begin there: it denies all that is dead, and computes the same tree', async () => {
    const fleet = await start('a', 'b');
    const [a] = fleet.replicas as [TestReplica];
    await revoke(a, 'first');
    await grow(fleet, a);
    const c = await join(fleet, 'c');
    expect(c.ledger.base).toBeDefined();
    expect(c.lease.isFresh(fleet.clock.now())).toBe(true);
    for (const value of ['first', 'g0', 'g39']) expect(await reasonOf(c, value)).toBe('revoked');
    expect(c.tree.checkpoint()).toBe(a.tree.checkpoint());
    expect(comparePositions(c.cursor.position, a.cursor.position)).toBe(0);
    await grow(fleet, c, 15);
    expect(c.snapshots.statement).toEqual(a.snapshots.statement);
    expect(renderPosition(ORIGIN)).toBe('0-0');
    forget(c);
  });
});
