/**
 * How far a replica has applied the feed: epoch, position and running chain. It only moves over lines that
 * continue exactly what is there; anything else is divergence, which fences and never guesses. Whether an epoch was
 * opened by who may is checked by who moves it.
 */
import { WritError } from '../kernel/error.ts';
import type { Steps } from '../kernel/pace.ts';
import { runAtOnce } from '../kernel/pace.ts';
import type { EpochEntry, FeedLine } from './entry.ts';
import { CHAIN_START, nextChain } from './entry.ts';
import type { Position } from './position.ts';
import { ORIGIN, renderPosition } from './position.ts';
import type { SnapshotBase } from './snapshot.ts';

/** A place in a history. */
interface Place {
  /** The entry that opened the epoch it is in; undefined before the first. */
  readonly opening: EpochEntry | undefined;
  readonly position: Position;
  readonly chain: string;
}

const BEGINNING: Place = { opening: undefined, position: ORIGIN, chain: CHAIN_START };

export class Cursor {
  #at = BEGINNING;
  #settled: Position = ORIGIN;
  /** Every epoch that was applied: none is opened twice, whoever signed it. */
  readonly #epochIds = new Set<string>();
  /** Lines that were found to follow, so that each is hashed once. */
  #checked = new Set<FeedLine>();

  /** The id of the epoch that was applied last; undefined before the first. */
  get epochId(): string | undefined {
    return this.#at.opening?.epochId;
  }

  /** The entry that opened it. */
  get opening(): EpochEntry | undefined {
    return this.#at.opening;
  }

  get position(): Position {
    return this.#at.position;
  }

  get chain(): string {
    return this.#at.chain;
  }

  /** How far all is done: indexed, on disk, and every session told. Never ahead of `position`. */
  get settled(): Position {
    return this.#settled;
  }

  /** Goes on from a snapshot, whose fold has all that came up to there. */
  jump({ opening, position, chain }: SnapshotBase): void {
    this.#at = { opening, position, chain };
    this.#epochIds.add(opening.epochId);
    this.#checked = new Set();
  }

  /** Up to here all is done. */
  settle(): void {
    this.#settled = this.position;
  }

  /** PROOF_INVALID unless `lines` continue this history, one after the other. Moves nothing. A page may be megabytes. */
  *checking(lines: readonly FeedLine[]): Steps<void> {
    let at = this.#at;
    const epochIds = new Set(this.#epochIds);
    for (const line of lines) {
      assertFollows(line, at, epochIds);
      at = placeOf(line, at);
      if (at.opening !== undefined) epochIds.add(at.opening.epochId);
      yield;
    }
    this.#checked = new Set(lines);
  }

  /** Moves over `line`, which it checks unless that was just done. Returns true when it opened an epoch. */
  advance(line: FeedLine): boolean {
    if (!this.#checked.delete(line)) {
      runAtOnce(this.checking([line]));
      this.#checked.delete(line);
    }
    this.#at = placeOf(line, this.#at);
    if (line.sealed.entry.kind !== 'epoch') return false;
    this.#epochIds.add(line.sealed.entry.epochId);
    return true;
  }
}

function assertFollows(
  { position, sealed, chain }: FeedLine,
  at: Place,
  epochIds: ReadonlySet<string>,
): void {
  const opened = sealed.entry.kind === 'epoch' ? sealed.entry : undefined;
  const follows =
    opened === undefined
      ? at.opening !== undefined &&
        position.epoch === at.position.epoch &&
        position.sequence === at.position.sequence + 1
      : position.epoch > at.position.epoch && position.sequence === 1 && mayOpen(opened, at, epochIds);
  if (!follows || nextChain(opened === undefined ? at.chain : CHAIN_START, sealed.text) !== chain)
    throw new WritError('PROOF_INVALID', `feed diverges after ${renderPosition(at.position)}`);
}

/**
 * An epoch is opened once, and continues exactly what its opener signed: put in another place, it would hide what came
 * between, or before. One without a base begins anew: the first of a fleet, or an operator's word (THREATS 10.18).
 */
function mayOpen({ epochId, base }: EpochEntry, at: Place, epochIds: ReadonlySet<string>): boolean {
  if (epochIds.has(epochId)) return false;
  if (base === undefined) return true;
  const isItsEnd = base.head === renderPosition(at.position) && base.chain === at.chain;
  return base.epochId === at.opening?.epochId && isItsEnd;
}

function placeOf({ position, chain, sealed: { entry } }: FeedLine, before: Place): Place {
  return { position, chain, opening: entry.kind === 'epoch' ? entry : before.opening };
}
