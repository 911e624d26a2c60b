/** A file that is whole or not there: written beside, made durable, then named. */
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from './directory.ts';

/** Durable when it resolves. `unnamed` is called when all of it is on disk, and not there yet. */
export async function writeWhole(
  path: string,
  parts: readonly (string | Uint8Array)[],
  unnamed: () => void = () => undefined,
): Promise<void> {
  const file = await open(`${path}.tmp`, 'w', 0o600);
  try {
    // Not `write`, which may take a part of it and say so to nobody: a disk is full at some byte.
    for (const part of parts) await file.writeFile(part);
    await file.sync();
  } finally {
    await file.close();
  }
  unnamed();
  await rename(`${path}.tmp`, path);
  await syncDirectory(dirname(path));
}

/** Takes away what a crash has left of a file that was being written. */
export async function removePart(path: string): Promise<void> {
  await rm(`${path}.tmp`, { force: true });
}
