/** Torn writes: what was not answered is cut and said; what may have been is kept, or nothing is opened. */
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { revocation } from '../../support/feed-entries.ts';
import { openBytes, refusalOfBytes, unmarked } from './bytes.ts';
import { WRITTEN, idsOf, journalPath, makeDataDir, openJournal, writeJournalOf } from './data-dir.ts';

describe('a torn write', () => {
  it('of every length is cut and said when it had not been answered, and the journal goes on', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir, 'r1', 'r2');
    const start = bytes.lastIndexOf('\n', bytes.length - 2) + 1;
    for (let length = start + 1; length < bytes.length - 1; length++) {
      const { journal, facts } = await openBytes(dataDir, bytes.subarray(0, length));
      expect(facts.cutTail).toEqual({ bytes: length - start, after: { epoch: 100, sequence: 3 } });
      expect((await journal.roster()).head).toEqual({ epoch: 100, sequence: 3 });
      expect(await journal.append('ep_1', revocation('r3'))).toMatchObject({ position: { sequence: 4 } });
      await journal.close();
      expect((await readFile(journalPath(dataDir))).subarray(0, start)).toEqual(bytes.subarray(0, start));
    }
    const { journal, facts } = await openJournal(dataDir);
    expect(facts.cutTail).toBeUndefined();
    expect(await idsOf(journal)).toEqual([...WRITTEN, 'r1', 'r3']);
  });

  it('of every length is refused when it had been answered: the mark remembers', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir, 'r1', 'r2');
    const bytes = await readFile(journalPath(dataDir));
    const start = bytes.lastIndexOf('\n', bytes.length - 2) + 1;
    for (let length = start; length < bytes.length - 1; length++) {
      expect(await refusalOfBytes(dataDir, bytes.subarray(0, length))).toContain(
        'shorter than what was answered: it ends at 100-3, had reached 100-4',
      );
    }
  });

  it('that only lacks its newline is kept whole', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir, 'r1', 'r2');
    const { journal, facts } = await openBytes(dataDir, bytes.subarray(0, -1));
    expect(facts.cutTail).toBeUndefined();
    expect(await idsOf(journal)).toEqual([...WRITTEN, 'r1', 'r2']);
    expect(await readFile(journalPath(dataDir))).toEqual(bytes);
    expect(await journal.append('ep_1', revocation('r2'))).toMatchObject({ duplicate: true });
  });

  it('that lacks its newline counts as answered when the mark says so', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir, 'r1');
    const bytes = await readFile(journalPath(dataDir));
    await writeFile(journalPath(dataDir), bytes.subarray(0, -1));
    const { journal } = await openJournal(dataDir);
    expect(await idsOf(journal)).toEqual([...WRITTEN, 'r1']);
  });

  it('that left blocks of zeros, or of anything else without a newline, is cut', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir, 'r1', 'r2');
    const start = bytes.lastIndexOf('\n', bytes.length - 2) + 1;
    for (const tail of [
      Buffer.alloc(5000),
      Buffer.concat([bytes.subarray(start, start + 100), Buffer.alloc(4096)]),
      Buffer.from('\xff\xfe{"position"', 'latin1'),
      Buffer.from('{"chain":"x","position":"100-4"}'),
    ]) {
      const { journal, facts } = await openBytes(dataDir, Buffer.concat([bytes.subarray(0, start), tail]));
      expect(facts.cutTail).toEqual({ bytes: tail.length, after: { epoch: 100, sequence: 3 } });
      await journal.close();
    }
  });

  it('of the very first record leaves an empty journal', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir);
    const { journal, facts } = await openBytes(dataDir, bytes.subarray(0, 50));
    expect(facts.cutTail).toEqual({ bytes: 50, after: { epoch: 0, sequence: 0 } });
    expect(await idsOf(journal)).toEqual([]);
  });
});
