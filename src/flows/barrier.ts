/**
 * The barrier (DESIGN 3.3): when may `enforced` be said? Judged by the coordinator's own clock and memory, from
 * readings of the lease table that were sent after the append replied; never by the store's table alone.
 */
import type { Acknowledgement } from '../evidence/acknowledgement.ts';
import { isOpen, verifyAcknowledgement } from '../evidence/acknowledgement.ts';
import type { LeaseRow } from '../feed/feed-store.ts';
import type { LeaseTerm } from '../feed/lease.ts';
import { enforcedByWaitMs, leaseOverMs, longer } from '../feed/lease.ts';
import type { Member, Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { comparePositions, parsePosition } from '../feed/position.ts';
import type { Instant } from '../kernel/clock.ts';
import type { PublicKey } from '../kernel/key.ts';

/** What this coordinator remembers of one row: its counter, and since when it has not moved. */
export interface WatchedRow {
  readonly renewals: number;
  /** Receipt of the first reading that showed this counter. */
  readonly since: Instant;
  readonly acknowledgement: Acknowledgement | undefined;
  readonly text: string | undefined;
  /** When the acknowledgement was first seen, and the reading before that, which did not have it yet. */
  readonly heard: Heard | undefined;
}

/** Of a row, what has been said and not been read yet: verifying costs more than all else, and most is never asked for. */
interface Row extends WatchedRow {
  readonly unread: Pick<WatchedRow, 'text' | 'heard'> | undefined;
}

export interface Heard {
  readonly at: Instant;
  readonly after: Instant;
}

export interface Reading {
  /** As `send` gave it. */
  readonly number: number;
  /** When it was received. */
  readonly at: Instant;
}

export type ReplicaState = 'acknowledged' | 'fenced' | 'left' | 'outstanding';

export interface ReplicaStanding {
  readonly replica: string;
  readonly incarnation: string;
  readonly state: ReplicaState;
  readonly acknowledgement: Acknowledgement | undefined;
  /** The signed text of the acknowledgement. */
  readonly text: string | undefined;
  /** When it was surely over, at the latest; only for `fenced`, and where that is what its sessions waited for. */
  readonly notLaterThan: Instant | undefined;
  /** It is surely over, whatever it has acknowledged before. */
  readonly isQuiet: boolean;
  /** It has acknowledged a place that was not reached here: what it says of its sessions is not known yet. */
  readonly isAhead: boolean;
}

export interface BarrierQuestion {
  /** Whoever judges. */
  readonly coordinator: string;
  readonly position: Position;
  readonly epochId: string;
  readonly appendedAt: Instant;
  /** As `longest` has it of whoever may lack the entry. */
  readonly term: LeaseTerm;
  /** The number of the last reading that may have been sent before the append replied. */
  readonly sentBefore: number;
  /** True when no store but this process's own can grant leases: a young table is then the whole table. */
  readonly exclusive: boolean;
  /** `wait`: only the clock may say it. */
  readonly mode: 'acknowledged' | 'wait';
}

export interface BarrierAnswer {
  readonly standings: readonly ReplicaStanding[];
  /** The rule by which no replica accepts any more; undefined while that cannot be said. */
  readonly rule: 'acknowledged' | 'wait' | undefined;
}

export class LeaseTable {
  readonly #term: LeaseTerm;
  readonly #members: Members;
  readonly #reached: () => Position;
  #rows = new Map<string, Row>();
  /** Whose ledger of this epoch is another one than ours: what it acknowledges is no entry of ours. As `disown` was told. */
  readonly #strangers = new Map<string, boolean>();
  /** Whose row was let go of, and how often it had renewed: the store shows it for longer. */
  readonly #over = new Map<string, number>();
  #epochId: string | undefined;
  #watchedSince: Instant | undefined;
  #sent = 0;
  #observed = 0;
  #readAt: Instant | undefined;

  /** `reached`: up to where this replica has applied the feed. */
  constructor(term: LeaseTerm, members: Members, reached: () => Position) {
    this.#term = term;
    this.#members = members;
    this.#reached = reached;
  }

  /**
   * The longest term of whoever may have held a lease at `now` or after the line at `at`: each has its own configuration, and
   * what is waited for is over for all of them (D-145). Who holds one without a line has joined before it, so this is all that
   * may lack the line once that is applied here. Of whom another goes on with the data only the row may live, where that was copied.
   */
  longest(now: Instant, at: Position = this.#reached()): LeaseTerm {
    return [...this.#members.holders(at), ...this.#forgotten()]
      .filter((member) => this.#mayHold(member, now))
      .reduce((longest, { term }) => longer(longest, term), this.#term);
  }

  /** Those with a row: a thief can say it again of somebody who was forgotten in an epoch that was lost, and is back (D-170). */
  #forgotten(): Member[] {
    const members = this.incarnations.flatMap((incarnation) => this.#members.lookup(incarnation) ?? []);
    return members.filter(({ state }) => state === 'forgotten');
  }

  #mayHold({ state, incarnation, term }: Member, now: Instant): boolean {
    const since = this.quietSince(incarnation);
    if (state === 'joined' || state === 'left' || since === undefined) return true;
    return waitedMs(since, now) < leaseOverMs(longer(this.#term, term));
  }

  /** Before a reading is sent. Returns its number: they count up. */
  send(): number {
    return (this.#sent += 1);
  }

  /** The number of the reading that was sent last. */
  get sent(): number {
    return this.#sent;
  }

  /** Takes in the rows of a reading that was sent as `number` and received at `at`. What is missing from it is remembered. */
  observe(epochId: string, rows: readonly LeaseRow[], { number, at }: Reading): void {
    this.#observed = number;
    if (epochId !== this.#epochId) {
      this.#epochId = epochId;
      this.#rows = new Map();
      this.#strangers.clear();
      this.#over.clear();
      this.#watchedSince = at;
      this.#readAt = undefined;
    }
    for (const row of rows)
      if (this.#over.get(row.incarnation) !== row.renewals)
        this.#rows.set(row.incarnation, this.#watch(row, this.#rows.get(row.incarnation), at));
    this.#readAt = at;
    this.#letGo(at);
  }

  /** Receipt of the latest reading of this epoch. */
  get readAt(): Instant | undefined {
    return this.#readAt;
  }

  /** Since when, as seen from here, it has not renewed: without a row, since this epoch is watched. */
  quietSince(incarnation: string): Instant | undefined {
    return this.#rows.get(incarnation)?.since ?? this.#watchedSince;
  }

  /** In this epoch its acknowledgements count as none from now on. `isForked`: and for as long as it renews nothing is enforced. */
  disown(incarnation: string, isForked: boolean): void {
    this.#strangers.set(incarnation, isForked);
  }

  /** Everyone with a row in this epoch. */
  get incarnations(): readonly string[] {
    return [...this.#rows.keys()];
  }

  /** What every incarnation has acknowledged last in this epoch. */
  acknowledgements(): readonly Acknowledgement[] {
    return this.incarnations.flatMap((incarnation) => this.row(incarnation)?.acknowledgement ?? []);
  }

  /** What is known of one incarnation's row in this epoch. */
  row(incarnation: string): WatchedRow | undefined {
    const row = this.#rows.get(incarnation);
    return row === undefined ? undefined : this.#read(incarnation, row);
  }

  /**
   * Whether `later` goes on with the data of `earlier`, and so speaks for its sessions. Not where that one has acknowledged
   * something since: then it lives, and the other has a copy.
   */
  goesOn(later: string, earlier: string): boolean {
    if (!this.#members.goesOn(later, earlier)) return false;
    const { acknowledgement } = this.row(earlier) ?? SAID_NOTHING;
    const { place } = this.#members.lookup(later) as Member;
    return (
      acknowledgement === undefined || comparePositions(parsePosition(acknowledgement.position), place) < 0
    );
  }

  /** Whether it said goodbye itself, or is quiet and whoever goes on with its data did: then no session of it was left. */
  hasLeft(incarnation: string, isQuiet: boolean): boolean {
    if (this.#members.lookup(incarnation)?.state === 'left') return true;
    return (
      isQuiet &&
      this.#members.list().some((one) => one.state === 'left' && this.goesOn(one.incarnation, incarnation))
    );
  }

  /** Judges from what has been observed; nothing is over by acknowledgement before a reading that was sent after the append replied. */
  judge(question: BarrierQuestion, now: Instant): BarrierAnswer {
    // Who joined after the entry has it, and may be there for longer than anyone who lacks it.
    const overMs = leaseOverMs(longer(question.term, this.longest(now)));
    const standings = [...this.#rows].map(([incarnation, row]) =>
      this.#stand(incarnation, this.#read(incarnation, row), question, { now, overMs }),
    );
    // A store that shows two histories may have granted that one a lease without the entry, however long ago it was appended.
    const isForked = standings.some(
      ({ incarnation, state }) => state === 'outstanding' && this.#strangers.get(incarnation) === true,
    );
    // Nor is it known what somebody says who has said more than can be judged here.
    const isUnheard = standings.some(({ state, isAhead }) => state !== 'acknowledged' && isAhead);
    if (isForked || isUnheard) return { standings, rule: undefined };
    const sinceMs = waitedMs(question.appendedAt, now);
    // Its row may go on moving, where answers alone are held: each of those answers brings the entry before a lease.
    const overByNow =
      sinceMs < leaseOverMs(question.term) ? standings : standings.map((one) => overByClock(one, question));
    if (sinceMs >= enforcedByWaitMs(question.term)) return { standings: overByNow, rule: 'wait' };
    // Who renews no more, though it may read, is over in its own eyes too, and no receipt of its own would verify (D-129).
    const isItselfDone = standings.some(
      ({ incarnation, state }) => incarnation === question.coordinator && state === 'acknowledged',
    );
    const isAllOver = isItselfDone && overByNow.every(({ state }) => state !== 'outstanding');
    const isWatched = question.exclusive || this.#isWatchedFor(overMs, now);
    // An older reading may lack whoever took a lease since (THREATS 10.1).
    const isJudged = question.mode === 'acknowledged' && this.#observed > question.sentBefore;
    return { standings: overByNow, rule: isJudged && isAllOver && isWatched ? 'acknowledged' : undefined };
  }

  /**
   * Who left or was forgotten, by a line that whoever may has signed, is remembered until its last lease is surely over, and is
   * in no receipt after that; but for as long as this epoch is, where its last word was that a session is not proven to have ended.
   */
  #letGo(at: Instant): void {
    for (const [incarnation, row] of this.#rows) {
      const state = this.#members.lookup(incarnation)?.state;
      if (state !== 'left' && state !== 'forgotten') continue;
      if (waitedMs(row.since, at) < leaseOverMs(this.longest(at))) continue;
      const { acknowledgement } = this.#read(incarnation, row);
      const isOwing = state === 'forgotten' && acknowledgement?.outcomes.some(isOpen) === true;
      if (isOwing) continue;
      this.#rows.delete(incarnation);
      this.#over.set(incarnation, row.renewals);
    }
  }

  #watch({ renewals, acknowledgement: text }: LeaseRow, known: Row | undefined, at: Instant): Row {
    const since = known?.renewals === renewals ? known.since : at;
    const row = { ...(known ?? UNHEARD), renewals, since };
    if (text === row.text) return { ...row, unread: undefined };
    if (row.unread !== undefined && text === row.unread.text) return row;
    const heard = this.#readAt === undefined ? undefined : { at, after: this.#readAt };
    return { ...row, unread: { text, heard } };
  }

  /** `unread` stays where it is ahead of what was reached here. */
  #read(incarnation: string, row: Row): Row {
    if (row.unread === undefined) return row;
    const { text = '', heard } = row.unread;
    const keyOf = (one: string): PublicKey | undefined => this.#members.keyOf(one);
    const acknowledgement = verifyAcknowledgement(text, keyOf, row.acknowledgement);
    // One incarnation cannot speak for another, and a statement that does not verify is none.
    const isItsOwn = acknowledgement?.incarnation === incarnation;
    // Of a place that was not reached here nobody can say yet whether it is in our history. What was said before counts until
    // then, and the next renewal brings lines and rows in one step.
    if (isItsOwn && comparePositions(parsePosition(acknowledgement.position), this.#reached()) > 0)
      return acknowledgement.epochId === this.#epochId ? row : { ...row, unread: undefined };
    const said = isItsOwn ? { acknowledgement, text, heard } : SAID_NOTHING;
    const read = { ...row, ...said, unread: undefined };
    this.#rows.set(incarnation, read);
    return read;
  }

  #stand(
    incarnation: string,
    row: Row,
    question: BarrierQuestion,
    { now, overMs }: { now: Instant; overMs: number },
  ): ReplicaStanding {
    const member = this.#members.lookup(incarnation);
    const acknowledged = !this.#strangers.has(incarnation) && covers(row.acknowledgement, question);
    const isQuiet = waitedMs(row.since, now) >= overMs;
    return {
      replica: this.#members.nameOf(incarnation),
      incarnation,
      state: acknowledged
        ? 'acknowledged'
        : member?.state === 'left'
          ? 'left'
          : isQuiet
            ? 'fenced'
            : 'outstanding',
      acknowledgement: acknowledged ? row.acknowledgement : undefined,
      text: acknowledged ? row.text : undefined,
      notLaterThan: !acknowledged && isQuiet ? now : undefined,
      isQuiet,
      isAhead: row.unread !== undefined,
    };
  }

  #isWatchedFor(ms: number, now: Instant): boolean {
    return this.#watchedSince !== undefined && waitedMs(this.#watchedSince, now) >= ms;
  }
}

const SAID_NOTHING = { acknowledgement: undefined, text: undefined, heard: undefined } as const;
const UNHEARD = { ...SAID_NOTHING, unread: undefined } as const;

/** A waiter counts by the monotonic clock alone: a wall clock that is set forward must not shorten a wait. */
function waitedMs(from: Instant, now: Instant): number {
  return now.monoMs - from.monoMs;
}

function covers(acknowledgement: Acknowledgement | undefined, question: BarrierQuestion): boolean {
  if (acknowledgement?.epochId !== question.epochId) return false;
  return comparePositions(parsePosition(acknowledgement.position), question.position) >= 0;
}

/** After the wait every lease that was granted before the append is over, whoever held it. */
function overByClock(standing: ReplicaStanding, question: BarrierQuestion): ReplicaStanding {
  if (standing.state !== 'outstanding') return standing;
  const { monoMs, wallMs } = question.appendedAt;
  const overMs = leaseOverMs(question.term);
  return { ...standing, state: 'fenced', notLaterThan: { monoMs: monoMs + overMs, wallMs: wallMs + overMs } };
}
