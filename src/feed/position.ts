/**
 * A place in the feed: `epoch-sequence`, totally ordered. The epoch number is the unix second at which the epoch
 * was opened; sequences start at 1 and have no gaps. Positions are compared within one epoch id only.
 */
import { WritError } from '../kernel/error.ts';

export interface Position {
  readonly epoch: number;
  readonly sequence: number;
}

/** Before everything. */
export const ORIGIN: Position = { epoch: 0, sequence: 0 };

/** Where a list begins that is asked for from no position on: before what is displaced to ORIGIN. In no feed, and never written. */
export const BEFORE_ALL: Position = { epoch: 0, sequence: -1 };

const POSITION = /^(0|[1-9]\d{0,14})-(0|[1-9]\d{0,14})$/;

/** `812-90213` -> Position; BAD_REQUEST, naming `field`, for anything else. */
export function parsePosition(text: string, field = 'position'): Position {
  const match = POSITION.exec(text);
  if (match === null) throw new WritError('BAD_REQUEST', 'a position is epoch-sequence', { field });
  return { epoch: Number(match[1]), sequence: Number(match[2]) };
}

export function renderPosition(position: Position): string {
  return `${position.epoch}-${position.sequence}`;
}

/** What has a place in the feed. */
export interface Placed {
  readonly position: Position;
}

/**
 * Whether `next` is the later place of an entry that was seen at `before`. In one epoch by its sequence, whatever the order in
 * which the two came. Of two epochs the one that came last: `before` may be in one that the fleet did not go on with
 * (flows/retrace.ts), and numbers of two histories say nothing about each other.
 */
export function isLater(next: Position, before: Position): boolean {
  return next.epoch === before.epoch ? next.sequence > before.sequence : true;
}

/** Of two entries about one thing the later one. */
export function laterOf<T extends Placed>(before: T | undefined, next: T): T {
  return before === undefined || isLater(next.position, before.position) ? next : before;
}

/** Of two entries about one thing the earlier one. */
export function earlierOf<T extends Placed>(before: T | undefined, next: T): T {
  return before === undefined || comparePositions(next.position, before.position) < 0 ? next : before;
}

/** `placed`, before everything where it stood after `end`, so that whatever comes is later. */
export function displaced<T extends Placed>(placed: T, end: Position): T {
  return comparePositions(placed.position, end) > 0 ? { ...placed, position: ORIGIN } : placed;
}

/** What stands under ids, in the order of the ids: one order on every replica, whatever the way it came. */
export function byId<T>(kept: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...kept].toSorted(([left], [right]) => (left < right ? -1 : 1));
}

/**
 * At most `limit` of `placed`, in the order of their positions, from the one that follows `after` on; before them, beyond the
 * limit, all that are displaced: they have one position, by which no next page could go on among them.
 */
export function pageAfter<T extends Placed>(
  placed: readonly T[],
  after: Position,
  limit: number,
): readonly T[] {
  const following = placed
    .filter(({ position }) => comparePositions(position, after) > 0)
    .toSorted((left, right) => comparePositions(left.position, right.position));
  const displacedCount = following.filter(({ position }) => comparePositions(position, ORIGIN) === 0).length;
  return following.slice(0, displacedCount + limit);
}

/** Negative when `left` comes first, 0 when they are the same place. */
export function comparePositions(left: Position, right: Position): number {
  return left.epoch - right.epoch || left.sequence - right.sequence;
}
