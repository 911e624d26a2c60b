/** The contract on Redis: one real server, emptied for every test, and as many connections as a test wants. */
import { afterAll, beforeAll } from 'vitest';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { feedStoreContract } from '../../contract/feed-store.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.remove());

feedStoreContract('Redis', async () => {
  await server.ask((redis) => redis.flushall());
  const opened: RedisFeedStore[] = [];
  const connect = async (): Promise<RedisFeedStore> => {
    const address = { host: '', port: 0, path: server.socket };
    const store = new RedisFeedStore({ server: address, fleet: 'contract', replica: 'r', nameKey: NAME_KEY });
    opened.push(store);
    await store.open();
    return store;
  };
  const open = async (): Promise<{
    store: RedisFeedStore;
    facts: Awaited<ReturnType<RedisFeedStore['open']>>;
  }> => {
    const store = await connect();
    return { store, facts: await store.open() };
  };
  return {
    ...(await open()),
    keepsEpoch: false,
    keepsSnapshots: true,
    connect,
    restart: async () => {
      await server.stop();
      await server.begin();
      return open();
    },
    forget: async () => {
      await server.ask((redis) => redis.flushall());
    },
    close: async () => {
      for (const store of opened) await store.close();
    },
  };
});
