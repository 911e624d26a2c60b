/**
 * A replica's fold of locks and lifts: what is dead until its lock ends or is lifted. Asked by the view after the
 * revocations, with the time of the decision; no timer ends a lock. A lift wins whatever the order in which the two
 * arrive, so what was lifted never comes back.
 *
 * Merging any entries in any order, any number of times, ends in the same state. A lock and its tombstone leave
 * memory together, once the lock would have ended by itself by the clock that never goes back.
 */
import type { HandleSet } from '../credential/handle.ts';
import type { Folded, LiftEntry, LockEntry, Target } from '../feed/entry.ts';
import type { Position } from '../feed/position.ts';
import { byId, comparePositions, displaced, earlierOf, isLater, pageAfter } from '../feed/position.ts';
import { canonicalJson } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { Rounds } from '../kernel/rounds.ts';
import type { DeadHandle } from './cutoff.ts';
import { HandleMap } from './handle-map.ts';
import { word } from './word.ts';

/** What answers show of a lift. */
export interface LiftRecord {
  readonly id: string;
  readonly position: Position;
  /** RFC 3339, by the appender's clock. */
  readonly at: string;
  readonly caller: string;
}

export interface LockRecord {
  readonly id: string;
  /** The latest place of the entry. */
  readonly position: Position;
  readonly at: string;
  readonly caller: string;
  /** SHA-256 of the canonical request. */
  readonly body: string;
  readonly targets: readonly Target[];
  readonly expiresAtS: number;
  readonly reason?: string;
  readonly lift?: LiftRecord;
}

/** A lock is in force until the second it names, unless it was lifted. */
export type LockState = 'in_force' | 'lifted' | 'ended';

interface Kept {
  record: LockRecord;
  /** Every handle of every target; empty while it is out of the index. */
  dead: readonly DeadHandle[];
}

interface Tombstone {
  readonly lift: LiftRecord;
  readonly untilS: number;
}

/** A lock or a tombstone as a snapshot takes it. */
export interface FoldedLock {
  readonly position: Position;
  readonly entry: Folded<LockEntry> | Folded<LiftEntry>;
}

export interface LockList {
  /** Oldest first, from the one that follows this position on. */
  readonly after: Position;
  readonly limit: number;
  readonly nowS: number;
}

/** Entries looked at in one sweep. */
const SWEPT = 256;

export class Locks {
  readonly #byId = new Map<string, Kept>();
  readonly #tombstones = new Map<string, Tombstone>();
  readonly #index = new HandleMap<Kept>();
  readonly #rounds = new Rounds(() => this.#byId.entries());
  readonly #tombstoneRounds = new Rounds(() => this.#tombstones.entries());

  /** Locked handles in the index; while it is 0 no decision looks any further. */
  get size(): number {
    return this.#index.size;
  }

  /** Locks and tombstones in memory. */
  get kept(): number {
    return this.#byId.size + this.#tombstones.size;
  }

  /**
   * Takes in a lock whose handles are `dead`. False when it was lifted before it came. Again: the same again; and of two that a
   * fleet, which had forgotten the first, took under one id, what either names, until the later end.
   */
  lock(entry: Folded<LockEntry>, position: Position, dead: readonly DeadHandle[]): boolean {
    const lift = this.#tombstones.get(entry.id)?.lift;
    const known = this.#byId.get(entry.id);
    if (known !== undefined) {
      if (isLater(position, known.record.position)) known.record = { ...known.record, position };
      if (isOther(entry, known.record)) this.#widen(known, entry, dead);
      return lift === undefined;
    }
    const kept: Kept = { record: recordOf(entry, position, lift), dead: [] };
    this.#byId.set(entry.id, kept);
    if (lift !== undefined) return false;
    this.#enter(kept, dead);
    return true;
  }

  #widen(known: Kept, entry: Folded<LockEntry>, dead: readonly DeadHandle[]): void {
    const { position, lift } = known.record;
    const ofNext = recordOf(entry, position, lift);
    // Whichever comes first: the same on every replica.
    const [wider, other] = isWider(ofNext, known.record) ? [ofNext, known.record] : [known.record, ofNext];
    known.record = { ...wider, targets: ofEither(wider.targets, other.targets) };
    if (lift !== undefined) return;
    const held = new Set(known.dead.map(textOf));
    const more = dead.filter((one) => !held.has(textOf(one)));
    this.#enter(known, more);
  }

  /** Takes in a tombstone: the lock it names, known or not, is over from here on. */
  lift(entry: Folded<LiftEntry>, position: Position): void {
    const before = this.#tombstones.get(entry.lock);
    const lift = earlierOf(before?.lift, { id: entry.id, position, at: entry.at, caller: entry.caller });
    this.#tombstones.set(entry.lock, { lift, untilS: Math.max(before?.untilS ?? 0, entry.untilS) });
    const kept = this.#byId.get(entry.lock);
    if (kept === undefined) return;
    this.#unindex(kept);
    kept.record = { ...kept.record, lift };
  }

  /**
   * What stands after `end` is in this history no more. A lift goes with it, and what it had lifted is locked again, with what
   * `deadBy` says. True when any went.
   */
  lose(end: Position, deadBy: (targets: readonly Target[]) => readonly DeadHandle[]): boolean {
    let isAnyLost = false;
    for (const [lock, { lift }] of this.#tombstones) {
      if (comparePositions(lift.position, end) <= 0) continue;
      isAnyLost = true;
      this.#tombstones.delete(lock);
      const kept = this.#byId.get(lock);
      if (kept === undefined) continue;
      const { lift: _lift, ...record } = kept.record;
      kept.record = record;
      this.#enter(kept, deadBy(record.targets));
    }
    return isAnyLost;
  }

  /** As of records: the place of what stands after `end` is where it comes next. */
  displace(end: Position): void {
    for (const kept of this.#byId.values()) kept.record = displaced(kept.record, end);
  }

  /** The history that all this came from was given up: what was lifted in it is no lock any more. True when anything was. */
  giveUp(): boolean {
    const isAny = this.#tombstones.size > 0;
    for (const lock of this.#tombstones.keys()) this.#byId.delete(lock);
    this.#tombstones.clear();
    return isAny;
  }

  /** The lock in force at `nowS` that names one of `handles`; of several the one that ends last. */
  find({ prints }: HandleSet, nowS: number): LockRecord | undefined {
    let last: LockRecord | undefined;
    const visit = ({ record }: Kept): void => {
      if (isRunning(record, nowS) && (last === undefined || endsLater(record, last))) last = record;
    };
    for (let at = 0; at < prints.length; at += 2)
      this.#index.each(word(prints, at), word(prints, at + 1), visit);
    return last;
  }

  record(id: string): LockRecord | undefined {
    return this.#byId.get(id)?.record;
  }

  /** True while the lock `id` is known, not lifted and not over. */
  isInForce(id: string, nowS: number): boolean {
    const record = this.record(id);
    return record !== undefined && stateOf(record, nowS) === 'in_force';
  }

  /** Locks in force, each with the handles it makes dead: what a replica that was started again must kill. */
  inForce(nowS: number): readonly { readonly record: LockRecord; readonly dead: readonly DeadHandle[] }[] {
    return [...this.#byId.values()].filter(({ record }) => stateOf(record, nowS) === 'in_force');
  }

  /** At most `limit` locks in force, in the order of their positions. */
  list({ after, limit, nowS }: LockList): readonly LockRecord[] {
    const inForce = this.inForce(nowS).map(({ record }) => record);
    return pageAfter(inForce, after, limit);
  }

  /**
   * One slice of letting go what is over at `nowS`, by the clock that never goes back. Call it from a timer. What was over
   * before `forgetS` leaves memory; the rest only the index.
   */
  sweep(nowS: number, forgetS = nowS): void {
    this.#rounds.slice(SWEPT, ([id, kept]) => this.#age(id, kept, { nowS, forgetS }));
    this.#tombstoneRounds.slice(SWEPT, ([id, tombstone]) => this.#ageTombstone(id, tombstone, forgetS));
  }

  /** Lets go, at once, of all that was over before `nowS`. */
  prune(nowS: number): void {
    for (const [id, kept] of this.#byId) this.#age(id, kept, { nowS, forgetS: nowS });
    for (const [id, tombstone] of this.#tombstones) this.#ageTombstone(id, tombstone, nowS);
  }

  /** All of them as entries, locks and then tombstones, each kind in the order of its ids. */
  *folded(): Generator<FoldedLock, void, unknown> {
    for (const [, { record }] of byId(this.#byId)) {
      const { position, lift: _lift, ...said } = record;
      yield { position, entry: { kind: 'lock', ...said, targets: [...record.targets] } };
    }
    for (const [lock, tombstone] of byId(this.#tombstones))
      yield { position: tombstone.lift.position, entry: liftOf(lock, tombstone) };
  }

  /** Out of the index as soon as it is over; out of memory once no Idempotency-Key can ask for it any more. */
  #age(id: string, kept: Kept, { nowS, forgetS }: { nowS: number; forgetS: number }): void {
    if (isRunning(kept.record, nowS)) return;
    this.#unindex(kept);
    const { at, expiresAtS } = kept.record;
    if (Math.max(expiresAtS, (Date.parse(at) + LIMITS.idempotencyMs) / 1000) < forgetS) this.#byId.delete(id);
  }

  #ageTombstone(id: string, { untilS }: Tombstone, forgetS: number): void {
    if (untilS < forgetS && !this.#byId.has(id)) this.#tombstones.delete(id);
  }

  #enter(kept: Kept, dead: readonly DeadHandle[]): void {
    kept.dead = [...kept.dead, ...dead];
    for (const { hi, lo } of dead) this.#index.add(hi, lo, kept);
  }

  #unindex(kept: Kept): void {
    for (const { hi, lo } of kept.dead) this.#index.delete(hi, lo, kept);
    kept.dead = [];
  }
}

export function stateOf(record: LockRecord, nowS: number): LockState {
  if (record.lift !== undefined) return 'lifted';
  return isRunning(record, nowS) ? 'in_force' : 'ended';
}

/** Whole seconds: the second that it names is the first one after it. */
function isRunning({ expiresAtS }: LockRecord, nowS: number): boolean {
  return nowS < expiresAtS;
}

function liftOf(lock: string, { lift, untilS }: Tombstone): Folded<LiftEntry> {
  const { position: _position, ...said } = lift;
  return { kind: 'lift', ...said, lock, untilS };
}

function endsLater(left: LockRecord, right: LockRecord): boolean {
  return left.expiresAtS === right.expiresAtS ? left.id < right.id : left.expiresAtS > right.expiresAtS;
}

function textOf({ hi, lo }: DeadHandle): string {
  return `${hi} ${lo}`;
}

function isOther({ body, expiresAtS }: Folded<LockEntry>, known: LockRecord): boolean {
  return body !== known.body || expiresAtS !== known.expiresAtS;
}

function isWider(left: LockRecord, right: LockRecord): boolean {
  return left.expiresAtS === right.expiresAtS ? left.body > right.body : left.expiresAtS > right.expiresAtS;
}

function ofEither(ofWider: readonly Target[], ofOther: readonly Target[]): readonly Target[] {
  const byText = new Map([...ofWider, ...ofOther].map((target) => [canonicalJson(target), target]));
  // As it was said, where one says it all: so has it whoever knows that one alone. Where both do, not as the one that came last.
  const all = [ofWider, ofOther].find(({ length }) => length === byText.size);
  if (all !== undefined) return all;
  return byId(byText).map(([, target]) => target);
}

function recordOf(entry: Folded<LockEntry>, position: Position, lift: LiftRecord | undefined): LockRecord {
  const { id, at, caller, body, targets, expiresAtS, reason } = entry;
  return {
    id,
    position,
    at,
    caller,
    body,
    targets,
    expiresAtS,
    ...(reason === undefined ? {} : { reason }),
    ...(lift === undefined ? {} : { lift }),
  };
}
