/** The contract on the journal: a real file in a directory of its own for every test. */
import { rm } from 'node:fs/promises';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { feedStoreContract } from '../../contract/feed-store.ts';
import { makeJournal } from './data-dir.ts';

feedStoreContract('the journal', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'writ-contract-'));
  let store = makeJournal(dataDir);
  return {
    facts: await store.open(),
    store,
    keepsEpoch: true,
    keepsSnapshots: false,
    connect: async () => Promise.resolve(store),
    restart: async () => {
      await store.close();
      store = makeJournal(dataDir);
      return { store, facts: await store.open() };
    },
    close: async () => {
      await store.close();
      await rm(dataDir, { recursive: true });
    },
  };
});
