/** What a data directory says of the leases that were held with it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { openHeldEpoch } from '../../../src/edges/system/held-epoch.ts';
import { loadReplicaKey } from '../../../src/edges/system/key-files.ts';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'writ-held-'));
  return () => rm(dataDir, { recursive: true });
});

/** As compose does at each start. */
async function start(): Promise<Awaited<ReturnType<typeof openHeldEpoch>>> {
  const held = await openHeldEpoch(dataDir);
  await loadReplicaKey(dataDir, () => held.begin());
  return openHeldEpoch(dataDir);
}

it('is new from the making of the key until the first lease, over any number of starts', async () => {
  for (const _ of ['first', 'again']) expect(await start()).toMatchObject({ isNew: true, isLeft: false });
  await (await start()).keep('ep_1', false);
  expect(await start()).toMatchObject({ isNew: false, epochId: 'ep_1', isLeft: false });
  await (await start()).keep('ep_1', true);
  expect(await start()).toMatchObject({ isNew: false, epochId: 'ep_1', isLeft: true });
});

it('is not new where the word was taken away and the key was not', async () => {
  await start();
  await rm(join(dataDir, 'held-epoch'));
  expect(await start()).toMatchObject({ isNew: false, epochId: undefined });
});

it('is not new where the key was taken away and the word was not', async () => {
  await writeFile(join(dataDir, 'held-epoch'), 'ep_1\n');
  expect(await start()).toMatchObject({ isNew: false, epochId: 'ep_1' });
});
