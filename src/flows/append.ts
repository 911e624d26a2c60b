/** Seals an entry as this incarnation and appends it to the open epoch. The one way out of this process into the feed. */
import type { Cursor } from '../feed/cursor.ts';
import type {
  Entry,
  Folded,
  LockEntry,
  PermittingKind,
  SealedEntry,
  UngrantEntry,
  UnsignedEntry,
} from '../feed/entry.ts';
import { isLogSigned, isPermitting, sealEntry, sealing } from '../feed/entry.ts';
import type { AppendReply, FeedStore } from '../feed/feed-store.ts';
import type { Lease } from '../feed/lease.ts';
import type { Clock, Instant } from '../kernel/clock.ts';
import { renderInstant } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import type { SigningKey } from '../kernel/key.ts';
import type { Steps } from '../kernel/pace.ts';
import { runAtOnce } from '../kernel/pace.ts';
import type { Identity } from './identity.ts';

export interface AppendPorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly cursor: Cursor;
  readonly lease: Lease;
  readonly clock: Clock;
}

/** An entry that the store has; `at` is when it said so, and every bound counts from there. */
export interface Appended extends AppendReply {
  readonly sealed: SealedEntry;
  readonly at: Instant;
}

/** An entry, or what a fold goes on to hold of one: there its signature is gone. */
export type Said = Entry | ((Folded<LockEntry> | Folded<UngrantEntry>) & { readonly sig?: never });

type Facts<T> = T extends { readonly kind: PermittingKind }
  ? Omit<T, 'v' | 'at' | 'by' | 'epochId'>
  : T extends unknown
    ? Omit<T, 'v' | 'at' | 'by'>
    : never;

export class Appender {
  readonly #ports: AppendPorts;

  constructor(ports: AppendPorts) {
    this.#ports = ports;
  }

  seal(facts: Facts<UnsignedEntry>): SealedEntry {
    return runAtOnce(this.sealing(facts));
  }

  /** A fact that somebody else has signed, or that a fold holds, as this incarnation says it. */
  sealAgain({ sig: _sig, ...facts }: Said): SealedEntry {
    const entry: UnsignedEntry = { ...facts, v: 1, by: this.#ports.identity.incarnation };
    return sealEntry(entry, this.#keyFor(entry));
  }

  /** In pieces: for what may have a thousand targets. What permits is for the open epoch alone; EPOCH_CLOSED before the first. */
  *sealing(facts: Facts<UnsignedEntry>): Steps<SealedEntry> {
    const { identity, cursor, clock } = this.#ports;
    const bound = isPermitting(facts) ? { epochId: openIn(cursor) } : {};
    const entry = {
      ...facts,
      ...bound,
      v: 1,
      at: renderInstant(clock.now().wallMs),
      by: identity.incarnation,
    } as UnsignedEntry;
    return yield* sealing(entry, this.#keyFor(entry));
  }

  #keyFor(entry: UnsignedEntry): SigningKey {
    const { logKey, key } = this.#ports.identity;
    return isLogSigned(entry) ? logKey : key;
  }

  /** EPOCH_CLOSED before an epoch is open, FENCED without a lease; otherwise as the store says. */
  async append(sealed: SealedEntry): Promise<Appended> {
    const { cursor, lease, clock } = this.#ports;
    const epochId = openIn(cursor);
    if (!lease.isFresh(clock.now()))
      throw new WritError('FENCED', 'this replica holds no lease: /readyz says why');
    return this.appendUnfenced(epochId, sealed);
  }

  /** For the entries that come before any lease: the one that admits this incarnation. */
  async appendUnfenced(epochId: string, sealed: SealedEntry): Promise<Appended> {
    const reply = await this.#ports.store.append(epochId, sealed);
    return { ...reply, sealed, at: this.#ports.clock.now() };
  }
}

/** The id of the epoch that is applied here; EPOCH_CLOSED before the first. */
export function openIn({ epochId }: Cursor): string {
  if (epochId !== undefined) return epochId;
  throw new WritError('EPOCH_CLOSED', 'the feed has no open epoch: /readyz says what it waits for');
}
