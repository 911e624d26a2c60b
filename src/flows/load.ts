/**
 * How a replica begins at a snapshot instead of at the first entry (DESIGN 3.6): a newcomer, and one that was away for so
 * long that what it lacks has been trimmed. The store is believed nothing: the digest is that of the `snapshot` entry, and
 * the log key has signed that. What is here already stays.
 */
import type { Cursor } from '../feed/cursor.ts';
import { besideOf } from '../feed/cursor.ts';
import type { EpochEntry, FeedLine } from '../feed/entry.ts';
import { isSignedBy, parseEntry } from '../feed/entry.ts';
import type { FeedStore, Snapshot } from '../feed/feed-store.ts';
import type { Ledger } from '../feed/ledger.ts';
import { lineAt, linesBetween } from '../feed/ledger.ts';
import { ORIGIN, comparePositions, parsePosition, renderPosition } from '../feed/position.ts';
import type { SnapshotHeader } from '../feed/snapshot.ts';
import { digesting, parseHeader, refused } from '../feed/snapshot.ts';
import type { Clock, Timer } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import { isWritError } from '../kernel/error.ts';
import { canonicalJson } from '../kernel/json.ts';
import type { Log } from '../kernel/log.ts';
import type { Steps } from '../kernel/pace.ts';
import { Pace } from '../kernel/pace.ts';
import type { Carrier } from './carry.ts';
import type { Fold } from './fold.ts';
import type { Follower } from './follow.ts';
import type { Identity } from './identity.ts';
import { SET_ASIDE } from './vouch.ts';

export interface LoadPorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly ledger: Ledger;
  readonly cursor: Cursor;
  readonly follower: Follower;
  readonly fold: Fold;
  readonly carrier: Carrier;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly log: Log;
}

/** A snapshot may be large: after each refusal in a row it is read half as often, from one renewal to the next at first. */
const AGAIN_MS = 250;
const AGAIN_MS_MAX = 10_000;

interface Refusal {
  readonly why: string;
  readonly atMs: number;
}

interface Alone {
  readonly alone: readonly FeedLine[] | undefined;
  readonly missing: ReadonlySet<string>;
}

export class Loader {
  readonly #ports: LoadPorts;
  #refused: Refusal | undefined;
  #againMs = AGAIN_MS;

  constructor(ports: LoadPorts) {
    this.#ports = ports;
  }

  /** Why the store's snapshot was refused when it was read last; undefined where it was not. */
  get refusal(): string | undefined {
    return this.#refused?.why;
  }

  /** Loads what this replica's own ledger begins with, if that is a snapshot. PROOF_INVALID when it is not intact. */
  async restore(): Promise<void> {
    const { ledger, follower } = this.#ports;
    const snapshot = await ledger.snapshot();
    if (snapshot === undefined) return;
    const header = await this.#pace().run(this.#judging(snapshot));
    await follower.load(snapshot, header);
    // A crash may have come before the first line was kept.
    if ((await ledger.read(header.base.position, 1)).length === 0) await follower.apply([header.mark]);
  }

  /**
   * Loads the store's snapshot, if it leads further. False when there is none, or none that can be believed; said. What
   * nobody else has is appended to the open epoch `epochId` before the snapshot takes the place of the ledger; where none is
   * open that cannot be, so false then too.
   */
  async load(epochId?: string): Promise<boolean> {
    const { store, cursor, follower, fold, clock, log } = this.#ports;
    if (this.#refused !== undefined && clock.now().monoMs - this.#refused.atMs < this.#againMs) return false;
    const snapshot = await store.readSnapshot();
    this.#refused = undefined;
    if (snapshot === undefined) return false;
    let header: SnapshotHeader;
    try {
      header = await this.#pace().run(this.#judging(snapshot));
      if (!this.#leadsOn(header, epochId)) return false;
      await this.#assertOfThisRun(header, epochId);
      const missing = await this.#pace().run(fold.lacking(snapshot.chunks.slice(1), header.endedBeforeS));
      const alone = await this.#alone(header.base.opening);
      // Whatever becomes of the snapshot: it may be of another history, and what was proven in this one is not in that.
      if (alone === undefined) fold.doubt();
      if (epochId !== undefined) await this.#carry({ alone, missing }, epochId);
      else if (alone === undefined || alone.length + missing.size + cursor.tails.length > 0) return false;
      await follower.load(snapshot, header, missing);
    } catch (error) {
      if (!isWritError(error, 'PROOF_INVALID')) throw error;
      this.#againMs = Math.min(2 * this.#againMs, AGAIN_MS_MAX);
      this.#refused = { why: error.message, atMs: clock.now().monoMs };
      log.error('the snapshot in the store was refused', { detail: error.message });
      return false;
    }
    this.#againMs = AGAIN_MS;
    await follower.apply([header.mark]);
    log.info('a snapshot was loaded', { position: renderPosition(header.mark.position) });
    return true;
  }

  /**
   * Numbers of two histories say nothing: where the open epoch is not the one here, its own snapshot always leads on (D-144);
   * unless it was left, which none is entered after (D-150).
   */
  #leadsOn({ base: { opening }, mark }: SnapshotHeader, epochId: string | undefined): boolean {
    const { cursor } = this.#ports;
    const isOther = opening.epochId !== cursor.epochId;
    if (isOther && cursor.knows(opening.epochId)) return false;
    return (isOther && opening.epochId === epochId) || comparePositions(mark.position, cursor.position) > 0;
  }

  /** The open epoch was signed for this run of the store, as for a lease: an older one, that this ledger does not go back to, was not. */
  async #assertOfThisRun({ base: { opening } }: SnapshotHeader, epochId: string | undefined): Promise<void> {
    if (opening.epochId !== epochId) return;
    const { runId } = await this.#ports.store.roster();
    if (opening.runId !== runId) throw refused('its epoch is not of this run of the store');
  }

  /**
   * What comes after the place here from which `opening`, the snapshot's epoch, goes on: this replica was away when it was
   * opened, so it is no tail yet. Undefined where that place is not here: whose history it goes on from cannot be told then.
   */
  async #alone({ epochId, base }: EpochEntry): Promise<readonly FeedLine[] | undefined> {
    const { cursor, ledger } = this.#ports;
    const { position } = cursor;
    if (cursor.epochId === undefined || cursor.epochId === epochId) return [];
    const head = base === undefined ? ORIGIN : parsePosition(base.head);
    // It has less of that very epoch than whoever went on.
    if (base?.epochId === cursor.epochId && comparePositions(head, position) > 0) return [];
    const line = await lineAt(ledger, head);
    const isShared = line !== undefined && line.chain === base?.chain;
    return isShared ? linesBetween(ledger, head, position) : undefined;
  }

  /**
   * What only this replica has, into the open epoch: of the same history lines as they are, of any other every fact that the
   * snapshot does not have. PROOF_INVALID while there are any that cannot be appended: the ledger here is the last that has them.
   */
  async #carry({ alone, missing }: Alone, epochId: string): Promise<void> {
    const { carrier, cursor } = this.#ports;
    if (alone !== undefined) {
      await carrier.carry(epochId);
      await carrier.carryAgain(alone, epochId);
    }
    const beside = besideOf(cursor.tails);
    const { left } = await carrier.carryGivenUp({ missing, upTo: cursor.position, beside }, epochId);
    if (left.size > 0) throw refused(lacks(left.size));
  }

  *#judging(snapshot: Snapshot): Steps<SnapshotHeader> {
    const { identity } = this.#ports;
    const sealed = parseEntry(snapshot.entry);
    const { entry } = sealed;
    if (entry.kind !== 'snapshot') throw refused('no snapshot entry names it');
    if ((yield* digesting(snapshot.chunks)) !== entry.digest) throw refused('its digest is another one');
    const header = parseHeader(snapshot.chunks[0]);
    const isThat =
      renderPosition(header.mark.position) === entry.mark &&
      comparePositions(header.mark.position, snapshot.position) === 0 &&
      header.base.opening.epochId === snapshot.epochId;
    if (!isThat) throw refused('it is of another place than it says');
    if (!isSignedBy(sealed, identity.logKey.public))
      throw refused(
        'nobody of this fleet has signed it, or the fleet key here (fleetKeyFile) is another one',
      );
    const { opening, amnesia = opening } = header.base;
    for (const epoch of [opening, amnesia]) {
      if (!isSignedBy({ text: canonicalJson(epoch), entry: epoch }, identity.logKey.public))
        throw refused('nobody of this fleet has opened its epoch');
    }
    if (header.endedBeforeS > epochS(yield)) throw refused('its time is ahead of this clock');
    return header;
  }

  #pace(): Pace {
    return new Pace(this.#ports);
  }
}

function lacks(count: number): string {
  return `it lacks ${count} revocations that came here with another snapshot and cannot be appended again: order them anew, then ${SET_ASIDE}`;
}
