/**
 * Group commit: what arrives while a write and its fsync are under way shares the next one. Replies go out in the
 * order of the positions, and only once everything before them is durable too. Called by the store for every write.
 */
import type { FeedLine } from '../../feed/entry.ts';
import { WritError, isWritError } from '../../kernel/error.ts';
import type { History } from './history.ts';
import { Tip } from './tip.ts';

/** Something that waits for its turn to be written. */
export interface Waiting {
  readonly sizeBytes: number;
  /** Puts its line on the tip, if it has one to put. What it returns runs once the whole batch is durable. */
  readonly plan: (tip: Tip) => () => void;
  readonly fail: (error: WritError) => void;
}

/** What lines are written to. */
export interface Sink {
  readonly history: History;
  /** Durable and visible when it resolves. Rejects with the WritError that everyone in the batch is to see. */
  commit(lines: readonly FeedLine[]): Promise<void>;
  /** Why nothing can be written now: STORE_UNREACHABLE or STORE_BROKEN. */
  readonly fault: WritError | undefined;
}

const BATCH_BYTES = 1024 * 1024;
const WAITING_BYTES_MAX = 64 * 1024 * 1024;

export class GroupCommit {
  readonly #sink: Sink;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #running: Promise<void> | undefined;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Queues `one`. Throws STORE_UNREACHABLE or STORE_BROKEN when nothing can be written, or too much waits already. */
  submit(one: Waiting): void {
    if (this.#sink.fault !== undefined) throw this.#sink.fault;
    if (this.#waitingBytes + one.sizeBytes > WAITING_BYTES_MAX)
      throw new WritError('STORE_UNREACHABLE', 'too much is waiting to be written to the journal');
    this.#waiting.push(one);
    this.#waitingBytes += one.sizeBytes;
    this.#running ??= this.#run();
  }

  /** Resolves once nothing waits and nothing is under way. Never rejects. */
  async drain(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // One turn later, so that what was submitted in the same turn shares the first write too.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#commit(this.#take());
    this.#running = undefined;
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    try {
      const tip = new Tip(this.#sink.history);
      const replies = batch.map((one) => one.plan(tip));
      if (tip.lines.length > 0) await this.#sink.commit(tip.lines);
      for (const reply of replies) reply();
    } catch (cause) {
      const error = new WritError('APPEND_UNCERTAIN', 'the journal could not be written', { cause });
      this.#fail(batch, isWritError(cause) ? cause : error);
    }
  }

  /** The batch shares its fate; what only waited has certainly not been written. */
  #fail(batch: readonly Waiting[], error: WritError): void {
    const rest = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const one of batch) one.fail(error);
    const unwritten = new WritError('STORE_UNREACHABLE', 'the journal could not be written', {
      cause: error,
    });
    for (const one of rest) one.fail(this.#sink.fault ?? unwritten);
  }

  #take(): readonly Waiting[] {
    let sizeBytes = 0;
    let count = 0;
    for (const one of this.#waiting) {
      sizeBytes += one.sizeBytes;
      if (count > 0 && sizeBytes > BATCH_BYTES) break;
      count += 1;
    }
    const batch = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    for (const one of batch) this.#waitingBytes -= one.sizeBytes;
    return batch;
  }
}
