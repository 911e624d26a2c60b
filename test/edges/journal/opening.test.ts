/** What opening a journal believes, cuts, and refuses. Whatever is refused must be byte for byte as it was. */
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderLine } from '../../../src/feed/entry.ts';
import { CHAIN_START, nextChain } from '../../../src/feed/entry.ts';
import type { Position } from '../../../src/feed/position.ts';
import { bulkRevocation, epoch, outcome, replica, revocation } from '../../support/feed-entries.ts';
import {
  beginEpoch,
  idsOf,
  journalPath,
  makeDataDir,
  makeJournal,
  markPath,
  openJournal,
  refusalOf,
  writeJournalOf,
} from './data-dir.ts';

const WRITTEN = ['ent_ep_1', 'joined_inc_a'];

/** A journal with `ids` and no mark, as if its last writes had not been answered. */
async function unmarked(dataDir: string, ...ids: string[]): Promise<Buffer> {
  await writeJournalOf(dataDir, ...ids);
  await rm(markPath(dataDir));
  return readFile(journalPath(dataDir));
}

/** Opens `bytes` as an unmarked journal. */
async function openBytes(dataDir: string, bytes: Uint8Array): ReturnType<typeof openJournal> {
  await rm(markPath(dataDir), { force: true });
  await writeFile(journalPath(dataDir), bytes);
  return openJournal(dataDir);
}

/** Refuses `bytes` as JOURNAL_CORRUPT and leaves them as they are. Returns the message. */
async function refusalOfBytes(dataDir: string, bytes: Uint8Array): Promise<string> {
  await writeFile(journalPath(dataDir), bytes);
  const { code, message } = await refusalOf(dataDir);
  expect(code).toBe('JOURNAL_CORRUPT');
  expect(Buffer.compare(await readFile(journalPath(dataDir)), bytes)).toBe(0);
  return message;
}

function flipped(bytes: Buffer, at: number, mask = 1): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}

function lineText(sealed: ReturnType<typeof revocation>, position: Position, before: string): string {
  return `${renderLine({ position, chain: nextChain(before, sealed.text), sealed })}\n`;
}

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

describe('a damaged journal', () => {
  it('is refused wherever one byte is flipped, with the place before it, and is not changed', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir, 'r1', 'r2');
    const ends = [...bytes.entries()].filter(([, byte]) => byte === 0x0a).map(([at]) => at);
    const after = ['0-0', '100-1', '100-2', '100-3', '100-4'];
    // The one thing a chain does not cover is the number of an epoch: the next line shows that it is wrong.
    const number = bytes.indexOf('"100-1"');
    for (let at = 0; at < bytes.length - 1; at += 3) {
      if (at > number && at < number + 4) continue;
      const record = ends.findIndex((end) => at <= end);
      const message = await refusalOfBytes(dataDir, flipped(bytes, at, 1 << (at % 7)));
      expect(message).toContain(`damaged after position ${after[record]}`);
      const start = record === 0 ? 0 : (ends[record - 1] ?? 0) + 1;
      expect(message).toMatch(new RegExp(`at byte (${start}|${at})\\b`));
    }
  });

  it('is refused when the number of an epoch is damaged, by the next line or by the mark', async () => {
    const dataDir = await makeDataDir('memory');
    const { journal, facts } = await openJournal(dataDir);
    await beginEpoch(journal, facts);
    await journal.close();
    const bytes = await readFile(journalPath(dataDir));
    const damaged = flipped(bytes, bytes.indexOf('"100-1"') + 1, 4);
    const opens = damaged.subarray(0, bytes.indexOf('\n') + 1);
    expect(await refusalOfBytes(dataDir, opens)).toContain('it ends at 500-1, had reached 100-2');
    await rm(markPath(dataDir));
    expect(await refusalOfBytes(dataDir, damaged)).toContain('damaged after position 500-1');
  });

  it('is refused for every flipped byte of its last record, its newline too: none may be lost in silence', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir, 'r1');
    const start = bytes.lastIndexOf('\n', bytes.length - 2) + 1;
    for (let at = start; at < bytes.length; at++) {
      for (const mask of [0x01, 0x20, 0x80]) await refusalOfBytes(dataDir, flipped(bytes, at, mask));
    }
  });

  it('is refused when its last newline is damaged, with the byte', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir, 'r1');
    const last = bytes.length - 1;
    expect(await refusalOfBytes(dataDir, flipped(bytes, last))).toContain(
      `damaged after position 100-3, at byte ${last}: its newline is damaged`,
    );
    const beyond = Buffer.concat([bytes.subarray(0, last), Buffer.from('\0{"chain":')]);
    expect(await refusalOfBytes(dataDir, beyond)).toContain('its newline is damaged');
  });

  it('is refused when a record is missing, twice, or in another place', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir, 'r1', 'r2');
    const lines = bytes.toString('utf8').split('\n').slice(0, -1);
    const [opens, joined, r1, r2] = lines as [string, string, string, string];
    for (const [wrong, after] of [
      [[joined, r1, r2], '0-0'],
      [[opens, r1, r2], '100-1'],
      [[opens, joined, r2], '100-2'],
      [[opens, joined, r1, r1], '100-3'],
      [[opens, joined, r2, r1], '100-2'],
      [[opens, opens], '100-1'],
      [[opens, '', joined], '100-1'],
    ] as const) {
      const message = await refusalOfBytes(dataDir, Buffer.from(`${wrong.join('\n')}\n`));
      expect(message).toContain(`damaged after position ${after}`);
    }
  });

  it('is refused when an entry is there twice, or of no known shape, however right its chain is', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir, 'r1');
    const before = /.*"chain":"([0-9a-f]{40})"/s.exec(bytes.toString('utf8'))?.[1] ?? '';
    const next = { epoch: 100, sequence: 4 };
    const twice = lineText(revocation('r1'), next, before);
    expect(await refusalOfBytes(dataDir, Buffer.concat([bytes, Buffer.from(twice)]))).toContain(
      'there twice',
    );
    const { entry } = revocation('r2');
    for (const text of [
      '{}',
      '{"id":"r2"}',
      '{"at":"x","id":"r2","kind":"pardon"}',
      '{"at":"\\ud800"}',
      '{x}',
    ]) {
      const line = lineText({ entry, text }, next, before);
      expect(await refusalOfBytes(dataDir, Buffer.concat([bytes, Buffer.from(line)]))).toContain(
        'damaged after position 100-3',
      );
    }
  });

  it('is refused when an epoch does not come after the one before', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir);
    for (const [epochId, position] of [
      ['ep_2', { epoch: 100, sequence: 1 }],
      ['ep_2', { epoch: 99, sequence: 1 }],
      ['ep_2', { epoch: 101, sequence: 2 }],
      ['ep_1', { epoch: 101, sequence: 1 }],
    ] as const) {
      const line = lineText(
        { ...epoch(epochId, 'run'), text: epoch(epochId, 'run').text },
        position,
        CHAIN_START,
      );
      expect(await refusalOfBytes(dataDir, Buffer.concat([bytes, Buffer.from(line)]))).toContain(
        'its position does not follow',
      );
    }
  });

  it('is refused when a record is longer than any can be', async () => {
    const dataDir = await makeDataDir('memory');
    const bytes = await unmarked(dataDir);
    const message = await refusalOfBytes(
      dataDir,
      Buffer.concat([bytes, Buffer.alloc(17 * 1024 * 1024, 'x')]),
    );
    expect(message).toContain('a record is longer than any can be');
  });

  it('is refused when it is not the text that was written but reads the same', async () => {
    const dataDir = await makeDataDir('memory');
    await writeJournalOf(dataDir);
    await rm(markPath(dataDir));
    const { journal } = await openJournal(dataDir);
    await journal.append('ep_1', revocation('r1', { reason: '\ufffd' }));
    await journal.close();
    const bytes = await readFile(journalPath(dataDir));
    const at = bytes.indexOf('\ufffd');
    // EF BF BD -> EF BF 3D: invalid UTF-8, which a lenient decoder reads as U+FFFD again.
    const broken = Buffer.concat([bytes.subarray(0, at), Buffer.from([0xff]), bytes.subarray(at + 3)]);
    expect(broken.toString('utf8')).toBe(bytes.toString('utf8'));
    expect(await refusalOfBytes(dataDir, broken)).toContain('it is not UTF-8');
  });
});

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
