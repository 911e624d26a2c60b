/** A journal as bytes: cut, flipped and forged by hand, then opened. A refusal must have left them as they were. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { expect } from 'vitest';
import { nextChain, renderLine } from '../../../src/feed/entry.ts';
import type { Position } from '../../../src/feed/position.ts';
import type { revocation } from '../../support/feed-entries.ts';
import { journalPath, markPath, openJournal, refusalOf, writeJournalOf } from './data-dir.ts';

/** A journal with `ids` and no mark, as if its last writes had not been answered. */
export async function unmarked(dataDir: string, ...ids: string[]): Promise<Buffer> {
  await writeJournalOf(dataDir, ...ids);
  await rm(markPath(dataDir));
  return readFile(journalPath(dataDir));
}

/** Opens `bytes` as an unmarked journal. */
export async function openBytes(dataDir: string, bytes: Uint8Array): ReturnType<typeof openJournal> {
  await rm(markPath(dataDir), { force: true });
  await writeFile(journalPath(dataDir), bytes);
  return openJournal(dataDir);
}

/** Refuses `bytes` as JOURNAL_CORRUPT and leaves them as they are. Returns the message. */
export async function refusalOfBytes(dataDir: string, bytes: Uint8Array): Promise<string> {
  await writeFile(journalPath(dataDir), bytes);
  const { code, message } = await refusalOf(dataDir);
  expect(code).toBe('JOURNAL_CORRUPT');
  expect(Buffer.compare(await readFile(journalPath(dataDir)), bytes)).toBe(0);
  return message;
}

export function flipped(bytes: Buffer, at: number, mask = 1): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}

export function lineText(sealed: ReturnType<typeof revocation>, position: Position, before: string): string {
  return `${renderLine({ position, chain: nextChain(before, sealed.text), sealed })}\n`;
}
