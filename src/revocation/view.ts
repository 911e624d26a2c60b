/**
 * A replica's fold of the feed's revocations: what is dead, and which revocation says so. Fed by the follower,
 * asked at every decision. It knows no lease, no expiry and no policy, so it never says `unknown`, and nothing in
 * it ever makes what was dead alive before its end.
 *
 * Entries merge by union, so any order, any number of times and any mixture of sources ends in the same state. One
 * record is kept for each entry and 16 or 20 bytes for each handle, never an object for each target.
 */
import type { Fingerprinter, HandleSet } from '../credential/handle.ts';
import type { FeedLine, LockEntry, RevocationEntry, Target } from '../feed/entry.ts';
import type { Position } from '../feed/position.ts';
import { renderPosition } from '../feed/position.ts';
import { LIMITS } from '../kernel/limits.ts';
import { WritError } from '../kernel/error.ts';
import type { Steps } from '../kernel/pace.ts';
import { runAtOnce } from '../kernel/pace.ts';
import type { DeadHandle } from './cutoff.ts';
import { isDeadUnder } from './cutoff.ts';
import type { EndingHandle } from './ending.ts';
import { endingHandles, unpackEnding } from './ending.ts';
import type { FoldedLock } from './locks.ts';
import { Locks } from './locks.ts';
import type { KeptRecord, ListOptions, RevocationRecord } from './records.ts';
import { RevocationRecords } from './records.ts';
import type { TableLayout, TableRecord } from './table.ts';
import { FingerprintTable, NEVER_S, SHARDS } from './table.ts';
import type { RevocationRef, RevocationVerdict } from './verdict.ts';
import { word } from './word.ts';

/** What one entry made dead: all that a kill, a purge and the watch for late accepts need. */
export interface AppliedRevocation {
  readonly id: string;
  readonly position: Position;
  /** Of the strictest of its targets; `locked` for a lock. */
  readonly reason: RevocationRef['reason'];
  /** Every handle of every target. */
  readonly dead: readonly DeadHandle[];
  /** Of a lock: the second from which on it is over. */
  readonly expiresAtS?: number;
}

/** What is remembered of a revocation and of a lock alike. */
export type OrderRecord = Pick<RevocationRecord, 'id' | 'position' | 'at' | 'body'>;

/** A view as a snapshot takes it: references are places among the records. */
export interface PackedView {
  readonly records: readonly KeptRecord[];
  /** One for each shard. */
  readonly plain: Uint8Array[];
  readonly cutoff: Uint8Array[];
}

/** Of the strictest of what is dead. */
export function reasonOf(dead: readonly DeadHandle[]): 'revoked' | 'cutoff' {
  return dead.some(({ cutoffS }) => cutoffS === undefined) ? 'revoked' : 'cutoff';
}

function withoutCutoff({ hi, lo }: DeadHandle): DeadHandle {
  return { hi, lo, cutoffS: undefined };
}

const CLEAR: RevocationVerdict = { state: 'clear' };

export class RevocationView {
  readonly #fingerprinter: Fingerprinter;
  readonly #records = new RevocationRecords();
  readonly #plain = new FingerprintTable('plain', (ref, other) => this.#records.isBefore(ref, other));
  readonly #cutoffs = new FingerprintTable('cutoff', (ref, other) => this.#records.isBefore(ref, other));
  /** Those that can be lifted. */
  readonly locks = new Locks();
  #sweptShard = 0;

  constructor(fingerprinter: Fingerprinter) {
    this.#fingerprinter = fingerprinter;
  }

  /** Handles in the index. */
  get size(): number {
    return this.#plain.size + this.#cutoffs.size;
  }

  /** Bytes of memory behind the index, records not counted. */
  get bytes(): number {
    return this.#plain.bytes + this.#cutoffs.bytes;
  }

  /**
   * Takes in a `revocation`, `lock` or `lift` entry, in pieces: what is dead by a part of it is dead at once, and it is
   * all in at the end. Says what it made dead; undefined for any other kind, for a lift, and for a lock that was lifted
   * before it came. Idempotent: a second time says the same again.
   */
  *applying(line: FeedLine): Steps<AppliedRevocation | undefined> {
    const { entry } = line.sealed;
    switch (entry.kind) {
      case 'revocation':
        return yield* this.#applyRevocation(entry, line);
      case 'lock':
        return yield* this.#applyLock(entry, line.position);
      case 'lift':
        this.locks.lift(entry, line.position);
        return undefined;
      default:
        return undefined;
    }
  }

  *#applyRevocation(entry: RevocationEntry, { position, reading }: FeedLine): Steps<AppliedRevocation> {
    const bulk = reading?.bulk;
    const dead = bulk === undefined ? yield* this.#endingHandles(entry.targets) : unpackEnding(bulk.ending);
    const endS = dead.reduce((latest, { untilS }) => Math.max(latest, untilS), 0);
    const ref = this.#records.keep(entry, {
      position,
      targetsCount: bulk?.targetsCount ?? entry.targets.length,
      targetsEndS: endS === NEVER_S ? Number.POSITIVE_INFINITY : endS,
    });
    for (const [i, { hi, lo, cutoffS, untilS }] of dead.entries()) {
      if (i % LIMITS.piecesMax === 0) yield;
      const table = cutoffS === undefined ? this.#plain : this.#cutoffs;
      table.merge(hi, lo, { untilS, ref, cutoffS: cutoffS ?? NEVER_S });
    }
    return { id: entry.id, position, reason: reasonOf(dead), dead };
  }

  *#applyLock(entry: LockEntry, position: Position): Steps<AppliedRevocation | undefined> {
    const { id, expiresAtS } = entry;
    const handles = yield* this.#endingHandles(entry.targets);
    // Whatever their `iat`: a lock has no cutoff.
    const dead = handles.map(withoutCutoff);
    return this.locks.lock(entry, position, dead)
      ? { id, position, reason: 'locked', dead, expiresAtS }
      : undefined;
  }

  /** The locks in force at `nowS`, as `apply` said them. */
  lockedNow(nowS: number): AppliedRevocation[] {
    return this.locks.inForce(nowS).map(({ record, dead }) => {
      const { id, position, expiresAtS } = record;
      return { id, position, reason: 'locked', dead, expiresAtS };
    });
  }

  /** What `targets` would make dead. Nothing is changed. */
  deadHandles(targets: readonly Target[]): Steps<readonly DeadHandle[]> {
    return this.#endingHandles(targets);
  }

  /**
   * Whether any of `handles` is dead at `nowS` for a credential issued at `issuedAtS` (undefined: dead under any
   * cutoff). `clear` or `revoked`, never `unknown`. Of several, one without a cutoff is named before one with, of those
   * the strictest, and a lock last: it may end, and what is named first never does. Synchronous, and allocates nothing
   * while no handle is in the index.
   */
  verdict(handles: HandleSet, issuedAtS: number | undefined, nowS: number): RevocationVerdict {
    const plain = this.#firstPlain(handles);
    if (plain !== undefined) return this.#revoked(plain, 'revoked');
    const cutoff = this.#strictestCutoff(handles, issuedAtS);
    if (cutoff !== undefined) return this.#revoked(cutoff, 'cutoff');
    return this.locks.size === 0 ? CLEAR : this.#locked(handles, nowS);
  }

  /** What stands after `end` is in this history no more: what was lifted by it is locked again. True when anything was. */
  lose(end: Position): boolean {
    return this.locks.lose(end, (targets) => this.#locking(targets));
  }

  /** And its place is where it comes next. */
  displace(end: Position): void {
    this.#records.displace(end);
    this.locks.displace(end);
  }

  /** The record of a revocation that was applied and has not left. */
  record(id: string): RevocationRecord | undefined {
    return this.#records.lookup(id);
  }

  /** Where the entry of a revocation or lock stands, when it was sealed, and the digest of what was asked. */
  placeOf(id: string): OrderRecord | undefined {
    return this.#records.lookup(id) ?? this.locks.record(id);
  }

  records(options: ListOptions): readonly RevocationRecord[] {
    return this.#records.list(options);
  }

  /**
   * One slice of letting go what ended before `nowS`, by the clock that never goes back: one shard of 1,024 and as
   * large a part of the records. What ended before `forgetS` goes; locks that are over leave the index. Call it from a timer; 1,024 calls are a round. A record goes once the index entries
   * of its targets are gone, it is older than an Idempotency-Key lives, and a whole round found no reference to it.
   */
  sweep(nowS: number, forgetS = nowS): void {
    const mark = (ref: number): void => this.#records.mark(ref);
    this.#plain.sweep(forgetS, this.#sweptShard, mark);
    this.#cutoffs.sweep(forgetS, this.#sweptShard, mark);
    this.#records.age(forgetS, Math.ceil(this.#records.size / SHARDS) + 1);
    this.locks.sweep(nowS, forgetS);
    this.#sweptShard = (this.#sweptShard + 1) % SHARDS;
    if (this.#sweptShard === 0) this.#records.nextRound();
  }

  /** Lets go, in pieces, of all that ended before `nowS`: what is left depends on the entries alone. */
  *pruning(nowS: number): Steps<void> {
    const referenced = new Uint8Array(this.#records.refs);
    const mark = (ref: number): void => void (referenced[ref] = 1);
    for (let shard = 0; shard < SHARDS; shard++) {
      if (this.#isEmpty(shard)) continue;
      yield;
      this.#plain.sweep(nowS, shard, mark);
      this.#cutoffs.sweep(nowS, shard, mark);
    }
    yield* this.#records.prune(nowS, (ref) => referenced[ref] === 1);
    this.locks.prune(nowS);
  }

  /** All that is in it but the locks, in an order that depends on nothing else. It must not change meanwhile. */
  *packing(): Steps<PackedView> {
    const records = yield* this.#records.all();
    const places = new Uint32Array(this.#records.refs);
    for (const [i, { ref }] of records.entries()) places[ref] = i;
    const packed: PackedView = { records, plain: [], cutoff: [] };
    for (let shard = 0; shard < SHARDS; shard++) {
      if (!this.#isEmpty(shard)) yield;
      packed.plain.push(this.#plain.pack(shard, (ref) => word(places, ref)));
      packed.cutoff.push(this.#cutoffs.pack(shard, (ref) => word(places, ref)));
    }
    return packed;
  }

  #isEmpty(shard: number): boolean {
    return this.#plain.isEmpty(shard) && this.#cutoffs.isEmpty(shard);
  }

  /** Takes in a record that another replica packed; what it returns stands for it in `unpacking`. */
  restoreRecord(record: RevocationRecord, endS: number): number {
    return this.#records.restore(record, endS);
  }

  /** Takes in what `packing` made of one table: by union, as an entry. `refs`: the restored records, in their order. */
  *unpacking(layout: TableLayout, bytes: Uint8Array, refs: readonly number[]): Steps<void> {
    const table = layout === 'plain' ? this.#plain : this.#cutoffs;
    if (bytes.length % table.recordBytes !== 0)
      throw new WritError('PROOF_INVALID', 'a packed record is cut');
    yield* table.unpack(bytes, (place) => {
      const ref = refs[place];
      if (ref === undefined) throw new WritError('PROOF_INVALID', 'a packed record refers to nothing');
      return ref;
    });
  }

  /** Takes in a lock or a lift that another replica folded. */
  restoreLock({ entry, position }: FoldedLock): void {
    if (entry.kind === 'lift') {
      this.locks.lift(entry, position);
      return;
    }
    this.locks.lock(entry, position, this.#locking(entry.targets));
  }

  #locking(targets: readonly Target[]): readonly DeadHandle[] {
    return runAtOnce(this.#endingHandles(targets)).map(withoutCutoff);
  }

  #firstPlain({ prints, cutoffFrom }: HandleSet): TableRecord | undefined {
    for (let i = 0; i < cutoffFrom; i++) {
      const found = this.#plain.lookup(word(prints, 2 * i), word(prints, 2 * i + 1));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #strictestCutoff(
    { prints, cutoffFrom }: HandleSet,
    issuedAtS: number | undefined,
  ): TableRecord | undefined {
    let strictest: TableRecord | undefined;
    for (let at = 2 * cutoffFrom; at < prints.length; at += 2) {
      const found = this.#cutoffs.lookup(word(prints, at), word(prints, at + 1));
      if (found === undefined || !isDeadUnder(found.cutoffS, issuedAtS)) continue;
      if (strictest === undefined || found.cutoffS > strictest.cutoffS) strictest = found;
    }
    return strictest;
  }

  #revoked({ ref }: TableRecord, reason: 'revoked' | 'cutoff'): RevocationVerdict {
    const { id, position } = this.#records.at(ref);
    return { state: 'revoked', by: { id, reason, position: renderPosition(position) } };
  }

  #locked(handles: HandleSet, nowS: number): RevocationVerdict {
    const lock = this.locks.find(handles, nowS);
    if (lock === undefined) return CLEAR;
    const { id, position } = lock;
    return { state: 'revoked', by: { id, reason: 'locked', position: renderPosition(position) } };
  }

  #endingHandles(targets: readonly Target[]): Steps<readonly EndingHandle[]> {
    return endingHandles(targets, this.#fingerprinter);
  }
}
