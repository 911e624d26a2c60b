/** The rights that deploy/redis/users.acl gives a sidecar: enough for all it does, and nothing with which to forget. */
import { readFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { epoch, replica, revocation } from '../../support/feed-entries.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';
import { ROOT } from '../../support/writ-process.ts';
import { ContractReplica } from '../../contract/contract-replica.ts';

const AUTH = { username: 'writ', password: 'change-me' };
const INIT = { username: 'writ-init', password: 'change-me-too' };

let server: RedisServer;
const clients: Redis[] = [];
beforeAll(async () => {
  server = await RedisServer.start(['--aclfile', `${ROOT}deploy/redis/users.acl`], { auth: AUTH });
});
afterAll(async () => {
  for (const client of clients) client.disconnect();
  await server.remove();
});

function as(user: { username: string; password: string }): Redis {
  const redis = new Redis({ path: server.socket, ...user, disableClientInfo: true, enableReadyCheck: false });
  redis.on('error', () => undefined);
  clients.push(redis);
  return redis;
}

function store(): RedisFeedStore {
  return new RedisFeedStore({
    server: { host: '', port: 0, path: server.socket, ...AUTH },
    fleet: 'f',
    replica: 'r',
    nameKey: NAME_KEY,
  });
}

describe("a sidecar's user", () => {
  it('cannot load functions, and says what is missing until somebody may', async () => {
    const early = store();
    await expect(early.open()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message:
        'the Redis has no functions writ1, and this user may not load them: `writ store init` of this version does, as one who may',
    });
    await early.close();
    const text = await readFile(`${ROOT}src/edges/redis/functions.lua`, 'utf8');
    await as(INIT).call('FUNCTION', 'LOAD', 'REPLACE', text);
  });

  it('does not call functions of another build: they are compared', async () => {
    const other = '#!lua name=writ1\nredis.register_function("writ1_roster", function() return 1 end)\n';
    await as(INIT).call('FUNCTION', 'LOAD', 'REPLACE', other);
    const late = store();
    await expect(late.open()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('has, of another build, the functions writ1') as string,
    });
    await late.close();
    const text = await readFile(`${ROOT}src/edges/redis/functions.lua`, 'utf8');
    await as(INIT).call('FUNCTION', 'LOAD', 'REPLACE', text);
  });

  it('can do all that a replica does', async () => {
    const one = store();
    const { runId, durability } = await one.open();
    expect(durability).toBe('durable');
    await one.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
    await one.append('ep_1', replica('joined', 'inc_a'));
    const a = new ContractReplica(one, 'inc_a');
    await a.lease();
    const woken = one.wake(a.position, AbortSignal.timeout(5_000));
    const startedMs = performance.now();
    await one.append('ep_1', revocation('r1'));
    await woken;
    expect(performance.now() - startedMs).toBeLessThan(4_000);
    await a.lease();
    await one.append('ep_1', replica('joined', 'inc_b'));
    const sealed = replica('forgotten', 'inc_b');
    expect(await one.forget({ epochId: 'ep_1', renewals: 0, sealed })).toMatchObject({ kind: 'forgotten' });
    expect(
      await one.report({
        incarnation: 'inc_a',
        closedEpochId: 'ep_1',
        runId,
        position: a.position,
        chain: a.chain,
      }),
    ).toHaveLength(1);
    expect(
      await one.restore({
        runId,
        closedEpochId: undefined,
        copy: 'new',
        lines: [],
        after: a.position,
        limit: 9,
      }),
    ).toEqual({
      kind: 'lost',
    });
    await one.writeSnapshot({
      epochId: 'ep_1',
      position: a.position,
      digest: 'd',
      entry: 'e',
      chunks: [Buffer.from([1])],
    });
    expect(await one.readSnapshot()).toMatchObject({ digest: 'd' });
    await one.close();
  });

  it('can let go what a snapshot stands for', async () => {
    const one = store();
    const { runId } = await one.open();
    const { closedEpochId, epochId = '', head } = await one.roster();
    expect([closedEpochId, epochId, runId]).toEqual([undefined, 'ep_1', runId]);
    for (let i = 0; i < 20; i++) await one.append(epochId, revocation(`g${i}`));
    const position = { ...head, sequence: head.sequence + 18 };
    const first = {
      epochId,
      position,
      digest: 'e',
      entry: 'e',
      chunks: [Buffer.from([1]), Buffer.from([2])],
    };
    await one.writeSnapshot(first);
    await one.writeSnapshot({
      ...first,
      position: { ...position, sequence: position.sequence + 1 },
      digest: 'f',
    });
    expect(await one.readSnapshot()).toMatchObject({ digest: 'f' });
    await one.trim({ position: { ...position, sequence: position.sequence + 1 }, digest: 'f' }, 2);
    await one.append(epochId, revocation('g20'));
    await one.append(epochId, revocation('g21'));
    expect((await one.roster({ ...position, sequence: 2 })).line).toBeUndefined();
    const [held, kept] = await server.ask(async (redis) => [
      await redis.xrange(`{writ:f}:0:feed:${position.epoch}`, '-', '+'),
      await redis.hgetall('{writ:f}:snapshot'),
    ]);
    // The window, the mark, and what came after it; and the chunks of the newest snapshot.
    expect(held.map(([id]) => id)[0]).toBe(`${position.epoch}-${position.sequence - 1}`);
    const chunks = Object.entries(kept).filter(([field, chunk]) => field.includes(':') && chunk !== '');
    expect(chunks.map(([field]) => field.slice(2)).sort()).toEqual(['1', '2']);
    await one.close();
  });

  it.each<readonly [string, ...string[]]>([
    ['FLUSHALL'],
    ['FLUSHDB'],
    ['DEL', '{writ:f}:meta'],
    ['UNLINK', '{writ:f}:meta'],
    ['EXPIRE', '{writ:f}:meta', '1'],
    ['RENAME', '{writ:f}:meta', '{writ:f}:x'],
    ['HDEL', '{writ:f}:meta', 'epoch'],
    ['XTRIM', '{writ:f}:0:feed:100', 'MAXLEN', '0'],
    ['XDEL', '{writ:f}:0:feed:100', '100-1'],
    ['ZREM', '{writ:f}:0:epochs', '100'],
    ['SET', '{writ:f}:meta', 'x'],
    ['EVAL', 'return 1', '0'],
    ['FUNCTION', 'FLUSH'],
    ['CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru'],
    ['SWAPDB', '0', '1'],
    ['REPLICAOF', '127.0.0.1', '1'],
    ['SHUTDOWN'],
    ['HSET', 'elsewhere', 'a', 'b'],
  ])('may not %s', async (command, ...args) => {
    await expect(as(AUTH).call(command, ...args)).rejects.toThrow(/NOPERM|permission/);
  });
});
