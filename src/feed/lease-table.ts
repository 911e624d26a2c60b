/**
 * The store's side of leases: who is admitted, which row a renewal moves, what it is answered (DESIGN 3.2). Pure; the
 * journal and the memory store call it inside their one atomic step, and functions.lua says the same. It knows no clock.
 */
import type { FeedLine, ReplicaEntry } from './entry.ts';
import type { LeaseRow, RenewReply, RenewRequest } from './feed-store.ts';
import type { Position } from './position.ts';

/** What the store read for one renewal. Nothing may become visible between this reading and `renew`. */
export interface FeedPage {
  /** The chain at the request's position; undefined when the store holds no line there. */
  readonly cursorChain: string | undefined;
  /** True when something between the cursor and `lines` was trimmed. */
  readonly isTrimmed?: boolean;
  /** What is newer than the cursor, oldest first; where that is in an epoch that is another one here, the epochs after it. */
  readonly lines: readonly FeedLine[];
  /** True when nothing is newer than `lines`. */
  readonly isLast: boolean;
  readonly head: Position;
  readonly runId: string;
}

interface Row {
  renewals: number;
  acknowledgement: string | undefined;
  /** Nonces that were taken or superseded, the one taken last at the end. */
  nonces: readonly string[];
  isCloned: boolean;
}

export class LeaseTable {
  #openEpochId: string | undefined;
  /** Who joined, and whether it has gone: left or forgotten, no lease ever again. */
  readonly #isGone = new Map<string, boolean>();
  readonly #rows = new Map<string, Row>();

  get openEpochId(): string | undefined {
    return this.#openEpochId;
  }

  /** Folds a line that became visible. Admissions outlive epochs, as the history does; rows do not. */
  note(line: FeedLine): void {
    const { entry } = line.sealed;
    if (entry.kind === 'epoch') {
      this.#openEpochId = entry.epochId;
      this.#rows.clear();
    } else if (entry.kind === 'replica') {
      this.#admit(entry);
    }
  }

  /** The store's run is no longer the one its epoch is bound to: until another epoch is noted, nothing is granted. */
  closeEpoch(): void {
    this.#openEpochId = undefined;
  }

  /** Everyone who may have held a lease in this epoch. */
  rows(): readonly LeaseRow[] {
    const holders = [...this.#rows].filter(([, row]) => row.renewals > 0);
    return holders.map(([incarnation, { renewals, acknowledgement }]) => ({
      incarnation,
      renewals,
      acknowledgement,
    }));
  }

  /** Grants or refuses, and moves the row. One step: the caller has read `page` and awaited nothing since. */
  renew(request: RenewRequest, page: FeedPage): RenewReply {
    const { incarnation, epochId } = request;
    if (epochId !== this.#openEpochId) return { kind: 'closed', epochId: this.#openEpochId };
    const isGone = this.#isGone.get(incarnation);
    if (isGone === undefined) return { kind: 'stale', reason: 'unknown' };
    if (isGone) return { kind: 'stale', reason: 'forgotten' };
    const row = this.#rowOf(incarnation);
    if (isSuperseded(row, request.nonces)) return { kind: 'more', lines: [], head: page.head };
    if (isCloned(row, request.nonces)) return { kind: 'stale', reason: 'cloned' };
    // What it lacks is in a snapshot. Nobody has lost anything.
    if (page.isTrimmed === true) return { kind: 'stale', reason: 'trimmed' };
    // Of another epoch, who has other lines than are here judges by what comes after it, if anything.
    if (page.cursorChain !== request.chain && request.cursorEpochId === epochId) return this.#diverged();
    row.acknowledgement = request.acknowledgement ?? row.acknowledgement;
    return this.#grant(row, page);
  }

  /**
   * True when `incarnation` has renewed exactly so often; from then on it is granted nothing. The entry that says so
   * follows: one that cannot be written leaves it without leases, never with one too many.
   */
  retire(incarnation: string, renewals: number): boolean {
    const renewed = this.#rows.get(incarnation)?.renewals ?? 0;
    if (this.#isGone.get(incarnation) !== false || renewed !== renewals) return false;
    this.#isGone.set(incarnation, true);
    return true;
  }

  /** In the open epoch one of the two has lost what the other has: it is over, and what everyone puts back settles it. */
  #diverged(): RenewReply {
    this.closeEpoch();
    return { kind: 'closed', epochId: undefined };
  }

  #grant(row: Row, page: FeedPage): RenewReply {
    const { lines, head, runId } = page;
    // Who has never held one is nobody to wait for while it catches up.
    const isHolder = row.renewals > 0;
    if (isHolder || page.isLast) row.renewals += 1;
    const granted = { rows: this.rows(), runId };
    if (!page.isLast) return { kind: 'more', lines, head, granted: isHolder ? granted : undefined };
    return { kind: 'lease', lines, head, ...granted };
  }

  #admit({ event, incarnation }: ReplicaEntry): void {
    if (event === 'joined') {
      this.#isGone.set(incarnation, this.#isGone.get(incarnation) ?? false);
      return;
    }
    // Its row stays: nobody has checked yet who signed that, and its lease may be good.
    this.#isGone.set(incarnation, true);
  }

  #rowOf(incarnation: string): Row {
    const known = this.#rows.get(incarnation);
    if (known !== undefined) return known;
    const row: Row = {
      renewals: 0,
      acknowledgement: undefined,
      nonces: [],
      isCloned: false,
    };
    this.#rows.set(incarnation, row);
    return row;
  }
}

/** How many nonces a row remembers: a request that is late by more renewals than this is taken for a clone's. */
const NONCES_KEPT = 64;

/** True for a request that was given up and overtaken by its own successor, or that the network delivered twice. */
function isSuperseded(row: Row, nonces: readonly string[]): boolean {
  const nonce = nonces.at(-1);
  return !row.isCloned && (nonce === undefined || row.nonces.includes(nonce));
}

/** Takes the request's nonces. True, for good, once a request does not know the nonce taken last: there are two. */
function isCloned(row: Row, nonces: readonly string[]): boolean {
  const taken = row.nonces.at(-1);
  if (taken !== undefined && !nonces.includes(taken)) row.isCloned = true;
  if (!row.isCloned) row.nonces = [...new Set([...row.nonces, ...nonces])].slice(-NONCES_KEPT);
  return row.isCloned;
}
