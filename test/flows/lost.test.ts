/** Found by attack: an epoch that an operator opens on less than there was, and what had been proven of the rest of it. */
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import {
  GROWING,
  OVER_MS,
  cut,
  enforce,
  grow,
  isFresh,
  jti,
  kill,
  reasonOf,
  startPair,
  within,
} from '../support/memory-fleet.ts';
import type { TestReplica, TestReplicaOptions } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { makeReplica, pass, startSettled } from '../support/replicas.ts';

type Pair = Awaited<ReturnType<typeof startPair>>;

/** a has enforced j1, last of `count`, while c had no lease, has ordered k1, and is cut off; c has opened an epoch on what it has, and x has joined. */
async function startLost(pair: Pair, common: Partial<TestReplicaOptions>, count = 1, isFlushed = false) {
  const { clock, server, a, b } = pair;
  const other = { clock, server, bootstrap: false, ...common };
  const c = await startSettled({ ...other, name: 'c', seed: 7 });
  await pass(clock, OVER_MS);
  cut(c, true);
  await pass(clock, 2 * OVER_MS);
  if (isFlushed) server.flush();
  await pass(clock, OVER_MS);
  for (let i = count; i > 0; i--) await enforce(a, `j${i}`, 9_000);
  const ids = [...a.receipts.texts.keys()];
  await pass(clock, OVER_MS);
  const old = server.lines.map(({ sealed }) => sealed).filter(({ entry }) => entry.kind === 'outcome');
  await kill(b);
  const { id: last } = await within(
    clock,
    a.revoker.revoke(orderOf({ targets: [jti('k1')], wait: 'durable' })),
    100,
  );
  cut(a, true);
  server.flush();
  cut(c, false);
  await pass(clock, OVER_MS);
  await c.replica.openEpoch('accept-amnesia', 'all is gone');
  const x = await startSettled({ ...other, name: 'x', seed: 17 });
  await pass(clock, OVER_MS);
  return { clock, server, a, c, x, ids, old, last };
}

type Lost = Awaited<ReturnType<typeof startLost>>;

/** Or the code of the refusal. */
const stateOf = ({ clock, revoker }: TestReplica, id: string, withinMs: number): Promise<string> =>
  within(
    clock,
    revoker.status(id).then(({ state }) => state, String),
    withinMs,
  );

/** x hears nothing from here on, and allows j1 until its lease is over: nobody may say `enforced` meanwhile. */
async function comeBack({ clock, a, c, x, ids }: Lost): Promise<void> {
  cut(x, true);
  cut(a, false);
  const isThere = (): boolean => isFresh(a) && a.cursor.epochId === c.cursor.epochId;
  for (let i = 0; i < 20 && !isThere(); i++) await pass(clock, 100);
  expect([isThere(), isFresh(x), await reasonOf(x, 'j1')]).toEqual([true, true, 'permitted']);
  for (const id of ids) {
    expect(['durable', 'accepted']).toContain(await stateOf(a, id, 10));
    await expect(a.revoker.receipt(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }
  cut(x, false);
  await pass(clock, 2 * OVER_MS);
  for (const id of ids) {
    expect(await stateOf(a, id, OVER_MS)).toBe('enforced');
    const { weakened } = await a.revoker.status(id);
    expect(weakened.join()).toContain('accept');
  }
}

describe('an order that was enforced in what an operator has given up', () => {
  it('is not enforced by what somebody appends again before it is there', async () => {
    const fleet = await startLost(await startPair(), { exclusive: false });
    const { server, c, old } = fleet;
    for (const one of old) server.forge(c.cursor.epochId as string, one);
    await comeBack(fleet);
  });

  it('is not enforced by what was proven before where who has it begins again at a snapshot', async () => {
    const fleet = await startLost(await startPair(GROWING), GROWING);
    await grow(fleet.c);
    await comeBack(fleet);
  });

  it.each(['the feed', 'a snapshot'])(
    'is proven anew at its place in the new epoch, which comes by %s, though that has the number of the one that was lost',
    async (by) => {
      const common = by === 'the feed' ? { exclusive: false } : GROWING;
      const fleet = await startLost(await startAhead(common), common, 20, true);
      const { clock, server, a, c, ids, old } = fleet;
      const [before, after] = [a, c].map(({ cursor }) => cursor.position.epoch);
      expect(before).toBe(after);
      if (by === 'a snapshot') await grow(c);
      await comeBack(fleet);
      expect(server.lines.filter(({ sealed }) => old.some(({ text }) => text === sealed.text))).toEqual([]);
      await pass(clock, OVER_MS);
      for (const id of ids) expect(a.view.record(id)).toEqual(c.view.record(id));
      expect(placesIn(a)).toEqual(placesIn(c));
    },
  );

  it('is proven by who has taken it up before it is in the new epoch, though that has the number of the one that was lost', async () => {
    const common = { exclusive: false };
    const { clock, server, a, c, last } = await startLost(await startAhead(common), common, 1, true);
    const { receipts } = a;
    const ledger = a.ledger.copy();
    await kill(a);
    const again = makeReplica({
      clock,
      server,
      ledger,
      receipts,
      name: 'a',
      seed: 3,
      bootstrap: false,
      exclusive: false,
    });
    again.store.fate = (command) => (['append', 'renew'].includes(command) ? 'lose-request' : 'deliver');
    await again.start();
    expect((await within(clock, again.revoker.status(last), OVER_MS)).state).not.toBe('enforced');
    cut(again, false);
    await pass(clock, 4 * OVER_MS);
    expect([again, c].map(({ effects }) => effects.outcome(last)?.state)).toEqual(['enforced', 'enforced']);
  });
});

const placesIn = ({ effects }: TestReplica) =>
  effects.folded().map(({ revocation, position }) => [revocation, position]);

/** The clock of whoever opened their epoch was ahead: each one after it has the next number. */
async function startAhead(common: Partial<TestReplicaOptions>): Promise<Pair> {
  const clock = new FakeClock();
  const server = new MemoryFeedServer();
  clock.setForward(1_000_000);
  const a = await startSettled({ clock, server, name: 'a', ...common });
  await pass(clock, 1_000);
  const b = await startSettled({ clock, server, name: 'b', seed: 2, bootstrap: false, ...common });
  await pass(clock, OVER_MS);
  clock.setForward(-1_000_000);
  return { clock, server, a, b };
}
