/**
 * Takes replicas off the roster that are gone for good: by itself after `rosterForget` of silence, or on an operator's
 * word. Only a replica with a lease forgets, only in an open epoch, and only who has not renewed since it was looked at
 * (the store's compare-and-set): so nobody is forgotten who may hold a lease, and nobody that only a closed epoch
 * remembers (THREATS 10.7).
 */
import type { Cursor } from '../feed/cursor.ts';
import type { FeedStore } from '../feed/feed-store.ts';
import type { Lease, LeaseTerm } from '../feed/lease.ts';
import { leaseOverMs } from '../feed/lease.ts';
import type { Member, Members } from '../feed/members.ts';
import type { Clock, Instant, Timer } from '../kernel/clock.ts';
import { WritError, codeOf } from '../kernel/error.ts';
import type { Log } from '../kernel/log.ts';
import type { Random } from '../kernel/random.ts';
import { newId } from '../kernel/random.ts';
import type { Appender } from './append.ts';
import type { LeaseTable } from './barrier.ts';
import type { Identity } from './identity.ts';

export interface ForgetPorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly cursor: Cursor;
  readonly lease: Lease;
  readonly members: Members;
  readonly table: LeaseTable;
  readonly appender: Appender;
  readonly term: LeaseTerm;
  /** So long one is silent before it is forgotten by itself. */
  readonly rosterForgetMs: number;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly random: Random;
  readonly log: Log;
}

export interface ForgetOrder {
  readonly replica: string;
  readonly reason: string | undefined;
  readonly caller: string;
}

/** What became of each incarnation of a name: an incarnation that was kept says why. */
export interface Forgetting {
  readonly forgotten: readonly string[];
  readonly kept: readonly { readonly incarnation: string; readonly why: string }[];
}

interface Silence {
  readonly renewals: number;
  readonly since: Instant;
}

export class Forgetter {
  readonly #ports: ForgetPorts;
  /** Since when each has been silent while we held a lease and listened. */
  #silent = new Map<string, Silence>();
  #epochId: string | undefined;
  #lookedAt: Instant | undefined;

  constructor(ports: ForgetPorts) {
    this.#ports = ports;
  }

  /** Looks once a lease until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { timer, term, log } = this.#ports;
    while (!signal.aborted) {
      await this.look().catch((error: unknown) => {
        log.warn('a replica could not be forgotten', { code: codeOf(error) });
      });
      await timer.sleep(term.leaseMs, signal);
    }
  }

  /** Forgets who has been silent for too long. Rejects as the store does; the next look tries again. */
  async look(): Promise<void> {
    const { clock, cursor } = this.#ports;
    const now = clock.now();
    if (!this.#isListening(now)) this.#silent = new Map();
    this.#epochId = cursor.epochId;
    this.#lookedAt = now;
    for (const member of this.#others()) {
      const renewals = this.#renewalsOf(member);
      const known = this.#silent.get(member.incarnation);
      const since = known?.renewals === renewals ? known.since : now;
      this.#silent.set(member.incarnation, { renewals, since });
      const silentMs = now.monoMs - since.monoMs;
      if (silentMs < this.#silenceMsOf(member, now)) continue;
      await this.#forget(member, renewals, { reason: `silent for ${Math.floor(silentMs / 1000)} s` });
    }
  }

  /**
   * Forgets every incarnation of a name that surely holds no lease. NOT_FOUND when none is on the roster, STILL_LEASED
   * when none could be forgotten; EPOCH_CLOSED and FENCED say what to do instead.
   */
  async forget({ replica, reason, caller }: ForgetOrder): Promise<Forgetting> {
    const { identity, members } = this.#ports;
    await this.#requireReading();
    const forgotten: string[] = [];
    const kept: Forgetting['kept'][number][] = [];
    const named = members.list().filter((member) => member.replica === replica && this.#isListed(member));
    if (named.length === 0) throw new WritError('NOT_FOUND', this.#absenceOf(replica));
    for (const member of named) {
      const { incarnation } = member;
      const why =
        incarnation === identity.incarnation
          ? 'it is the one that was asked'
          : await this.#forgetSilent(member, { ...(reason === undefined ? {} : { reason }), caller });
      if (why === undefined) forgotten.push(incarnation);
      else kept.push({ incarnation, why });
    }
    if (forgotten.length > 0) return { forgotten, kept };
    const said = kept.map(({ incarnation, why }) => `${incarnation}: ${why}`).join('; ');
    throw new WritError('STILL_LEASED', said);
  }

  #absenceOf(replica: string): string {
    const last = this.#ports.members.list().findLast((member) => member.replica === replica);
    const why = last?.state === 'left' ? ': it has left, and nothing of it is left to forget' : '';
    return `no replica of that name is on the roster${why}`;
  }

  /** Why it was not forgotten, if it was not. */
  async #forgetSilent(
    member: Member,
    said: { reason?: string; caller: string },
  ): Promise<string | undefined> {
    const { table, clock } = this.#ports;
    // There has been a reading just now.
    const since = table.quietSince(member.incarnation) as Instant;
    const now = clock.now();
    const leftMs = leaseOverMs(table.longest(now)) - (now.monoMs - since.monoMs);
    if (leftMs > 0) return `its lease may be good for ${Math.ceil(leftMs)} ms yet`;
    return (await this.#forget(member, this.#renewalsOf(member), said))
      ? undefined
      : 'it has renewed just now';
  }

  /** One reading now, by a replica that may forget. */
  async #requireReading(): Promise<void> {
    const { store, cursor, table, lease, clock } = this.#ports;
    const number = table.send();
    const { epochId, rows } = await store.roster();
    if (epochId === undefined || epochId !== cursor.epochId)
      throw new WritError(
        'EPOCH_CLOSED',
        'nobody is forgotten in a closed epoch: /readyz says whom it waits for, and what to do if it stays closed',
      );
    if (!lease.isFresh(clock.now()))
      throw new WritError(
        'FENCED',
        'only a replica with a lease may forget another; where nobody gets one, /readyz says why, and what to do',
      );
    table.observe(epochId, rows, { number, at: clock.now() });
  }

  async #forget(
    { replica, incarnation, key }: Member,
    renewals: number,
    said: { reason?: string; caller?: string },
  ): Promise<boolean> {
    const { store, cursor, appender, random, log } = this.#ports;
    const facts = { kind: 'replica', event: 'forgotten', replica, incarnation, key: key.x } as const;
    const sealed = appender.seal({ id: newId('ent', random), ...facts, ...said });
    const reply = await store.forget({ epochId: cursor.epochId as string, renewals, sealed });
    if (reply.kind === 'lost') return false;
    log.warn('a replica was forgotten', { replica, ...said });
    return true;
  }

  /** A gap in our own listening is nobody else's silence. */
  #isListening(now: Instant): boolean {
    const { lease, cursor, term } = this.#ports;
    const isGap = this.#lookedAt === undefined || now.monoMs - this.#lookedAt.monoMs > 3 * term.leaseMs;
    return !isGap && this.#epochId === cursor.epochId && lease.isFresh(now);
  }

  /** The others on the roster. */
  #others(): readonly Member[] {
    const { members, identity } = this.#ports;
    return members
      .list()
      .filter((member) => member.incarnation !== identity.incarnation && this.#isListed(member));
  }

  /** On the roster, or a row in the lease table that a restarted process has left behind. */
  #isListed({ state, incarnation }: Member): boolean {
    return state === 'joined' || (state === 'succeeded' && this.#ports.table.row(incarnation) !== undefined);
  }

  /** Of one whose data directory lives on only the row is left: it goes when its lease is surely over. Nobody goes before that. */
  #silenceMsOf({ state }: Member, now: Instant): number {
    const { rosterForgetMs, table } = this.#ports;
    const overMs = leaseOverMs(table.longest(now));
    return state === 'succeeded' ? overMs : Math.max(rosterForgetMs, overMs);
  }

  #renewalsOf({ incarnation }: Member): number {
    return this.#ports.table.row(incarnation)?.renewals ?? 0;
  }
}
