/**
 * The port to whatever keeps the feed. One suite, test/contract/feed-store.ts, runs on every adapter.
 *
 * The rule everything rests on (DESIGN 3.2): granting a lease and returning everything newer than the cursor is
 * ONE atomic step; appending is another; a store runs them one at a time. So a lease granted after an append
 * carries that entry, and a lease granted before it is over `leaseOverMs` after the append replied.
 *
 * Adapters reject with WritError only: STORE_UNREACHABLE (nothing was appended), APPEND_UNCERTAIN (it may have
 * been), STORE_BROKEN (nothing was, and nothing will be until this process restarts: give the lease up at once).
 * Each call has a deadline of the adapter's own.
 */
import type { ClockReading } from '../kernel/clock.ts';
import type { FeedLine, LineParts, SealedEntry } from './entry.ts';
import type { Position } from './position.ts';

export interface StoreFacts {
  /**
   * One lifetime of the store process or file, and where its epoch can be closed, which of the openings in it: an epoch is
   * bound to it, and what is said about a closing is about no other. As the roster's `nextRunId` at opening.
   */
  readonly runId: string;
  /** True when only this process can hold leases, so a lease table need not be watched before it is believed. */
  readonly exclusive: boolean;
  /** The strongest word an append alone earns here. */
  readonly durability: 'accepted' | 'durable';
  /** T_split of DESIGN 3.3, where another server of the store may take over: every wait is longer by this. */
  readonly splitMs?: number;
  /** What this store makes weaker, its durability too: for the log, `/readyz` and receipts. */
  readonly weakened?: readonly string[];
  /** A torn tail that was cut at opening, and said. */
  readonly cutTail?: { readonly bytes: number; readonly after: Position };
}

export interface RenewRequest {
  readonly incarnation: string;
  /** The epoch this incarnation goes by, as a roster or a `closed` named it; its cursor may still be in an earlier one. */
  readonly epochId: string;
  /**
   * Up to where this incarnation has applied and fsynced: a line the store holds and the chain there, or ORIGIN
   * and CHAIN_START for everything the store holds, earlier epochs first.
   */
  readonly position: Position;
  readonly chain: string;
  /** The epoch that `position` is in; undefined at ORIGIN. Numbers of two histories say nothing about each other. */
  readonly cursorEpochId: string | undefined;
  /**
   * The nonce of the last answered renewal (if there was one), then those sent since, this one's last. The store
   * finds the nonce it took last among them: a lost reply is forgiven, a clone is not. So none may be left out: whose
   * list has grown too long repeats its last nonce instead of adding one, until it is answered.
   */
  readonly nonces: readonly string[];
  /** This incarnation's latest signed acknowledgement (compact JWS); kept in its row until a newer one comes. */
  readonly acknowledgement: string | undefined;
  /** Most lines to return. */
  readonly limit: number;
}

/** One row of the lease table. Rows are counters, not times: the store's clock is never used. */
export interface LeaseRow {
  readonly incarnation: string;
  /** Goes up by one with every granted renewal, and with every page for who has been granted one. */
  readonly renewals: number;
  readonly acknowledgement: string | undefined;
}

export type RenewReply =
  /**
   * The right to say yes, with the last page of what is newer than the cursor, and every row after this grant. Whether a
   * first one may be taken is not the store's to say (flows/vouch.ts).
   */
  | ({ readonly kind: 'lease'; readonly lines: readonly FeedLine[]; readonly head: Position } & Granted)
  /**
   * A page: ask again from its last line. Empty when a later renewal has superseded this one. To who has been granted a lease of
   * this epoch it is another one as soon as everything up to `head` is applied, and until then none.
   */
  | {
      readonly kind: 'more';
      readonly lines: readonly FeedLine[];
      readonly head: Position;
      readonly granted?: Granted | undefined;
    }
  /**
   * No epoch is open, or not the one that was named, or the cursor is in it and the store has no such line there, which
   * closes it. `epochId` is the one that is open, if any.
   */
  | { readonly kind: 'closed'; readonly epochId: string | undefined }
  /**
   * This incarnation may hold no lease. For good: `cloned`, `forgotten` (or left). Until something changes: `unknown`
   * (no `joined` entry), `trimmed` (what follows the cursor is held no longer: the snapshot has it).
   */
  | { readonly kind: 'stale'; readonly reason: StaleReason };

export interface Granted {
  readonly rows: readonly LeaseRow[];
  /** Of the store that grants it: the signed entry that opened the epoch names this one, or somebody lies. */
  readonly runId: string;
}

export interface PreparedRenewal {
  /** What came of it; undefined: it was not sent, and never will be. Rejects as `renew` does. To be called once. */
  take(): Promise<SentRenewal | undefined>;
}

export interface SentRenewal {
  readonly reply: RenewReply;
  /** Before the request was written, as this process's clocks said, or a little earlier. */
  readonly sent: ClockReading;
}

export type StaleReason = 'cloned' | 'forgotten' | 'unknown' | 'trimmed';

export interface AppendReply {
  readonly position: Position;
  readonly chain: string;
  readonly epochId: string;
  readonly runId: string;
  /** True when an entry with this id was already there; the reply is then about that one. */
  readonly duplicate: boolean;
}

export interface ForgetRequest {
  readonly epochId: string;
  /** Compare-and-set: as often as its row was seen to renew in this epoch; 0 for one that has no row. */
  readonly renewals: number;
  /** The signed `replica` entry with the event `forgotten`. */
  readonly sealed: SealedEntry;
}

export type ForgetReply =
  | { readonly kind: 'forgotten'; readonly position: Position; readonly chain: string }
  /** It has renewed since, is gone already, or was never admitted. */
  | { readonly kind: 'lost' };

/** One reading of the lease table; `line` is the line at `at`, if it is held, as the text that it is. */
export interface Roster {
  /** The open epoch. */
  readonly epochId: string | undefined;
  /** Where none is open, the newest one the store still holds: what openEpoch has to name. */
  readonly closedEpochId: string | undefined;
  /** What the open epoch is bound to; where none is open, as the next. */
  readonly runId: string;
  /** What the next epoch is bound to: openEpoch has to name it. */
  readonly nextRunId: string;
  readonly head: Position;
  readonly rows: readonly LeaseRow[];
  readonly line: LineParts | undefined;
}

/** An incarnation's word, in a closed epoch, that everything it holds has been merged (DESIGN 3.4). */
export interface EpochReport {
  readonly incarnation: string;
  readonly closedEpochId: string;
  readonly runId: string;
  readonly position: Position;
  readonly chain: string;
  /** The same, signed by whose data directory it is: the store is believed nothing of it. */
  readonly statement?: string;
}

export interface OpenEpochRequest {
  /** Compare-and-set: the newest epoch the store holds, open or closed, as its roster said; undefined for none. */
  readonly closedEpochId: string | undefined;
  readonly runId: string;
  /** Its number is the larger of this (unix seconds) and one more than that of the epoch that it continues. */
  readonly epochS: number;
  /** The signed `epoch` entry, first of the new epoch; its `runId` is the one above. */
  readonly sealed: SealedEntry;
  /** The copy of the history that it continues: compare-and-set as well. Absent: what is there. */
  readonly restored?: RestoredHead;
}

/** One copy of the history in a closed store, and its end. */
export interface RestoredHead {
  /** Names the copy, as `restore` answered; `current` for the one there is. */
  readonly copy: string;
  /** The epoch in which it ends; undefined for an empty one. Of the current copy it is the closed one from now on. */
  readonly epochId: string | undefined;
  readonly position: Position;
  readonly chain: string;
}

export interface RestoreRequest {
  /** Compare-and-set, as the roster said. */
  readonly runId: string;
  readonly closedEpochId: string | undefined;
  /**
   * `current`: the copy that the store has. `staged`: the newest beside it, which others put back too; `new`: another
   * one beside it, from the first line on. Else one that was answered.
   */
  readonly copy: string;
  /** They are in the copy already, or continue it; none: asks for its head. */
  readonly lines: readonly FeedLine[];
  /** The epoch of the first of them, where it begins an empty copy: what comes before it is in a snapshot. */
  readonly begins?: string | undefined;
  /** What the copy has after this place is wanted, at most `limit` lines of it. */
  readonly after: Position;
  readonly limit: number;
}

export type RestoreReply =
  | { readonly kind: 'restored'; readonly head: RestoredHead; readonly newer: readonly FeedLine[] }
  /** What is there is no beginning of these lines: somebody else has written there. */
  | { readonly kind: 'other' }
  /** An epoch is open by now, or the run is another: read the roster. */
  | { readonly kind: 'lost' };

export type OpenEpochReply =
  | { readonly kind: 'opened'; readonly position: Position; readonly chain: string }
  /** Somebody was first (it may have been this very request, its reply lost), or the run is another: read the roster. */
  | { readonly kind: 'lost' };

export interface FeedStore {
  /** Opens once; everything else needs it. DATA_DIR_LOCKED, JOURNAL_CORRUPT or STORE_UNREACHABLE when it cannot be. */
  open(): Promise<StoreFacts>;
  renew(request: RenewRequest): Promise<RenewReply>;
  /**
   * Renews by itself once the feed has grown past the request's position, until it is taken: where another thread hears the
   * news, it need not wait for a turn of this one. Absent where none does.
   */
  prepare?(request: RenewRequest): PreparedRenewal;
  /**
   * Idempotent by entry id within the open epoch: what a closed one holds and is appended again is written again,
   * so that the reply always names a place in the open one. EPOCH_CLOSED when `epochId` is not the open one. Never
   * an `epoch` entry.
   */
  append(epochId: string, sealed: SealedEntry): Promise<AppendReply>;
  /**
   * Appends that an incarnation is forgotten, unless it has renewed since it was looked at: one atomic step, so who was
   * granted a lease meanwhile keeps it, and who is forgotten is granted none. Rejects as `append` does.
   */
  forget(request: ForgetRequest): Promise<ForgetReply>;
  /** Resolves when the feed may have grown past `after`, or at the latest when `signal` aborts. A hint only: never safety. */
  wake(after: Position, signal: AbortSignal): Promise<void>;
  roster(at?: Position): Promise<Roster>;
  /** Keeps the report if it names this run, and returns all that were kept about its closed epoch. */
  report(report: EpochReport): Promise<readonly EpochReport[]>;
  /**
   * Puts back into a closed store, line by line as they were, what it has lost (DESIGN 3.4), and brings what it has more.
   * Positions and chains stay, so whoever followed goes on. Nothing of a copy beside the current one is seen before an epoch is opened on it.
   */
  restore(request: RestoreRequest): Promise<RestoreReply>;
  /** Clears the lease table and the reports. APPEND_UNCERTAIN when the fate is unknown: the roster tells. */
  openEpoch(request: OpenEpochRequest): Promise<OpenEpochReply>;
  /** The newest snapshot, or undefined when there is none (the journal needs none: it replays). */
  readSnapshot(): Promise<Snapshot | undefined>;
  /** Keeps it if it is the newest. A store that never trims may decline by resolving: then nobody can read one. */
  writeSnapshot(snapshot: Snapshot): Promise<void>;
  /**
   * From now on lines before the snapshot's mark may go, all but the `keep` that are newest before it. Nothing happens unless
   * that snapshot is the one that is kept. They go as entries are appended, a few with each.
   */
  trim(snapshot: Pick<Snapshot, 'position' | 'digest'>, keep: number): Promise<void>;
  close(): Promise<void>;
}

/** The fold at a mark (DESIGN 3.6, feed/snapshot.ts). */
export interface Snapshot {
  readonly epochId: string;
  /** Of the mark. */
  readonly position: Position;
  readonly digest: string;
  /** The text of the signed `snapshot` entry that names the digest. */
  readonly entry: string;
  readonly chunks: readonly Uint8Array[];
}
