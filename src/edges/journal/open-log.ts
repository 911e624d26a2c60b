/**
 * Opens a data directory: lock, mark, scan, and only once all of it is believed the repairs, in this order. Called
 * by the store's open. It refuses rather than guesses, and a refusal has changed nothing.
 */
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { CrashPoint } from '../../feed/crash-point.ts';
import type { FeedLine } from '../../feed/entry.ts';
import type { StoreFacts } from '../../feed/feed-store.ts';
import type { SnapshotBase } from '../../feed/snapshot.ts';
import { WritError, isWritError } from '../../kernel/error.ts';
import { createDirectory, syncDirectory } from './directory.ts';
import { DurableLog } from './durable-log.ts';
import { JournalFile } from './journal-file.ts';
import type { DirectoryLock } from './lock.ts';
import { lockDirectory } from './lock.ts';
import { HighWaterMark, readMark } from './mark.ts';
import { RECORD_BYTES_MAX } from './record.ts';
import type { Scanned } from './scan.ts';
import { scanJournal } from './scan.ts';
import type { Syscalls } from './syscalls.ts';

export interface OpenLogOptions {
  readonly dataDir: string;
  readonly syscalls: Syscalls;
  readonly crashPoint: CrashPoint;
  /** Told of each line the store acts on (not of revocations and outcomes), while scanning. */
  readonly onScanned: (line: FeedLine) => void;
  readonly onVisible: (lines: readonly FeedLine[]) => void;
  /** What comes before its first line, where that is not everything. */
  readonly base?: SnapshotBase | undefined;
  /** As ScanOptions has it. */
  readonly isOwn: boolean;
}

export interface OpenedLog {
  readonly log: DurableLog;
  readonly cutTail: StoreFacts['cutTail'];
}

/** DATA_DIR_LOCKED, JOURNAL_CORRUPT, or STORE_UNREACHABLE when the directory cannot be used. */
export async function openLog(options: OpenLogOptions): Promise<OpenedLog> {
  const { dataDir } = options;
  const opened: (() => Promise<void> | void)[] = [];
  try {
    await createDirectory(dataDir);
    const lock = lockDirectory(dataDir);
    opened.push(() => lock.release());
    return await openLocked(options, lock, opened);
  } catch (cause) {
    for (const close of opened.toReversed()) await close();
    if (isWritError(cause)) throw cause;
    throw new WritError('STORE_UNREACHABLE', `the data directory ${dataDir} cannot be used`, { cause });
  }
}

async function openLocked(
  options: OpenLogOptions,
  lock: DirectoryLock,
  opened: (() => Promise<void> | void)[],
): Promise<OpenedLog> {
  const { dataDir, syscalls, crashPoint, onVisible } = options;
  const path = join(dataDir, 'journal.jsonl');
  const markPath = join(dataDir, 'journal.mark');
  const kept = await readMark(markPath);
  // With a mark there was a journal: a missing one is not made, so that the refusal changes nothing.
  const handle = await openJournal(path, kept !== undefined);
  opened.push(() => handle.close());
  const scanned = await scanJournal(handle, {
    mark: kept,
    note: options.onScanned,
    base: options.base,
    isOwn: options.isOwn,
  });
  await settle(handle, scanned, syscalls);
  const { history } = scanned;
  const mark = await HighWaterMark.open(markPath, syscalls);
  opened.push(() => mark.close());
  if (history.lines > 0) await mark.write(history.head);
  await mark.sync();
  await syncDirectory(dataDir);
  const file = new JournalFile(path, handle, history, syscalls);
  return {
    log: new DurableLog({ dataDir, lock, file, mark, history, crashPoint, onVisible }),
    cutTail: scanned.tornBytes === 0 ? undefined : { bytes: scanned.tornBytes, after: history.head.position },
  };
}

async function openJournal(path: string, mustExist: boolean): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    if (mustExist)
      throw new WritError('JOURNAL_CORRUPT', `${path} is missing, and its mark says that it had answered`);
    return open(path, 'wx+', 0o600);
  }
}

/**
 * Cuts a torn write, completes a record that only lacks its newline, and makes durable what is kept: it is about to
 * be shown. What stands behind the mark is written again, byte for byte, before the fsync: if an fsync failed in an
 * earlier process, the kernel may hold it in memory, call it clean, and have nothing of it on the disk.
 */
async function settle(file: FileHandle, scanned: Scanned, syscalls: Syscalls): Promise<void> {
  const { history, markedBytes, tornBytes, lacksNewline } = scanned;
  const end = history.endBytes;
  if (tornBytes > 0) {
    await file.truncate(end);
    // In full, not as data only: were the old size to come back, the torn bytes would stand behind a shorter record.
    await file.sync();
  }
  if (end === 0) return;
  const there = lacksNewline ? end - 1 : end;
  const from = Math.max(Math.min(markedBytes, there), end - UNSURE_BYTES_MAX);
  const unsure = Buffer.alloc(end - from, '\n');
  const { bytesRead } = await file.read(unsure, 0, unsure.length, from);
  if (from + bytesRead !== there)
    throw new WritError('STORE_UNREACHABLE', 'the journal changed while it was opened');
  if ((await syscalls.write(file, unsure, from)) !== unsure.length)
    throw new WritError('STORE_UNREACHABLE', 'the end of the journal could not be written');
  await syscalls.sync(file);
}

/** No batch is larger, and only one can be without its fsync: after a failed one nothing more is written. */
const UNSURE_BYTES_MAX = RECORD_BYTES_MAX;
