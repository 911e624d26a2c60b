/** `held-epoch` in the data directory: the newest epoch of which a lease was held with it, and whether it was left. */
import { join } from 'node:path';
import type { HeldEpoch } from '../../flows/vouch.ts';
import { openKeptWord } from './kept-word.ts';

const LEFT = ' left';

/** As openKeptWord. */
export async function openHeldEpoch(dataDir: string): Promise<HeldEpoch> {
  const kept = await openKeptWord(join(dataDir, 'held-epoch'));
  return {
    get epochId() {
      return kept.word?.replace(LEFT, '');
    },
    get isLeft() {
      return kept.word?.endsWith(LEFT) ?? false;
    },
    keep: (epochId, isLeft) => kept.keep(isLeft ? epochId + LEFT : epochId),
  };
}
