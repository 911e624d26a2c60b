/**
 * How far a replica has applied the feed: epoch, position and running chain. It only moves over lines that
 * continue exactly what is there; anything else is divergence, which fences and never guesses.
 */
import { WritError } from '../kernel/error.ts';
import type { EpochEntry, FeedLine } from './entry.ts';
import { CHAIN_START, nextChain } from './entry.ts';
import type { Position } from './position.ts';
import { ORIGIN, comparePositions, parsePosition, renderPosition } from './position.ts';

export class Cursor {
  #epochId: string | undefined;
  #position: Position = ORIGIN;
  #chain = CHAIN_START;
  #settled: Position = ORIGIN;
  /** The line that was found to follow, so that it is hashed once. */
  #checked: FeedLine | undefined;

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

  /** How far all is done: indexed, on disk, and every session told. Never ahead of `position`. */
  get settled(): Position {
    return this.#settled;
  }

  /** Goes on from a snapshot, whose fold has all that came up to there. */
  jump(epochId: string, position: Position, chain: string): void {
    this.#epochId = epochId;
    this.#position = position;
    this.#chain = chain;
    this.#checked = undefined;
  }

  /** Up to here all is done. */
  settle(): void {
    this.#settled = this.#position;
  }

  /** PROOF_INVALID when `line` does not continue this history. Moves nothing. */
  check(line: FeedLine): void {
    const opened = line.sealed.entry.kind === 'epoch' ? line.sealed.entry : undefined;
    const before = opened === undefined ? this.#chain : CHAIN_START;
    const follows =
      opened === undefined
        ? this.#epochId !== undefined &&
          line.position.epoch === this.#position.epoch &&
          line.position.sequence === this.#position.sequence + 1
        : line.position.epoch > this.#position.epoch && line.position.sequence === 1;
    if (opened !== undefined && !this.#hasAllBefore(opened))
      throw new WritError('PROOF_INVALID', `feed lacks what comes after ${renderPosition(this.#position)}`);
    if (!follows || nextChain(before, line.sealed.text) !== line.chain) {
      throw new WritError('PROOF_INVALID', `feed diverges after ${renderPosition(this.#position)}`);
    }
    this.#checked = line;
  }

  /**
   * An epoch that was opened on all that was there goes on where the one before ended: whoever is not that far lacks
   * something, trimmed or taken out. By other rules it begins with what there is, and its entry says so.
   */
  #hasAllBefore({ rule, base }: EpochEntry): boolean {
    if (base === undefined || (rule !== 'witness' && rule !== 'roster')) return true;
    return this.#epochId === base.epochId && comparePositions(this.#position, parsePosition(base.head)) >= 0;
  }

  /** Moves over `line`, which it checks unless that was just done. Returns true when it opened an epoch. */
  advance(line: FeedLine): boolean {
    if (this.#checked !== line) this.check(line);
    this.#checked = undefined;
    const { position, chain, sealed } = line;
    const opened = sealed.entry.kind === 'epoch' ? sealed.entry : undefined;
    if (opened !== undefined) this.#epochId = opened.epochId;
    this.#position = position;
    this.#chain = chain;
    return opened !== undefined;
  }
}
