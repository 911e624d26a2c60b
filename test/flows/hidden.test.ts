/** A store that can be made to keep lines back (edges/redis/hostile.test.ts): what comes without all that is newer is no lease. */
import { expect, it } from 'vitest';
import { sealEntry } from '../../src/feed/entry.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';
import { renderInstant } from '../../src/kernel/clock.ts';
import { NOW_S, OVER_MS, cut, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import { orderOf } from '../support/replica-harness.ts';
import { makeReplica, pass } from '../support/replicas.ts';

it('a replica to which the newest lines are not shown has no lease once `enforced` is said by the clock', async () => {
  const { clock, a, b } = await startPair();
  const renew = b.store.renew.bind(b.store);
  b.store.renew = async (request) => {
    const reply = await renew(request);
    return reply.kind === 'lease' ? { ...reply, lines: [] } : reply;
  };
  const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
  await pass(clock, OVER_MS);
  expect(await pending).toMatchObject({ state: 'enforced' });
  expect(isFresh(b)).toBe(false);
  expect(await reasonOf(b, 'j1')).toBe('fenced');
});

it('a newcomer that is cut off is waited for, though the store was told by nobody who may that it is gone', async () => {
  const { clock, server, a } = await startPair();
  const c = makeReplica({ clock, server, name: 'c', seed: 7, exclusive: false, bootstrap: false });
  const { incarnation, key } = c.identity;
  const said = { v: 1, id: 'ent_x', at: renderInstant(NOW_S * 1000), by: 'inc_nobody' } as const;
  const facts = {
    kind: 'replica',
    event: 'forgotten',
    replica: 'c',
    incarnation,
    key: key.public.x,
  } as const;
  const forged = sealEntry({ ...said, ...facts }, signingKeyOf(new Uint8Array(32).fill(99)));
  const renew = c.store.renew.bind(c.store);
  // So a knows that it has joined, and has not seen its row.
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  let isForged = false;
  c.store.renew = async (request) => {
    await arrived;
    const reply = await renew(request);
    if (reply.kind !== 'lease') return reply;
    cut(c, true);
    server.forge(a.cursor.epochId as string, forged);
    isForged = true;
    return reply;
  };
  void c.start();
  await pass(clock, 200);
  arrive();
  for (let i = 0; i < 40 && !isForged; i++) await pass(clock, 100);
  expect(await reasonOf(c, 'j1')).toBe('permitted');
  const { promise: answered, resolve: answer } = Promise.withResolvers<string>();
  let isAnswered = false;
  void a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 })).then(({ state }) => {
    isAnswered = true;
    answer(state);
  });
  for (let i = 0; i < 40 && !isAnswered; i++) await pass(clock, 100);
  expect(await answered).toBe('enforced');
  expect(await reasonOf(c, 'j1')).toBe('fenced');
});
