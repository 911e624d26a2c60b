/** What the tests of the journal stand on: data directories that go away, journals in them, and followers of both. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import type { JournalOptions } from '../../../src/edges/journal/journal-feed-store.ts';
import { JournalFeedStore } from '../../../src/edges/journal/journal-feed-store.ts';
import type { AppendReply, StoreFacts } from '../../../src/feed/feed-store.ts';
import { ORIGIN } from '../../../src/feed/position.ts';
import { epoch, replica, revocation } from '../../support/feed-entries.ts';

/** What every journal of these tests begins with. */
export const WRITTEN = ['ent_ep_1', 'joined_inc_a'];

/** Where an fsync costs nothing, for tests that open a journal a thousand times and lose no power. */
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A directory for one test, which is removed after it. */
export async function makeDataDir(medium: 'disk' | 'memory' = 'disk'): Promise<string> {
  const dataDir = await mkdtemp(join(medium === 'disk' ? tmpdir() : MEMORY, 'writ-journal-'));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  return dataDir;
}

export function makeJournal(dataDir: string, over: Partial<JournalOptions> = {}): JournalFeedStore {
  const random = { bytes: (size: number) => new Uint8Array(randomBytes(size)) };
  return new JournalFeedStore({ dataDir, random, crashPoint: () => undefined, ...over });
}

/** Opens a journal that is closed after the test. */
export async function openJournal(
  dataDir: string,
  over: Partial<JournalOptions> = {},
): Promise<{ readonly journal: JournalFeedStore; readonly facts: StoreFacts }> {
  const journal = makeJournal(dataDir, over);
  const facts = await journal.open();
  onTestFinished(() => journal.close().catch(() => undefined));
  return { journal, facts };
}

/** Opens epoch `ep_1`, in which `inc_a` has joined. */
export async function beginEpoch(journal: JournalFeedStore, facts: StoreFacts): Promise<void> {
  const { runId } = facts;
  await journal.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
  await journal.append('ep_1', replica('joined', 'inc_a'));
}

/** A closed journal of an epoch with the entries `ids` and what was answered about them. */
export async function writeJournalOf(dataDir: string, ...ids: string[]): Promise<readonly AppendReply[]> {
  const { journal, facts } = await openJournal(dataDir);
  await beginEpoch(journal, facts);
  const replies = [];
  for (const id of ids) replies.push(await journal.append('ep_1', revocation(id)));
  await journal.close();
  return replies;
}

export async function idsOf(journal: JournalFeedStore): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let after = ORIGIN; ;) {
    const lines = await journal.read(after, 100);
    const last = lines.at(-1);
    if (last === undefined) return ids;
    ids.push(...lines.map(({ sealed }) => sealed.entry.id));
    after = last.position;
  }
}

/** The error that opening `dataDir` ends with. */
export async function refusalOf(
  dataDir: string,
): Promise<{ readonly code: string; readonly message: string }> {
  const error = await makeJournal(dataDir)
    .open()
    .then(
      () => undefined,
      (cause: unknown) => cause,
    );
  expect(error).toMatchObject({ name: 'WritError' });
  return error as { code: string; message: string };
}

export function journalPath(dataDir: string): string {
  return join(dataDir, 'journal.jsonl');
}

export function markPath(dataDir: string): string {
  return join(dataDir, 'journal.mark');
}
