/** A replica that has acknowledged a revocation, and is gone before its sessions are confirmed dead. */
import { describe, expect, it } from 'vitest';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { keyringOf } from '../../src/evidence/keyring.ts';
import { NOT_COVERED_OF_GONE } from '../../src/flows/enforce.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { MemoryLedger, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';
import { NOW_S, cut, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';

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

  it('does not for another process that goes by the same incarnation, though it heard of that once only', async () => {
    const { clock, server, a, b } = await startPair();
    const twin = makeReplica({
      ...{ clock, server, name: 'b', seed: 2, salt: 'twin', ...FLEET },
      ledger: new MemoryLedger([...b.ledger.lines]),
    });
    await pass(clock, 400);
    cut(b, true);
    await twin.start();
    expect(twin.renewer.state).toBe('cloned');
    cut(twin, true);
    await pass(clock, 600);
    expect(twin.renewer.state).toBe('unreachable');
    cut(twin, false);
    await twin.replica.stop();
    await pass(clock, 300);
    expect(a.members.lookup(b.identity.incarnation)?.state).toBe('joined');
    const { state } = await order(a, 'j1', 600);
    expect([state, await reasonOf(b, 'j1')]).toEqual(['durable', 'permitted']);
    await pass(clock, 5_000);
  });

  it('has seen its sessions end, though its last acknowledgement did not say so yet', async () => {
    const { clock, a, b } = await startPair();
    const { id = '' } = await openSession(b, 'j1', false);
    const { id: ordered } = await order(a, 'j1', 300);
    b.keeper.closed(id);
    await b.replica.stop();
    await pass(clock, 1_000);
    expect(await a.revoker.status(ordered)).toMatchObject({
      state: 'enforced',
      replicas: [{ replica: 'a' }, { replica: 'b', state: 'left' }],
    });
  });
});

describe('a replica that was in the epoch before, with a live session, and is not in this one', () => {
  const GONE = expect.arrayContaining([...NOT_COVERED_OF_GONE]) as unknown;

  async function startWithout() {
    const { clock, server, a, b } = await startPair();
    await openSession(b, 'j1', false);
    cut(b, true);
    await pass(clock, 500);
    server.restart();
    await pass(clock, 6_000);
    expect(isFresh(a)).toBe(true);
    return { clock, server, a, b };
  }

  it('is told of by a receipt, until somebody goes on with its data', async () => {
    const { clock, server, a, b } = await startWithout();
    const status = await order(a, 'j1', 1_000);
    expect(status).toMatchObject({ state: 'enforced', replicas: [{ replica: 'a' }], notCovered: GONE });
    forget(b);
    await startSettled({ clock, server, name: 'b', seed: 3, ledger: b.ledger, ...FLEET });
    await pass(clock, 4_000);
    const after = await order(a, 'j2', 4_000);
    expect(after.state).toBe('enforced');
    expect(after.notCovered).not.toEqual(GONE);
  });

  it('is another thing than one that has only just joined, and has let nobody in', async () => {
    const { clock, server, a } = await startPair();
    const c = makeReplica({ clock, server, name: 'c', seed: 3, ...FLEET });
    c.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    await c.start();
    await pass(clock, 600);
    expect(a.members.lookup(c.identity.incarnation)?.state).toBe('joined');
    const first = await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    expect(first.notCovered).not.toEqual(GONE);
    await pass(clock, 1_000);
    const status = await a.revoker.status(first.id);
    expect(status).toMatchObject({ state: 'enforced', replicas: [{ replica: 'a' }, { replica: 'b' }] });
    expect(status.notCovered).not.toEqual(GONE);
  });

  it('is told of where it had joined in what the store lost, and another one brought that back', async () => {
    const { clock, server, a, b } = await startPair();
    cut(a, true);
    const c = await startSettled({ clock, server, name: 'c', seed: 7, ...FLEET });
    await pass(clock, 1_200);
    expect((await openSession(c, 'j1', false)).decision.effect).toBe('allow');
    for (const one of [b, c]) cut(one, true);
    server.flush();
    cut(a, false);
    await pass(clock, 1_500);
    cut(b, false);
    await pass(clock, 8_000);
    expect([a, b, c].map(isFresh)).toEqual([true, true, false]);
    expect(await order(a, 'j1', 8_000)).toMatchObject({ state: 'enforced', notCovered: GONE });
  });

  it('is told of where whoever goes on with its data has joined, and never renewed', async () => {
    const { clock, server, a, b } = await startPair();
    await openSession(b, 'j1', false);
    cut(b, true);
    const next = makeReplica({ clock, server, name: 'b', seed: 12, ledger: b.ledger, ...FLEET });
    next.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    await next.start();
    await pass(clock, 600);
    cut(next, true);
    for (const ms of [4_000, 10_000]) {
      await pass(clock, ms);
      expect(await order(a, 'j1', 4_000)).toMatchObject({ state: 'enforced', notCovered: GONE });
    }
  });

  it('is told of by nobody who has not looked yet', async () => {
    const { a } = await startWithout();
    const first = await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    expect(first).toMatchObject({ state: 'durable', replicas: [] });
    expect(first.notCovered).not.toEqual(GONE);
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

  it('is counted once also where it had ended, and was acknowledged, before the restart, however often that was', async () => {
    for (const unheard of [0, 1]) {
      const { clock, server, a, b } = await startPair();
      const c = await startSettled({ clock, server, name: 'c', seed: 7, ...FLEET });
      await pass(clock, 4_000);
      for (let i = 0; i < 2; i++) await openSession(b, 'j1', false);
      // It holds its lease, and hears of nothing: the order has to wait for it.
      cut(c, true);
      const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
      await pass(clock, 300);
      for (const { ref } of b.records) b.sessions.end(ref);
      await pass(clock, 300);
      cut(b, true);
      let ledger = b.ledger;
      for (let i = 0; i < unheard; i++) {
        // Joined, and killed before it has said anything.
        const between = makeReplica({ clock, server, name: 'b', ledger, seed: 20 + i, ...FLEET });
        between.store.renew = () => new Promise(() => undefined);
        void between.start();
        await pass(clock, 100);
        ledger = between.ledger;
      }
      const next = makeReplica({ clock, server, name: 'b', ledger, seed: 12, ...FLEET });
      for (const [claim, killed] of b.proven) next.sessions.restoreCounts(claim, { lost: 0, killed });
      await next.start();
      await pass(clock, 10_000);
      const { id, state, sessions } = await pending;
      expect({ state, matched: sessions.matched, killed: sessions.killed }).toEqual({
        state: 'enforced',
        matched: 2,
        killed: 2,
      });
      const receipt = verifyReceipt(await a.revoker.receipt(id), keyringOf('test', a.logKey.public));
      expect(receipt.sessions).toEqual({ matched: 2, killed: 2, unconfirmed: 0 });
      const own = ['inc_b2', 'inc_b12'];
      expect(receipt.replicas.filter(({ incarnation }) => own.includes(incarnation))).toMatchObject([
        { state: 'acknowledged' },
        { state: 'acknowledged' },
      ]);
    }
  });

  it('is acknowledged only once it is on disk that there is one: a machine that dies takes none back', async () => {
    const { clock, a, b } = await startPair();
    await openSession(b, 'j1', true);
    const { promise: synced, resolve: sync } = Promise.withResolvers<void>();
    b.sessionDisk.sync = () => synced;
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await pass(clock, 300);
    expect(a.table.row('inc_b2')?.acknowledgement?.outcomes).toEqual([]);
    sync();
    await pass(clock, 300);
    expect(a.table.row('inc_b2')?.acknowledgement?.outcomes).toMatchObject([{ matched: 1 }]);
    b.sessions.end(b.records[0]!.ref);
    await pass(clock, 300);
    expect(await pending).toMatchObject({ state: 'enforced', sessions: { matched: 1, killed: 1 } });
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
