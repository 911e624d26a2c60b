/**
 * How far a replica has applied the feed: epoch, position and running chain. It only moves over lines that
 * continue exactly what is there; anything else is divergence, which fences and never guesses.
 */
import { WritError } from '../kernel/error.ts';
import type { FeedLine } from './entry.ts';
import { CHAIN_START, nextChain } from './entry.ts';
import type { Position } from './position.ts';
import { ORIGIN, renderPosition } from './position.ts';

export class Cursor {
  #epochId: string | undefined;
  #position: Position = ORIGIN;
  #chain = CHAIN_START;

  /** The id of the epoch that was applied last; undefined before the first. */
  get epochId(): string | undefined {
    return this.#epochId;
  }

  get position(): Position {
    return this.#position;
  }

  get chain(): string {
    return this.#chain;
  }

  /** Moves over `line`; PROOF_INVALID when it does not continue this history. Returns true when it opened an epoch. */
  advance(line: FeedLine): boolean {
    const opened = line.sealed.entry.kind === 'epoch' ? line.sealed.entry : undefined;
    const before = opened === undefined ? this.#chain : CHAIN_START;
    const follows =
      opened === undefined
        ? this.#epochId !== undefined &&
          line.position.epoch === this.#position.epoch &&
          line.position.sequence === this.#position.sequence + 1
        : line.position.epoch > this.#position.epoch && line.position.sequence === 1;
    if (!follows || nextChain(before, line.sealed.text) !== line.chain) {
      throw new WritError('PROOF_INVALID', `feed diverges after ${renderPosition(this.#position)}`);
    }
    if (opened !== undefined) this.#epochId = opened.epochId;
    this.#position = line.position;
    this.#chain = line.chain;
    return opened !== undefined;
  }
}
