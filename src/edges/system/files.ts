/**
 * Files that must be whole or not there, also after a crash: written aside, fsynced, then put in place in one step.
 * Used for keys, the floor of the clock and whatever compose passes it to. Never leaves a half-written file under its name.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { WritError } from '../../kernel/error.ts';

/** Makes the data directory, for its owner only, unless it is there. CONFIG_INVALID when it cannot be. */
export async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const message = `${dataDir} cannot be made (${causeCode(cause)})`;
    throw new WritError('CONFIG_INVALID', message, { cause, field: 'dataDir' });
  }
}

export interface DurableWrite {
  readonly mode?: number;
  /** Makes the names in a directory durable; for who writes many files into one. */
  readonly sync?: (directory: string) => Promise<void>;
}

/** Replaces `path`: after a crash at any moment it holds the old or the new data. INTERNAL when it cannot be written. */
export async function writeFileDurably(
  path: string,
  data: string | Uint8Array,
  { mode = 0o600, sync = syncDirectory }: DurableWrite = {},
): Promise<void> {
  try {
    await putInPlace(path, { data, mode }, rename);
    await sync(dirname(path));
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** Makes `path` unless it is there; true when this call made it. Of two at once, one wins whole. INTERNAL as above. */
export async function createFileDurably(
  path: string,
  data: string | Uint8Array,
  mode = 0o600,
): Promise<boolean> {
  try {
    // link() refuses an existing name as O_EXCL does, but shows the file only once all of it is on the disk.
    await putInPlace(path, { data, mode }, linkAlone);
    await syncDirectory(dirname(path));
    return true;
  } catch (cause) {
    if (causeCode(cause) === 'EEXIST') return false;
    throw unwritable(path, cause);
  }
}

function unwritable(path: string, cause: unknown): WritError {
  return new WritError('INTERNAL', `${path} cannot be written (${causeCode(cause)})`, { cause });
}

interface Content {
  readonly data: string | Uint8Array;
  readonly mode: number;
}

type Place = (from: string, to: string) => Promise<void>;

async function putInPlace(path: string, content: Content, place: Place): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await writeAside(aside, content);
    await place(aside, path);
  } catch (cause) {
    await unlink(aside).catch(() => undefined);
    throw cause;
  }
}

/** As a rename leaves it: under its new name only. */
async function linkAlone(from: string, to: string): Promise<void> {
  await link(from, to);
  await unlink(from).catch(() => undefined);
}

async function writeAside(aside: string, { data, mode }: Content): Promise<void> {
  const file = await open(aside, 'wx', mode);
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes names in `directory` survive a crash: a rename is only durable when its directory is. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** `ENOENT`, `EACCES`, …: what an error of node:fs may say to people. */
export function causeCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}
