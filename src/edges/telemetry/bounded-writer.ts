/**
 * A queue of lines before a sink that may be slow, stuck or gone. Taking a line never waits and never throws: what
 * does not fit is dropped and counted, because a stopped reader of the log must not stop decisions (THREATS 5.4).
 */

/** Writes all of `chunk`, then calls `done` once; with an error when not all of it was written. Never throws. */
export type WriteChunk = (chunk: Uint8Array, done: (error?: Error | null) => void) => void;

/** Called once for a line: true when the sink has taken all of it, false when it was dropped or lost. */
export type Settled = (isWritten: boolean) => void;

export interface BoundedWriterOptions {
  /** What may wait, in bytes: the line that would exceed it is dropped. */
  readonly pendingBytesMax: number;
  /** Of one chunk. Default 64. */
  readonly chunkLinesMax?: number;
  /** Of one chunk, unless a line alone is larger. Default: no limit but that of lines. */
  readonly chunkBytesMax?: number;
  /** Called at the first line that is dropped or lost after all had been well. */
  readonly onDropping?: () => void;
  /** Called when everything was written and lines had been dropped before, with their number. */
  readonly onRecovered: (droppedLines: number) => void;
}

const CHUNK_LINES_MAX = 64;

interface Waiting {
  readonly line: string;
  readonly bytes: number;
  readonly settled: Settled | undefined;
}

export class BoundedWriter {
  readonly #writeChunk: WriteChunk;
  readonly #options: BoundedWriterOptions;
  readonly #idle: (() => void)[] = [];
  #queue: Waiting[] = [];
  #pendingBytes = 0;
  #isWriting = false;
  #isTorn = false;
  #writtenLines = 0;
  #droppedLines = 0;
  #unreportedLines = 0;

  constructor(writeChunk: WriteChunk, options: BoundedWriterOptions) {
    this.#writeChunk = writeChunk;
    this.#options = options;
  }

  get writtenLines(): number {
    return this.#writtenLines;
  }

  get droppedLines(): number {
    return this.#droppedLines;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Takes one line with its newline. */
  write(line: string, settled?: Settled): void {
    const bytes = Buffer.byteLength(line);
    if (this.#pendingBytes + bytes > this.#options.pendingBytesMax) {
      this.#drop(1);
      settled?.(false);
      return;
    }
    this.#pendingBytes += bytes;
    this.#queue.push({ line, bytes, settled });
    this.#pump();
  }

  /** One line that was not even rendered. */
  drop(): void {
    this.#drop(1);
  }

  /** Resolves when all that was taken is written or lost, or after `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    if (this.#pendingBytes === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** One chunk is on its way at a time, so that order holds and a stuck sink holds one chunk. */
  #pump(): void {
    if (this.#isWriting || this.#queue.length === 0) return;
    const taken = this.#queue.splice(0, this.#chunkLength());
    const text = taken.map(({ line }) => line).join('');
    this.#isWriting = true;
    // After a write that failed half-way the next line starts on a line of its own.
    this.#writeChunk(Buffer.from(this.#isTorn ? `\n${text}` : text), (error) => {
      const isLost = error !== undefined && error !== null;
      this.#isWriting = false;
      this.#isTorn = isLost;
      this.#pendingBytes -= taken.reduce((sum, { bytes }) => sum + bytes, 0);
      if (isLost) this.#drop(taken.length);
      else this.#writtenLines += taken.length;
      for (const { settled } of taken) settled?.(!isLost);
      this.#settle(isLost);
    });
  }

  #chunkLength(): number {
    const { chunkLinesMax = CHUNK_LINES_MAX, chunkBytesMax = Infinity } = this.#options;
    let bytes = 0;
    const over = this.#queue.findIndex((one, i) => {
      bytes += one.bytes;
      return i === chunkLinesMax || (i > 0 && bytes > chunkBytesMax);
    });
    return over < 0 ? this.#queue.length : over;
  }

  #settle(isLost: boolean): void {
    if (this.#pendingBytes > 0) {
      this.#pump();
      return;
    }
    for (const resolve of this.#idle.splice(0)) resolve();
    if (isLost || this.#unreportedLines === 0) return;
    const dropped = this.#unreportedLines;
    this.#unreportedLines = 0;
    this.#options.onRecovered(dropped);
  }

  #drop(lines: number): void {
    const isFirst = this.#unreportedLines === 0;
    this.#droppedLines += lines;
    this.#unreportedLines += lines;
    if (isFirst) this.#options.onDropping?.();
  }
}
