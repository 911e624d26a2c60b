/**
 * Where the next line goes while one batch is planned: the durable head plus what the batch has put on it so far.
 * Made for each batch by the group commit and thrown away with it; the history learns of it only once it is durable.
 */
import type { FeedLine, SealedEntry } from '../../feed/entry.ts';
import { CHAIN_START, nextChain } from '../../feed/entry.ts';
import type { Position } from '../../feed/position.ts';
import type { Head, History } from './history.ts';

export class Tip {
  readonly #history: History;
  readonly #planned = new Map<string, FeedLine>();
  readonly #lines: FeedLine[] = [];
  #head: Head;

  constructor(history: History) {
    this.#history = history;
    this.#head = history.head;
  }

  get head(): Head {
    return this.#head;
  }

  get lines(): readonly FeedLine[] {
    return this.#lines;
  }

  /** The line of the tip's epoch that already holds entry `id`: planned in this batch, or durable (its number). */
  find(id: string): FeedLine | number | undefined {
    const isSameEpoch = this.#head.epochId === this.#history.head.epochId;
    return this.#planned.get(id) ?? (isSameEpoch ? this.#history.lineOfId(id) : undefined);
  }

  append(sealed: SealedEntry): FeedLine {
    const { epoch, sequence } = this.#head.position;
    return this.#put(sealed, { epoch, sequence: sequence + 1 }, this.#head.chain);
  }

  /** Begins `epochId`; its number is at least `epochS`, and more than any before it. */
  openEpoch(sealed: SealedEntry, epochId: string, epochS: number): FeedLine {
    const epoch = Math.max(epochS, this.#head.position.epoch + 1);
    this.#head = { ...this.#head, epochId };
    this.#planned.clear();
    return this.#put(sealed, { epoch, sequence: 1 }, CHAIN_START);
  }

  #put(sealed: SealedEntry, position: Position, before: string): FeedLine {
    const line = { position, chain: nextChain(before, sealed.text), sealed };
    this.#head = { epochId: this.#head.epochId, position, chain: line.chain };
    this.#planned.set(sealed.entry.id, line);
    this.#lines.push(line);
    return line;
  }
}
