/**
 * What the view remembers of each revocation entry, however many targets it has: enough to name it in an answer
 * and to list it. Called by RevocationView only. A record must outlive every index entry that refers to it.
 *
 * Records leave by mark and sweep: each round of the index's sweep marks the records that index entries still refer
 * to, and one that has ended and was not marked in a whole round is let go (the ledger keeps the entry itself).
 */
import type { RevocationEntry } from '../feed/entry.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, comparePositions, displaced, isLater } from '../feed/position.ts';
import { WritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import { Rounds } from '../kernel/rounds.ts';

export interface RevocationRecord {
  readonly id: string;
  /** The latest place of the entry: one that was written again in a later epoch is found there. */
  readonly position: Position;
  /** RFC 3339, by the appender's clock. */
  readonly at: string;
  readonly caller: string;
  /** SHA-256 of the canonical request. */
  readonly body: string;
  readonly targetsCount: number;
  readonly reason?: string;
  readonly ticket?: string;
}

export interface ListOptions {
  /** Oldest first, from the one that follows this position on. Without it: newest first. */
  readonly after?: Position | undefined;
  readonly limit: number;
}

/** A record as a snapshot takes it. */
export interface KeptRecord {
  readonly record: RevocationRecord;
  readonly ref: number;
  /** Epoch seconds; Infinity: never. */
  readonly endS: number;
}

interface KeptAs {
  readonly position: Position;
  readonly targetsCount: number;
  /** Epoch seconds, of the last of its targets; Infinity: never. */
  readonly targetsEndS: number;
}

/** Records looked at between two looks at the clock. */
const PRUNED = 256;

interface Kept {
  record: RevocationRecord;
  readonly ref: number;
  /** Epoch seconds; Infinity: never. */
  endS: number;
  /** The last round in which something referred to it. */
  round: number;
  isGone: boolean;
}

export class RevocationRecords {
  readonly #byId = new Map<string, Kept>();
  readonly #byRef = new Map<number, Kept>();
  /** By position when `#isOrdered`; those that are gone are taken out when they are many. */
  #order: Kept[] = [];
  #isOrdered = true;
  #gone = 0;
  #nextRef = 0;
  #round = 0;
  readonly #rounds = new Rounds(() => this.#byRef.values());

  get size(): number {
    return this.#byId.size;
  }

  /** Remembers an entry (again), with the latest end of its targets. Returns the number that refers to it. */
  keep(entry: Omit<RevocationEntry, 'targets'>, { position, targetsCount, targetsEndS }: KeptAs): number {
    const endS = Math.max(targetsEndS, (Date.parse(entry.at) + LIMITS.idempotencyMs) / 1000);
    const { id, at, caller, body, reason, ticket } = entry;
    const said = { id, position, at, caller, body, targetsCount };
    return this.restore(
      { ...said, ...(reason === undefined ? {} : { reason }), ...(ticket === undefined ? {} : { ticket }) },
      endS,
    );
  }

  /** As `keep`, of a record that was made elsewhere. */
  restore(record: RevocationRecord, endS: number): number {
    const { id } = record;
    const known = this.#byId.get(id);
    if (known !== undefined) {
      known.endS = Math.max(known.endS, endS);
      known.round = this.#round;
      if (isLater(record.position, known.record.position)) this.#move(known, record);
      return known.ref;
    }
    const kept = { record, ref: this.#nextRef++, endS, round: this.#round, isGone: false };
    this.#byId.set(id, kept);
    this.#byRef.set(kept.ref, kept);
    this.#append(kept);
    return kept.ref;
  }

  /** What stands after `end` is in this history no more: its place is where it comes next, whatever the number of that is. */
  displace(end: Position): void {
    for (const kept of this.#byId.values()) {
      const record = displaced(kept.record, end);
      if (record !== kept.record) this.#move(kept, record);
    }
  }

  /** One more than the largest reference. */
  get refs(): number {
    return this.#nextRef;
  }

  /** Lets go of all that ended before `nowS` and that `isReferenced` does not name. */
  *prune(nowS: number, isReferenced: (ref: number) => boolean): Generator<void, void, unknown> {
    let looked = 0;
    for (const kept of this.#byRef.values()) {
      if (looked++ % PRUNED === 0) yield;
      if (kept.endS < nowS && !isReferenced(kept.ref)) this.#forget(kept);
    }
  }

  /** All of them in the order of their positions, each with its reference and its end. Later changes do not show. */
  *all(): Generator<void, readonly KeptRecord[], unknown> {
    this.#sort();
    const all: KeptRecord[] = [];
    for (const { record, ref, endS, isGone } of this.#order) {
      if (all.length % PRUNED === 0) yield;
      if (!isGone) all.push({ record, ref, endS });
    }
    return all;
  }

  lookup(id: string): RevocationRecord | undefined {
    return this.#byId.get(id)?.record;
  }

  /** The record an index entry refers to. INTERNAL when there is none: a record never goes before its references. */
  at(ref: number): RevocationRecord {
    return this.#kept(ref).record;
  }

  /** An order that does not depend on where the entries stand, which a store that forgets can change. */
  isBefore(ref: number, other: number): boolean {
    return ref !== other && this.at(ref).id < this.at(other).id;
  }

  /** At most `limit` records in the order of their positions; what is displaced as `pageAfter` has it. */
  list({ after, limit }: ListOptions): readonly RevocationRecord[] {
    this.#sort();
    if (after === undefined) return pick(this.#order.toReversed(), limit);
    const [first, placed] = [firstAfter(this.#order, after), firstAfter(this.#order, ORIGIN)];
    const displacedOnes = pick(this.#order.slice(first, placed), Number.POSITIVE_INFINITY);
    return [...displacedOnes, ...pick(this.#order.slice(Math.max(first, placed)), limit)];
  }

  /** An index entry still refers to `ref`. */
  mark(ref: number): void {
    this.#kept(ref).round = this.#round;
  }

  /** Every index entry was seen once since the last call: those that refer to a record have marked it. */
  nextRound(): void {
    this.#round++;
  }

  /** Looks at up to `count` records and lets go what ended before `nowS` and was not marked in the last whole round. */
  age(nowS: number, count: number): void {
    this.#rounds.slice(count, (kept) => {
      if (kept.endS < nowS && kept.round < this.#round - 1) this.#forget(kept);
    });
  }

  #kept(ref: number): Kept {
    const kept = this.#byRef.get(ref);
    if (kept === undefined) throw new WritError('INTERNAL', 'an index entry refers to no revocation');
    return kept;
  }

  #append(kept: Kept): void {
    const last = this.#order.at(-1);
    if (last !== undefined && comparePositions(last.record.position, kept.record.position) > 0)
      this.#isOrdered = false;
    this.#order.push(kept);
  }

  /** With all that is said there: it may be another order under that id, of a fleet that had forgotten the first. */
  #move(kept: Kept, record: RevocationRecord): void {
    const isAfter = comparePositions(kept.record.position, record.position) < 0;
    const isLastStill = this.#order.at(-1) === kept && isAfter;
    kept.record = record;
    this.#isOrdered &&= isLastStill;
  }

  #forget(kept: Kept): void {
    this.#byId.delete(kept.record.id);
    this.#byRef.delete(kept.ref);
    kept.isGone = true;
    this.#gone++;
    if (this.#gone * 2 < this.#order.length) return;
    this.#order = this.#order.filter(({ isGone }) => !isGone);
    this.#gone = 0;
  }

  #sort(): void {
    if (this.#isOrdered) return;
    this.#order.sort((left, right) => comparePositions(left.record.position, right.record.position));
    this.#isOrdered = true;
  }
}

/** Index of the first one whose position is after `position`. */
function firstAfter(order: readonly Kept[], position: Position): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (comparePositions((order[middle] as Kept).record.position, position) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

function pick(kept: Iterable<Kept>, limit: number): readonly RevocationRecord[] {
  return Iterator.from(kept)
    .filter(({ isGone }) => !isGone)
    .map(({ record }) => record)
    .take(limit)
    .toArray();
}
