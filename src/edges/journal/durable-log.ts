/**
 * The rule by which lines become durable, and when this journal may no longer be believed. Called by the store; it
 * must never let a line be seen that could still be lost, nor go on after it can no longer know.
 *
 * Two kinds of fault. A failed *write* (a full disk) leaves known bytes behind the end: they can be cut, and the
 * journal goes on once the disk takes writes again. A failed *fsync*, a mark that was not written, a file or lock that
 * somebody replaced: for good, until the process restarts. After a failed fsync the kernel may call pages clean that
 * never reached the disk, so a second fsync that succeeds proves nothing.
 */
import type { CrashPoint } from '../../feed/crash-point.ts';
import type { FeedLine } from '../../feed/entry.ts';
import { renderLine } from '../../feed/entry.ts';
import { WritError, isWritError } from '../../kernel/error.ts';
import { probeDirectory } from './directory.ts';
import type { Sink } from './group-commit.ts';
import type { Head, History } from './history.ts';
import type { JournalFile, LinePage } from './journal-file.ts';
import type { DirectoryLock } from './lock.ts';
import type { HighWaterMark } from './mark.ts';
import { RecentLines } from './recent-lines.ts';

export interface DurableLogParts {
  readonly dataDir: string;
  readonly lock: DirectoryLock;
  readonly file: JournalFile;
  readonly mark: HighWaterMark;
  readonly history: History;
  readonly crashPoint: CrashPoint;
  /** Told of lines in the same step in which they become visible. */
  readonly onVisible: (lines: readonly FeedLine[]) => void;
}

const RECENT_BYTES = 2 * 1024 * 1024;

interface Fault {
  readonly error: WritError;
  readonly isForGood: boolean;
}

export class DurableLog implements Sink {
  readonly #parts: DurableLogParts;
  #recent = new RecentLines(RECENT_BYTES);
  #fault: Fault | undefined;
  #repair: Promise<void> | undefined;
  #cuts = 0;

  constructor(parts: DurableLogParts) {
    this.#parts = parts;
  }

  get history(): History {
    return this.#parts.history;
  }

  /** How often lines were taken out: what was read meanwhile may not be there any more. */
  get cuts(): number {
    return this.#cuts;
  }

  get fault(): WritError | undefined {
    return this.#fault?.error;
  }

  /** Throws the fault if there is one, and looks for one: is the lock held, is the file ours and of our length? */
  assertIntact(): void {
    if (this.#fault !== undefined) throw this.#fault.error;
    const { lock, file, dataDir } = this.#parts;
    if (!lock.isHeld()) throw this.#breakFor(`the lock of ${dataDir} was replaced or removed`);
    if (!file.isIntact())
      throw this.#breakFor(`the journal in ${dataDir} was replaced, cut or written to by somebody else`);
  }

  /**
   * write -> fsync -> mark -> visible. The last look is after the fsync: what went into a file that is no longer the
   * journal is not durable. Nothing is visible until everything has held.
   */
  async commit(lines: readonly FeedLine[]): Promise<void> {
    this.assertIntact();
    const { crashPoint, file, mark } = this.#parts;
    const records = lines.map((line) => Buffer.from(`${renderLine(line)}\n`));
    crashPoint('append.before-write');
    await this.#attempt(() => file.write(Buffer.concat(records)), false);
    crashPoint('append.before-fsync');
    await this.#attempt(() => file.sync(), true);
    await this.#attempt(() => mark.write(lines.at(-1) ?? this.history.head), true);
    await this.#attempt(() => this.assertIntact(), true);
    crashPoint('append.before-reply');
    this.#show(lines, records);
  }

  /** As `read`, from memory where it is of what was written last: for following, which no receipt rests on. */
  async readNewest(first: number, limit: number): Promise<LinePage> {
    return this.#recentPage(first, limit) ?? (await this.read(first, limit));
  }

  /**
   * Lines from number `first` on, from the disk. STORE_BROKEN when it no longer says what was written; STORE_UNREACHABLE when
   * it could not be read, or was cut meanwhile.
   */
  async read(first: number, limit: number): Promise<LinePage> {
    const cuts = this.#cuts;
    try {
      return await this.#parts.file.read(first, limit);
    } catch (cause) {
      if (isWritError(cause) && cuts === this.#cuts) throw this.#breakFor(cause.message, cause);
      throw new WritError('STORE_UNREACHABLE', 'the journal cannot be read', { cause });
    }
  }

  /** Tries to go on after a failed write. Rejects while that cannot be; resolves at once when there is no fault. */
  async recover(): Promise<void> {
    if (this.#fault === undefined) return;
    if (this.#fault.isForGood) throw this.#fault.error;
    this.#repair ??= this.#cutAndProbe().finally(() => (this.#repair = undefined));
    await this.#repair;
  }

  /**
   * Takes out every line after `head`, the last of the first `lines`. The mark first: one that is ahead of the file would
   * say that something was lost. STORE_BROKEN, for good, when it fails half-way.
   */
  async cut(lines: number, head: Head): Promise<void> {
    this.assertIntact();
    const { file, mark, history } = this.#parts;
    try {
      // Both of its slots: the later one is believed.
      await mark.write(head);
      await mark.write(head);
      await mark.sync();
      this.#cuts += 1;
      history.cut(lines, head);
      this.#recent = new RecentLines(RECENT_BYTES);
      await file.cut();
    } catch (cause) {
      throw this.#breakFor('the ledger could not be cut', cause);
    }
  }

  /** Closes everything, the lock last. */
  async close(): Promise<void> {
    const { mark, file, lock } = this.#parts;
    try {
      await mark.close();
      await file.close();
    } finally {
      lock.release();
    }
  }

  #recentPage(first: number, limit: number): LinePage | undefined {
    const before = this.#recent.at(first - 1);
    const lines = this.#recent.from(first, limit);
    if (before === undefined || lines === undefined) return undefined;
    const end = first + lines.length;
    return { chain: before.chain, lines, isFull: lines.length === limit || end < this.history.lines };
  }

  async #attempt(step: () => Promise<void> | void, isForGood: boolean): Promise<void> {
    try {
      await step();
    } catch (cause) {
      const code = isForGood ? 'STORE_BROKEN' : 'STORE_UNREACHABLE';
      const message = `the journal in ${this.#parts.dataDir} could not be written`;
      this.#fault ??= { error: new WritError(code, message, { cause }), isForGood };
      throw new WritError('APPEND_UNCERTAIN', message, { cause });
    }
  }

  #show(lines: readonly FeedLine[], records: readonly Buffer[]): void {
    const { file, history, onVisible } = this.#parts;
    for (const [index, { position, chain, sealed }] of lines.entries()) {
      const { entry } = sealed;
      const epochId = entry.kind === 'epoch' ? entry.epochId : history.head.epochId;
      const sizeBytes = records[index]?.length ?? 0;
      this.#recent.push(history.lines, { position, chain, sealed }, sizeBytes);
      history.push({ id: entry.id, head: { epochId, position, chain }, sizeBytes });
    }
    file.settle();
    onVisible(lines);
  }

  async #cutAndProbe(): Promise<void> {
    const { dataDir, file, lock } = this.#parts;
    try {
      await probeDirectory(dataDir);
    } catch (cause) {
      throw new WritError('STORE_UNREACHABLE', `nothing can be written to ${dataDir}`, { cause });
    }
    if (!lock.isHeld() || !file.isIntact()) throw this.#breakFor(`the journal in ${dataDir} was replaced`);
    try {
      await file.cut();
    } catch (cause) {
      throw this.#breakFor('what a failed write left in the journal cannot be cut', cause);
    }
    this.#fault = undefined;
  }

  #breakFor(message: string, cause?: unknown): WritError {
    const error = new WritError('STORE_BROKEN', message, { cause });
    this.#fault = { error, isForGood: true };
    return error;
  }
}
