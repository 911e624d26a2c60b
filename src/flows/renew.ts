/**
 * Keeps the lease. One renewal is in flight at a time; what it brings is applied, made durable and killed before
 * the lease that came with it is adopted, and the next renewal acknowledges it. `sentAt` is taken before the
 * request is written: a lease counted from the answer would outlive the promise by the round trip.
 */
import { signAcknowledgement } from '../evidence/acknowledgement.ts';
import type { GrantTable } from '../decision/grants.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { FeedStore, RenewReply } from '../feed/feed-store.ts';
import type { Lease } from '../feed/lease.ts';
import { renderPosition } from '../feed/position.ts';
import type { Clock, Instant, Timer } from '../kernel/clock.ts';
import { epochS, renderInstant } from '../kernel/clock.ts';
import { toBase64Url } from '../kernel/digest.ts';
import { isWritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import type { Random } from '../kernel/random.ts';
import type { RevocationView } from '../revocation/view.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { LeaseTable } from './barrier.ts';
import type { Effects } from './effects.ts';
import type { Follower } from './follow.ts';
import type { Identity } from './identity.ts';
import type { Loader } from './load.ts';
import type { News } from './news.ts';
import type { Snapshotter } from './snapshot.ts';
import type { Tree } from './tree.ts';

export interface RenewPorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly cursor: Cursor;
  readonly follower: Follower;
  readonly lease: Lease;
  readonly leaseMs: number;
  readonly table: LeaseTable;
  readonly tree: Tree;
  readonly effects: Effects;
  readonly sessions: SessionRegistry;
  readonly view: RevocationView;
  readonly grants: GrantTable;
  readonly snapshots: Snapshotter;
  readonly loader: Loader;
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
export type RenewState = RenewReply['kind'] | 'unreachable' | 'diverged' | 'trimmed' | 'starting';

export class Renewer {
  readonly #ports: RenewPorts;
  #nonces: string[] = [];
  #acknowledgement: string | undefined;
  #acknowledged = '';
  #state: RenewState = 'starting';
  #epochId = '';
  #witnessed: string | undefined;

  constructor(ports: RenewPorts) {
    this.#ports = ports;
  }

  get state(): RenewState {
    return this.#state;
  }

  /** Which epoch to hold leases of; the cursor may still be in an earlier one. */
  follow(epochId: string): void {
    this.#epochId = epochId;
    this.#witnessed = undefined;
  }

  /**
   * The epoch whose closing was heard of under a lease of it that was good when the news was received: everything that
   * was `enforced` in it is in this view (DESIGN 3.4).
   */
  get witnessed(): string | undefined {
    return this.#witnessed;
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
    const { timer, leaseMs, store, cursor, owing } = this.#ports;
    while (!signal.aborted && this.#state !== 'closed') {
      const changed = owing.next();
      const isOwing = await this.renewOnce();
      if (isOwing) continue;
      const woken = new AbortController();
      const until = AbortSignal.any([signal, woken.signal]);
      // A hint that fails must not become a loop that never sleeps.
      const woke = this.#isReachable() ? store.wake(cursor.position, until).catch(never) : never();
      await Promise.race([timer.sleep(leaseMs / 6, until), woke, changed]);
      woken.abort();
    }
  }

  /**
   * One renewal. True when another is owed at once: a page is missing, or what was applied is not yet acknowledged.
   * Never rejects: what goes wrong shows in `state`, in the log, and in a lease that runs out.
   */
  async renewOnce(): Promise<boolean> {
    const { clock, store, lease, follower } = this.#ports;
    const before = this.#state;
    try {
      // Before anything is sent: a torn view falls silent, so that the others see it as over and not as done.
      follower.assertWhole();
      const request = this.#request();
      const sentAt = clock.now();
      const reply = await store.renew(request);
      // The answered one stays: the store finds the nonce it took last among those a request names.
      this.#nonces = this.#nonces.slice(-1);
      await this.#take(reply, sentAt);
    } catch (error) {
      this.#state = isWritError(error, 'PROOF_INVALID') ? 'diverged' : 'unreachable';
      // A store that does not answer may answer again within the lease. After anything else (it cannot be written, its
      // history is not ours, the view is torn) nothing more is allowed on the old one.
      if (!isWritError(error, 'STORE_UNREACHABLE')) lease.drop();
      if (before !== this.#state)
        this.#ports.log.error('no lease was renewed', { reason: this.#state, code: codeOf(error) });
    }
    this.#endWhatIsOver();
    if (before !== this.#state)
      this.#ports.log.info('the state of the lease changed', { state: this.#state });
    return (
      this.#state === 'more' || (this.#state === 'lease' && this.#acknowledgedText() !== this.#acknowledged)
    );
  }

  async #take(reply: RenewReply, sentAt: Instant): Promise<void> {
    const { follower, lease, table, cursor, clock, news } = this.#ports;
    if (reply.kind === 'closed' || reply.kind === 'stale') {
      if (reply.kind === 'closed' && lease.isFresh(clock.now())) this.#witnessed = cursor.epochId;
      lease.drop();
      this.#state = reply.kind;
      if (reply.kind === 'stale' && reply.reason === 'trimmed') this.#state = await this.#reload();
      return;
    }
    await follower.apply(reply.lines);
    if (reply.kind === 'lease') {
      lease.adopt(sentAt);
      table.observe(cursor.epochId, reply.rows, clock.now());
    }
    this.#state = reply.kind;
    news.notify();
  }

  /** What lies between the cursor and what the store holds is in its snapshot, or nowhere. */
  async #reload(): Promise<RenewState> {
    return (await this.#ports.loader.load()) ? 'more' : 'trimmed';
  }

  #request(): Parameters<FeedStore['renew']>[0] {
    const { identity, cursor, random } = this.#ports;
    this.#acknowledge();
    // A full list repeats its last: dropping its first could drop the one the store took, and look like a clone.
    if (this.#nonces.length < NONCES_MAX) this.#nonces = [...this.#nonces, toBase64Url(random.bytes(12))];
    return {
      incarnation: identity.incarnation,
      epochId: this.#epochId,
      position: cursor.position,
      chain: cursor.chain,
      nonces: this.#nonces,
      acknowledgement: this.#acknowledgement,
      limit: LIMITS.pageEntriesMax,
    };
  }

  /** Signs what has been applied and what it reached, when that has changed since the last signature. */
  #acknowledge(): void {
    const { identity, cursor, tree, effects, snapshots, clock } = this.#ports;
    const text = this.#acknowledgedText();
    if (text === this.#acknowledged || cursor.epochId === undefined) return;
    this.#acknowledged = text;
    const now = clock.now();
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
        outcomes: effects.outcomes(now),
      },
      identity.key,
    );
  }

  #acknowledgedText(): string {
    const { cursor, effects, snapshots, clock } = this.#ports;
    const outcomes = effects.outcomes(clock.now());
    return JSON.stringify([renderPosition(cursor.position), outcomes, snapshots.statement]);
  }

  /** All sessions when this replica is fenced. Those whose time has come are ended by expire.ts, lease or not. */
  #endWhatIsOver(): void {
    const { sessions, clock, lease, cursor, view, grants, effects, snapshots } = this.#ports;
    const now = clock.now();
    const nowS = epochS(now);
    const forgetS = snapshots.forgetS(nowS);
    const position = renderPosition(cursor.position);
    if (!lease.isFresh(now)) sessions.killWhere(() => true, { reason: 'fenced', position }, now);
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

/** A new one each time: every race against one that is kept would leave its other promises in memory. */
function never(): Promise<void> {
  return new Promise(() => undefined);
}

/** Renewals whose answers were lost in a row that are told apart. */
const NONCES_MAX = 16;

function codeOf(error: unknown): string {
  return isWritError(error) ? error.code : 'INTERNAL';
}
