/** A store that can be made to keep lines back (edges/redis/hostile.test.ts): what comes without all that is newer is no lease. */
import { expect, it } from 'vitest';
import { OVER_MS, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import { orderOf } from '../support/replica-harness.ts';
import { pass } from '../support/replicas.ts';

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
