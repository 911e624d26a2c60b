/** What the journal does when somebody else on this machine touches its files. */
import { appendFile, copyFile, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ORIGIN } from '../../../src/feed/position.ts';
import { revocation } from '../../support/feed-entries.ts';
import { WRITTEN, idsOf, journalPath } from './data-dir.ts';
import type { Started } from './faulty-calls.ts';
import { BROKEN, UNCERTAIN, start } from './faulty-calls.ts';

/** Expects everything on `journal` to be refused for good. */
async function expectBroken({ journal, a }: Started): Promise<void> {
  for (let round = 0; round < 2; round++) {
    await expect(a.renew()).rejects.toMatchObject(BROKEN);
    await expect(journal.append('ep_1', revocation('later'))).rejects.toMatchObject(BROKEN);
    await expect(journal.roster()).rejects.toMatchObject(BROKEN);
  }
}

describe('somebody else', () => {
  const deeds: readonly (readonly [string, (dataDir: string) => Promise<unknown>])[] = [
    ['puts another file in its place', replaceJournal],
    ['removes it', (dataDir) => rm(journalPath(dataDir))],
    ['cuts it', (dataDir) => truncate(journalPath(dataDir), 100)],
    ['empties it', (dataDir) => truncate(journalPath(dataDir), 0)],
    ['writes to it', (dataDir) => appendFile(journalPath(dataDir), 'x')],
    ['removes the lock', (dataDir) => rm(join(dataDir, 'lock'))],
    ['puts another lock in its place', replaceLock],
  ];

  it.each(deeds)('who %s ends every lease and every answer', async (_, deed) => {
    const started = await start();
    await deed(started.dataDir);
    await expectBroken(started);
  });

  it.each(deeds)('who %s is noticed by an append before it writes', async (_, deed) => {
    const { dataDir, journal, calls } = await start();
    await deed(dataDir);
    const { writes } = calls;
    await expect(journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(BROKEN);
    expect(calls.writes).toBe(writes);
  });

  it.each(deeds)('who %s during the fsync is noticed before the answer', async (_, deed) => {
    const started = await start();
    started.calls.next('sync', async () => {
      await deed(started.dataDir);
      return 0;
    });
    await expect(started.journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(UNCERTAIN);
    await expectBroken(started);
    expect(await idsOf(started.journal).catch(() => WRITTEN)).toEqual(WRITTEN);
  });

  it('who changes a line that stood is noticed when it is read', async () => {
    const started = await start();
    const { dataDir, journal } = started;
    const { position } = await journal.append('ep_1', revocation('r1'));
    await journal.append('ep_1', revocation('r2'));
    const bytes = await readFile(journalPath(dataDir));
    bytes[bytes.indexOf('"r1"') + 1] = 0x71;
    await writeFile(journalPath(dataDir), bytes);
    await expect(journal.roster(position)).rejects.toMatchObject(BROKEN);
    await expectBroken(started);
  });

  it('who cuts it while it is read is noticed', async () => {
    const { dataDir, journal } = await start();
    await truncate(journalPath(dataDir), 20);
    await expect(journal.read(ORIGIN, 10)).rejects.toMatchObject(BROKEN);
  });
});

async function replaceJournal(dataDir: string): Promise<void> {
  await copyFile(journalPath(dataDir), join(dataDir, 'other'));
  await rename(join(dataDir, 'other'), journalPath(dataDir));
}

async function replaceLock(dataDir: string): Promise<void> {
  await writeFile(join(dataDir, 'other'), '');
  await rename(join(dataDir, 'other'), join(dataDir, 'lock'));
}
