/**
 * The snapshot that a ledger begins with, in a file of its own beside the lines: whole or not there. What it holds is
 * checked by who loads it, its digest too; here it is only taken apart.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Snapshot } from '../../feed/feed-store.ts';
import { parsePosition, renderPosition } from '../../feed/position.ts';
import { WritError } from '../../kernel/error.ts';
import { removePart, writeWhole } from './whole-file.ts';

const NAME = 'snapshot';

/** Durable when it resolves; before that nothing of it is there under its name. `unnamed`: as `writeWhole` calls it. */
export async function writeSnapshotFile(
  directory: string,
  snapshot: Snapshot,
  unnamed: () => void,
): Promise<void> {
  const { epochId, position, digest, entry, chunks } = snapshot;
  const sizes = chunks.map(({ length }) => length);
  const head = JSON.stringify({ epochId, position: renderPosition(position), digest, entry, sizes });
  await writeWhole(join(directory, NAME), [`${head}\n`, ...chunks], unnamed);
}

/** Takes away what is not whole: a crash has left it, and it may be large. */
export function removeUnfinished(directory: string): Promise<void> {
  return removePart(join(directory, NAME));
}

/** Undefined where there is none; JOURNAL_CORRUPT for one that is not whole. */
export async function readSnapshotFile(directory: string): Promise<Snapshot | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(join(directory, NAME));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return parse(bytes);
  } catch (cause) {
    throw new WritError('JOURNAL_CORRUPT', `the snapshot in ${directory} is damaged; nothing was changed`, {
      cause,
    });
  }
}

interface Head extends Omit<Snapshot, 'position' | 'chunks'> {
  readonly position: string;
  readonly sizes: readonly number[];
}

function parse(bytes: Buffer): Snapshot {
  const end = bytes.indexOf('\n');
  const { position, sizes, ...head } = JSON.parse(bytes.toString('utf8', 0, end)) as Head;
  let at = end + 1;
  const chunks = sizes.map((size) => bytes.subarray(at, (at += size)));
  if (at !== bytes.length) throw new RangeError('its size is another one');
  return { ...head, position: parsePosition(position), chunks };
}
