/** A file that is whole or not there: written beside, made durable, then named. */
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from './directory.ts';

/** Durable when it resolves. */
export async function writeWhole(path: string, parts: readonly (string | Uint8Array)[]): Promise<void> {
  const file = await open(`${path}.tmp`, 'w', 0o600);
  try {
    for (const part of parts) await file.write(Buffer.from(part));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.tmp`, path);
  await syncDirectory(dirname(path));
}
