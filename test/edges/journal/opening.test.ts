/** What opening makes, what it finds again, and that one process at a time can. */
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderLine } from '../../../src/feed/entry.ts';
import { bulkRevocation, epoch, outcome, replica, revocation } from '../../support/feed-entries.ts';
import {
  WRITTEN,
  beginEpoch,
  idsOf,
  journalPath,
  makeDataDir,
  makeJournal,
  openJournal,
  refusalOf,
  writeJournalOf,
} from './data-dir.ts';

describe('a new data directory', () => {
  it('is made with its parents, private, and holds private files', async () => {
    const dataDir = join(await makeDataDir('memory'), 'var', 'writ');
    const { facts } = await openJournal(dataDir);
    expect(facts).toEqual({ runId: facts.runId, exclusive: true, durability: 'durable' });
    const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
    expect(await modeOf(dataDir)).toBe(0o700);
    for (const file of ['journal.jsonl', 'journal.mark', 'lock']) {
      expect(await modeOf(join(dataDir, file))).toBe(0o600);
    }
  });

  it('cannot be where a file is', async () => {
    const dataDir = await makeDataDir('memory');
    await writeFile(join(dataDir, 'file'), '');
    const { code, message } = await refusalOf(join(dataDir, 'file', 'writ'));
    expect(code).toBe('STORE_UNREACHABLE');
    expect(message).toContain(join(dataDir, 'file', 'writ'));
  });

  it('gets another run at each opening until its journal has an epoch, and keeps that one', async () => {
    const dataDir = await makeDataDir('memory');
    const runs: string[] = [];
    for (let round = 0; round < 4; round++) {
      const { journal, facts } = await openJournal(dataDir);
      runs.push(facts.runId);
      if (round === 1) await beginEpoch(journal, facts);
      await journal.close();
    }
    expect(new Set(runs).size).toBe(2);
    expect(runs.slice(1)).toEqual([runs[1], runs[1], runs[1]]);
  });
});

describe('a journal that is whole', () => {
  it('is its lines as they were appended, one per line of the file', async () => {
    const dataDir = await makeDataDir('memory');
    const [reply] = await writeJournalOf(dataDir, 'r1');
    const text = await readFile(journalPath(dataDir), 'utf8');
    const last = text.split('\n').at(-2);
    expect(last).toBe(
      renderLine({ position: reply!.position, chain: reply!.chain, sealed: revocation('r1') }),
    );
    expect(text.endsWith('\n')).toBe(true);
  });

  it('is read back over pieces of any size, with every kind of entry, and knows their ids', async () => {
    const dataDir = await makeDataDir('memory');
    const { journal, facts } = await openJournal(dataDir);
    await beginEpoch(journal, facts);
    const ids = Array.from({ length: 50 }, (_, index) => `bulk${index}`);
    const odd = { ...revocation('odd "id"\u2028é'), reason: 'x' };
    await Promise.all([
      ...ids.map((id) => journal.append('ep_1', bulkRevocation(id, 1000))),
      journal.append('ep_1', outcome('bulk1')),
      journal.append('ep_1', odd),
      journal.append('ep_1', replica('left', 'inc_a')),
    ]);
    expect((await stat(journalPath(dataDir))).size).toBeGreaterThan(3 * 1024 * 1024);
    await journal.close();
    const again = await openJournal(dataDir);
    expect(again.facts.cutTail).toBeUndefined();
    const rest = [...ids, 'out_bulk1', odd.entry.id, 'left_inc_a'];
    expect(await idsOf(again.journal)).toEqual([...WRITTEN, ...rest]);
    for (const sealed of [bulkRevocation('bulk7', 1000), outcome('bulk1'), odd]) {
      expect(await again.journal.append('ep_1', sealed)).toMatchObject({ duplicate: true });
    }
  });

  it('has several epochs, one after the other, and goes on in the last', async () => {
    const dataDir = await makeDataDir('memory');
    const { journal, facts } = await openJournal(dataDir);
    const { runId } = facts;
    await beginEpoch(journal, facts);
    await journal.append('ep_1', revocation('r1'));
    const second = { closedEpochId: 'ep_1', runId, epochS: 200, sealed: epoch('ep_2', runId) };
    await journal.openEpoch(second);
    await journal.append('ep_2', revocation('r2'));
    await journal.close();
    const again = await openJournal(dataDir);
    expect(again.facts.runId).toBe(runId);
    expect(await again.journal.roster()).toMatchObject({
      epochId: 'ep_2',
      head: { epoch: 200, sequence: 2 },
    });
    expect(await again.journal.append('ep_2', revocation('r1'))).toMatchObject({
      position: { epoch: 200, sequence: 3 },
      duplicate: false,
    });
    expect(
      (await again.journal.read({ epoch: 150, sequence: 7 }, 9)).map(({ position }) => position),
    ).toEqual([
      { epoch: 200, sequence: 1 },
      { epoch: 200, sequence: 2 },
      { epoch: 200, sequence: 3 },
    ]);
    expect(await again.journal.read({ epoch: 100, sequence: 99 }, 1)).toHaveLength(1);
    expect(await again.journal.read({ epoch: 200, sequence: 3 }, 9)).toEqual([]);
    expect(await again.journal.read({ epoch: 300, sequence: 1 }, 9)).toEqual([]);
  });
});

describe('the lock', () => {
  it('lets one journal hold a directory, in one process too, and names it', async () => {
    const dataDir = await makeDataDir('memory');
    const { journal } = await openJournal(dataDir);
    const { code, message } = await refusalOf(dataDir);
    expect([code, message]).toEqual(['DATA_DIR_LOCKED', expect.stringContaining(dataDir)]);
    // The refused attempt must not have given the lock of the first away.
    expect((await refusalOf(dataDir)).code).toBe('DATA_DIR_LOCKED');
    expect((await journal.roster()).rows).toEqual([]);
    await journal.close();
    await (await openJournal(dataDir)).journal.close();
  });

  it('is free again after a refusal', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir, 'r1');
    const moved = join(dataDir, 'moved');
    await rename(journalPath(dataDir), moved);
    expect((await refusalOf(dataDir)).code).toBe('JOURNAL_CORRUPT');
    await rename(moved, journalPath(dataDir));
    const { journal } = await openJournal(dataDir);
    expect(await idsOf(journal)).toEqual([...WRITTEN, 'r1']);
  });

  it('cannot be a file that is something else', async () => {
    const dataDir = await makeDataDir('memory');
    await writeFile(
      join(dataDir, 'lock'),
      'this is no database, and long enough to be looked at as one'.repeat(30),
    );
    expect((await refusalOf(dataDir)).code).toBe('STORE_UNREACHABLE');
    expect(makeJournal(dataDir)).toBeDefined();
  });
});
