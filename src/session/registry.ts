/**
 * Which live sessions exist, indexed by every handle of the credential each stands on. A kill tells the holder and
 * then waits for proof: a session that was told is not dead until its holder says so or its own lease is over.
 *
 * Order: register, check, run. A revocation that lands between check and run finds the session registered.
 */
import type { HandleSet } from '../credential/handle.ts';
import type { Instant } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Steps } from '../kernel/pace.ts';
import type { DeadHandle } from '../revocation/cutoff.ts';
import { isDeadUnder } from '../revocation/cutoff.ts';
import { word } from '../revocation/word.ts';
import { KillCounts } from './kill-counts.ts';
import { Buckets } from './buckets.ts';
import { Heap } from './heap.ts';
import type { KillTally } from './kill-tally.ts';
import { NOTHING_KILLED } from './kill-tally.ts';
import type {
  Fresh,
  KillEvent,
  KillReason,
  Session,
  SessionHandle,
  SessionRecord,
  SessionRef,
  SessionStore,
} from './session.ts';
import { Timetable } from './timetable.ts';

type Kill = NonNullable<Session['kill']>;

interface Live extends Mutable<SessionRecord> {
  kill: Kill | undefined;
  /** When it was told, by the monotonic clock; Infinity before. */
  toldMs: number;
  /** Told, and the time for its confirmation is over. */
  isSilent: boolean;
  holderLeaseEndsMs: number;
  /** Whoever listens: a kill reaches all of them. */
  readonly listeners: Set<SessionHandle>;
  /** The kills whose tallies count this session. */
  readonly claimedBy: Claim[];
  /** By an earlier run, which may have had a longer lease. */
  readonly isRestored: boolean;
  /** Since when this run knows of it, by the wall clock. */
  readonly takenInMs: number;
  /** The generation of policy by which it was decided last. */
  generation: number;
}

/** The fresher credential that may take the place of the one a session stands on: for a moment it stands on both. */
interface Offered {
  readonly offeredTo: Live;
  readonly handles: HandleSet;
  readonly issuedAtS: number | undefined;
}

type Footing = Live | Offered;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Claim {
  readonly id: string;
  matched: number;
  killed: number;
  /** Told, never confirmed, and let go long after their credential ended: unconfirmed for good. */
  lost: number;
  /** Not proven to have ended. */
  open: number;
  /** Those of them whose holders have promised to end them. */
  selfEnding: number;
  /** And of those the ones that may go on for longer than a lease of this replica. */
  readonly longer: Set<Live>;
  /** Those of them that are silent. */
  readonly silent: Set<Live>;
}

/** A session that was told to end, and when it is over by its holder's lease, or silent: monotonic. */
interface Awaited {
  readonly live: Live;
  readonly untilMs: number;
}

/** A fresher credential that is being decided on. */
export interface Offer {
  /**
   * Takes the fresher credential for the one before, on disk first; with undefined everything stays as it was, and so it
   * does when this throws as the store does. Once.
   */
  settle(fresh: Fresh | undefined): void;
}

/** Of a session that an earlier run let in: older than every generation. */
const NEVER_DECIDED = 0;

export class SessionRegistry {
  /** Every kill of this run, by its reason. */
  readonly kills = new KillCounts();
  readonly #store: SessionStore;
  readonly #leaseMs: number;
  readonly #live = new Map<SessionRef, Live>();
  readonly #byHandle = new Buckets<bigint, Footing>();
  /** By the id of the subject and of the current actor. */
  readonly #bySubject = new Buckets<string, Live>();
  readonly #timetable = new Timetable<Live>();
  readonly #claims = new Map<string, Claim>();
  /** How many were told to end and are not proven to have: the only ones that can be over by the clock. */
  #ending = 0;
  /** What is awaited of them. One that has ended meanwhile stays in here until its time. */
  readonly #awaited = new Heap<Awaited>(({ untilMs }) => untilMs);
  /** Silent ones, by when they are let go. */
  readonly #forgettable = new Heap<Live>(forgottenAtMs);
  #sweptAt: Instant | undefined;
  #onChange: () => void = () => undefined;
  #groundsChars = 0;
  #generation = 1;

  /** `leaseMs`: of this replica. */
  constructor(store: SessionStore, leaseMs: number) {
    this.#store = store;
    this.#leaseMs = leaseMs;
  }

  /** Called whenever a tally may have changed. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  get size(): number {
    return this.#live.size;
  }

  /** Sessions that were told to end and are not proven to have. */
  get endingCount(): number {
    return this.#ending;
  }

  /** Registers in memory, so that a kill finds it from now on. OVERLOADED beyond the limit. `holderLeaseEndsMs`: monotonic. */
  register(record: SessionRecord, holderLeaseEndsMs: number): void {
    if (this.#live.size >= LIMITS.sessionsMax) {
      throw new WritError('OVERLOADED', 'too many live sessions');
    }
    if (this.#groundsChars + charsOf(record) > LIMITS.sessionGroundsCharsMax) {
      throw new WritError('OVERLOADED', 'live sessions hold too much');
    }
    this.#index(record, holderLeaseEndsMs, {
      isRestored: false,
      takenInMs: record.openedAtMs,
      generation: this.#generation,
    });
  }

  /** Puts a registered session on disk, before anyone is told its id: a restart must be able to kill it. */
  keep(record: SessionRecord): void {
    try {
      this.#store.opened(record);
    } catch (error) {
      this.end(record.ref);
      throw error;
    }
  }

  /**
   * Takes over a session that a run before this one registered: it has to be decided again, nobody knows by which policy
   * it was. Its holder's lease ended with that run's, or will by then. One that was told to end is waited for again from
   * `at` on, and whoever listens hears it again.
   */
  restore(record: SessionRecord, holderLeaseEndsMs: number, at: Instant): void {
    const live = this.#index(record, holderLeaseEndsMs, {
      isRestored: true,
      takenInMs: at.wallMs,
      generation: NEVER_DECIDED,
    });
    if (record.told !== undefined) this.#end(live, record.told, { ...record.told, at });
  }

  /** Sessions of a kill that an earlier run saw end, and those that it let go without proof: unconfirmed for good. */
  restoreCounts(claim: string, { killed, lost }: Pick<Claim, 'killed' | 'lost'>): void {
    this.#claims.set(claim, { ...newClaim(claim), matched: killed + lost, killed, lost });
  }

  /** Before it is acknowledged what a kill has reached: whoever goes on with this data directory has to answer for it. */
  sync(): Promise<void> {
    return this.#store.sync();
  }

  /** Lets go of kills that nobody can be asked about any more: all they reached is over or lost, and they have ended. */
  forgetLost(isKnown: (claim: string) => boolean): void {
    for (const { id, open } of this.#claims.values()) if (open === 0 && !isKnown(id)) this.forgetClaim(id);
  }

  lookup(ref: SessionRef): Session | undefined {
    return this.#live.get(ref);
  }

  list(limit: number): readonly Session[] {
    return this.#live.values().take(limit).toArray();
  }

  all(): Iterable<Session> {
    return this.#live.values();
  }

  /**
   * Whether any session that was let in here is not known to have ended, or was lost to an order, which is owed its end for
   * good. One that was lost to none is owed to nobody (D-148).
   */
  get hasUnproven(): boolean {
    return this.#live.size > 0 || this.#claims.values().some(({ lost }) => lost > 0);
  }

  /** Sessions whose subject or current actor is `id`. */
  ofSubject(id: string): Iterable<Session> {
    return this.#bySubject.of(id);
  }

  /** From now on every session is outdated: what it was decided by has changed. */
  outdate(): void {
    this.#generation += 1;
  }

  /** Moves when sessions are outdated. */
  get generation(): number {
    return this.#generation;
  }

  isOutdated(session: Session): boolean {
    return (session as Live).generation < this.#generation;
  }

  /** It was decided again by what is in force now, and may go on. */
  confirm(session: Session): void {
    (session as Live).generation = this.#generation;
  }

  /** `endsMs`: wall time at which it has to be decided again; Infinity for never. */
  schedule(session: Session, endsMs: number, now: Instant): void {
    if (this.#live.has(session.ref)) this.#timetable.set(session as Live, endsMs, now);
  }

  /** A session whose end has come. It stays due until it is scheduled anew or over; one that was told to end is due once. */
  due(now: Instant): Session | undefined {
    const due = this.#timetable.due(now);
    // Taking a hundred thousand out of their order as they are killed would cost more than the kill.
    if (due?.kill !== undefined) this.#timetable.delete(due);
    return due;
  }

  /** Until one is due, or `settleNext` has work. */
  untilNextMs(now: Instant): number {
    const awaitedMs = (this.#awaited.first?.untilMs ?? Number.POSITIVE_INFINITY) - now.monoMs;
    return Math.max(0, Math.min(this.#timetable.untilNextMs(now), awaitedMs));
  }

  leftMs(session: Session, now: Instant): number {
    return this.#timetable.leftMs(session as Live, now);
  }

  /** What time it is for `session`: a wall clock that was set back does not make it younger. */
  timeMs(session: Session, now: Instant): number {
    return this.#timetable.timeMs(session as Live, now);
  }

  /**
   * A fresher credential, before it is decided on: from now on a kill reaches the session by either. `settle` takes one
   * of the two away.
   */
  offer(session: Session, { handles, issuedAtS }: Fresh): Offer {
    const offered = { offeredTo: session as Live, handles, issuedAtS };
    this.#addFooting(offered);
    return { settle: (fresh) => this.#settle(offered, fresh) };
  }

  /** The holder listens from now on. One that was killed before hears it at once. */
  attach(ref: SessionRef, handle: SessionHandle): void {
    const live = this.#live.get(ref);
    if (live === undefined) return;
    live.listeners.add(handle);
    if (live.kill !== undefined) handle.kill(live.kill);
  }

  detach(ref: SessionRef, handle: SessionHandle): void {
    this.#live.get(ref)?.listeners.delete(handle);
  }

  /** A ping was answered with `freshForMs` at `nowMonoMs`: the holder counts from its sending, so it ends no later. */
  extend(ref: SessionRef, nowMonoMs: number, freshForMs: number): void {
    const live = this.#live.get(ref);
    if (live !== undefined) live.holderLeaseEndsMs = Math.max(live.holderLeaseEndsMs, nowMonoMs + freshForMs);
  }

  /** The holder's word that the session is over, killed or not. False for one that is not there. */
  end(ref: SessionRef): boolean {
    const live = this.#live.get(ref);
    if (live === undefined) return false;
    this.#remove(live, 'killed');
    return true;
  }

  /** Sessions that a dead handle reaches. Nothing is changed: this is what a dry run asks. */
  matching(dead: readonly DeadHandle[]): Steps<ReadonlySet<Session>> {
    return this.#matching(dead);
  }

  /**
   * Kills what `dead` reaches and counts it under `claim` (a revocation id), in pieces. A second kill under it adds. At
   * the end every session it reaches was told; it returns how many they are. A session that is registered meanwhile
   * is refused by the index, which knew `dead` before this began.
   */
  *killing(claim: string, dead: readonly DeadHandle[], event: KillEvent): Steps<number> {
    const matched = yield* this.#matching(dead);
    if (matched.size === 0) return 0;
    const tally = this.#claims.get(claim) ?? newClaim(claim);
    this.#claims.set(claim, tally);
    const added: Live[] = [];
    for (const live of matched) {
      // One that ended by itself while others were matched is no kill of ours.
      if (!this.#live.has(live.ref) || live.claimedBy.includes(tally)) continue;
      live.claimedBy.push(tally);
      tally.open += 1;
      if (live.selfEnds) tally.selfEnding += 1;
      if (live.selfEnds && live.isRestored) tally.longer.add(live);
      if (live.isSilent) tally.silent.add(live);
      tally.matched += 1;
      if (added.push(live) % LIMITS.piecesMax === 0) yield;
    }
    // Counted first, told second: a holder that answers at once finds all of its sessions in the tally.
    for (let i = 0; i < added.length;) {
      const at = yield;
      const piece = added.slice(i, (i += LIMITS.piecesMax));
      const kill = { ...event, at };
      for (const live of piece) this.#tell(live, event, kill);
    }
    this.#onChange();
    return matched.size;
  }

  /** Kills every session that `isDoomed`, under no revocation: expiry, a fenced replica, a changed decision. */
  killWhere(isDoomed: (session: Session) => boolean, event: KillEvent, at: Instant): number {
    const doomed = this.#live
      .values()
      .filter((live) => live.kill === undefined && isDoomed(live))
      .toArray();
    const kill = { ...event, at };
    for (const live of doomed) this.#tell(live, event, kill);
    return doomed.length;
  }

  /** Kills one session under no revocation. False for one that is not there or was told before. */
  killOne(session: Session, event: KillEvent, at: Instant): boolean {
    return this.#tell(session as Live, event, { ...event, at });
  }

  /** True for one that was told to end and has let the time for its confirmation go by. */
  isUnconfirmed(session: Session, now: Instant): boolean {
    return session.kill !== undefined && !session.selfEnds && now.monoMs >= awaitedUntilMs(session as Live);
  }

  /** What the kill under `claim` has reached at `now`. */
  tally(claim: string, now: Instant): KillTally {
    const counted = this.#claims.get(claim);
    if (counted === undefined) return NOTHING_KILLED;
    this.sweep(now);
    const { matched, killed, lost, open, selfEnding, longer, silent } = counted;
    for (const live of longer) if (live.holderLeaseEndsMs <= now.monoMs + this.#leaseMs) longer.delete(live);
    return {
      matched,
      killed,
      pending: open - silent.size,
      selfEnding: selfEnding - longer.size,
      unconfirmed: silent.size + lost,
      silent: Array.from(silent.values().take(NAMED_MAX), ({ ref, kind }) => ({ ref, kind })),
    };
  }

  /** Ids of the kills that matched anything, oldest first. */
  claims(): readonly string[] {
    return [...this.#claims.keys()];
  }

  /** True while a session of that kill is not proven to have ended. */
  isUnproven(claim: string): boolean {
    const { open, lost } = this.#claims.get(claim) ?? newClaim(claim);
    return open + lost > 0;
  }

  /** Forgets the tally of a kill that is settled and kept elsewhere (its receipt). Killing under it again counts anew. */
  forgetClaim(claim: string): void {
    if (this.#claims.delete(claim)) this.#store.forgotten(claim);
  }

  /**
   * Forgets the tally of a kill that nobody has to answer for any more, unless a session of it is not proven to have
   * ended: then it stays as it is, and the answer is false.
   */
  releaseClaim(claim: string): boolean {
    const counted = this.#claims.get(claim);
    if (counted !== undefined && counted.open + counted.lost > 0) return false;
    this.forgetClaim(claim);
    return true;
  }

  /** `settleNext`, as often as the loop can bear: what is left is pending for a moment longer, which claims less. */
  sweep(now: Instant): void {
    // A thousand tallies are taken at one instant: what the loop can bear, it bears once.
    if (this.#sweptAt === now) return;
    this.#sweptAt = now;
    for (let left = SWEPT_MAX; left > 0 && this.settleNext(now); left--);
  }

  /**
   * One whose time has come: a killed session whose holder promised to end it and whose lease has run out is over (proof
   * enough), one that was told long ago is silent, and a silent one is removed long after its credential ended (no
   * proof: it stays counted as unconfirmed). False when there is none.
   */
  settleNext(now: Instant): boolean {
    const awaited = this.#awaited.first;
    if (awaited !== undefined && awaited.untilMs <= now.monoMs) {
      this.#awaited.delete(awaited);
      this.#settleTold(awaited.live, now);
      return true;
    }
    const silent = this.#forgettable.first;
    if (silent === undefined || !isForgettable(silent, now)) return false;
    this.#remove(silent, 'lost');
    return true;
  }

  #settleTold(live: Live, now: Instant): void {
    if (!this.#live.has(live.ref)) return;
    if (now.monoMs < awaitedUntilMs(live)) this.#await(live);
    else if (live.selfEnds) this.#remove(live, 'killed');
    else this.#silence(live);
  }

  #await(live: Live): void {
    this.#awaited.add({ live, untilMs: awaitedUntilMs(live) });
  }

  #silence(live: Live): void {
    live.isSilent = true;
    for (const claim of live.claimedBy) claim.silent.add(live);
    this.#forgettable.add(live);
  }

  *#matching(dead: readonly DeadHandle[]): Steps<ReadonlySet<Live>> {
    const matched = new Set<Live>();
    let pieces = 0;
    for (const one of dead) {
      if (++pieces % LIMITS.piecesMax === 0) yield;
      for (const footing of this.#byHandle.of(keyOf(one.hi, one.lo))) {
        if (isDeadUnder(one.cutoffS, footing.issuedAtS)) matched.add(sessionOn(footing));
        if (++pieces % LIMITS.piecesMax === 0) yield;
      }
    }
    return matched;
  }

  #index(
    record: SessionRecord,
    holderLeaseEndsMs: number,
    of: Pick<Live, 'isRestored' | 'takenInMs' | 'generation'>,
  ): Live {
    const live: Live = {
      ...record,
      kill: undefined,
      toldMs: Number.POSITIVE_INFINITY,
      isSilent: false,
      holderLeaseEndsMs,
      listeners: new Set<SessionHandle>(),
      claimedBy: [],
      ...of,
    };
    this.#live.set(record.ref, live);
    this.#addFooting(live);
    this.#addSubjects(live);
    return live;
  }

  #addFooting(footing: Footing): void {
    for (const key of keysOf(footing.handles)) this.#byHandle.add(key, footing);
  }

  #deleteFooting(footing: Footing): void {
    for (const key of keysOf(footing.handles)) this.#byHandle.delete(key, footing);
  }

  #addSubjects(live: Live): void {
    this.#groundsChars += charsOf(live);
    for (const id of subjectsOf(live)) this.#bySubject.add(id, live);
  }

  #deleteSubjects(live: Live): void {
    this.#groundsChars -= charsOf(live);
    for (const id of subjectsOf(live)) this.#bySubject.delete(id, live);
  }

  /** In one turn: nobody sees the session between its credentials. On disk first, or the old one stays. */
  #settle(offered: Offered, fresh: Fresh | undefined): void {
    const session = offered.offeredTo;
    try {
      if (fresh === undefined || !this.#live.has(session.ref)) return;
      this.#store.opened({ ...recordOf(session), ...fresh });
      this.#deleteFooting(session);
      this.#deleteSubjects(session);
      Object.assign(session, fresh);
      this.#addFooting(session);
      this.#addSubjects(session);
      // Its time is counted from here: the fresher credential was judged by the clock as it is now.
      this.#timetable.delete(session);
      this.confirm(session);
    } finally {
      this.#deleteFooting(offered);
    }
  }

  #tell(live: Live, event: KillEvent, kill: Kill): boolean {
    // One that a listener has closed meanwhile is over and counted: it must not be counted again by the clock.
    if (live.kill !== undefined || !this.#live.has(live.ref)) return false;
    this.#end(live, event, kill);
    if (!KILLS_AGAIN.has(event.reason)) this.#store.told(live.ref, event);
    for (const listener of live.listeners) listener.kill(event);
    return true;
  }

  #end(live: Live, event: KillEvent, kill: Kill): void {
    live.kill = kill;
    live.toldMs = kill.at.monoMs;
    this.#ending += 1;
    this.#await(live);
    this.kills.addTold(event.reason);
    this.#sweptAt = undefined;
  }

  #remove(live: Live, as: 'killed' | 'lost'): void {
    this.#live.delete(live.ref);
    if (live.kill !== undefined) this.#ending -= 1;
    this.#forgettable.delete(live);
    if (live.kill !== undefined && as === 'killed') this.kills.addKilled(live.kill.reason);
    this.#timetable.delete(live);
    this.#deleteFooting(live);
    this.#deleteSubjects(live);
    for (const claim of live.claimedBy) {
      claim.open -= 1;
      if (live.selfEnds) claim.selfEnding -= 1;
      claim.longer.delete(live);
      claim.silent.delete(live);
      claim[as] += 1;
    }
    const claims = live.claimedBy.map(({ id }) => id);
    if (as === 'lost' && claims.length > 0) this.#store.lost(live.ref, claims);
    else this.#store.ended(live.ref, claims);
    this.#onChange();
  }
}

/** What the replay of the ledger kills again, because it never ends; all other kills have to be kept. */
const KILLS_AGAIN: ReadonlySet<KillReason> = new Set(['revoked', 'cutoff']);

/** A millisecond or two of work. */
const SWEPT_MAX = 256;

/** Silent sessions that a tally names. */
const NAMED_MAX = 100;

function newClaim(id: string): Claim {
  return { id, matched: 0, killed: 0, lost: 0, open: 0, selfEnding: 0, longer: new Set(), silent: new Set() };
}

/** A holder that promised to end by itself is waited for until its lease is over: then it is dead, and never silent. */
function awaitedUntilMs({ selfEnds, toldMs, holderLeaseEndsMs }: Live): number {
  return selfEnds ? holderLeaseEndsMs : toldMs + LIMITS.killConfirmMs;
}

/** Wall time; Infinity where the credential has no end. */
function forgottenAtMs({ expiresAtS }: Live): number {
  return (expiresAtS ?? Number.POSITIVE_INFINITY) * 1000 + LIMITS.silentSessionKeptMs;
}

/**
 * By both clocks: a wall clock that jumped ahead for a moment may have told it to end, and is no reason to let it go. Monotonic
 * for as long as its credential was good when this run took it in.
 */
function isForgettable(live: Live, { wallMs, monoMs }: Instant): boolean {
  const atMs = forgottenAtMs(live);
  // That clock may have been ahead when this run began.
  const forMs = Math.max(atMs - live.takenInMs, live.isRestored ? LIMITS.silentSessionKeptMs : 0);
  return wallMs > atMs && monoMs - live.holderLeaseEndsMs > forMs;
}

function keyOf(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo);
}

function keysOf({ prints, handles }: HandleSet): bigint[] {
  return handles.map((_, i) => keyOf(word(prints, 2 * i), word(prints, 2 * i + 1)));
}

function sessionOn(footing: Footing): Live {
  return 'offeredTo' in footing ? footing.offeredTo : footing;
}

/** What is kept on disk of a session. */
function recordOf(live: Live): SessionRecord {
  const { ref, kind, subject, selfEnds, openedAtMs, handles, issuedAtS, expiresAtS } = live;
  return { ref, kind, subject, selfEnds, openedAtMs, handles, issuedAtS, expiresAtS };
}

function subjectsOf({ subject, actor }: SessionRecord): readonly string[] {
  return actor === undefined || actor === subject ? [subject] : [subject, actor];
}

function charsOf({ grounds }: SessionRecord): number {
  return grounds === undefined ? 0 : grounds.request.length + grounds.credential.length;
}
