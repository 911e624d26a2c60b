/** How long the row of who is said to be gone stays: longer than any lease, by the server's clock, and not for ever. */
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { ContractReplica, leaseAll } from '../../contract/contract-replica.ts';
import { epoch, replica } from '../../support/feed-entries.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';
import { ROOT } from '../../support/writ-process.ts';

let server: RedisServer;
let store: RedisFeedStore;
beforeEach(async () => {
  server = await RedisServer.start();
  const address = { host: '', port: 0, path: server.socket };
  store = new RedisFeedStore({ server: address, fleet: 'test', replica: 'r', nameKey: NAME_KEY });
  await store.open();
});
afterEach(async () => {
  await store.close();
  await server.remove();
});

/** By the functions as they are, but for the seconds that a row stays. */
async function rowsAfterTwoHaveGone(keptS: number): Promise<readonly string[]> {
  const text = await readFile(`${ROOT}src/edges/redis/functions.lua`, 'utf8');
  const other = text.replace('GONE_KEPT_S = 900', `GONE_KEPT_S = ${keptS}`);
  await server.ask((redis) => redis.function('LOAD', 'REPLACE', other));
  const { nextRunId: runId } = await store.roster();
  await store.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
  const all = ['inc_a', 'inc_b', 'inc_c'];
  for (const one of all) await store.append('ep_1', replica('joined', one));
  await leaseAll(...all.map((one) => new ContractReplica(store, one)));
  await store.append('ep_1', replica('left', 'inc_a'));
  await store.append('ep_1', replica('left', 'inc_b'));
  return (await store.roster()).rows.map(({ incarnation }) => incarnation);
}

it.each([
  ['stays', 900, ['inc_a', 'inc_b', 'inc_c']],
  ['goes with the next one, once that is over', 0, ['inc_b', 'inc_c']],
])('it %s', async (_, keptS, shown) => {
  expect(await rowsAfterTwoHaveGone(keptS)).toEqual(shown);
});
