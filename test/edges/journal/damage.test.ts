/** Damage: it stops the start and names the place, wherever it is, and nothing is changed. */
import { readFile, rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { CHAIN_START } from '../../../src/feed/entry.ts';
import { epoch, revocation } from '../../support/feed-entries.ts';
import { flipped, lineText, refusalOfBytes, unmarked } from './bytes.ts';
import { beginEpoch, journalPath, makeDataDir, markPath, openJournal, writeJournalOf } from './data-dir.ts';

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
