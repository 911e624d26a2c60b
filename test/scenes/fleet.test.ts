/**
 * Replicas in processes of their own on one real Redis: what is enforced on one is dead on all, whoever joins, sleeps or
 * is cut off, and the receipt says of each how that is known.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { FleetToken } from '../support/redis-fleet.ts';
import type { Direction } from '../support/holding-proxy.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import {
  control,
  evaluate,
  eventually,
  jtiOrder,
  reasonOf,
  revoke,
  untilPermitted,
} from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

const SCENE_MS = 60_000;

let fleet: RedisFleet;
afterEach(() => fleet.remove());

async function startThree(): Promise<[WritProcess, WritProcess, WritProcess]> {
  fleet = await RedisFleet.start();
  return [await replica('r1'), await replica('r2'), await replica('r3')];
}

/** Started, and with a lease. */
async function replica(name: string, set: readonly string[] = []): Promise<WritProcess> {
  const one = await fleet.replica(name, set);
  expect(await untilPermitted(one, fleet.mint().token)).toBe('permitted');
  return one;
}

async function reasons(token: FleetToken, replicas: readonly WritProcess[]): Promise<unknown[]> {
  return Promise.all(replicas.map(async (one) => reasonOf(await evaluate(one, token.token))));
}

function standings(body: Record<string, unknown>): string[] {
  const replicas = body['replicas'] as { replica: string; state: string }[];
  return replicas.map(({ replica, state }) => `${replica} ${state}`).sort();
}

describe('a fleet on Redis', () => {
  it(
    'denies everywhere what was enforced on one; a newcomer denies it before its first yes',
    async () => {
      const replicas = await startThree();
      const token = fleet.mint();
      expect(await reasons(token, replicas)).toEqual(['permitted', 'permitted', 'permitted']);
      const { body } = await revoke(replicas[0], jtiOrder(token));
      expect(body).toMatchObject({ state: 'enforced', closure: 'CLOSED', seen: true });
      expect(standings(body)).toEqual(['r1 acknowledged', 'r2 acknowledged', 'r3 acknowledged']);
      expect(await reasons(token, replicas)).toEqual(['revoked', 'revoked', 'revoked']);
      const receipt = await control(replicas[0], String(body['receipt']));
      for (const name of ['r1', 'r2', 'r3']) expect(receipt.text).toContain(name);
      const fourth = await fleet.replica('r4');
      expect(await reasons(token, [fourth])).toEqual(['revoked']);
      expect(await untilPermitted(fourth, fleet.mint().token)).toBe('permitted');
    },
    SCENE_MS,
  );

  it(
    'is done with a replica that is stopped when its lease is surely over; none of its queued requests is allowed',
    async () => {
      const [first, second, third] = await startThree();
      const token = fleet.mint();
      expect(await reasons(token, [third])).toEqual(['permitted']);
      process.kill(third.pid, 'SIGSTOP');
      const queued = Array.from({ length: 20 }, () => evaluate(third, token.token));
      const sentMs = performance.now();
      const { body } = await revoke(first, jtiOrder(token));
      const tookMs = performance.now() - sentMs;
      expect(body).toMatchObject({ state: 'enforced', closure: 'CLOSED' });
      expect(standings(body)).toEqual(['r1 acknowledged', 'r2 acknowledged', 'r3 fenced']);
      expect(tookMs).toBeLessThan(Number(body['boundMs']) + 1_000);
      process.kill(third.pid, 'SIGCONT');
      for (const reply of await Promise.all(queued)) expect(reasonOf(reply)).not.toBe('permitted');
      expect(await reasons(token, [second, third])).toEqual(['revoked', 'revoked']);
    },
    SCENE_MS,
  );

  it.each<[string, Direction[]]>([
    ['towards Redis', ['up']],
    ['from Redis', ['down']],
    ['in both directions', ['up', 'down']],
  ])(
    'is done with a replica that is cut off %s when its lease is surely over, and that allows nothing when it is back',
    async (_, directions) => {
      fleet = await RedisFleet.start();
      const proxy = await fleet.proxy();
      const [first, second] = [await replica('r1'), await replica('r2')];
      const third = await replica('r3', [`store.url=unix:${proxy.path}`]);
      const token = fleet.mint();
      expect(await reasons(token, [third])).toEqual(['permitted']);
      proxy.hold(...directions);
      const { body } = await revoke(first, jtiOrder(token));
      expect(body).toMatchObject({ state: 'enforced', closure: 'CLOSED' });
      expect(standings(body)).toEqual(['r1 acknowledged', 'r2 acknowledged', 'r3 fenced']);
      // Cut off it knows nothing of it, and says so.
      expect(await reasons(token, [second, third])).toEqual(['revoked', 'fenced']);
      let asked = 0;
      let isOver = false;
      const asking = (async () => {
        for (; !isOver; asked++) expect(await reasons(token, [third])).not.toEqual(['permitted']);
      })();
      proxy.release();
      await eventually(
        async () => (await reasons(fleet.mint(), [third]))[0],
        (reason) => reason === 'permitted',
      );
      isOver = true;
      await asking;
      expect(asked).toBeGreaterThan(0);
      expect(await reasons(token, [third])).toEqual(['revoked']);
    },
    SCENE_MS,
  );
});
