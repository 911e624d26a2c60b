/**
 * Hears from the store that the feed has grown, or that an epoch was opened. A hint that makes things early, never safe:
 * one that is lost costs the time until the next renewal.
 */
import type { Connection } from './connection.ts';

export class FeedWatch {
  readonly #connection: Connection;
  readonly #waiting = new Set<() => void>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Hears from now on, after a lost connection again. Never rejects: without it news come later. */
  async open(channel: string): Promise<void> {
    await this.#connection.listen(channel, () => this.#tell()).catch(() => undefined);
  }

  /** Resolves at the next news, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  close(): void {
    this.#tell();
    this.#connection.close();
  }

  #tell(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
