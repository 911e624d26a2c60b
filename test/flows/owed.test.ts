/** Who owes the end of a session is written down, once, for every coordinator and every epoch (D-143). */
import { describe, expect, it } from 'vitest';
import { parseEntry } from '../../src/feed/entry.ts';
import { clockBehind } from '../support/fake-time.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { makeReplica, pass, startSettled } from '../support/replicas.ts';
import { NOW_S, cut, isFresh, jti, startPair } from '../support/memory-fleet.ts';

const FLEET = { exclusive: false, bootstrap: false } as const;

const openSession = (by: TestReplica) =>
  by.keeper.open({ kind: 'k', selfEnds: false, request: requestOf(tokenOf('billing', 'j1', NOW_S)) });

/** One whose memory is gone goes on with its data, sessions included; its wall clock is behind by `backMs`. */
async function restart(
  { clock, server, identity, ledger, records }: TestReplica,
  backMs = 0,
  leaseMs?: number,
): Promise<TestReplica> {
  const common = { clock: clockBehind(clock, backMs), server, name: identity.replica, ledger, ...FLEET };
  const term = leaseMs === undefined ? {} : { leaseMs };
  const next = makeReplica({ ...common, ...term, seed: Number(identity.incarnation.slice(5)) + 10 });
  next.records.push(...records);
  for (const record of records) next.sessions.restore(record, clock.now().monoMs, clock.now());
  return next.start();
}

function endAll({ sessions, records }: TestReplica): void {
  for (const { ref } of records) sessions.end(ref);
}

/** b has acknowledged that a session of its is told to end, and is gone; a new epoch is open, in which it has no row. */
async function startOwed() {
  const { clock, server, a, b } = await startPair();
  await openSession(b);
  const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
  await pass(clock, 300);
  cut(b, true);
  await pass(clock, 3_300);
  const { id, state } = await pending;
  expect(state).toBe('partial');
  server.restart();
  await pass(clock, 8_000);
  return { clock, server, a, b, id };
}

describe('what is owed', () => {
  it('is named by every answer, though who owes is in no row', async () => {
    const { clock, a, id } = await startOwed();
    await a.revoker.status(id);
    await pass(clock, 5_000);
    const status = await a.revoker.status(id);
    expect(status).toMatchObject({ closure: 'PARTIAL', owing: [{ replica: 'b', incarnation: 'inc_b2' }] });
    expect(a.revoker.open(10)).toMatchObject([{ id, replicas: [], owing: ['b'] }]);
  });

  it('is told by every replica that is asked whether all is well, and at once by whoever is asked for the order', async () => {
    const { clock, server, a } = await startPair();
    const c = await startSettled({ clock, server, name: 'c', seed: 7, ...FLEET });
    await openSession(a);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await pass(clock, 12_000);
    const { id, state } = await pending;
    expect(state).toBe('partial');
    expect([a, c].map(({ revoker }) => revoker.openCount)).toEqual([1, 1]);
    expect(c.revoker.open(10)).toMatchObject([{ id, state: 'partial', owing: ['a'] }]);
    expect(await c.revoker.status(id)).toMatchObject({ closure: 'PARTIAL', sessions: { matched: 1 } });
  });

  it('is partial again, and not durable, once it was judged in the next epoch too', async () => {
    const { clock, a, id } = await startOwed();
    for (let i = 0; i < 5; i++) {
      await a.revoker.status(id);
      await pass(clock, 8_000);
    }
    expect(await a.revoker.status(id)).toMatchObject({
      closure: 'PARTIAL',
      hasReceipt: true,
      state: 'partial',
    });
  });

  it('is not forgotten because many other orders came after it', async () => {
    const { clock, a, id } = await startOwed();
    const said = { at: '2026-11-30T08:00:00.000Z', kind: 'outcome', state: 'enforced', receipt: '' } as const;
    const none = { matched: 0, killed: 0, unconfirmed: 0 };
    for (let i = 0; i < 65_537; i++)
      a.effects.restoreOutcome({ ...said, ...none, id: `ent_${i}`, revocation: `rev_${i}` });
    await a.revoker.status(id);
    await pass(clock, 5_000);
    expect(await a.revoker.status(id)).toMatchObject({ closure: 'PARTIAL', enforcedAtMs: undefined });
  });

  it.each([0, 30_000])(
    'is owed by the run that goes on with the data, though its clock is %d ms behind the first',
    async (backMs) => {
      const { clock, a, b } = await startPair();
      await openSession(b);
      const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 60_000 }));
      await pass(clock, 600);
      cut(b, true);
      const next = await restart(b, backMs);
      await pass(clock, 2_000);
      cut(next, true);
      await pass(clock, 20_000);
      const { incarnation } = next.identity;
      expect(await pending).toMatchObject({ state: 'partial', owing: [{ replica: 'b', incarnation }] });
    },
  );

  it('is counted once by every receipt, though the run before the one that owes is not surely over', async () => {
    const { clock, server, a, b } = await startPair({ leaseMs: 20_000 });
    await openSession(b);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 3_000 }));
    await pass(clock, 4_000);
    const { id } = await pending;
    cut(b, true);
    const next = await restart(b, 0, 20_000);
    for (let i = 0; i < 4; i++) {
      await a.revoker.status(id);
      await pass(clock, 8_000);
    }
    const outcomes = server.lines.map(({ sealed }) => sealed.entry).filter(({ kind }) => kind === 'outcome');
    const owing = [next.identity.incarnation];
    expect(outcomes).toMatchObject([{ state: 'partial', matched: 1, unconfirmed: 1, owing }]);
  });

  it('is what is judged, though whoever owed is heard of while the receipt is written', async () => {
    const { clock, server, b, id } = await startOwed();
    const c = await startSettled({ clock, server, name: 'c', ...FLEET });
    await pass(clock, 4_000);
    const { promise, resolve } = Promise.withResolvers<void>();
    const write = c.receipts.write.bind(c.receipts);
    c.receipts.write = (name, text) => promise.then(() => write(name, text));
    await c.revoker.status(id);
    await pass(clock, 4_000);
    const next = await restart(b);
    await pass(clock, 1_000);
    endAll(next);
    await pass(clock, 600);
    await next.replica.stop();
    await pass(clock, 600);
    resolve();
    await pass(clock, 2_000);
    for (const { sealed } of server.lines) expect(parseEntry(sealed.text).entry).toEqual(sealed.entry);
    expect(c.effects.outcome(id)).toMatchObject({ state: 'partial', owing: ['inc_b2'] });
    expect(await c.revoker.status(id)).toMatchObject({ state: 'enforced' });
  });

  it('is written down again where somebody more owes, and by nobody taken back', async () => {
    const { clock, server, a, b } = await startPair();
    const c = await startSettled({ clock, server, name: 'c', seed: 7, ...FLEET });
    await pass(clock, 4_000);
    for (const one of [b, c]) await openSession(one);
    cut(c, true);
    await pass(clock, 4_000);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await pass(clock, 12_000);
    const { id, sessions } = await pending;
    expect(sessions).toMatchObject({ matched: 1, unconfirmed: 1 });
    // c is back, its session is told, and says nothing; then it is gone for good, and b's session ends.
    const next = await restart(c);
    await pass(clock, 12_000);
    expect(await a.revoker.status(id)).toMatchObject({
      state: 'partial',
      sessions: { matched: 2, unconfirmed: 2 },
    });
    expect(b.effects.outcome(id)?.owing).toEqual(['inc_b2', next.identity.incarnation]);
    cut(next, true);
    endAll(b);
    await pass(clock, 5_000);
    server.restart();
    await pass(clock, 8_000);
    expect([a, b].map(isFresh)).toEqual([true, true]);
    await a.revoker.status(id);
    await pass(clock, 5_000);
    const status = await a.revoker.status(id);
    expect(status).toMatchObject({ closure: 'PARTIAL', owing: [{ replica: 'c' }] });
  });
});
