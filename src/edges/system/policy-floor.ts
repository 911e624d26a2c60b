/** `policy-floor` in the data directory: the newest revision of the policy that ran here, so that a restart knows it too. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RevisionFloor } from '../../decision/policy-source.ts';
import { WritError } from '../../kernel/error.ts';
import { causeCode, writeFileDurably } from './files.ts';

const FILE = 'policy-floor';

/** CONFIG_INVALID when the file is there and cannot be read: without it an older policy could run again. */
export async function openPolicyFloor(dataDir: string): Promise<RevisionFloor> {
  const path = join(dataDir, FILE);
  let revision = (await readFloor(path)).trim();
  return {
    get revision() {
      return revision === '' ? undefined : revision;
    },
    move: async (next) => {
      await writeFileDurably(path, `${next ?? ''}\n`);
      revision = next ?? '';
    },
  };
}

async function readFloor(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (causeCode(cause) === 'ENOENT') return '';
    throw new WritError('CONFIG_INVALID', `${path} cannot be read (${causeCode(cause)})`, { cause });
  }
}
