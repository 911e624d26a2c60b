/** Receipts, one file each in `<dataDir>/receipts/`: whole or not there, durable before the ledger names them. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReceiptStore } from '../../flows/enforce.ts';
import { WritError } from '../../kernel/error.ts';
import { SharedWork } from '../../kernel/shared-work.ts';
import { causeCode, syncDirectory, writeFileDurably } from './files.ts';

const ID = /^(rev|lck)_[A-Za-z0-9_-]{1,64}$/;

/** Rejects with INTERNAL what the disk does not do; trying again is harmless. */
export class ReceiptFiles implements ReceiptStore {
  readonly #dataDir: string;
  readonly #directory: string;
  /** One fsync for all receipts that were put in place before it began. */
  readonly #synced = new SharedWork(() => syncDirectory(this.#directory));
  #isMade = false;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
    this.#directory = join(dataDir, 'receipts');
  }

  async write(id: string, text: string): Promise<void> {
    if (!this.#isMade) await this.#make();
    await writeFileDurably(this.#pathOf(id), text, { sync: () => this.#synced.run() });
  }

  /** Undefined for a receipt that is not there; one that is there and cannot be read is not denied. */
  async read(id: string): Promise<string | undefined> {
    if (!ID.test(id)) return undefined;
    try {
      return await readFile(this.#pathOf(id), 'utf8');
    } catch (cause) {
      if (causeCode(cause) === 'ENOENT') return undefined;
      throw new WritError('INTERNAL', `a receipt cannot be read (${causeCode(cause)})`, { cause });
    }
  }

  /** The directory's own name must be as durable as the receipts in it. A failure is not remembered. */
  async #make(): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await syncDirectory(this.#dataDir);
    } catch (cause) {
      throw new WritError('INTERNAL', `receipts cannot be written (${causeCode(cause)})`, { cause });
    }
    this.#isMade = true;
  }

  #pathOf(id: string): string {
    return join(this.#directory, `${id}.txt`);
  }
}
