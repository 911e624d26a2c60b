/** The high-water mark: a journal that ends before what was answered does not open. */
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { revocation } from '../../support/feed-entries.ts';
import { refusalOfBytes } from './bytes.ts';
import {
  WRITTEN,
  idsOf,
  journalPath,
  makeDataDir,
  markPath,
  openJournal,
  refusalOf,
  writeJournalOf,
} from './data-dir.ts';

describe('the mark', () => {
  it('refuses a journal that was cut back to an earlier record', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir, 'r1', 'r2', 'r3');
    const bytes = await readFile(journalPath(dataDir));
    const end = bytes.indexOf('"r2"');
    const cut = bytes.subarray(0, bytes.lastIndexOf('\n', end) + 1);
    expect(await refusalOfBytes(dataDir, cut)).toContain('it ends at 100-3, had reached 100-5');
  });

  it('refuses an emptied, a missing and an exchanged journal', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir, 'r1');
    expect(await refusalOfBytes(dataDir, Buffer.alloc(0))).toContain('it ends at 0-0, had reached 100-3');
    const elsewhere = await makeDataDir('memory');
    await writeJournalOf(elsewhere, 'r2', 'r3');
    const other = await readFile(journalPath(elsewhere));
    expect(await refusalOfBytes(dataDir, other)).toContain('what follows is not what was answered');
    await rm(journalPath(dataDir));
    const { code, message } = await refusalOf(dataDir);
    expect([code, message]).toEqual(['JOURNAL_CORRUPT', expect.stringContaining('is missing')]);
    await expect(stat(journalPath(dataDir))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('lets a journal go on that is further: what was written and not answered is kept', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir, 'r1');
    const mark = await readFile(markPath(dataDir));
    const { journal } = await openJournal(dataDir);
    await journal.append('ep_1', revocation('r2'));
    await journal.close();
    await writeFile(markPath(dataDir), mark);
    const again = await openJournal(dataDir);
    expect(await idsOf(again.journal)).toEqual([...WRITTEN, 'r1', 'r2']);
  });

  it('is believed from its other slot when the newer one was torn', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir, 'r1', 'r2');
    const mark = await readFile(markPath(dataDir));
    const newer = mark.indexOf('"100-4"') < 512 ? 0 : 512;
    const bytes = await readFile(journalPath(dataDir));
    await writeFile(markPath(dataDir), Buffer.from(mark).fill('#', newer + 20, newer + 30));
    const start = bytes.indexOf('"r1"');
    const cut = bytes.subarray(0, bytes.lastIndexOf('\n', start) + 1);
    expect(await refusalOfBytes(dataDir, cut)).toContain('it ends at 100-2, had reached 100-3');
    await writeFile(journalPath(dataDir), bytes);
    const { journal } = await openJournal(dataDir);
    expect(await idsOf(journal)).toEqual([...WRITTEN, 'r1', 'r2']);
  });

  it('is refused itself when nothing in it can be read', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir, 'r1');
    await writeFile(markPath(dataDir), '#'.repeat(1024));
    const { code, message } = await refusalOf(dataDir);
    expect([code, message]).toEqual(['JOURNAL_CORRUPT', expect.stringContaining(markPath(dataDir))]);
    expect(await readFile(markPath(dataDir), 'utf8')).toBe('#'.repeat(1024));
  });

  it('may be made but not yet written, as a crash at the first opening leaves it', async () => {
    const dataDir = await makeDataDir('memory');
    for (const text of ['', ' '.repeat(512), ' '.repeat(1024)]) {
      await writeFile(markPath(dataDir), text);
      const { journal } = await openJournal(dataDir);
      await journal.close();
    }
  });

  it('together with the journal is all there is: without both, the directory is a new one', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir, 'r1');
    await rm(journalPath(dataDir));
    await rm(markPath(dataDir));
    const { journal } = await openJournal(dataDir);
    expect(await journal.roster()).toMatchObject({ epochId: undefined, head: { epoch: 0, sequence: 0 } });
  });
});
