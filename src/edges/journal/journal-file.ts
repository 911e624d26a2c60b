/**
 * The journal's open file: writes at its durable end, reads lines back by number, cuts what a failed write left.
 * Called by DurableLog only, which decides when each may be done; it never reports as durable what was not fsynced.
 */
import type { FileHandle } from 'node:fs/promises';
import type { FeedLine } from '../../feed/entry.ts';
import { WritError } from '../../kernel/error.ts';
import { fileIdentity, isSameFile } from './file-identity.ts';
import type { FileIdentity } from './file-identity.ts';
import type { History } from './history.ts';
import { chainOf, restoreLine } from './record.ts';
import type { Syscalls } from './syscalls.ts';

export interface LinePage {
  /** The chain of the line before them. */
  readonly chain: string;
  readonly lines: readonly FeedLine[];
  /** True when `limit`, or the size of a page, ended it rather than the journal. */
  readonly isFull: boolean;
}

/** Reading a page back costs about 4 ms a MiB of event loop, in one go. */
const PAGE_BYTES = 128 * 1024;

export class JournalFile {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #syscalls: Syscalls;
  readonly #identity: FileIdentity | undefined;
  readonly #history: History;
  /** Bytes that a write under way, or one that failed, may have put behind the end. */
  #looseBytes = 0;

  constructor(path: string, file: FileHandle, history: History, syscalls: Syscalls) {
    this.#path = path;
    this.#file = file;
    this.#history = history;
    this.#syscalls = syscalls;
    this.#identity = fileIdentity(path);
  }

  /** False once the path leads to another file, or to one that somebody else has cut or written to. */
  isIntact(): boolean {
    const seen = fileIdentity(this.#path);
    if (seen === undefined || !isSameFile(seen, this.#identity)) return false;
    const end = this.#history.endBytes;
    return seen.sizeBytes >= end && seen.sizeBytes <= end + this.#looseBytes;
  }

  /** One write at the end. When it rejects, any part of `bytes` may be there. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#looseBytes = bytes.length;
    const written = await this.#syscalls.write(this.#file, bytes, this.#history.endBytes);
    if (written !== bytes.length) throw new WritError('STORE_UNREACHABLE', 'the journal was written in part');
  }

  async sync(): Promise<void> {
    await this.#syscalls.sync(this.#file);
  }

  /** The history has taken over what was written: nothing is loose any more. */
  settle(): void {
    this.#looseBytes = 0;
  }

  /** Cuts what a failed write left behind the end. */
  async cut(): Promise<void> {
    await this.#file.truncate(this.#history.endBytes);
    await this.#file.sync();
    this.#looseBytes = 0;
  }

  /** Lines from number `first` on, at least one and at most `limit`. JOURNAL_CORRUPT when they are not what was written. */
  async read(first: number, limit: number): Promise<LinePage> {
    const end = this.#pageEnd(first, limit);
    // Judged before the wait: lines that land meanwhile do not make this page a full one.
    const isFull = end - first === limit || end < this.#history.lines;
    const from = Math.max(0, first - 1);
    // And so is where each line is: the history may be cut meanwhile.
    const offsets = Array.from({ length: end - from + 1 }, (_, index) =>
      this.#history.offsetOf(from + index),
    );
    const records = split(await this.#bytes(offsets), offsets);
    let chain = first === 0 ? this.#history.startChain : chainOf(records[0] ?? Buffer.alloc(0));
    const before = chain;
    const lines = records.slice(first - from).map((record) => {
      const line = restoreLine(record, chain);
      chain = line.chain;
      return line;
    });
    return { chain: before, lines, isFull };
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #pageEnd(first: number, limit: number): number {
    const { lines } = this.#history;
    const start = this.#history.offsetOf(first);
    let end = first + 1;
    while (end < lines && end - first < limit && this.#history.offsetOf(end + 1) - start <= PAGE_BYTES)
      end += 1;
    return end;
  }

  async #bytes(offsets: readonly number[]): Promise<Buffer> {
    const offset = offsets[0] ?? 0;
    const bytes = Buffer.allocUnsafe((offsets.at(-1) ?? 0) - offset);
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await this.#file.read(bytes, at, bytes.length - at, offset + at);
      if (bytesRead === 0) throw new WritError('JOURNAL_CORRUPT', 'the journal is shorter than it was');
      at += bytesRead;
    }
    return bytes;
  }
}

/** The records without their newlines. `offsets`: of each, and of the end. */
function split(bytes: Buffer, [start = 0, ...ends]: readonly number[]): readonly Buffer[] {
  let from = 0;
  return ends.map((end) => {
    const record = bytes.subarray(from, end - start - 1);
    from = end - start;
    return record;
  });
}
