/**
 * A failover that loses writes: the copy that takes the master's place and its address was cut off before the last
 * revocations reached it, and has the epoch in which they were enforced as an open one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { RedisCopies, masterArgs } from '../support/redis-copies.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { evaluate, eventually, jtiOrder, reasonOf, revoke, untilPermitted } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

const SCENE_MS = 120_000;
const LEASE_MS = 1_000;

let fleet: RedisFleet;
let copies: RedisCopies | undefined;
afterEach(async () => {
  await fleet.remove();
  await copies?.remove();
});

const reasonAt = async (writ: WritProcess, token: string) => reasonOf(await evaluate(writ, token));

describe('a copy that lacks what was enforced last', () => {
  it.each([
    ['while there is a witness', 0],
    ['when every lease is over', LEASE_MS + 500],
  ])(
    'in the place of its master brings nothing back, %s',
    async (_, outageMs) => {
      const port = await freePort();
      fleet = await RedisFleet.start({ lease: `${LEASE_MS}ms`, redis: { args: masterArgs(port) } });
      const { link, copy } = (copies = await RedisCopies.follow(fleet, port));
      const address = await fleet.proxy();
      const sets = ['store.failover=true', `store.url=unix:${address.path}`];
      const replicas = [await fleet.replica('r1', sets), await fleet.replica('r2', sets)] as const;
      const [kept, lost] = [fleet.mint(), fleet.mint()];
      for (const writ of replicas) expect(await untilPermitted(writ, lost.token)).toBe('permitted');
      const enforced = {
        state: 'enforced',
        replicas: [{ state: 'acknowledged' }, { state: 'acknowledged' }],
      };
      expect((await revoke(replicas[0], jtiOrder(kept, { waitMs: 30_000 }))).body).toMatchObject(enforced);
      const behind = () => copies?.lag(fleet) ?? Promise.reject(new Error('no copies'));
      expect(await eventually(behind, (entries) => entries === 0)).toBe(0);

      link.hold('down');
      expect((await revoke(replicas[0], jtiOrder(lost))).body).toMatchObject(enforced);
      expect(await behind()).toBeGreaterThan(0);
      await fleet.redis.stop('SIGKILL');
      await sleep(outageMs);
      await copies.promote();
      address.moveTo(copy.socket);

      const again = fleet.mint();
      const third = await fleet.replica('r3', [...sets, 'bootstrap=false']);
      for (const writ of [...replicas, third]) {
        const isNew = writ === third;
        const answer = await eventually(
          async () => {
            for (const { token } of [kept, lost])
              expect(String(await reasonAt(writ, token))).toMatch(isNew ? /^(fenced|revoked)$/ : /^revoked$/);
            return reasonAt(writ, again.token);
          },
          (reason) => reason === 'permitted',
          40_000,
        );
        expect(answer).toBe('permitted');
        for (const { token } of [kept, lost]) expect(await reasonAt(writ, token)).toBe('revoked');
      }
    },
    SCENE_MS,
  );
});
