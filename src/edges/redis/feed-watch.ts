/**
 * Hears from the store that the feed has grown, or that an epoch was opened. A hint that makes things early, never safe:
 * one that is lost costs the time until the next renewal.
 */
import { Growth } from '../../kernel/growth.ts';
import type { Connection } from './connection.ts';

export class FeedWatch {
  readonly #connection: Connection;
  readonly #growth = new Growth();
  #onGrown: (() => void) | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Hears from now on, after a lost connection again. Never rejects: without it news come later. */
  async open(channel: string): Promise<void> {
    const tell = (): void => {
      this.#growth.tell();
      this.#onGrown?.();
    };
    await this.#connection.listen(channel, tell).catch(() => undefined);
  }

  /** `onGrown` at each of the news. */
  onGrown(onGrown: () => void): void {
    this.#onGrown = onGrown;
  }

  /** Resolves at the next news, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return this.#growth.wait(signal);
  }

  /** Hears elsewhere from now on, where the server has become another. */
  renew(): void {
    this.#connection.renew();
  }

  close(): void {
    this.#growth.tell();
    this.#connection.close();
  }
}
