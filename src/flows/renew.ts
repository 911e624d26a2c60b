/**
 * Keeps the lease. One renewal is in flight at a time; what it brings is applied, made durable and killed before
 * the lease that came with it is adopted, and the next renewal acknowledges it. `sentAt` is taken before the
 * request is written: a lease counted from the answer would outlive the promise by the round trip.
 */
import { signAcknowledgement } from '../evidence/acknowledgement.ts';
import type { GrantTable } from '../decision/grants.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { EntryKind } from '../feed/entry.ts';
import type { FeedStore, LeaseRow, RenewReply, StaleReason } from '../feed/feed-store.ts';
import type { Lease } from '../feed/lease.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, comparePositions, renderPosition } from '../feed/position.ts';
import type { Clock, Instant, Timer } from '../kernel/clock.ts';
import { ageMs, epochS, instantOf, renderInstant } from '../kernel/clock.ts';
import { toBase64Url } from '../kernel/digest.ts';
import { WritError, codeOf, explanationOf, isWritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import type { Random } from '../kernel/random.ts';
import type { RevocationView } from '../revocation/view.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { LeaseTable, Reading } from './barrier.ts';
import type { Carrier } from './carry.ts';
import type { Cosigner } from './cosign.ts';
import type { Effects } from './effects.ts';
import type { Follower } from './follow.ts';
import type { Identity } from './identity.ts';
import type { Loader } from './load.ts';
import type { Mender } from './mend.ts';
import type { News } from './news.ts';
import { firstOf } from './news.ts';
import type { Retracer } from './retrace.ts';
import type { Snapshotter } from './snapshot.ts';
import type { Tree } from './tree.ts';
import type { Vouching } from './vouch.ts';

export interface RenewPorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly follower: Follower;
  readonly lease: Lease;
  readonly leaseMs: number;
  /** As configured. */
  readonly credentialLifeMaxMs: number;
  readonly table: LeaseTable;
  readonly tree: Tree;
  readonly cosigner: Cosigner;
  readonly vouching: Vouching;
  readonly carrier: Carrier;
  readonly retracer: Retracer;
  readonly effects: Effects;
  readonly sessions: SessionRegistry;
  readonly view: RevocationView;
  readonly grants: GrantTable;
  readonly snapshots: Snapshotter;
  readonly loader: Loader;
  readonly mender: Mender;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly random: Random;
  readonly log: Log;
  /** Something here is to be acknowledged: a session ended, a kill went silent. Wakes this loop. */
  readonly owing: News;
  /** A renewal was answered. Wakes whoever waits for a barrier; never this loop, which would then never sleep. */
  readonly news: News;
}

/** What the last renewal said, for readiness: `lease` is the only good one. */
export type RenewState =
  | Exclude<RenewReply['kind'], 'stale'>
  | StaleReason
  | 'awaiting'
  | 'unfit'
  | 'succeeded'
  | 'diverged'
  | 'unreachable'
  | 'starting';

/** No lease ever again for this incarnation: only another one, a restarted process, may have one. */
export function isFencedForGood(state: RenewState): boolean {
  return state === 'forgotten' || state === 'cloned' || state === 'succeeded';
}

/** The epoch a replica goes by, and where it joined it. */
export interface Joined {
  readonly epochId: string;
  readonly at: Position;
}

export class Renewer {
  readonly #ports: RenewPorts;
  #nonces: string[] = [];
  #acknowledgement: string | undefined;
  /** Of the last acknowledgement: the position, and what it says beside it. */
  #acknowledged = { position: '', said: '' };
  /** By order, how many sessions it has reached that are on disk: what becomes of them changes nothing of that. */
  #kept: ReadonlySet<string> = new Set();
  /** Something was applied since whose acknowledgement somebody may wait for. */
  #isAwaited = false;
  #state: RenewState = 'starting';
  #isCloned = false;
  #stateSinceMs: number;
  #problem: string | undefined;
  /** Why none could be made since the last lease, as far as it was logged. */
  readonly #logged = new Set<string>();
  #joined: Joined = { epochId: '', at: ORIGIN };
  #heard: HeardClosing | undefined;
  #promised: Promised | undefined;

  constructor(ports: RenewPorts) {
    this.#ports = ports;
    this.#stateSinceMs = ports.clock.now().monoMs;
  }

  get state(): RenewState {
    return this.#state;
  }

  /** It was told once that another process goes by this incarnation. */
  get isCloned(): boolean {
    return this.#isCloned;
  }

  /** For how long it has been so. */
  get stateForMs(): number {
    return this.#ports.clock.now().monoMs - this.#stateSinceMs;
  }

  /** Why the last renewal could not be made, as the store says it; undefined when it was. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Which epoch to hold leases of; the cursor may still be in an earlier one. */
  follow(joined: Joined): void {
    this.#joined = joined;
    this.#heard = undefined;
  }

  /**
   * The epoch whose closing was heard of under a lease of it that was good when the news was received: everything that
   * was `enforced` in it is in this view (DESIGN 3.4). For as long as that lease would have been: later another epoch
   * may have been opened, enforced in, and lost.
   */
  get witnessed(): string | undefined {
    if (this.#heard === undefined) return undefined;
    const { epochId, at, forMs } = this.#heard;
    return ageMs(at, this.#ports.clock.now()) < forMs ? epochId : undefined;
  }

  /** Renews while there is something to be had at once: at start, before anyone is answered. */
  async renewUntilSettled(): Promise<void> {
    while (await this.renewOnce());
  }

  /**
   * Renews every sixth of the lease, and at once when the feed grew or an outcome changed: until `signal` aborts, or
   * the epoch is closed and has to be joined anew.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { timer, leaseMs, store, cursor, owing, retracer } = this.#ports;
    let prepared: Prepared | undefined;
    while (!signal.aborted && this.#state !== 'closed') {
      const changed = owing.next();
      const isOwing = await this.renewOnce(prepared);
      prepared = undefined;
      if (isOwing) continue;
      const isSoon = this.#state === 'awaiting' || retracer.isUnderWay;
      // What cannot be prepared is sent by hand, and fails there.
      if (store.prepare !== undefined)
        prepared = await this.#prepare(store.prepare.bind(store)).catch(() => undefined);
      await firstOf(signal, (over) => [
        timer.sleep(isSoon ? soonMs(leaseMs) : leaseMs / 6, over),
        // A hint that fails must not become a loop that never sleeps.
        this.#isReachable() ? store.wake(cursor.position, over).catch(never) : never(),
        changed,
      ]);
    }
    // Nothing is sent for who has said goodbye.
    await prepared?.take().catch(() => undefined);
  }

  /**
   * One renewal: the one that was prepared, if that was sent. True when another is owed at once: a page is missing, or what was
   * applied is not yet acknowledged. Never rejects: what goes wrong shows in `state`, in the log, and in a lease that runs out.
   */
  async renewOnce(prepared?: Prepared): Promise<boolean> {
    const { lease, follower } = this.#ports;
    const before = this.#state;
    try {
      // Before anything is sent: a torn view falls silent, so that the others see it as over and not as done.
      follower.assertWhole();
      const renewed = prepared === undefined ? undefined : await prepared.take();
      const { reply, sent } = renewed ?? (await this.#send());
      // The answered one stays: the store finds the nonce it took last among those a request names.
      this.#nonces = this.#nonces.slice(-1);
      this.#problem = undefined;
      await this.#take(reply, sent);
      if (this.#state === 'lease') this.#logged.clear();
    } catch (error) {
      this.#state = isWritError(error, 'PROOF_INVALID') ? 'diverged' : 'unreachable';
      this.#problem = explanationOf(error);
      if (this.#state === 'diverged') await this.#ports.retracer.stepBack().catch(() => undefined);
      // A store that does not answer may answer again within the lease. After anything else (it cannot be written, its
      // history is not ours, the view is torn) nothing more is allowed on the old one.
      if (!isWritError(error, 'STORE_UNREACHABLE')) lease.drop();
      this.#logOnce(codeOf(error), this.#problem);
    }
    this.#sweep();
    if (this.#state === 'diverged' && !this.#ports.retracer.isUnderWay) await this.#mend();
    if (before !== this.#state) this.#changed();
    return this.#state === 'more' || (this.#state === 'lease' && this.#isOwing());
  }

  async #send(): Promise<Renewed> {
    const { clock, store, table } = this.#ports;
    await this.#keepSessions();
    const request = this.#request();
    const sent = { at: clock.now(), number: table.send() };
    return { reply: await store.renew(request), sent };
  }

  /** The next one, for whoever hears the news first. Its number is that of now: what was appended meanwhile comes after it. */
  async #prepare(prepare: NonNullable<FeedStore['prepare']>): Promise<Prepared | undefined> {
    const { clock, table, retracer } = this.#ports;
    if (this.#state !== 'lease' || retracer.isUnderWay) return undefined;
    await this.#keepSessions();
    const request = this.#request();
    const [from, number] = [clock.now(), table.send()];
    const prepared = prepare(request);
    return {
      take: async () => {
        const renewed = await prepared.take();
        return renewed && { reply: renewed.reply, sent: { at: instantOf(renewed.sent, from), number } };
      },
    };
  }

  /** Redis is away, then it loads what it has: each is said, and how often it is tried is not. */
  #logOnce(code: string, detail: string): void {
    if (this.#logged.has(detail) || this.#logged.size >= LOGGED_MAX) return;
    this.#logged.add(detail);
    this.#ports.log.error('no lease was renewed', { reason: this.#state, code, detail });
  }

  /** Whether it is to be acknowledged at once. That an outcome or a grant has come may wait for the next renewal. */
  #isOwing(): boolean {
    const { position, said } = this.#toAcknowledge();
    return said !== this.#acknowledged.said || (this.#isAwaited && position !== this.#acknowledged.position);
  }

  async #take(reply: RenewReply, sent: Sent): Promise<void> {
    const { follower, loader, lease, cursor, clock, news, retracer } = this.#ports;
    if (reply.kind === 'closed' || reply.kind === 'stale') {
      retracer.stop();
      const now = clock.now();
      if (reply.kind === 'closed' && cursor.epochId !== undefined && lease.isFresh(now))
        this.#heard = { epochId: cursor.epochId, at: now, forMs: lease.freshForMs(now) };
      lease.drop();
      this.#state = reply.kind === 'stale' ? reply.reason : reply.kind;
      this.#isCloned ||= this.#state === 'cloned';
      // What lies between the cursor and what the store holds is in its snapshot, or nowhere.
      if (this.#state === 'trimmed' && (await loader.load(this.#joined.epochId))) this.#state = 'more';
      this.#problem = loader.refusal;
      return;
    }
    if (retracer.isUnderWay) {
      this.#state = (await retracer.take(reply)) ? 'more' : 'diverged';
      return;
    }
    await follower.apply(reply.lines);
    if (reply.kind === 'more') this.#prolong(reply, sent);
    this.#isAwaited ||= reply.lines.some(({ sealed }) => AWAITED.has(sealed.entry.kind));
    this.#state = reply.kind === 'lease' ? await this.#adopt(reply, sent) : reply.kind;
    news.notify();
  }

  async #mend(): Promise<void> {
    const { mender, log } = this.#ports;
    try {
      if (await mender.mend(this.#joined.epochId)) this.#state = 'more';
    } catch (error) {
      log.warn('what is here alone could not be appended again', { code: codeOf(error) });
    }
  }

  #changed(): void {
    const { log, clock } = this.#ports;
    const state = this.#state;
    this.#stateSinceMs = clock.now().monoMs;
    if (isFencedForGood(state)) log.error('this incarnation is fenced for good: restart it', { state });
    else if (state === 'unfit')
      log.error('this replica is given no lease', { detail: this.#problem as string });
    else log.info('the state of the lease changed', { state });
  }

  /**
   * The lease that came with everything up to here. `unfit` where credentials would be taken for longer than revocations are
   * kept; `awaiting` while nobody vouches for who never held one; `succeeded` once another process has joined with this data
   * directory, or a copy of it: that one speaks for it now (D-152).
   */
  async #adopt(
    { rows, runId, head }: GrantedLease,
    sent: Sent,
  ): Promise<'lease' | 'unfit' | 'awaiting' | 'succeeded' | 'forgotten'> {
    const { cursor, vouching, lease, carrier, clock } = this.#ports;
    this.#promised = undefined;
    const { opening } = cursor;
    if (opening === undefined || !this.#isOurs(runId))
      throw new WritError('PROOF_INVALID', 'the open epoch is not of this run of the store');
    // It comes with all that is newer, or it is none: somebody may keep lines back that the functions have written.
    if (comparePositions(head, cursor.position) !== 0)
      throw new WritError(
        'PROOF_INVALID',
        `the feed has lines up to ${renderPosition(head)} that are not shown`,
      );
    const gone = this.#goneAs();
    if (gone !== undefined) {
      lease.drop();
      return gone;
    }
    this.#problem = this.#unfitness();
    if (this.#problem !== undefined) return 'unfit';
    if (!(await vouching.admits(opening, this.#joined.at, rows))) return 'awaiting';
    lease.adopt(sent.at);
    this.#observe(rows, { number: sent.number, at: clock.now() });
    // What cannot be appended now is tried again with the next lease.
    void carrier.carry(opening.epochId).catch(() => undefined);
    return 'lease';
  }

  /**
   * Where lines come faster than pages there may be no last page for long. To a holder a page is a lease as well, counted from its
   * own sending, once all is applied that the store had then. It only prolongs: who has none waits for the last page.
   */
  #prolong({ head, granted }: Page, sent: Sent): void {
    const { cursor, lease, clock } = this.#ports;
    const now = clock.now();
    if (granted === undefined || !lease.isFresh(now) || !this.#mayGoOn(granted.runId)) return;
    this.#observe(granted.rows, { number: sent.number, at: now });
    if (this.#promised !== undefined && comparePositions(this.#promised.head, cursor.position) <= 0) {
      lease.adopt(this.#promised.at);
      this.#promised = undefined;
    }
    this.#promised ??= { head, at: sent.at };
  }

  #mayGoOn(runId: string): boolean {
    return this.#isOurs(runId) && this.#goneAs() === undefined && this.#unfitness() === undefined;
  }

  /** An epoch that was signed for another run of the store is over, whatever the store says (THREATS 10.18). */
  #isOurs(runId: string): boolean {
    const { opening } = this.#ports.cursor;
    return opening?.epochId === this.#joined.epochId && opening.runId === runId;
  }

  #observe(rows: readonly LeaseRow[], reading: Reading): void {
    const { table, cosigner } = this.#ports;
    table.observe(this.#joined.epochId, rows, reading);
    cosigner.watch(reading.at);
  }

  /** Why credentials would be taken for longer here than revocations are kept; undefined where they are not. */
  #unfitness(): string | undefined {
    const { cursor, credentialLifeMaxMs } = this.#ports;
    const keptMs = cursor.credentialLifeMaxMs(credentialLifeMaxMs);
    return credentialLifeMaxMs > keptMs ? unfit(credentialLifeMaxMs, keptMs) : undefined;
  }

  /** By what is signed, whatever the roster in the store says: nobody waits for its leases as for those of others. */
  #goneAs(): 'succeeded' | 'forgotten' | undefined {
    const { identity, members } = this.#ports;
    if (members.isSucceeded(identity.incarnation)) return 'succeeded';
    return members.lookup(identity.incarnation)?.state === 'forgotten' ? 'forgotten' : undefined;
  }

  #request(): Parameters<FeedStore['renew']>[0] {
    const { identity, retracer, random } = this.#ports;
    const { position, chain, epochId: cursorEpochId } = retracer.after;
    this.#acknowledge();
    // A full list repeats its last: dropping its first could drop the one the store took, and look like a clone.
    if (this.#nonces.length < NONCES_MAX) this.#nonces = [...this.#nonces, toBase64Url(random.bytes(12))];
    return {
      incarnation: identity.incarnation,
      epochId: this.#joined.epochId,
      position,
      chain,
      cursorEpochId,
      nonces: this.#nonces,
      acknowledgement: this.#acknowledgement,
      limit: LIMITS.pageEntriesMax,
    };
  }

  /** What is about to be acknowledged of sessions outlives this machine. Rejects as the disk does: then it is not said. */
  async #keepSessions(): Promise<void> {
    const { effects, sessions, clock } = this.#ports;
    if (this.#toAcknowledge().said === this.#acknowledged.said) return;
    const reached = effects
      .outcomes(clock.now())
      .flatMap(({ revocation, matched }) => (matched > 0 ? [`${matched} of ${revocation}`] : []));
    if (reached.every((one) => this.#kept.has(one))) return;
    await sessions.sync();
    this.#kept = new Set(reached);
  }

  /** Signs what has been applied and what it reached, when that has changed since the last signature, or is to be cosigned. */
  #acknowledge(): void {
    const { identity, cursor, tree, cosigner, lease, effects, snapshots, clock } = this.#ports;
    const due = this.#toAcknowledge();
    const now = clock.now();
    const isSaid = due.position === this.#acknowledged.position && due.said === this.#acknowledged.said;
    if (cursor.epochId === undefined || (isSaid && !cosigner.isDue(now))) return;
    this.#acknowledged = due;
    this.#isAwaited = false;
    const cosigned = cosigner.cosign(now);
    this.#acknowledgement = signAcknowledgement(
      {
        v: 1,
        replica: identity.replica,
        incarnation: identity.incarnation,
        epochId: cursor.epochId,
        position: renderPosition(cursor.position),
        chain: cursor.chain,
        leaf: tree.lastLeafHex,
        at: renderInstant(now.wallMs),
        ...(snapshots.statement === undefined ? {} : { snapshot: snapshots.statement }),
        cachesPurged: true,
        ...(lease.isFresh(now) ? { leased: true } : {}),
        ...(cosigned === undefined ? {} : { cosigned }),
        outcomes: effects.outcomes(now),
      },
      identity.key,
    );
  }

  #toAcknowledge(): { readonly position: string; readonly said: string } {
    const { cursor, lease, effects, snapshots, clock } = this.#ports;
    const now = clock.now();
    const said = JSON.stringify([lease.isFresh(now), effects.outcomes(now), snapshots.statement]);
    return { position: renderPosition(cursor.position), said };
  }

  /** Lets go what is over. Live sessions are ended by expire.ts. */
  #sweep(): void {
    const { sessions, clock, view, grants, effects, snapshots } = this.#ports;
    const now = clock.now();
    const nowS = epochS(now);
    const forgetS = snapshots.forgetS(nowS);
    sessions.sweep(now);
    sessions.forgetLost((id) => view.placeOf(id) !== undefined);
    // One shard of the index: what has ended may leave, by the clock that never goes back.
    view.sweep(nowS, forgetS);
    grants.sweep(nowS, forgetS);
    effects.sweep(nowS);
  }

  #isReachable(): boolean {
    return this.#state === 'lease' || this.#state === 'more';
  }
}

function unfit(ownMs: number, keptMs: number): string {
  const [own, kept] = [ownMs / 1000, keptMs / 1000];
  return `credentialLifeMax is ${own}s here, and the fleet keeps revocations for credentials of ${kept}s at most: what it has revoked would be accepted here again`;
}

/** How long who cannot say yes waits before it asks again for what others are doing about it. */
export function soonMs(leaseMs: number): number {
  return Math.min(leaseMs / 6, 100);
}

/** That an epoch is closed, heard while a lease of it was good for that long. */
interface HeardClosing {
  readonly epochId: string;
  readonly at: Instant;
  readonly forMs: number;
}

/** A renewal: when it was sent, and which reading of the table it is. */
interface Sent {
  readonly at: Instant;
  readonly number: number;
}

interface Renewed {
  readonly reply: RenewReply;
  readonly sent: Sent;
}

interface Prepared {
  take(): Promise<Renewed | undefined>;
}

/** By a page: when it was sent, and what has to be applied before that counts. */
interface Promised {
  readonly head: Position;
  readonly at: Instant;
}

type Page = Extract<RenewReply, { kind: 'more' }>;
type GrantedLease = Extract<RenewReply, { kind: 'lease' }>;

/** A new one each time: every race against one that is kept would leave its other promises in memory. */
function never(): Promise<void> {
  return new Promise(() => undefined);
}

/** A barrier waits until they are acknowledged, or who joined for its first lease. */
const AWAITED: ReadonlySet<EntryKind> = new Set(['revocation', 'lock', 'replica', 'epoch']);

/** Of reasons in a row, each another one. */
const LOGGED_MAX = 8;

/** Renewals whose answers were lost in a row that are told apart. */
const NONCES_MAX = 16;
