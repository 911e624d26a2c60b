/** Live sessions of a replica that begins, or began, at a snapshot: what it holds reaches them as its entries would have. */
import { describe, expect, it } from 'vitest';
import type { Target } from '../../src/feed/entry.ts';
import type { Position } from '../../src/feed/position.ts';
import type { RevocationOrder } from '../../src/flows/revoke.ts';
import { epochS } from '../../src/kernel/clock.ts';
import type { SessionRef } from '../../src/session/session.ts';
import type { FakeClock } from '../support/fake-time.ts';
import type { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { NOW_S, cut, isFresh, jti, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';

const common = { exclusive: false, snapshotEvery: 10 } as const;
const FLEET = { ...common, bootstrap: false } as const;
/** Longer than any lease. */
const OVER_MS = 4_000;

interface Pair {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  readonly a: TestReplica;
  readonly b: TestReplica;
}

const openSession = (by: TestReplica, value: string) =>
  by.keeper.open({ kind: 'k', selfEnds: false, request: requestOf(tokenOf('billing', value, NOW_S)) });

const killsOf = ({ sessions }: TestReplica) => [...sessions.all()].map(({ kill }) => kill?.reason);

/** What a says of the order by now. */
async function stateOf({ clock, a }: Pair, id: string) {
  await a.revoker.status(id);
  await pass(clock, 4_000);
  const { state, sessions } = await a.revoker.status(id);
  return { state, ...sessions };
}

async function revoke(by: TestReplica, target: Target, over: Partial<RevocationOrder> = {}) {
  const order = orderOf({ targets: [target], waitMs: 30_000, ...over });
  const pending = by.revoker.revoke(order);
  await pass(by.clock, 12_000);
  return pending;
}

/** a revokes until the store has let go the line at `sequence`. */
async function grow({ clock, server, a }: Pair, sequence: number): Promise<void> {
  const isTrimmed = (): boolean => (server.lines[0]?.position.sequence ?? 0) > sequence;
  for (let i = 0; i < 60 && !isTrimmed(); i++) {
    await a.revoker.revoke(orderOf({ targets: [jti(`g${sequence}-${i}`)], wait: 'durable' }));
    await pass(clock, 600);
  }
  expect(isTrimmed()).toBe(true);
}

/** b comes back, and begins at a snapshot that holds the order at `position`, whose line the store holds still. */
async function comeBack(fleet: Pair, position: Position): Promise<void> {
  const { clock, server, b } = fleet;
  await grow(fleet, b.cursor.position.sequence + 1);
  expect(server.lines[0]?.position.sequence).toBeLessThanOrEqual(position.sequence);
  cut(b, false);
  await pass(clock, 5_000);
  expect(isFresh(b)).toBe(true);
  expect(b.ledger.base?.position.sequence).toBeGreaterThan(position.sequence);
}

/** b goes on, on its disk, as another process. */
async function restart({ clock, server }: Pair, b: TestReplica, seed: number): Promise<TestReplica> {
  cut(b, true);
  forget(b);
  await b.stop();
  const { replica: name } = b.identity;
  const next = makeReplica({ clock, server, name, seed, ledger: b.ledger, ...FLEET });
  for (const record of b.records) next.sessions.restore(record, clock.now().monoMs + 3_000, clock.now());
  await next.start();
  await pass(clock, 1_000);
  expect([isFresh(next), next.ledger.base !== undefined]).toEqual([true, true]);
  return next;
}

/** Also c has a session of j1, so that no order about it is enforced without b while c's goes on. */
async function startTrio() {
  const fleet = await startPair(common);
  const { clock, server, b } = fleet;
  const c = await startSettled({ clock, server, name: 'c', seed: 7, ...FLEET });
  await pass(clock, OVER_MS);
  await openSession(b, 'j1');
  await openSession(c, 'j1');
  cut(b, true);
  await pass(clock, OVER_MS);
  for (let i = 0; i < 5; i++) await revoke(fleet.a, jti(`f${i}`));
  return { ...fleet, c };
}

const endAll = ({ sessions }: TestReplica): void =>
  [...sessions.all()].forEach(({ ref }) => sessions.end(ref));

describe('who was away while sessions of it were revoked, and begins at a snapshot', () => {
  it('has each counted under every order that names it, and no order is enforced before it has ended', async () => {
    const fleet = await startTrio();
    const { b, c } = fleet;
    const orders = [
      await revoke(fleet.a, jti('j1')),
      await revoke(fleet.a, jti('j1'), { request: { again: true } }),
      await revoke(fleet.a, { kind: 'subject', issuer: ISSUER, value: 'billing', cutoffS: NOW_S + 1 }),
    ];
    const other = await revoke(fleet.a, jti('other'));
    expect([...orders, other].map(({ state }) => state)).toEqual([
      ...['partial', 'partial', 'partial'],
      'enforced',
    ]);
    await comeBack(fleet, orders[0]!.position);
    // Without a lease for so long, it was told to end before.
    expect(killsOf(b)).toEqual(['fenced']);
    endAll(c);
    const one = { matched: 1, killed: 0, pending: 0 };
    for (const { id } of orders)
      expect(await stateOf(fleet, id)).toMatchObject({ state: 'partial', matched: 2, killed: 1 });
    expect(b.effects.outcomes(fleet.clock.now())).toMatchObject(
      orders.map(({ id }) => ({ revocation: id, ...one, unconfirmed: 1 })),
    );
    endAll(b);
    for (const { id } of orders)
      expect(await stateOf(fleet, id)).toMatchObject({ state: 'enforced', matched: 2, killed: 2 });
    await pass(fleet.clock, 2_000);
    expect(b.effects.outcomes(fleet.clock.now())).toEqual([]);
  });

  it('has it counted under a lock, which is in force still', async () => {
    const fleet = await startTrio();
    const { clock, a, b, c } = fleet;
    const expiresAtMs = clock.now().wallMs + 3_600_000;
    const { id, position } = await revoke(a, jti('j1'), { expiresAtMs });
    await comeBack(fleet, position);
    endAll(c);
    expect(await stateOf(fleet, id)).toMatchObject({ state: 'partial', matched: 2, killed: 1 });
    endAll(b);
    expect(await stateOf(fleet, id)).toMatchObject({ state: 'enforced', matched: 2, killed: 2 });
  });
});

/** c, which comes once the store holds no more than a snapshot of what was before. */
async function startLate(fleet: Pair): Promise<TestReplica> {
  const { clock, server } = fleet;
  await grow(fleet, 1);
  const c = await startSettled({ clock, server, name: 'c', seed: 5, ...FLEET });
  await pass(clock, OVER_MS);
  expect([isFresh(c), c.ledger.base !== undefined]).toEqual([true, true]);
  return c;
}

describe('a restart of a replica whose ledger begins at a snapshot', () => {
  it('ends no session within a lease', async () => {
    const fleet = await startPair(common);
    const c = await startLate(fleet);
    await openSession(c, 'j2');
    const next = await restart(fleet, c, 6);
    expect(killsOf(next)).toEqual([undefined]);
  });

  it('ends who is dead by what was enforced before the snapshot, and nobody by a lock in it that was lifted since', async () => {
    const fleet = await startPair(common);
    const { clock, a } = fleet;
    const enforced = await revoke(a, jti('j1'));
    expect(enforced.state).toBe('enforced');
    const expiresAtMs = clock.now().wallMs + 3_600_000;
    const lock = await revoke(a, jti('j2'), { expiresAtMs });
    const c = await startLate(fleet);
    expect(c.view.locks.isInForce(lock.id, epochS(clock.now()))).toBe(true);
    const lifting = a.lifter.lift(lock.id, 'admin');
    await pass(clock, 1_000);
    await lifting;
    await openSession(c, 'j2');
    // Opened in time, and never told: the process died first.
    const [record] = c.records;
    const handles = c.fingerprinter.print([{ kind: 'jti', parts: [ISSUER, 'j1'] }]);
    c.records.push({ ...record!, ref: 'other' as SessionRef, handles });
    const next = await restart(fleet, c, 6);
    const [two, one] = next.sessions.all();
    expect([two?.kill, one?.kill]).toMatchObject([undefined, { reason: 'revoked', revocation: enforced.id }]);
  });

  it('keeps what is owed to the orders that the snapshot holds (D-143)', async () => {
    const fleet = await startTrio();
    const { id, position } = await revoke(fleet.a, jti('j1'));
    await comeBack(fleet, position);
    endAll(fleet.c);
    const next = await restart(fleet, fleet.b, 3);
    expect(await stateOf(fleet, id)).toMatchObject({ state: 'partial', matched: 2, killed: 1 });
    endAll(next);
    expect(await stateOf(fleet, id)).toMatchObject({ state: 'enforced', matched: 2, killed: 2 });
  });
});
