/** The rights that deploy/redis/users.acl gives a sidecar: enough for all it does, and nothing with which to forget. */
import { readFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { epoch, replica, revocation } from '../../support/feed-entries.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { ROOT } from '../../support/writ-process.ts';
import { ContractReplica } from '../../contract/contract-replica.ts';

const AUTH = { username: 'writ', password: 'change-me' };
const INIT = { username: 'writ-init', password: 'change-me-too' };

let server: RedisServer;
const clients: Redis[] = [];
beforeAll(async () => {
  server = await RedisServer.start(['--aclfile', `${ROOT}deploy/redis/users.acl`], AUTH);
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
  });
}

describe("a sidecar's user", () => {
  it('cannot load functions, and says what is missing until somebody may', async () => {
    const early = store();
    await expect(early.open()).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining('NOPERM') as string,
    });
    await early.close();
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
    await one.append('ep_1', replica('forgotten', 'inc_b'));
    expect(
      await one.report({
        incarnation: 'inc_a',
        closedEpochId: 'ep_1',
        runId,
        position: a.position,
        chain: a.chain,
      }),
    ).toHaveLength(1);
    expect(await one.restore({ runId, closedEpochId: undefined, copy: 'new', lines: [] })).toEqual({
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
