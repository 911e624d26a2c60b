/**
 * Whether this incarnation may take its first lease of an epoch. A store can be made to show a newcomer a beginning of
 * the history, in which what was enforced later is missing (a hostile client with our rights can); so its word alone admits
 * nobody. Another incarnation that holds a lease has to have signed that it applied our `joined` entry, on this very
 * history: then nobody who enforces is unknown to everyone else, and nobody enforces less than the others (DESIGN 3.2,
 * THREATS 10.6). Where nobody holds one, everyone who may come to has to have. Called by renew.ts before a lease is adopted.
 */
import { verifyAcknowledgement } from '../evidence/acknowledgement.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { EpochEntry } from '../feed/entry.ts';
import type { LeaseRow } from '../feed/feed-store.ts';
import type { Ledger } from '../feed/ledger.ts';
import { lineAt } from '../feed/ledger.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { comparePositions, parsePosition } from '../feed/position.ts';
import type { Identity } from './identity.ts';

/** In the data directory: the newest epoch of which a lease was held with it. Durable when `keep` resolves. */
export interface HeldEpoch {
  readonly epochId: string | undefined;
  /** It was left, or is about to be: others may go on without this directory. */
  readonly isLeft: boolean;
  /** It was made together with the replica's key, and no lease of any epoch was held with that since. */
  readonly isNew: boolean;
  keep(epochId: string, isLeft: boolean): Promise<void>;
}

/** How a replica begins anew, with nothing of what it had. */
export const SET_ASIDE =
  'stop it, move `ledger`, `ledger-*` and `held-epoch` out of its dataDir, and start it again';

export interface VouchPorts {
  readonly identity: Identity;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly ledger: Ledger;
  readonly held: HeldEpoch;
  /** True when no store but this process's own can grant leases: there is nobody to vouch, and nobody to be misled by. */
  readonly exclusive: boolean;
}

export class Vouching {
  readonly #ports: VouchPorts;

  constructor(ports: VouchPorts) {
    this.#ports = ports;
  }

  /** `rows`: as they came with the lease. `joinedAt`: where this incarnation joined this epoch. Rejects as the disk does. */
  async admits(opening: EpochEntry, joinedAt: Position, rows: readonly LeaseRow[]): Promise<boolean> {
    const { held, exclusive } = this.#ports;
    const isKnown = exclusive || this.isHolder(opening);
    if (!isKnown && !(await this.#isHeardOf(opening, joinedAt, rows))) return false;
    if (held.epochId !== opening.epochId || held.isLeft) await held.keep(opening.epochId, false);
    return true;
  }

  /** Whether a lease of that epoch was held with this data directory, or it was opened with it, and it was not left since. */
  isHolder({ epochId, by, key }: EpochEntry): boolean {
    const { held, identity } = this.#ports;
    if (held.epochId === epochId) return !held.isLeft;
    // Whoever died before it had joined what it opened is known to nobody by its incarnation.
    return key === identity.key.public.x || this.#isOurs(by);
  }

  /** Before `left` is said: from then on somebody may enforce what this directory will never know. */
  async leave(epochId: string): Promise<void> {
    await this.#ports.held.keep(epochId, true);
  }

  /** It could not be said. */
  async stay(epochId: string): Promise<void> {
    await this.#ports.held.keep(epochId, false);
  }

  /** Whoever opened the epoch had everything that was enforced before it (reopen.ts). */
  #isOurs(incarnation: string): boolean {
    const { identity, members } = this.#ports;
    return incarnation === identity.incarnation || members.keyOf(incarnation)?.x === identity.key.public.x;
  }

  /** By one who holds a lease, or else by everyone who may ever be given one: each signed that it applied our `joined` entry. */
  async #isHeardOf(
    { epochId, by }: EpochEntry,
    joinedAt: Position,
    rows: readonly LeaseRow[],
  ): Promise<boolean> {
    const { members } = this.#ports;
    const heardBy = new Set<string>();
    for (const { incarnation, acknowledgement } of rows) {
      if (acknowledgement === undefined || this.#isOurs(incarnation)) continue;
      const said = verifyAcknowledgement(acknowledgement, (one) => members.keyOf(one));
      if (said?.incarnation !== incarnation || said.epochId !== epochId) continue;
      const at = parsePosition(said.position);
      if (comparePositions(at, joinedAt) < 0 || !(await this.#isOurHistory(at, said.chain))) continue;
      if (said.leased === true) return true;
      heardBy.add(incarnation);
    }
    return this.#isByAll(by, heardBy);
  }

  /**
   * Everyone else, the opener too, has said goodbye, and fenced itself before it did; or is here with all that it has on its disk
   * and goes on from this very history: what anybody enforced is in that (D-199). Who is silent may know of more.
   */
  #isByAll(opener: string, heardBy: ReadonlySet<string>): boolean {
    const { members } = this.#ports;
    const others = members.list().filter(({ incarnation }) => !this.#isOurs(incarnation));
    return (
      members.lookup(opener) !== undefined &&
      others.every(({ state, incarnation }) => state !== 'joined' || heardBy.has(incarnation))
    );
  }

  async #isOurHistory(at: Position, chain: string): Promise<boolean> {
    return (await lineAt(this.#ports.ledger, at))?.chain === chain;
  }
}
