/**
 * What this replica can say of every incarnation on the roster: whether it may still say yes, how far it is, how its
 * clock stands. Judged by our own clock and memory, from readings of the lease table; never by the store's clock.
 * Called by whoever shows the fleet; nothing is enforced on the strength of it.
 */
import type { Cursor } from '../feed/cursor.ts';
import type { Lease, LeaseTerm } from '../feed/lease.ts';
import { leaseOverMs } from '../feed/lease.ts';
import type { Member, Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { parsePosition } from '../feed/position.ts';
import type { Clock, Instant } from '../kernel/clock.ts';
import type { LeaseTable, WatchedRow } from './barrier.ts';
import type { Identity } from './identity.ts';

/**
 * `live`: it has renewed within half a lease. `waiting`: it has, and by its own last word holds no lease yet.
 * `outstanding`: it has not, and may still hold one. `fenced`: it surely holds none.
 * `succeeded`: neither, and another incarnation goes on with its data, of which nothing was heard yet. `unknown`: we have no reading of our own to judge by.
 */
export const SIGHT_STATES = [
  'live',
  'waiting',
  'outstanding',
  'fenced',
  'succeeded',
  'left',
  'forgotten',
  'unknown',
] as const;
export type SightState = (typeof SIGHT_STATES)[number];

export interface Sight {
  readonly replica: string;
  readonly incarnation: string;
  readonly isSelf: boolean;
  readonly state: SightState;
  /** By its own clock. */
  readonly joinedAt: string;
  /** Up to where it has acknowledged; ourselves: applied. */
  readonly position: Position | undefined;
  /** Entries that we have applied and it has not acknowledged. */
  readonly lag: number | undefined;
  /** Ourselves: for how long the lease is surely good. */
  readonly freshForMs: number | undefined;
  /** The others: for how long, at most, theirs may be. */
  readonly mayAllowForMs: number | undefined;
  /** Wall time from which on it surely held no lease. */
  readonly fencedSinceMs: number | undefined;
  /** Its clock is ahead of ours by `aheadMs` at least, and by `withinMs` more at most, unless its word was longer on its way. */
  readonly clock: { readonly aheadMs: number; readonly withinMs: number } | undefined;
  /** Live sessions that it was to end and has no proof of. */
  readonly unconfirmed: number | undefined;
}

export interface SurveyPorts {
  readonly identity: Identity;
  readonly members: Members;
  readonly table: LeaseTable;
  readonly cursor: Cursor;
  readonly lease: Lease;
  readonly term: LeaseTerm;
  readonly clock: Clock;
}

export class Surveyor {
  readonly #ports: SurveyPorts;

  constructor(ports: SurveyPorts) {
    this.#ports = ports;
  }

  /** By name, then in the order in which they joined: several rows of one name are several processes, or restarts. */
  look(): readonly Sight[] {
    const { members, table, clock } = this.#ports;
    const now = clock.now();
    return members
      .list()
      .map((member) => ({ ...member, state: members.settledState(member) }))
      .filter(({ state, incarnation }) => state === 'joined' || table.row(incarnation) !== undefined)
      .map((member) => this.#see(member, table.row(member.incarnation), now))
      .filter(({ state, incarnation }) => state !== 'succeeded' || !this.#isSpokenFor(incarnation))
      .sort((a, b) => (a.replica < b.replica ? -1 : a.replica > b.replica ? 1 : 0));
  }

  /** Whether its sessions are counted by who goes on with its data, or that one has said goodbye, and has none. */
  #isSpokenFor(incarnation: string): boolean {
    const { table } = this.#ports;
    const heard = table.acknowledgements().map((said) => said.incarnation);
    return heard.some((one) => table.goesOn(one, incarnation)) || table.hasLeft(incarnation, true);
  }

  #see(member: Member, row: WatchedRow | undefined, now: Instant): Sight {
    const { identity, cursor } = this.#ports;
    const { replica, incarnation, joinedAt } = member;
    const isSelf = incarnation === identity.incarnation;
    const said = row?.acknowledgement;
    const position = isSelf ? cursor.position : said === undefined ? undefined : parsePosition(said.position);
    return {
      replica,
      incarnation,
      isSelf,
      joinedAt,
      position,
      lag: position === undefined ? undefined : lagOf(cursor.position, position),
      clock: isSelf ? undefined : clockOf(row),
      unconfirmed: said?.outcomes.reduce((sum, { unconfirmed }) => sum + unconfirmed, 0),
      ...(isSelf ? this.#ownLease(now) : this.#leaseOf(member, row, now)),
    };
  }

  #ownLease(now: Instant): LeaseSight {
    const { lease, term } = this.#ports;
    const freshForMs = Math.floor(lease.freshForMs(now));
    // One that was given up before its time is over since then; when that was is not kept.
    const overMs = lease.staleForMs(now) - (term.leaseMs - term.epsMs);
    const isOver = overMs > 0 && Number.isFinite(overMs);
    return {
      state: freshForMs > 0 ? 'live' : 'fenced',
      freshForMs,
      mayAllowForMs: undefined,
      fencedSinceMs: isOver ? now.wallMs - overMs : undefined,
    };
  }

  #leaseOf({ state, incarnation }: Member, row: WatchedRow | undefined, now: Instant): LeaseSight {
    const { table } = this.#ports;
    const { readAt } = table;
    const term = table.longest(now);
    const since = table.quietSince(incarnation);
    const none = { freshForMs: undefined, mayAllowForMs: undefined, fencedSinceMs: undefined };
    if (state === 'left' || state === 'forgotten') return { ...none, state };
    // What we have not looked at for so long may have changed.
    if (readAt === undefined || since === undefined || now.monoMs - readAt.monoMs > term.leaseMs / 2)
      return { ...none, state: 'unknown' };
    const overMs = leaseOverMs(term);
    const quietMs = readAt.monoMs - since.monoMs;
    if (quietMs >= overMs) {
      const isSucceeded = state === 'succeeded';
      return {
        ...none,
        state: isSucceeded ? 'succeeded' : 'fenced',
        fencedSinceMs: since.wallMs + overMs,
      };
    }
    const mayAllowForMs = Math.max(0, Math.ceil(overMs - (now.monoMs - since.monoMs)));
    if (row === undefined || quietMs >= term.leaseMs / 2)
      return { ...none, state: 'outstanding', mayAllowForMs };
    return { ...none, state: row.acknowledgement?.leased === true ? 'live' : 'waiting', mayAllowForMs };
  }
}

type LeaseSight = Pick<Sight, 'state' | 'freshForMs' | 'mayAllowForMs' | 'fencedSinceMs'>;

/** It signed before we heard, and after the reading before that (its renewal was on its way for no longer). */
function clockOf(row: WatchedRow | undefined): Sight['clock'] {
  if (row?.heard === undefined || row.acknowledgement === undefined) return undefined;
  const { at, after } = row.heard;
  const aheadMs = Date.parse(row.acknowledgement.at) - at.wallMs;
  return { aheadMs, withinMs: Math.ceil(at.monoMs - after.monoMs) };
}

/** Entries behind; within one epoch only. */
function lagOf(head: Position, at: Position): number {
  return at.epoch === head.epoch ? head.sequence - at.sequence : head.sequence;
}
