/**
 * Leases over several clocks (THREATS 10.13, 10.14): a replica whose machine slept, and a holder whose answers are long on
 * their way. What is called enforced is over by both.
 */
import { describe, expect, it } from 'vitest';
import { enforcedByWaitMs, EPS_MS } from '../../src/feed/lease.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { NOW_S, cut, isFresh, jti, reasonOf } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { LEASE_MS, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass, startSettled } from '../support/replicas.ts';

const STEP_MS = 10;

interface Fleet {
  readonly a: TestReplica;
  readonly b: TestReplica;
  /** Real time goes by, for both; `isAsleep`: on the machine of `b` only the wall clock shows it. */
  readonly go: (ms: number, isAsleep?: boolean) => Promise<void>;
}

/** Two machines, each with clocks of its own. */
async function startMachines(): Promise<Fleet> {
  const [clockA, clockB] = [new FakeClock(), new FakeClock()];
  const server = new MemoryFeedServer();
  const go = async (ms: number, isAsleep = false): Promise<void> => {
    for (let gone = 0; gone < ms; gone += STEP_MS) {
      clockA.advance(STEP_MS);
      if (isAsleep) clockB.setForward(STEP_MS);
      else clockB.advance(STEP_MS);
      await settle();
    }
  };
  const a = await startSettled({ clock: clockA, server, name: 'a', exclusive: false });
  await go(1_000);
  const more = { name: 'b', seed: 2, exclusive: false, bootstrap: false };
  const b = await startSettled({ clock: clockB, server, ...more });
  await go(4_000);
  for (const one of [a, b]) expect(isFresh(one)).toBe(true);
  return { a, b, go };
}

/** Goes on until `b` has just been given a lease, and cuts it off. When that was, by its monotonic clock. */
async function cutAfterRenewal({ b, go }: Fleet): Promise<number> {
  const left = (): number => b.lease.freshForMs(b.clock.now());
  for (let before = Infinity; left() <= before;) {
    before = left();
    await go(STEP_MS);
  }
  cut(b, true);
  return b.clock.now().monoMs;
}

describe('a suspend of 249 ms, which a limit on how far two clocks may part would not see', () => {
  it('lengthens no lease: nothing is allowed once it is enforced, though the monotonic clock has time left', async () => {
    const fleet = await startMachines();
    const { a, b, go } = fleet;
    const cutMs = await cutAfterRenewal(fleet);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await go(100);
    expect(await reasonOf(b, 'j1')).toBe('permitted');
    await go(250, true);
    let isEnforced = false;
    void pending.then(() => (isEnforced = true));
    let allowedMs = 0;
    while (!isEnforced) {
      if ((await reasonOf(b, 'j1')) === 'permitted') allowedMs = b.clock.now().monoMs - cutMs;
      await go(STEP_MS);
    }
    expect(await reasonOf(b, 'j1')).toBe('fenced');
    expect(await pending).toMatchObject({
      state: 'enforced',
      replicas: [{ state: 'acknowledged' }, { replica: 'b', state: 'fenced' }],
    });
    // By its monotonic clock alone the lease would be good at this very moment.
    expect(b.clock.now().monoMs - cutMs).toBeLessThan(LEASE_MS - EPS_MS);
    // It did allow until shortly before: the lease ended by the clock that went on.
    expect(allowedMs).toBeGreaterThan(LEASE_MS - EPS_MS - 250 - 100);
  });
});

describe('a holder that ends its session by itself', () => {
  it('counts from the sending of its ping: however long the answer is on its way, it has ended when it is enforced', async () => {
    const fleet = await startMachines();
    const { a, b, go } = fleet;
    const request = { ...requestOf(tokenOf('billing', 'j1', NOW_S)), subject: undefined };
    const { id = '' } = await b.keeper.open({ kind: 'k', selfEnds: true, request });
    await cutAfterRenewal(fleet);
    const sentMs = a.clock.now().monoMs;
    await go(500);
    const { freshForMs } = b.keeper.ping(id);
    // Never more than what is left of the lease of the replica that answers.
    expect(freshForMs).toBeLessThanOrEqual(LEASE_MS - EPS_MS - 500);
    const { boundMs, ...status } = await (async () => {
      const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
      const appendedMs = a.clock.now().monoMs;
      let enforcedMs = Infinity;
      void pending.then(() => (enforcedMs = a.clock.now().monoMs));
      while (enforcedMs === Infinity) await go(STEP_MS);
      return { ...(await pending), appendedMs, enforcedMs };
    })();
    expect(status).toMatchObject({ state: 'enforced', closure: 'CLOSED' });
    expect(boundMs).toBe(enforcedByWaitMs({ leaseMs: LEASE_MS, epsMs: EPS_MS }));
    expect(sentMs + freshForMs).toBeLessThanOrEqual(status.enforcedMs);
    // The answer has been on its way for that long: counted from its receipt the session would go on.
    const receivedMs = status.enforcedMs - 100;
    expect(receivedMs - sentMs).toBeGreaterThan(2_000);
    expect(receivedMs + freshForMs).toBeGreaterThan(status.enforcedMs);
    // Fenced, its replica has told it to end; by now it is over by the holder's own promise.
    expect(() => b.keeper.ping(id)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
  });

  it('is waited for as long as its longest answer was good, where its replica is not fenced', async () => {
    const { a, b, go } = await startMachines();
    const request = { ...requestOf(tokenOf('billing', 'j1', NOW_S)), subject: undefined };
    const { id = '' } = await b.keeper.open({ kind: 'k', selfEnds: true, request });
    await go(100);
    const sentMs = a.clock.now().monoMs;
    const { freshForMs } = b.keeper.ping(id);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    let enforcedMs = Infinity;
    void pending.then(() => (enforcedMs = a.clock.now().monoMs));
    while (enforcedMs === Infinity) await go(STEP_MS);
    expect(await pending).toMatchObject({
      state: 'enforced',
      sessions: { matched: 1, killed: 1, unconfirmed: 0 },
      replicas: [{ state: 'acknowledged' }, { state: 'acknowledged' }],
    });
    expect(enforcedMs).toBeGreaterThanOrEqual(sentMs + freshForMs);
  });
});

describe.each([0, 1, 2, 30, 600])(
  'who opened an epoch that the store lost, with a clock %i s ahead',
  (aheadS) => {
    it('goes back to the one that the fleet is in, which nobody closes for it', async () => {
      const [clock, ahead] = [new FakeClock(), new FakeClock(NOW_S * 1_000 + aheadS * 1_000)];
      const server = new MemoryFeedServer();
      const go = async (ms: number): Promise<void> => {
        for (let gone = 0; gone < ms; gone += 100) {
          ahead.advance(100);
          await pass(clock, 100);
        }
      };
      const b = await startSettled({ clock, server, name: 'b', seed: 2, exclusive: false });
      await go(1_000);
      const a = await startSettled({ clock: ahead, server, name: 'a', exclusive: false, bootstrap: false });
      await go(4_000);
      const first = a.cursor.epochId;
      /** It hears as a witness that the store has nothing any more, and opens. */
      const opens = async (one: TestReplica): Promise<void> => {
        server.flush();
        for (let i = 0; i < 10 && !(isFresh(one) && one.cursor.epochId !== first); i++) {
          one.owing.notify();
          await go(100);
        }
        expect(isFresh(one)).toBe(true);
      };
      cut(b, true);
      await opens(a);
      cut(a, true);
      server.flush();
      cut(b, false);
      await opens(b);
      const opened = b.cursor.epochId;
      cut(a, false);
      await go(3_000);
      expect([a, b].map(isFresh)).toEqual([true, true]);
      expect([a, b].map(({ cursor }) => cursor.epochId)).toEqual([opened, opened]);
      const pending = b.revoker.revoke(orderOf({ targets: [jti('j')], waitMs: 8_000 }));
      await go(2_000);
      expect(await pending).toMatchObject({ state: 'enforced' });
    });
  },
);
