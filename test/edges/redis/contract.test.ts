/**
 * The contract on Redis, by the adapter and by the thread that has it in a replica: one real server, emptied for every test,
 * and as many connections as a test wants.
 */
import { afterAll, beforeAll } from 'vitest';
import { RedisLink } from '../../../src/edges/redis/link.ts';
import type { RedisFeedOptions } from '../../../src/edges/redis/redis-feed-store.ts';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import type { FeedStore, StoreFacts } from '../../../src/feed/feed-store.ts';
import type { Log } from '../../../src/kernel/log.ts';
import { feedStoreContract } from '../../contract/feed-store.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.remove());

const SILENT: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

const ADAPTERS: Record<string, (options: RedisFeedOptions) => FeedStore> = {
  Redis: (options) => new RedisFeedStore(options),
  'Redis on a thread of its own': (options) =>
    new RedisLink({ ...options, fingerprintKey: new Uint8Array(32), logKey: '' }, SILENT, () => undefined),
};

for (const [name, create] of Object.entries(ADAPTERS)) {
  feedStoreContract(name, async () => {
    await server.ask((redis) => redis.flushall());
    const opened: FeedStore[] = [];
    const open = async (): Promise<{ store: FeedStore; facts: StoreFacts }> => {
      const address = { host: '', port: 0, path: server.socket };
      const store = create({ server: address, fleet: 'contract', replica: 'r', nameKey: NAME_KEY });
      opened.push(store);
      return { store, facts: await store.open() };
    };
    return {
      ...(await open()),
      keepsEpoch: false,
      keepsSnapshots: true,
      connect: async () => (await open()).store,
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
}
