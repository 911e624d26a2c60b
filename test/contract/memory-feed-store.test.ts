/** The contract on the memory store, so that what flows are tested on behaves as the real ones do. */
import { MemoryFeedServer, MemoryFeedStore } from '../support/memory-feed-store.ts';
import { feedStoreContract } from './feed-store.ts';

feedStoreContract('the memory store', async () => {
  const server = new MemoryFeedServer();
  const connect = async (): Promise<MemoryFeedStore> => Promise.resolve(new MemoryFeedStore(server));
  const store = await connect();
  return {
    facts: await store.open(),
    store,
    keepsEpoch: false,
    keepsSnapshots: true,
    connect,
    restart: async () => {
      server.restart();
      const again = await connect();
      return { store: again, facts: await again.open() };
    },
    close: () => store.close(),
  };
});
