/** A replica that has acknowledged a revocation, and is gone before its sessions are confirmed dead. */
import { describe, expect, it } from 'vitest';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { keyringOf } from '../../src/evidence/keyring.ts';
import { NOT_COVERED_OF_GONE } from '../../src/flows/enforce.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';
import { NOW_S, cut, isFresh, jti, startPair } from '../support/memory-fleet.ts';

const FLEET = { exclusive: false, bootstrap: false } as const;

const openSession = (by: TestReplica, value: string, selfEnds: boolean) =>
  by.keeper.open({ kind: 'k', selfEnds, request: requestOf(tokenOf('billing', value, NOW_S)) });

/** Revoked by its id, and what is said of it `ms` later. */
async function order(by: TestReplica, value: string, ms: number) {
  const pending = by.revoker.revoke(orderOf({ targets: [jti(value)], waitMs: 30_000 }));
  await pass(by.clock, ms);
  const { id } = [...by.server.lines]
    .map(({ sealed }) => sealed.entry)
    .findLast(({ kind }) => kind === 'revocation')!;
  pending.catch(() => undefined);
  return by.revoker.status(id, 'durable');
}

async function goneWithSession(selfEnds: boolean, afterMs = 300) {
  const { clock, server, a, b } = await startPair();
  await openSession(b, 'j1', selfEnds);
  const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
  await pass(clock, afterMs);
  cut(b, true);
  await pass(clock, 3_600 - afterMs);
  return { clock, server, a, b, pending };
}

describe('a session of a replica that is gone since it acknowledged', () => {
  it.each([
    ['at once', 300],
    ['late', 2_500],
  ])(
    'was over with its holder, who had promised so, though it went %s: enforced within the bound',
    async (_, afterMs) => {
      const { a, pending } = await goneWithSession(true, afterMs);
      const status = await pending;
      expect(status).toMatchObject({
        state: 'enforced',
        sessions: { matched: 1, killed: 1, pending: 0, unconfirmed: 0 },
      });
      expect(status.enforcedAtMs! - status.appendedAtMs).toBeLessThanOrEqual(status.boundMs);
      const receipt = verifyReceipt(await a.revoker.receipt(status.id), keyringOf('test', a.logKey.public));
      const [, b] = receipt.replicas;
      expect(b).toMatchObject({ replica: 'b', state: 'acknowledged', at: expect.any(String) as string });
      expect(b).toHaveProperty('notLaterThan');
    },
  );

  it('was not over before its holder, whom an earlier run with a longer lease had told', async () => {
    const { clock, server, a, b } = await startPair();
    await openSession(b, 'j1', true);
    cut(b, true);
    forget(b);
    await b.stop();
    const next = makeReplica({ ...FLEET, clock, server, name: 'b', seed: 3, ledger: b.ledger });
    const holderEndsMs = clock.now().monoMs + 60_000;
    for (const record of b.records) next.sessions.restore(record, holderEndsMs, clock.now());
    await next.start();
    await pass(clock, 4_000);
    expect(isFresh(next)).toBe(true);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await pass(clock, 600);
    cut(next, true);
    await pass(clock, 6_000);
    expect(clock.now().monoMs).toBeLessThan(holderEndsMs);
    expect(await pending).toMatchObject({
      state: 'partial',
      sessions: { matched: 1, killed: 0, unconfirmed: 1 },
    });
  });

  it('is unconfirmed where nobody had: partial, and never more on the word of a clock', async () => {
    const { a, pending } = await goneWithSession(false);
    expect(await pending).toMatchObject({ state: 'partial', sessions: { matched: 1, unconfirmed: 1 } });
    await pass(a.clock, 10_000);
    const again = await a.revoker.status((await pending).id, 'durable');
    expect(again).toMatchObject({ state: 'partial', closure: 'PARTIAL' });
  });
});

describe('a replica that leaves', () => {
  it('says so when no session is left', async () => {
    const { clock, a, b } = await startPair();
    await b.replica.stop();
    await pass(clock, 600);
    expect(a.members.lookup(b.identity.incarnation)?.state).toBe('left');
    const status = await order(a, 'j1', 1_000);
    expect(status).toMatchObject({ state: 'enforced', replicas: [{ replica: 'a' }, { state: 'left' }] });
    expect(status.notCovered).not.toEqual(expect.arrayContaining([...NOT_COVERED_OF_GONE]));
  });

  it.each([
    ['while its lease is good', (): void => undefined],
    ['whose lease was taken from it before', ({ lease }: TestReplica): void => lease.drop()],
  ])(
    'does not, %s, while sessions go on: nothing is enforced before their lease is over',
    async (_, first) => {
      const { clock, a, b } = await startPair();
      await openSession(b, 'j1', true);
      const untilMs = clock.now().wallMs + b.lease.freshForMs(clock.now());
      first(b);
      await b.replica.stop();
      const status = await order(a, 'j1', 5_000);
      expect(status).toMatchObject({
        state: 'enforced',
        notCovered: expect.arrayContaining([...NOT_COVERED_OF_GONE]) as unknown,
        replicas: [{ replica: 'a' }, { replica: 'b', state: 'fenced' }],
      });
      expect(status.enforcedAtMs).toBeGreaterThan(untilMs);
    },
  );

  it('does not for another process that goes by the same incarnation', async () => {
    const { clock, a, b } = await startPair();
    b.store.renew = () => Promise.resolve({ kind: 'stale', reason: 'cloned' });
    await pass(clock, 1_200);
    expect(b.renewer.state).toBe('cloned');
    await b.replica.stop();
    await pass(clock, 600);
    expect(a.members.lookup(b.identity.incarnation)?.state).toBe('joined');
  });
});

describe('a session of which nobody can say any more that it has ended', () => {
  it('is counted once, by whoever goes on with its data', async () => {
    const { clock, server, a, b, pending } = await goneWithSession(false);
    expect(await pending).toMatchObject({ state: 'partial', sessions: { matched: 1, unconfirmed: 1 } });
    const next = makeReplica({ clock, server, name: 'b', seed: 3, ledger: b.ledger, ...FLEET });
    for (const record of b.records) next.sessions.restore(record, clock.now().monoMs, clock.now());
    await next.start();
    await pass(clock, 4_000);
    for (const { ref } of b.records) expect(next.sessions.end(ref)).toBe(true);
    await pass(clock, 1_000);
    const status = await a.revoker.status((await pending).id);
    expect(status).toMatchObject({ state: 'enforced', sessions: { matched: 1, killed: 1, unconfirmed: 0 } });
    const states = status.replicas.map(({ incarnation, state }) => `${incarnation} ${state}`);
    expect(states).toEqual(['inc_a1 acknowledged', 'inc_b2 fenced', 'inc_b3 acknowledged']);
    expect(status.notCovered).not.toEqual(expect.arrayContaining([...NOT_COVERED_OF_GONE]));
  });

  it('keeps it partial once its replica is forgotten, in this epoch and after it, for whoever is asked', async () => {
    const { clock, server, a, pending } = await goneWithSession(false);
    const { id } = await pending;
    await a.forgetter.forget({ replica: 'b', reason: undefined, caller: 'admin' });
    await pass(clock, 8_000);
    expect(a.members.isAnyoneLost).toBe(true);
    expect(await a.revoker.status(id)).toMatchObject({ state: 'partial', sessions: { unconfirmed: 1 } });
    server.restart();
    await pass(clock, 8_000);
    expect(isFresh(a)).toBe(true);
    expect((await order(a, 'j2', 1_000)).notCovered).toEqual(
      expect.arrayContaining([...NOT_COVERED_OF_GONE]),
    );
    for (const one of [a, await startSettled({ clock, server, name: 'c', ...FLEET })]) {
      await pass(clock, 4_000);
      await one.revoker.status(id);
      await pass(clock, 4_000);
      expect(await one.revoker.status(id)).toMatchObject({ closure: 'PARTIAL', enforcedAtMs: undefined });
    }
  });
});
