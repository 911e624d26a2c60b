/** Replicas with leases of different lengths: a rolling change of `lease`. */
import { expect, it } from 'vitest';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { cut, epochOf, isFresh, jti, reasonOf } from '../support/memory-fleet.ts';
import type { TestReplica, TestReplicaOptions } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';

const SHORT_MS = 1_000;
const LONG_MS = 10_000;
/** After the append, where the longest lease is the long one. */
const LONG_BOUND_MS = 10_255;
const SHORT_BOUND_MS = 1_251;

/** `short` has watched this epoch for longer than any lease, and `long` was there from its beginning. */
async function startBoth(options: Partial<TestReplicaOptions> = {}) {
  const clock = new FakeClock();
  const both = { clock, server: new MemoryFeedServer(), exclusive: false, ...options };
  const short = await startSettled({ ...both, name: 'a', leaseMs: SHORT_MS });
  await pass(clock, 500);
  const long = await startSettled({ ...both, name: 'b', seed: 2, leaseMs: LONG_MS, bootstrap: false });
  await pass(clock, LONG_MS + 2_000);
  for (const one of [short, long]) expect(isFresh(one)).toBe(true);
  return { ...both, short, long };
}

const order = (value: string) => orderOf({ targets: [jti(value)], wait: 'durable' });

async function stateOf({ revoker }: TestReplica, id: string) {
  const { state, boundMs } = await revoker.status(id);
  return { state, boundMs };
}

it.each(['acknowledged', 'wait'] as const)(
  'nothing is permitted after `enforced` by a replica with a longer lease than the coordinator (barrier: %s)',
  async (barrier) => {
    const { clock, short, long } = await startBoth({ barrier });
    cut(long, true);
    const { id } = await short.revoker.revoke(order('j1'));
    await pass(clock, LONG_MS - 500);
    expect(await reasonOf(long, 'j1')).toBe('permitted');
    expect(await stateOf(short, id)).toEqual({ state: 'durable', boundMs: LONG_BOUND_MS });
    await pass(clock, 1_500);
    expect(await reasonOf(long, 'j1')).toBe('fenced');
    expect(await stateOf(short, id)).toEqual({ state: 'enforced', boundMs: LONG_BOUND_MS });
  },
);

it('a fleet waits no longer than before once the replica with the longer lease has left, or goes on with a shorter one', async () => {
  const { clock, server, short, long } = await startBoth();
  const done = await short.revoker.revoke(order('j1'));
  await pass(clock, 500);
  expect(await stateOf(short, done.id)).toEqual({ state: 'enforced', boundMs: LONG_BOUND_MS });
  forget(long);
  await long.stop();
  await pass(clock, 500);
  const next = await short.revoker.revoke(order('j2'));
  await pass(clock, 500);
  expect(await stateOf(short, next.id)).toEqual({ state: 'enforced', boundMs: SHORT_BOUND_MS });

  const again = { clock, server, name: 'b', exclusive: false, bootstrap: false, ledger: long.ledger };
  const killed = await startSettled({ ...again, seed: 3, leaseMs: LONG_MS });
  await pass(clock, 1_000);
  forget(killed);
  cut(killed, true);
  await killed.stop();
  await startSettled({ ...again, seed: 4, leaseMs: SHORT_MS });
  await pass(clock, 1_000);
  const early = await short.revoker.revoke(order('j3'));
  expect(await stateOf(short, early.id)).toMatchObject({ boundMs: LONG_BOUND_MS });
  await pass(clock, LONG_MS + 2_000);
  const late = await short.revoker.revoke(order('j4'));
  await pass(clock, 500);
  expect(await stateOf(short, late.id)).toEqual({ state: 'enforced', boundMs: SHORT_BOUND_MS });
});

it('who left after the append is in the bound', async () => {
  const { clock, short, long } = await startBoth();
  const { id } = await short.revoker.revoke(order('j1'));
  forget(long);
  await long.stop();
  await pass(clock, 2_000);
  expect(await stateOf(short, id)).toEqual({ state: 'enforced', boundMs: LONG_BOUND_MS });
});

it('nobody is forgotten, by itself or on an order, while its own lease may be good', async () => {
  const { clock, short, long } = await startBoth({ rosterForgetMs: 2_000 });
  cut(long, true);
  await pass(clock, LONG_MS - 1_000);
  expect(short.members.lookup('inc_b2')?.state).toBe('joined');
  const told = short.forgetter.forget({ replica: 'b', reason: 'scrapped', caller: 'admin' });
  await expect(told).rejects.toMatchObject({ code: 'STILL_LEASED' });
  expect(await reasonOf(long, 'j1')).toBe('permitted');
  await pass(clock, 3_000);
  expect(short.members.lookup('inc_b2')?.state).toBe('forgotten');
});

it('a witness with a longer lease opens no epoch without what was enforced', async () => {
  const { clock, server, short, long } = await startBoth();
  cut(long, true);
  const { id } = await short.revoker.revoke(order('j1'));
  await pass(clock, 3_000);
  // The store forgets, and the one who enforced is gone.
  cut(short, true);
  server.flush();
  cut(long, false);
  await pass(clock, 2_500);
  expect(epochOf(long)).not.toContain('closed');
  expect(await stateOf(short, id)).toMatchObject({ state: 'durable' });
});
