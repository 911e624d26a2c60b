/**
 * The port to whatever keeps the feed. One suite, test/contract/feed-store.ts, runs on every adapter.
 *
 * The rule everything rests on (DESIGN 3.2): granting a lease and returning everything newer than the cursor is
 * ONE atomic step; appending is another; a store runs them one at a time. So a lease granted after an append
 * carries that entry, and a lease granted before it is over `leaseOverMs` after the append replied.
 *
 * Adapters reject with WritError only: STORE_UNREACHABLE (nothing happened), APPEND_UNCERTAIN (it may have).
 * Each call has a deadline of the adapter's own.
 */
import type { FeedLine, SealedEntry } from './entry.ts';
import type { Position } from './position.ts';

export interface StoreFacts {
  /** One lifetime of the store process or file; an epoch is bound to it. */
  readonly runId: string;
  /** True when only this process can hold leases, so a lease table need not be watched before it is believed. */
  readonly exclusive: boolean;
  /** The strongest word an append alone earns here. */
  readonly durability: 'accepted' | 'durable';
  /** A torn tail that was cut at opening, and said. */
  readonly cutTail?: { readonly bytes: number; readonly after: Position };
}

export interface RenewRequest {
  readonly incarnation: string;
  readonly epochId: string;
  /** Up to where this incarnation has applied and fsynced. */
  readonly position: Position;
  readonly chain: string;
  /** Nonces sent since the last answered renewal, this one's last: a lost reply is forgiven, a clone is not. */
  readonly nonces: readonly string[];
  /** This incarnation's latest signed acknowledgement (compact JWS); kept in its row. */
  readonly acknowledgement: string | undefined;
  /** Most lines to return. */
  readonly limit: number;
}

/** One row of the lease table. Rows are counters, not times: the store's clock is never used. */
export interface LeaseRow {
  readonly incarnation: string;
  /** Goes up by one with every granted renewal. */
  readonly renewals: number;
  readonly acknowledgement: string | undefined;
}

export type RenewReply =
  /** The right to say yes, with the last page of what is newer than the cursor. */
  | {
      readonly kind: 'lease';
      readonly lines: readonly FeedLine[];
      readonly head: Position;
      readonly rows: readonly LeaseRow[];
    }
  /** A page; no lease yet: ask again from its last line. */
  | { readonly kind: 'more'; readonly lines: readonly FeedLine[]; readonly head: Position }
  /** No epoch is open, or not the one that was named. `epochId` is the one that is, if any. */
  | { readonly kind: 'closed'; readonly epochId: string | undefined }
  /** This incarnation may hold no lease: it is cloned, forgotten, not (yet) admitted, or its history is not the store's. */
  | { readonly kind: 'stale'; readonly reason: 'cloned' | 'forgotten' | 'unknown' | 'awaiting' | 'diverged' };

export interface AppendReply {
  readonly position: Position;
  readonly chain: string;
  readonly epochId: string;
  readonly runId: string;
  /** True when an entry with this id was already there; the reply is then about that one. */
  readonly duplicate: boolean;
}

/** One reading of the lease table; `line` is the line at `at`, if it is held. */
export interface Roster {
  readonly epochId: string | undefined;
  readonly runId: string;
  readonly head: Position;
  readonly rows: readonly LeaseRow[];
  readonly line: FeedLine | undefined;
}

/** An incarnation's word, in a closed epoch, that everything it holds has been merged (DESIGN 3.4). */
export interface EpochReport {
  readonly incarnation: string;
  readonly closedEpochId: string;
  readonly runId: string;
  readonly position: Position;
  readonly chain: string;
}

export interface OpenEpochRequest {
  /** Compare-and-set: the epoch this one follows, as the opener last saw it; undefined when there was none. */
  readonly closedEpochId: string | undefined;
  readonly runId: string;
  /** Its number is the larger of this (unix seconds) and one more than any the store knows. */
  readonly epochS: number;
  /** The signed `epoch` entry, first of the new epoch. */
  readonly sealed: SealedEntry;
}

export type OpenEpochReply =
  | { readonly kind: 'opened'; readonly position: Position; readonly chain: string }
  /** Somebody was first, or the store's run is another: read the roster and begin again. */
  | { readonly kind: 'lost' };

export interface FeedStore {
  /** Opens once; everything else needs it. DATA_DIR_LOCKED, JOURNAL_CORRUPT or STORE_UNREACHABLE when it cannot be. */
  open(): Promise<StoreFacts>;
  renew(request: RenewRequest): Promise<RenewReply>;
  /** Idempotent by entry id. EPOCH_CLOSED when `epochId` is not the open one. */
  append(epochId: string, sealed: SealedEntry): Promise<AppendReply>;
  /** Resolves when the feed may have grown past `after`, or at the latest when `signal` aborts. A hint only: never safety. */
  wake(after: Position, signal: AbortSignal): Promise<void>;
  roster(at?: Position): Promise<Roster>;
  report(report: EpochReport): Promise<readonly EpochReport[]>;
  openEpoch(request: OpenEpochRequest): Promise<OpenEpochReply>;
  /** The newest snapshot's chunks, or undefined when there is none (the journal needs none: it replays). */
  readSnapshot(): Promise<Snapshot | undefined>;
  writeSnapshot(snapshot: Snapshot): Promise<void>;
  close(): Promise<void>;
}

/** Packed state at a position (DESIGN 3.6); its digest is in a signed `snapshot` entry. */
export interface Snapshot {
  readonly epochId: string;
  readonly position: Position;
  readonly digest: string;
  readonly chunks: readonly Uint8Array[];
}
