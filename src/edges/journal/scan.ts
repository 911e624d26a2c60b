/**
 * Reads a journal from its first byte to its last and judges it, without changing anything and without holding more
 * than one record. Called once, at opening. It must never take for torn what may have been answered.
 *
 * A write is one buffer of whole lines and is answered only after its fsync, so whatever an interrupted write left
 * behind was not answered: some whole lines (kept: that is always safe), then a part of one. Hence:
 *  - a bad record with its newline is no torn write but damage, wherever it stands, the last one included;
 *  - bytes after the last newline are a torn write, NULs of a block that was never written included, unless they
 *    begin with a whole record that follows the chain. Then either only its newline is missing: it is kept. Or the
 *    newline is there and damaged: the record may have been answered, and cutting it would lose it in silence.
 */
import type { FileHandle } from 'node:fs/promises';
import type { FeedLine } from '../../feed/entry.ts';
import { comparePositions, renderPosition } from '../../feed/position.ts';
import type { SnapshotBase } from '../../feed/snapshot.ts';
import { WritError, isWritError } from '../../kernel/error.ts';
import type { Head } from './history.ts';
import { History } from './history.ts';
import type { Mark } from './mark.ts';
import type { Checked } from './record.ts';
import { RECORD_BYTES_MAX, checkRecord } from './record.ts';

export interface Scanned {
  readonly history: History;
  /** Where the mark stands; 0 when there is none. What lies after it may never have been fsynced. */
  readonly markedBytes: number;
  /** Bytes of a torn write after the last record. */
  readonly tornBytes: number;
  /** True when the last record is whole and only lacks its newline. */
  readonly lacksNewline: boolean;
}

export interface ScanOptions {
  /** How far it had answered. */
  readonly mark: Mark | undefined;
  /** Told of the lines the store acts on. */
  readonly note: (line: FeedLine) => void;
  /** What comes before its first line. */
  readonly base?: SnapshotBase | undefined;
  /** Its lines were appended here and nowhere else, so an entry that is there twice in one epoch is damage. */
  readonly isOwn: boolean;
}

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/** Scans `file`. JOURNAL_CORRUPT names the place after which it is damaged. */
export async function scanJournal(file: FileHandle, options: ScanOptions): Promise<Scanned> {
  const scan = new Scan(options);
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let offset = 0; ;) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, offset);
    if (bytesRead === 0) return scan.finish();
    scan.take(chunk.subarray(0, bytesRead));
    offset += bytesRead;
  }
}

class Scan {
  readonly #history: History;
  readonly #mark: Mark | undefined;
  readonly #note: (line: FeedLine) => void;
  readonly #isOwn: boolean;
  #markedBytes = 0;
  /** What came after the last newline, in pieces. */
  #rest: Buffer[] = [];
  #restBytes = 0;

  constructor({ mark, note, base, isOwn }: ScanOptions) {
    this.#history = new History(base);
    this.#mark = mark;
    this.#note = note;
    this.#isOwn = isOwn;
  }

  take(chunk: Buffer): void {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      this.#record(this.#join(chunk.subarray(from, at)));
      from = at + 1;
    }
    // The caller reads the next piece into the same memory.
    if (from < chunk.length) this.#rest.push(Buffer.from(chunk.subarray(from)));
    this.#restBytes += chunk.length - from;
    if (this.#restBytes > RECORD_BYTES_MAX) throw this.#corrupt('a record is longer than any can be');
  }

  finish(): Scanned {
    const tail = this.#join(Buffer.alloc(0));
    const whole = this.#wholeRecordIn(tail);
    if (whole !== undefined) this.#place(whole);
    if (whole !== undefined && whole.sizeBytes <= tail.length)
      throw this.#corrupt('its newline is damaged', this.#history.endBytes - 1);
    if (this.#mark !== undefined && this.#markedBytes === 0) throw this.#shorter(this.#mark);
    const tornBytes = whole === undefined ? tail.length : 0;
    return {
      history: this.#history,
      markedBytes: this.#markedBytes,
      tornBytes,
      lacksNewline: whole !== undefined,
    };
  }

  #join(last: Buffer): Buffer {
    const bytes = this.#rest.length === 0 ? last : Buffer.concat([...this.#rest, last]);
    this.#rest = [];
    this.#restBytes = 0;
    return bytes;
  }

  #record(bytes: Buffer): void {
    try {
      this.#place(checkRecord(bytes, this.#history.head));
    } catch (error) {
      if (isWritError(error, 'PROOF_INVALID')) throw this.#corrupt(error.message);
      throw error;
    }
  }

  #place(record: Checked): void {
    if (this.#isOwn && this.#isThere(record)) throw this.#corrupt('an entry is there twice');
    const isMarked = this.#isMarked(record.head);
    this.#history.push(record);
    if (record.line !== undefined) this.#note(record.line);
    if (isMarked) this.#markedBytes = this.#history.endBytes;
  }

  #isThere({ id, head }: Checked): boolean {
    return head.epochId === this.#history.head.epochId && this.#history.lineOfId(id) !== undefined;
  }

  #isMarked({ position, chain }: Head): boolean {
    if (this.#mark === undefined || comparePositions(position, this.#mark.position) !== 0) return false;
    if (chain !== this.#mark.chain) throw this.#corrupt('what follows is not what was answered');
    return true;
  }

  /** The whole record that `tail` begins with, if it does and if it follows. No JSON string can hold the end of one. */
  #wholeRecordIn(tail: Buffer): Checked | undefined {
    const end = RECORD_END.exec(tail.toString('latin1'));
    if (end === null) return undefined;
    try {
      return checkRecord(tail.subarray(0, end.index + end[0].length), this.#history.head);
    } catch {
      return undefined;
    }
  }

  #corrupt(what: string, atByte = this.#history.endBytes): WritError {
    const after = renderPosition(this.#history.head.position);
    const message = `the journal is damaged after position ${after}, at byte ${atByte}: ${what}; nothing was changed`;
    return new WritError('JOURNAL_CORRUPT', message);
  }

  #shorter(mark: Mark): WritError {
    const ends = renderPosition(this.#history.head.position);
    const message = `the journal is shorter than what was answered: it ends at ${ends}, had reached ${renderPosition(mark.position)}; nothing was changed`;
    return new WritError('JOURNAL_CORRUPT', message);
  }
}

const RECORD_END = /,"position":"\d{1,15}-\d{1,15}"\}/;
