/**
 * What a replica has of an epoch that the next one does not continue: the store had lost it, and the fleet went on
 * without. What denies in it stays in force here, what permits does not, and until all that binds in it has come again
 * (flows/carry.ts) this replica holds more than the others. Nothing of it was enforced: whoever opened the next epoch had everything that was.
 */
import type { Entry, FeedLine } from './entry.ts';
import type { Position } from './position.ts';
import { comparePositions, parsePosition } from './position.ts';

export interface Tail {
  /** The last line that the next epoch continues. */
  readonly after: Position;
  readonly upTo: Position;
  /** By name, what has not come again since, whoever appended it; nothing of what is proven of orders in it. */
  readonly missing: ReadonlySet<string>;
  /** Its lines, where they are in the ledger no more (flows/retrace.ts). */
  readonly beside?: readonly FeedLine[];
  /**
   * The history that it is in was given up: an operator has opened the next epoch on nothing at all, or what the fleet's
   * snapshot goes on from is not here. It is all that is held here, enforced or not, and nobody there knows who signed it.
   */
  readonly isGivenUp?: true;
}

/**
 * By which name it is known that what an entry says has come again; none for what is of its epoch alone, as what permits is (D-195).
 * Who joined comes again by saying so in the next epoch. Who was forgotten is forgotten anew, if it is silent still: it may be back.
 */
export function nameOf(entry: Entry): string | undefined {
  switch (entry.kind) {
    case 'epoch':
    case 'mark':
    case 'snapshot':
    case 'grant':
    case 'lift':
      return undefined;
    case 'replica':
      return entry.event === 'forgotten' ? undefined : `${entry.event} ${entry.incarnation}`;
    default:
      return entry.id;
  }
}

/** Where the order stands that `entry` calls enforced; undefined for all else. */
export function provenAt(entry: Entry): Position | undefined {
  if (entry.kind !== 'outcome' || entry.state !== 'enforced') return undefined;
  return entry.position === undefined ? undefined : parsePosition(entry.position);
}

/**
 * Whether it proves an order that is lost with it, where a history is left after `after`: that order is proven anew where it comes
 * again, which may be a place of the same number.
 */
export function isLostProof(proven: Position | undefined, after: Position): boolean {
  return proven !== undefined && comparePositions(proven, after) > 0;
}
