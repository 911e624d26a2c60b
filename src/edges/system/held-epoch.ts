/**
 * `held-epoch` in the data directory: the newest epoch of which a lease was held with it, and whether it was left; `-` since
 * the replica's key was made, before the first. Where it is missing beside a key, nobody knows what was held.
 */
import { join } from 'node:path';
import type { HeldEpoch } from '../../flows/vouch.ts';
import { openKeptWord } from './kept-word.ts';

const LEFT = ' left';
const NEW = '-';

export interface HeldEpochFile extends HeldEpoch {
  /** Called before the replica's key is made: whatever is held with that comes after it. */
  begin(): Promise<void>;
}

/** As openKeptWord. */
export async function openHeldEpoch(dataDir: string): Promise<HeldEpochFile> {
  const kept = await openKeptWord(join(dataDir, 'held-epoch'));
  return {
    get epochId() {
      return kept.word === NEW ? undefined : kept.word?.replace(LEFT, '');
    },
    get isLeft() {
      return kept.word?.endsWith(LEFT) ?? false;
    },
    get isNew() {
      return kept.word === NEW;
    },
    begin: async () => {
      if (kept.word === undefined) await kept.keep(NEW);
    },
    keep: (epochId, isLeft) => kept.keep(isLeft ? epochId + LEFT : epochId),
  };
}
