/**
 * What a replica has of an epoch that the next one does not continue: the store had lost it, and the fleet went on
 * without. It stays in force here, and until all that binds in it has come again (flows/carry.ts) this replica holds more
 * than the others. Nothing of it was enforced: whoever opened the next epoch had everything that was.
 */
import type { Entry, FeedLine } from './entry.ts';
import type { Position } from './position.ts';

export interface Tail {
  /** The last line that the next epoch continues. */
  readonly after: Position;
  readonly upTo: Position;
  /** By name, what has not come again since, whoever appended it. */
  readonly missing: ReadonlySet<string>;
  /** Its lines, where they are in the ledger no more (flows/retrace.ts). */
  readonly beside?: readonly FeedLine[];
  /**
   * An operator has opened the next epoch on nothing at all: it is all that is here, enforced or not, and nobody there knows
   * who signed it.
   */
  readonly isGivenUp?: true;
}

/** The name of what is said of credentials and entitlements; none for what is said of replicas and orders. */
export function factOf(entry: Entry): string | undefined {
  return entry.kind === 'replica' || entry.kind === 'outcome' ? undefined : nameOf(entry);
}

/**
 * By which name it is known that what an entry says has come again; none for what is of its epoch alone. Who joined comes again
 * by saying so in the next epoch. Who was forgotten is forgotten anew, if it is silent still: it may be back.
 */
export function nameOf(entry: Entry): string | undefined {
  switch (entry.kind) {
    case 'epoch':
    case 'mark':
    case 'snapshot':
      return undefined;
    case 'replica':
      return entry.event === 'forgotten' ? undefined : `${entry.event} ${entry.incarnation}`;
    default:
      return entry.id;
  }
}
