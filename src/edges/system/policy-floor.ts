/** `policy-floor` in the data directory: the newest revision of the policy that ran here, so that a restart knows it too. */
import { join } from 'node:path';
import type { RevisionFloor } from '../../decision/policy-source.ts';
import { openKeptWord } from './kept-word.ts';

/** As openKeptWord: without it an older policy could run again. */
export async function openPolicyFloor(dataDir: string): Promise<RevisionFloor> {
  const kept = await openKeptWord(join(dataDir, 'policy-floor'));
  return {
    get revision() {
      return kept.word;
    },
    move: (next) => kept.keep(next),
  };
}
