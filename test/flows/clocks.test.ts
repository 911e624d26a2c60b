/**
 * Leases over several clocks (THREATS 10.13, 10.14): a replica whose machine slept, and a holder whose answers are long on
 * their way. What is called enforced is over by both.
 */
import { describe, expect, it } from 'vitest';
import { enforcedByWaitMs, EPS_MS } from '../../src/feed/lease.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { NOW_S, cut, epochOf, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
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
    interface Fork {
      readonly a: TestReplica;
      readonly b: TestReplica;
      readonly server: MemoryFeedServer;
      readonly go: (ms: number) => Promise<void>;
    }

    /** a opens an epoch, does `inLost` in it, and the store loses it; b opens another; a is cut off still. */
    async function fork(
      before: (fork: Fork) => Promise<void> = () => Promise.resolve(),
      inLost: (fork: Fork) => Promise<void> = () => Promise.resolve(),
    ): Promise<Fork> {
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
      await before({ a, b, server, go });
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
      await inLost({ a, b, server, go });
      cut(a, true);
      server.flush();
      cut(b, false);
      await opens(b);
      return { a, b, server, go };
    }

    async function comeBack({ a, b, go }: Fork): Promise<void> {
      const opened = b.cursor.epochId;
      cut(a, false);
      await go(3_000);
      expect([a, b].map(isFresh)).toEqual([true, true]);
      expect([a, b].map(({ cursor }) => cursor.epochId)).toEqual([opened, opened]);
    }

    it('is named where the store restarts before it is back', async () => {
      const { a, b, server, go } = await fork();
      server.isReachable = false;
      await go(4_000);
      server.restart();
      server.isReachable = true;
      cut(a, false);
      await go(4_000);
      expect([a, b].map(isFresh)).toEqual([false, false]);
      expect(epochOf(b)).toMatch(/ is closed; a reports \d+-\d+, in an epoch that is not known here$/);
    });

    it('goes back to the one that the fleet is in, which nobody closes for it', async () => {
      const forked = await fork();
      await comeBack(forked);
      const { b, go } = forked;
      const pending = b.revoker.revoke(orderOf({ targets: [jti('j')], waitMs: 8_000 }));
      await go(2_000);
      expect(await pending).toMatchObject({ state: 'enforced' });
    });

    it('says of all that it did there what everybody says, and brings it to its end', async () => {
      const expiresAtMs = (NOW_S + 3_600) * 1_000;
      const lockOf = (value: string) => orderOf({ targets: [jti(value)], expiresAtMs, wait: 'durable' });
      const facts = { subject: { id: 'billing' }, action: 'granted', resource: { type: 'invoice' } };
      const grantOf = { facts, request: facts, caller: 'admin', idempotencyKey: undefined };
      let [revoked, grant, lock, lockBefore, grantBefore] = ['', '', '', '', ''];
      const forked = await fork(
        async ({ a: one, go: pause }) => {
          const granting = one.granter.grant(grantOf);
          lockBefore = (await one.revoker.revoke(lockOf('l1'))).id;
          await pause(1_000);
          grantBefore = (await granting).id;
        },
        async ({ a: one }) => {
          const taking = one.granter.ungrant(grantBefore, 'admin');
          const granting = one.granter.grant({ ...grantOf });
          const lifting = one.lifter.lift(lockBefore, 'admin');
          revoked = (await one.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }))).id;
          lock = (await one.revoker.revoke(lockOf('l2'))).id;
          await settle();
          one.owing.notify();
          await settle();
          await Promise.all([taking, lifting]);
          grant = (await granting).id;
        },
      );
      await comeBack(forked);
      const { a, b, go } = forked;
      await go(5_000);
      for (const one of [a, b]) {
        expect([await reasonOf(one, 'j1'), await reasonOf(one, 'l1'), await reasonOf(one, 'l2')]).toEqual([
          'revoked',
          // Nobody puts back what had lifted it.
          'locked',
          'locked',
        ]);
        expect(one.grants.isInForce(grantBefore, NOW_S)).toBe(false);
      }
      const said = ({ view, grants }: TestReplica) => [
        ...[revoked, lock, lockBefore].map((id) => view.placeOf(id)),
        ...[lock, lockBefore].map((id) => view.locks.record(id)),
        ...[grant, grantBefore].map((id) => grants.record(id)),
        view.records({ limit: 99 }),
      ];
      expect(said(a)).toEqual(said(b));
      for (const { cosigner } of [a, b]) expect(cosigner.forks).toEqual([]);
      for (const id of [revoked, lock])
        expect(await a.revoker.status(id)).toMatchObject({ id, state: 'enforced' });
    });
  },
);

describe('a wall clock that jumps a day ahead for a moment', () => {
  it('ends sessions, and lets go of none that is not proven to have ended', async () => {
    const { clock, server, a } = await startPair();
    let floorMs = 0;
    let aheadMs = 0;
    const jumpy = Object.assign(new FakeClock(), {
      now: () => {
        floorMs = Math.max(floorMs, clock.now().wallMs + aheadMs);
        return { ...clock.now(), wallMs: floorMs };
      },
      sleep: (ms: number, signal: AbortSignal) => clock.sleep(ms, signal),
    });
    const c = await startSettled({
      clock: jumpy,
      server,
      name: 'c',
      seed: 7,
      exclusive: false,
      bootstrap: false,
    });
    await pass(clock, 4_000);
    await c.keeper.open({ kind: 'k', selfEnds: false, request: requestOf(tokenOf('billing', 'j1', NOW_S)) });
    aheadMs = 86_400_000;
    await pass(clock, 500);
    aheadMs = 0;
    // Nobody confirms that it has ended.
    await pass(clock, 20_000);
    expect([a, c].map(isFresh)).toEqual([true, true]);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await pass(clock, 20_000);
    const { state, sessions } = await pending;
    expect({ state, sessions }).toMatchObject({ state: 'partial', sessions: { matched: 1 } });
  });
});
