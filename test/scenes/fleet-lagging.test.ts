/**
 * A failover that loses writes: the copy that takes the master's place and its address was cut off before the last
 * revocations reached it, and has the epoch in which they were enforced as an open one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { RedisServer } from '../support/redis-server.ts';
import { evaluate, eventually, jtiOrder, reasonOf, revoke, untilPermitted } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

const SCENE_MS = 120_000;
const LEASE_MS = 1_000;
const DURABLE = ['--min-replicas-to-write', '1', '--min-replicas-max-lag', '4'];

let fleet: RedisFleet;
const copies: RedisServer[] = [];
afterEach(async () => {
  await fleet.remove();
  for (const copy of copies.splice(0)) await copy.remove();
});

const reasonAt = async (writ: WritProcess, token: string) => reasonOf(await evaluate(writ, token));

/** A server that follows the one at `port`, and says so. */
async function follow(port: string, own: string): Promise<RedisServer> {
  const soon = ['--repl-diskless-sync-delay', '0'];
  const copy = await RedisServer.start([
    '--port',
    own,
    ...DURABLE,
    ...soon,
    '--replicaof',
    '127.0.0.1',
    port,
  ]);
  copies.push(copy);
  await eventually(
    () => copy.ask((redis) => redis.info('replication')),
    (info) => info.includes('master_link_status:up'),
    30_000,
  );
  return copy;
}

/** How many entries its streams hold. */
const entriesOf = (server: RedisServer): Promise<number> =>
  server.ask(async (redis) => {
    const lengths = await Promise.all(
      (await redis.keys('{writ:test}*:feed:*')).map((key) => redis.xlen(key)),
    );
    return lengths.reduce((sum, length) => sum + length, 0);
  });

describe('a copy that lacks what was enforced last', () => {
  it.each([
    ['while there is a witness', 0],
    ['when every lease is over', LEASE_MS + 500],
  ])(
    'in the place of its master brings nothing back, %s',
    async (_, outageMs) => {
      const [master, link, copied, below] = await Promise.all(
        Array.from({ length: 4 }, async () => String(await freePort())),
      );
      const args = ['--port', master!, ...DURABLE, '--repl-diskless-sync-delay', '0'];
      fleet = await RedisFleet.start({ lease: `${LEASE_MS}ms`, redis: { args } });
      const replication = await fleet.proxy(link, master);
      const copy = await follow(link!, copied!);
      await follow(copied!, below!);
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
      const behind = async () => (await entriesOf(fleet.redis)) - (await entriesOf(copy));
      expect(await eventually(behind, (entries) => entries === 0)).toBe(0);

      replication.hold('down');
      expect((await revoke(replicas[0], jtiOrder(lost))).body).toMatchObject(enforced);
      expect(await behind()).toBeGreaterThan(0);
      await fleet.redis.stop('SIGKILL');
      await sleep(outageMs);
      await copy.ask((redis) => redis.replicaof('NO', 'ONE'));
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
