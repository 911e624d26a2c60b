/**
 * One write, by somebody who has a replica's rights in Redis and no keys: the fleet goes on once Redis was restarted without
 * him, newcomers are let in, and what was enforced stays dead.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { RedisFleet } from '../support/redis-fleet.ts';
import { evaluate, jtiOrder, reasonOf, revoke, untilPermitted } from '../support/scene.ts';

const SCENE_MS = 90_000;
const META = '{writ:test}:meta';

let fleet: RedisFleet;
afterEach(() => fleet.remove());

async function emptyStream(redis: Redis): Promise<void> {
  const [number = '', sequence = ''] = (await redis.hmget(META, 'number', 'sequence')) as string[];
  const ahead = `${number}-${Number(sequence) + 900}`;
  await redis.call('XADD', `{writ:test}:0:feed:${number}`, 'MAXLEN', '0', ahead, 'c', 'x', 'e', '{}');
}

describe('a Redis that was written to once', () => {
  it.each<[string, (redis: Redis) => Promise<unknown>]>([
    ['a chain that is none', (redis) => redis.hset(META, 'chain', 'x')],
    ['another type under the heads of epochs', (redis) => redis.zadd('{writ:test}:0:heads', 1, 'x')],
    ['another type under the snapshot', (redis) => redis.zadd('{writ:test}:snapshot', 1, 'x')],
    ['a stream that an XADD has emptied', emptyStream],
  ])(
    'is left behind after a restart: %s',
    async (_, write) => {
      fleet = await RedisFleet.start();
      const [first, second] = [await fleet.replica('r1'), await fleet.replica('r2')];
      const dead = fleet.mint();
      for (const writ of [first, second]) expect(await untilPermitted(writ, dead.token)).toBe('permitted');
      expect((await revoke(first, jtiOrder(dead, { waitMs: 20_000 }))).body).toMatchObject({
        state: 'enforced',
      });
      await fleet.redis.ask(write);
      // Longer than a lease: nobody is left who may say yes by the one from before.
      await sleep(1_500);
      await fleet.redis.stop();
      await fleet.redis.begin();
      const third = await fleet.replica('r3');
      for (const writ of [first, second, third]) {
        expect(await untilPermitted(writ, fleet.mint().token)).toBe('permitted');
        expect(reasonOf(await evaluate(writ, dead.token))).toBe('revoked');
      }
    },
    SCENE_MS,
  );
});
