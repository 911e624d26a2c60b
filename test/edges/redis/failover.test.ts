/**
 * A Redis that another server may replace: what must be set for that, what is added to every wait, and that a master which
 * may not write any more is read nothing out of. And one that has replicas, without a word about it.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { epoch, revocation } from '../../support/feed-entries.ts';
import { freePort } from '../../support/free-port.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';
import { eventually } from '../../support/scene.ts';

const servers: RedisServer[] = [];
const stores: RedisFeedStore[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const server of servers.splice(0)) await server.remove();
});

interface Group {
  readonly master: RedisServer;
  readonly replicas: readonly RedisServer[];
}

/** All of them up, and the replicas copying. */
async function startGroup(replicas: number): Promise<Group> {
  const port = String(await freePort());
  const start = async (...args: string[]): Promise<RedisServer> => {
    const server = await RedisServer.start(['--repl-diskless-sync-delay', '0', ...args]);
    servers.push(server);
    return server;
  };
  const master = await start('--port', port);
  const others: RedisServer[] = [];
  for (let i = 0; i < replicas; i++) others.push(await start('--replicaof', '127.0.0.1', port));
  for (const other of others)
    await eventually(
      () => other.ask((redis) => redis.info('replication')),
      (info) => info.includes('master_link_status:up'),
    );
  return { master, replicas: others };
}

async function set(server: RedisServer, settings: Readonly<Record<string, number | string>>): Promise<void> {
  for (const [name, value] of Object.entries(settings))
    await server.ask((redis) => redis.config('SET', name, String(value)));
}

/** It counts its replicas once a second. */
async function untilWritable(master: RedisServer): Promise<void> {
  await eventually(
    () => master.ask((redis) => redis.info('replication')),
    (info) => /min_slaves_good_slaves:[1-9]/.test(info),
  );
}

function storeOn({ socket }: { readonly socket: string }, failover = true): RedisFeedStore {
  const server = { host: '', port: 0, path: socket };
  const store = new RedisFeedStore({ server, failover, fleet: 'f', replica: 'r', nameKey: NAME_KEY });
  stores.push(store);
  return store;
}

/** As after a failover: the same data under another replication id, so in another lifetime. */
async function becomeAnother(server: RedisServer): Promise<void> {
  await server.ask(async (redis) => {
    await redis.replicaof('127.0.0.1', 1);
    await redis.replicaof('NO', 'ONE');
  });
}

const TO_WRITE = 'min-replicas-to-write';
const MAX_LAG = 'min-replicas-max-lag';

describe('a Redis that another server may replace', () => {
  it('must lose its writes with its replicas, and says for how long it may go on', async () => {
    const { master } = await startGroup(3);
    const unfit = { code: 'CONFIG_INVALID', field: 'store.url' };
    await expect(storeOn(master).open()).rejects.toMatchObject({
      ...unfit,
      message:
        'min-replicas-to-write is 0: where another server may take over it must be at least 2 (replicas: 3), or one that was replaced goes on',
    });
    await set(master, { [TO_WRITE]: 1 });
    await expect(storeOn(master).open()).rejects.toMatchObject(unfit);
    await set(master, { [TO_WRITE]: 2, [MAX_LAG]: 0 });
    await expect(storeOn(master).open()).rejects.toMatchObject({
      ...unfit,
      message: 'min-replicas-max-lag is 0: it must be at least 1 (seconds), or min-replicas-to-write is off',
    });
    await set(master, { [MAX_LAG]: 4 });
    await untilWritable(master);
    expect(await storeOn(master).open()).toMatchObject({ splitMs: 6_000, weakened: [] });
  });

  it('is read nothing out of once it may not write, because another may be in its place', async () => {
    const { master, replicas } = await startGroup(1);
    await set(master, { [TO_WRITE]: 1, [MAX_LAG]: 2 });
    await untilWritable(master);
    const store = storeOn(master);
    const { runId } = await store.open();
    await store.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
    const { position } = await store.append('ep_1', revocation('r1'));
    expect((await store.roster(position)).line?.text).toBe(revocation('r1').text);
    await replicas[0]!.stop('SIGKILL');
    const refusal = await eventually(
      () =>
        store.roster(position).then(
          () => undefined,
          (error: unknown) => error,
        ),
      (error) => error !== undefined,
    );
    expect(refusal).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining('NOREPLICAS') as string,
    });
    await expect(store.append('ep_1', revocation('r2'))).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
    });
  });

  it('is followed to whoever answers under its name, once it says that it is a replica itself', async () => {
    const { master, replicas } = await startGroup(2);
    for (const server of [master, ...replicas]) await set(server, { [TO_WRITE]: 1, [MAX_LAG]: 5 });
    await untilWritable(master);
    const [copy, other] = replicas as [RedisServer, RedisServer];
    let named = master;
    const taken: Socket[] = [];
    const name = createServer((client) => {
      const server = connect(named.socket);
      taken.push(client, server);
      client.pipe(server).pipe(client);
    });
    const socket = join(master.dir, 'name.sock');
    await once(name.listen(socket), 'listening');
    const store = storeOn({ socket });
    const { runId } = await store.open();
    named = copy;
    await copy.ask((redis) => redis.replicaof('NO', 'ONE'));
    const copyPort = String(await freePort());
    await copy.ask((redis) => redis.config('SET', 'port', copyPort));
    for (const server of [master, other])
      await server.ask((redis) => redis.replicaof('127.0.0.1', Number(copyPort)));
    const newRunId = await copy.ask(async (redis) => {
      const info = await redis.info();
      return `${/run_id:(\w+)/.exec(info)?.[1]}.${/master_replid:(\w+)/.exec(info)?.[1]}`;
    });
    expect(runId).not.toContain(newRunId);
    await expect
      .poll(() => store.roster().catch(() => undefined), { timeout: 20_000 })
      .toMatchObject({ runId: expect.stringMatching(`^${newRunId}`) as string });
    for (const one of taken) one.destroy();
    name.close();
  });

  it('is judged again in each of its lifetimes: one that is weaker than the first is not believed', async () => {
    const { master } = await startGroup(1);
    await set(master, { [TO_WRITE]: 1, [MAX_LAG]: 5 });
    await untilWritable(master);
    const store = storeOn(master);
    await store.open();
    const unfit = async (
      settings: Readonly<Record<string, number | string>>,
      what: string,
    ): Promise<void> => {
      await set(master, settings);
      await becomeAnother(master);
      const message = expect.stringContaining(what) as string;
      await expect
        .poll(
          () =>
            store.roster().then(
              () => 'read',
              (error: unknown) => error,
            ),
          { timeout: 10_000 },
        )
        .toMatchObject({ code: 'STORE_UNREACHABLE', message });
    };
    await unfit({ [MAX_LAG]: 6 }, '(min-replicas-max-lag must be 5 at most)');
    await unfit({ [MAX_LAG]: 5, appendfsync: 'everysec' }, '(appendonly must be yes and appendfsync always)');
    await unfit({ appendfsync: 'always', 'maxmemory-policy': 'allkeys-lru' }, 'it must be noeviction');
    await set(master, { 'maxmemory-policy': 'noeviction' });
    await expect
      .poll(() => store.roster().catch(() => undefined), { timeout: 10_000 })
      .toMatchObject({
        epochId: undefined,
      });
  });
});

describe('a Redis that has replicas', () => {
  it('weakens the promise while nobody says whether they may take its place', async () => {
    const { master } = await startGroup(1);
    expect(await storeOn(master, false).open()).toMatchObject({
      splitMs: 0,
      weakened: [expect.stringContaining('store.failover is not set')],
    });
  });
});
