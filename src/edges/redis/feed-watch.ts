/**
 * Hears from the store that the feed has grown, or that an epoch was opened. A hint that makes things early, never safe:
 * one that is lost costs the time until the next renewal.
 */
import type { Position } from '../../feed/position.ts';
import { comparePositions, parsePosition } from '../../feed/position.ts';
import { Growth } from '../../kernel/growth.ts';
import type { Connection } from './connection.ts';

/**
 * What the news were about since the last renewal was sent, whoever was waiting then: anybody may say anything, so no longer
 * than that.
 */
export class Heard {
  #at: Position | undefined;

  note(at: Position | undefined): void {
    this.#at = at ?? this.#at;
  }

  /** In the epoch of `position`: another one may be over. */
  isAfter(position: Position): boolean {
    return this.#at?.epoch === position.epoch && comparePositions(this.#at, position) > 0;
  }

  /** What there was is about to be fetched. */
  forget(): void {
    this.#at = undefined;
  }
}

export class FeedWatch {
  readonly heard = new Heard();
  readonly #connection: Connection;
  readonly #growth = new Growth();
  #onGrown: (at: Position | undefined) => void = () => undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Hears from now on, after a lost connection again. Never rejects: without it news come later. */
  async open(channel: string): Promise<void> {
    const tell = (said: string): void => {
      const at = placeIn(said);
      this.heard.note(at);
      this.#growth.tell();
      this.#onGrown(at);
    };
    await this.#connection.listen(channel, tell).catch(() => undefined);
  }

  /** `onGrown` at each of the news, with the place that it is about. */
  onGrown(onGrown: (at: Position | undefined) => void): void {
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

function placeIn(said: string): Position | undefined {
  try {
    return parsePosition(said);
  } catch {
    return undefined;
  }
}
