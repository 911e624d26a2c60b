/** The data directory itself: made private, made durable, and asked whether it still takes writes. */
import { mkdirSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** Makes `dataDir` (0700) where it is missing, durably: a new file is lost with a directory that was not fsynced. */
export async function createDirectory(dataDir: string): Promise<void> {
  const first = mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  const top = dirname(resolve(first));
  for (let at = resolve(dataDir); at !== top; at = dirname(at)) await syncDirectory(dirname(at));
}

/** Makes the names in `directory` durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const PROBE_BYTES = 4096;

/** Rejects unless `dataDir` takes a block and its fsync: an ftruncate succeeds on a full disk and proves nothing. */
export async function probeDirectory(dataDir: string): Promise<void> {
  const path = join(dataDir, 'journal.probe');
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(Buffer.alloc(PROBE_BYTES));
    await file.sync();
  } finally {
    await file.close();
    await unlink(path);
  }
}
