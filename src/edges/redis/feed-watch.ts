/**
 * The blocking read: tells who waits that the feed has grown. A hint that makes things early, never safe; losing it costs
 * the time until the next renewal.
 */
import type { Position } from '../../feed/position.ts';
import { renderPosition } from '../../feed/position.ts';
import type { Connection } from './connection.ts';

/** How long one read blocks; whoever waits longer is served by the next one. */
const BLOCK_MS = 1_000;
const GRACE_MS = 500;
const PAUSE_MS = 100;

export class FeedWatch {
  readonly #connection: Connection;
  readonly #base: string;
  readonly #waiting = new Set<() => void>();
  #isReading = false;
  #isClosed = false;

  constructor(connection: Connection, base: string) {
    this.#connection = connection;
    this.#base = base;
  }

  /** Resolves when something follows `after` in its epoch, or when `signal` aborts. */
  wait(after: Position, signal: AbortSignal): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
      if (!this.#isReading) void this.#read(after);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#tell();
    this.#connection.close();
  }

  /** One read at a time, for as long as somebody waits. */
  async #read(after: Position): Promise<void> {
    this.#isReading = true;
    const key = `${this.#base}:feed:${after.epoch}`;
    const command = ['XREAD', 'COUNT', '1', 'BLOCK', String(BLOCK_MS), 'STREAMS', key, renderPosition(after)];
    while (this.#waiting.size > 0) {
      try {
        await this.#connection.connect();
        if ((await this.#connection.call(command, BLOCK_MS + GRACE_MS)) !== null) this.#tell();
      } catch {
        // The renewals notice by themselves that the store is away.
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
    this.#isReading = false;
  }

  #tell(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
