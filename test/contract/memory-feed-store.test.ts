/** The contract on the memory store, so that what flows are tested on behaves as the real ones do. */
import { describe, expect, it } from 'vitest';
import { epoch, replica, revocation } from '../support/feed-entries.ts';
import { MemoryFeedServer, MemoryFeedStore } from '../support/memory-feed-store.ts';
import { ContractReplica } from './contract-replica.ts';
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
    forget: async () => {
      server.flush();
      await Promise.resolve();
    },
    close: () => store.close(),
  };
});

describe('the network of the memory store', () => {
  async function begin(): Promise<{ server: MemoryFeedServer; store: MemoryFeedStore; a: ContractReplica }> {
    const server = new MemoryFeedServer();
    const store = new MemoryFeedStore(server);
    const { runId } = server;
    const sealed = epoch('ep_1', runId);
    await store.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed });
    await store.append('ep_1', replica('joined', 'inc_a'));
    return { server, store, a: new ContractReplica(store, 'inc_a') };
  }

  it('loses requests and replies: the caller cannot tell which, and asking again finds out', async () => {
    const { server, store } = await begin();
    store.next('append', 'lose-request');
    store.next('append', 'lose-reply');
    for (const length of [2, 3]) {
      const appended = store.append('ep_1', revocation('r1'));
      await expect(appended).rejects.toMatchObject({ code: 'APPEND_UNCERTAIN' });
      expect(server.lines).toHaveLength(length);
    }
    expect(await store.append('ep_1', revocation('r1'))).toMatchObject({ duplicate: true });
  });

  it('delivers a request twice, and late, after its caller gave up and went on', async () => {
    const { server, store, a } = await begin();
    store.next('renew', 'delay-request');
    await expect(a.renew()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    store.next('renew', 'duplicate');
    // The second delivery is superseded by the first, and its reply is the one that arrives.
    expect(await a.renew()).toMatchObject({ kind: 'more', lines: [] });
    await a.lease();
    server.release();
    expect(server.held).toBe(0);
    expect((await a.renew()).kind).toBe('lease');
  });

  it('holds requests and replies until they are released, in their order', async () => {
    const { server, store } = await begin();
    store.next('append', 'hold-request');
    store.next('append', 'hold-reply');
    const request = store.append('ep_1', revocation('r1'));
    const reply = store.append('ep_1', revocation('r2'));
    await Promise.resolve();
    await Promise.resolve();
    expect([server.held, server.lines.length]).toEqual([2, 3]);
    server.release(1);
    expect(await request).toMatchObject({ position: { sequence: 4 } });
    server.release();
    expect(await reply).toMatchObject({ position: { sequence: 3 } });
  });

  it('is gone for a while, and forgets, and comes back with a part of what it had', async () => {
    const { server, store, a } = await begin();
    await a.lease();
    server.isReachable = false;
    await expect(a.renew()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    server.isReachable = true;
    server.restart(1);
    expect(await store.roster()).toMatchObject({ closedEpochId: 'ep_1', rows: [], head: { sequence: 1 } });
    server.forget();
    expect(await store.roster()).toMatchObject({ closedEpochId: undefined, head: { sequence: 0 } });
    expect(await a.renew()).toEqual({ kind: 'closed', epochId: undefined });
  });
});
