/** A Redis under which promises would be lies: it is refused, or the word is weaker, and the right setting is named. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { initStore } from '../../../src/edges/redis/init-store.ts';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { epoch, revocation } from '../../support/feed-entries.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';

const servers: RedisServer[] = [];
const stores: RedisFeedStore[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const server of servers.splice(0)) await server.remove();
});

async function open(...args: string[]): Promise<RedisServer> {
  const server = await RedisServer.start(args);
  servers.push(server);
  return server;
}

function storeOn({ socket }: { socket: string }, callMs = 2_000): RedisFeedStore {
  const store = new RedisFeedStore({
    server: { host: '', port: 0, path: socket },
    fleet: 'f',
    replica: 'r',
    nameKey: NAME_KEY,
    callMs,
  });
  stores.push(store);
  return store;
}

describe('a Redis at start', () => {
  it.each(['allkeys-lru', 'volatile-ttl'])('is refused with maxmemory-policy %s', async (policy) => {
    await expect(storeOn(await open('--maxmemory-policy', policy)).open()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      field: 'store.url',
      message: `maxmemory-policy is ${policy}: it must be noeviction, or revocations are evicted`,
    });
  });

  it('is refused when it is a replica', async () => {
    const server = await open();
    await server.ask((redis) => redis.replicaof('127.0.0.1', 1));
    await expect(storeOn(server).open()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'this Redis is a replica of 127.0.0.1:1: name that one',
    });
  });

  it.each([
    [['--appendonly', 'no'], 'accepted'],
    [['--appendfsync', 'everysec'], 'accepted'],
    [[], 'durable'],
  ])('with %j earns an append the word %s', async (args, durability) => {
    expect(await storeOn(await open(...args)).open()).toMatchObject({ durability, exclusive: false });
  });

  it('of which nobody may ask for settings earns an append the weaker word, and what is not known is said', async () => {
    const server = await open('--rename-command', 'CONFIG', '');
    expect(await storeOn(server).open()).toMatchObject({
      durability: 'accepted',
      weakened: [
        'this user may not ask for settings (CONFIG GET), so whether the Redis fsyncs what is appended is not known',
      ],
    });
    const evicting = await open('--rename-command', 'CONFIG', '', '--maxmemory-policy', 'allkeys-lru');
    await expect(storeOn(evicting).open()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    const failover = new RedisFeedStore({
      server: { host: '', port: 0, path: server.socket },
      ...{ fleet: 'f', replica: 'r', nameKey: NAME_KEY, failover: true },
    });
    stores.push(failover);
    await expect(failover.open()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/min-replicas-max-lag must be read, and this user may not/) as string,
    });
  });

  it('with the functions of another build is given ours, and that is said', async () => {
    const server = await open();
    const other = '#!lua name=writ1\nredis.register_function("writ1_roster", function() return 1 end)\n';
    await server.ask((redis) => redis.function('LOAD', other));
    const warnings: string[] = [];
    const note = (sentence: string) => void warnings.push(sentence);
    const log = { info: note, warn: note, error: note };
    const openWith = async () => {
      const address = { host: '', port: 0, path: server.socket };
      const store = new RedisFeedStore({ server: address, fleet: 'f', replica: 'r', nameKey: NAME_KEY, log });
      stores.push(store);
      await store.open();
    };
    expect(await openWith().then(() => 'open', String)).toBe('open');
    expect(warnings).toEqual(['the functions in the store were those of another build, and were replaced']);
    await openWith();
    expect(warnings).toHaveLength(1);
  });

  it('that is not there is said, in time', async () => {
    const startedMs = performance.now();
    await expect(storeOn({ socket: '/tmp/writ-no-redis.sock' }, 300).open()).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
    });
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });

  it('that hangs is given up in time, an append with a fate that nobody knows', async () => {
    const server = await open();
    const [reading, appending, opening] = [storeOn(server, 300), storeOn(server, 300), storeOn(server, 300)];
    const [{ runId }] = [await reading.open(), await appending.open(), await opening.open()];
    server.signal('SIGSTOP');
    await expect(reading.roster()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    await expect(appending.append('ep_1', revocation('r1'))).rejects.toMatchObject({
      code: 'APPEND_UNCERTAIN',
    });
    const order = { closedEpochId: undefined, runId, epochS: 1, sealed: epoch('ep_1', runId) };
    await expect(opening.openEpoch(order)).rejects.toMatchObject({ code: 'APPEND_UNCERTAIN' });
    server.signal('SIGCONT');
    for (const store of [reading, appending, opening])
      await expect
        .poll(() => store.roster().catch(() => undefined), { timeout: 5_000 })
        .toMatchObject({ runId });
  });

  it('that hangs is said to, whatever was wrong with it before', async () => {
    const server = await open();
    const store = storeOn(server, 300);
    await store.open();
    const complaint = (): Promise<string> => store.roster().then(() => 'none', String);
    await server.stop('SIGKILL');
    await expect.poll(complaint).toContain('connection to Redis: connect ECONNREFUSED');
    await server.begin();
    await expect.poll(complaint, { timeout: 5_000 }).toBe('none');
    server.signal('SIGSTOP');
    const said = new Set<string>();
    // Long enough for connections that it takes, as one that is stopped does, and says nothing on.
    for (const untilMs = performance.now() + 2_000; performance.now() < untilMs;) {
      said.add(await complaint());
      await wait(50);
    }
    expect([...said].filter((one) => !one.endsWith('did not answer in time'))).toEqual([]);
    const init = initStore({
      ...{ kind: 'redis', failover: false },
      url: { host: '', path: server.socket, isTls: false },
    });
    await expect(init).rejects.toThrow('there is no connection to Redis: it did not answer in time');
    server.signal('SIGCONT');
  }, 20_000);

  it('that wants a password is named, with the user and the settings that this is about', async () => {
    const auth = { password: 'right' };
    const server = await RedisServer.start(['--requirepass', auth.password], { auth });
    servers.push(server);
    const complaint = (user: object): Promise<string> => {
      const address = { host: '', port: 0, path: server.socket, ...user };
      const store = new RedisFeedStore({ server: address, fleet: 'f', replica: 'r', nameKey: NAME_KEY });
      stores.push(store);
      return store.open().then(() => 'none', String);
    };
    const at = `at ${server.socket}: see store.url and store.passwordFile)`;
    expect(await complaint({})).toBe(
      `WritError: Redis refuses: NOAUTH Authentication required. (user default, without a password, ${at}`,
    );
    const refused =
      'WritError: there is no connection to Redis: WRONGPASS invalid username-password pair or user is disabled.';
    expect(await complaint({ username: 'writ' })).toBe(`${refused} (user writ, without a password, ${at}`);
    expect(await complaint({ password: 'not-it' })).toBe(`${refused} (user default, with a password, ${at}`);
  });

  it('that takes a connection and says nothing is tried again', async () => {
    const server = await open();
    const socket = join(server.dir, 'deaf.sock');
    const taken: Socket[] = [];
    let isDeaf = false;
    const between = createServer((client) => {
      const upstream = isDeaf ? undefined : connect(server.socket);
      taken.push(client, ...(upstream === undefined ? [] : [upstream]));
      upstream?.pipe(client).pipe(upstream);
    });
    await once(between.listen(socket), 'listening');
    const store = storeOn({ socket }, 300);
    const { runId } = await store.open();
    isDeaf = true;
    const before = taken.length;
    for (const one of taken) one.destroy();
    // All three connections have been taken, given up, and asked for again.
    await expect.poll(() => taken.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(before + 6);
    isDeaf = false;
    await expect
      .poll(() => store.roster().catch(() => undefined), { timeout: 5_000 })
      .toMatchObject({ runId });
    for (const one of taken) one.destroy();
    between.close();
  });
});

describe('a Redis that refuses to write', () => {
  const fill = (redis: Redis): Promise<unknown> => redis.config('SET', 'maxmemory', '1');
  const empty = (redis: Redis): Promise<unknown> => redis.config('SET', 'maxmemory', '0');
  const unsave = async (redis: Redis, { dir }: RedisServer): Promise<void> => {
    // In the place of the file that it would write.
    await mkdir(join(dir, 'dump.rdb'));
    await redis.bgsave();
    while (!(await redis.info('persistence')).includes('rdb_last_bgsave_status:err'));
  };
  const save = (redis: Redis): Promise<unknown> => redis.config('SET', 'save', '');
  const hold = async (redis: Redis, { socket }: RedisServer): Promise<void> => {
    const other = new Redis({ path: socket });
    void other.eval('while true do end', 0).catch(() => other.disconnect());
    while ((await redis.ping().catch(String)) === 'PONG');
  };
  const letGo = async (redis: Redis): Promise<void> => {
    await redis.script('KILL');
    // It is told so, and ends a moment later.
    while ((await redis.ping().catch(String)) !== 'PONG');
  };

  it.each<[string, typeof unsave | typeof fill, typeof save]>([
    ['OOM', fill, empty],
    ['MISCONF', unsave, save],
    ['BUSY', hold, letGo],
  ])('(%s) has acknowledged nothing, and does once it may', async (word, stop, go) => {
    const server = await open('--save', '900 1', '--busy-reply-threshold', '50');
    const store = storeOn(server);
    const { runId } = await store.open();
    await store.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
    await server.ask(async (redis) => {
      await stop(redis, server);
      await expect(store.append('ep_1', revocation('r1'))).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
        message: expect.stringContaining(`Redis refuses: ${word}`) as string,
      });
      await go(redis);
    });
    expect(await store.append('ep_1', revocation('r1'))).toMatchObject({
      position: { sequence: 2 },
      duplicate: false,
    });
  });
});
