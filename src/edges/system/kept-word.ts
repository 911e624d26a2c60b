/** One word in a file of the data directory, durable once it is kept. */
import { readFile } from 'node:fs/promises';
import { WritError } from '../../kernel/error.ts';
import { causeCode, writeFileDurably } from './files.ts';

export interface KeptWord {
  /** Undefined while none is kept. */
  readonly word: string | undefined;
  keep(word: string | undefined): Promise<void>;
}

/** CONFIG_INVALID when the file is there and cannot be read: what it says must not be forgotten. */
export async function openKeptWord(path: string): Promise<KeptWord> {
  let word = (await read(path)).trim();
  return {
    get word() {
      return word === '' ? undefined : word;
    },
    keep: async (next = '') => {
      await writeFileDurably(path, `${next}\n`);
      word = next;
    },
  };
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (causeCode(cause) === 'ENOENT') return '';
    throw new WritError('CONFIG_INVALID', `${path} cannot be read (${causeCode(cause)})`, { cause });
  }
}
