/**
 * One process per data directory: an exclusive SQLite transaction on `dataDir/lock`, which the kernel frees when the
 * process dies, by SIGKILL too. Called when the journal opens; nothing else may ever open and close that file in this
 * process, because closing any descriptor of it would give the lock away (POSIX record locks, fcntl(2)).
 */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { WritError } from '../../kernel/error.ts';
import { fileIdentity, isSameFile } from './file-identity.ts';

export interface DirectoryLock {
  /** False once the lock file is another or gone: then another process may hold the directory as well. */
  isHeld(): boolean;
  release(): void;
}

/** Takes the lock; DATA_DIR_LOCKED when another journal, in this process or another, holds it. */
export function lockDirectory(dataDir: string): DirectoryLock {
  const path = join(dataDir, 'lock');
  createPrivate(path);
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw lockError(dataDir, cause);
  }
  const held = fileIdentity(path);
  return {
    isHeld: () => isSameFile(held, fileIdentity(path)),
    release: () => database.close(),
  };
}

/** Makes the file unless it is there. Exclusively: an existing one must not be opened (see above). */
function createPrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

const SQLITE_BUSY = 5;

function lockError(dataDir: string, cause: unknown): WritError {
  return (cause as { errcode?: number }).errcode === SQLITE_BUSY
    ? new WritError('DATA_DIR_LOCKED', `another process holds the data directory ${dataDir}`, { cause })
    : new WritError('STORE_UNREACHABLE', `the lock of ${dataDir} cannot be taken`, { cause });
}
