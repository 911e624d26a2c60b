/** Receipts, one file each in `<dataDir>/receipts/`: whole or not there, durable before the ledger names them. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReceiptStore } from '../../flows/enforce.ts';
import { writeFileDurably } from './files.ts';

const ID = /^rev_[A-Za-z0-9_-]{1,64}$/;

export class ReceiptFiles implements ReceiptStore {
  readonly #directory: string;
  #made: Promise<unknown> | undefined;

  constructor(dataDir: string) {
    this.#directory = join(dataDir, 'receipts');
  }

  async write(id: string, text: string): Promise<void> {
    this.#made ??= mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await this.#made;
    await writeFileDurably(this.#pathOf(id), text);
  }

  async read(id: string): Promise<string | undefined> {
    if (!ID.test(id)) return undefined;
    return readFile(this.#pathOf(id), 'utf8').catch(() => undefined);
  }

  #pathOf(id: string): string {
    return join(this.#directory, `${id}.txt`);
  }
}
