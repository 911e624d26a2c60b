/**
 * One replica's life in the feed: join, renew until told to stop, leave. Joining again when the epoch it knew is
 * closed is part of it; answering meanwhile is not: without a lease every answer is `fenced`.
 */
import type { Cursor } from '../feed/cursor.ts';
import type { Lease } from '../feed/lease.ts';
import { renderPosition } from '../feed/position.ts';
import type { Clock, Timer } from '../kernel/clock.ts';
import { codeOf, explanationOf } from '../kernel/error.ts';
import type { Log } from '../kernel/log.ts';
import type { Random } from '../kernel/random.ts';
import { newId } from '../kernel/random.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Appender } from './append.ts';
import type { Identity } from './identity.ts';
import type { Joiner, OpenRule } from './join.ts';
import { AMNESIA } from './join.ts';
import type { Mender } from './mend.ts';
import { News } from './news.ts';
import type { Renewer, RenewState } from './renew.ts';
import { soonMs } from './renew.ts';
import type { Missing, Reopener } from './reopen.ts';
import type { Vouching } from './vouch.ts';

export interface ReplicaPorts {
  readonly joiner: Joiner;
  readonly reopener: Reopener;
  readonly vouching: Vouching;
  readonly renewer: Renewer;
  readonly mender: Mender;
  readonly appender: Appender;
  readonly lease: Lease;
  readonly sessions: SessionRegistry;
  readonly identity: Identity;
  readonly cursor: Cursor;
  readonly random: Random;
  readonly timer: Timer;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseMs: number;
}

/** One line of `/readyz`. */
export interface Readiness {
  readonly name: 'policy' | 'keys' | 'store' | 'epoch' | 'lease' | 'view' | 'decision_log';
  readonly ok: boolean;
  readonly detail: string;
}

export interface OutsideFacts {
  /** The policy that runs, and what was refused instead. */
  readonly policy: string;
  /** By how much the machine's clock is behind what was already seen. */
  readonly skewBackMs: number;
  /** Issuers whose keys cannot be had now. */
  readonly issuersWithoutKeys: readonly string[];
  readonly targets: number;
  /** What the store or its configuration makes weaker than it should be. */
  readonly weakened?: readonly string[];
  /** Whether lines are written where every answer must have one; undefined where none must. */
  readonly isRecording: boolean | undefined;
}

export class Replica {
  readonly #ports: ReplicaPorts;
  readonly #leaving = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #isJoined = false;
  /** Since when no epoch was open whenever it asked for one; never, while there is one. */
  #closedSinceMs = NEVER_MS;
  /** Why the last attempt to join failed: said once. */
  #failure: string | undefined;
  /** Why no epoch was open: said once, too. */
  #lack: string | undefined;
  readonly #opened = new News();
  /** Aborted when an operator wants a turn. */
  #asked = new AbortController();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(ports: ReplicaPorts) {
    this.#ports = ports;
  }

  /** Joins, if it can be done at once, and goes on by itself from there until `stop`. */
  async start(): Promise<void> {
    await this.#join();
    this.#running = this.#run();
  }

  /**
   * Fences itself first, then says `left`: from that entry on nobody waits for this incarnation, or hears of its sessions. So
   * not while one of them is not proven to have ended (D-142), nor for a process that goes by the same incarnation.
   */
  async stop(): Promise<void> {
    const { lease, sessions, cursor, vouching, renewer, log } = this.#ports;
    this.#leaving.abort();
    await this.#running;
    lease.drop();
    const { opening } = cursor;
    if (!this.#isJoined || opening === undefined || renewer.isCloned) return;
    if (sessions.hasUnproven) {
      log.info('live sessions are left behind: the others count this as a crash', { count: sessions.size });
      return;
    }
    try {
      if (vouching.isHolder(opening)) await vouching.leave(opening.epochId);
      await this.#sayLeft(opening.epochId);
    } catch (error) {
      const code = codeOf(error);
      // Not said is safe: the others wait until this incarnation's lease is surely over, and for its data directory.
      log.warn('leaving could not be said', { code });
      if (code === 'STORE_UNREACHABLE' || code === 'EPOCH_CLOSED')
        await vouching.stay(opening.epochId).catch(() => undefined);
    }
  }

  async #sayLeft(epochId: string): Promise<void> {
    const { appender, identity, random } = this.#ports;
    const { replica, incarnation, key } = identity;
    const facts = { kind: 'replica', event: 'left', replica, incarnation, key: key.public.x } as const;
    await appender.appendUnfenced(epochId, appender.seal({ id: newId('ent', random), ...facts }));
  }

  /** Opens an epoch on an operator's word and joins it at once. ALREADY_OPEN when there is one. */
  async openEpoch(rule: OpenRule, reason?: string, caller?: string): Promise<string> {
    this.#asked.abort();
    this.#asked = new AbortController();
    const epochId = await this.#inTurn(() => this.#ports.joiner.open(rule, reason, caller));
    this.#opened.notify();
    return epochId;
  }

  /** Both the loop and an operator's order apply lines, so it is one at a time. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** What `/readyz` says: every line must be good before this replica may say yes. */
  readiness({
    policy,
    skewBackMs,
    issuersWithoutKeys,
    targets,
    weakened = [],
    isRecording,
  }: OutsideFacts): readonly Readiness[] {
    const { renewer, mender, cursor, lease, clock } = this.#ports;
    const freshForMs = Math.floor(lease.freshForMs(clock.now()));
    const isLeftAlone = renewer.state === 'awaiting' && renewer.stateForMs >= RESTART_MS;
    const clockNote =
      skewBackMs > 0 ? `; the clock is ${Math.ceil(skewBackMs / 1000)} s behind what was seen` : '';
    return [
      { name: 'policy', ok: true, detail: policy },
      {
        name: 'keys',
        ok: issuersWithoutKeys.length === 0,
        detail:
          issuersWithoutKeys.length === 0
            ? 'every issuer has keys'
            : `no keys: ${issuersWithoutKeys.join(', ')}`,
      },
      {
        name: 'store',
        ok: renewer.state === 'lease' || freshForMs > 0,
        detail: [
          (SAID_OF[renewer.state] ?? renewer.state) + (isLeftAlone ? GONE : ''),
          renewer.state === 'diverged' ? (mender.advice ?? []) : [],
          this.#failure ?? renewer.problem ?? [],
          weakened,
        ]
          .flat(2)
          .join('; '),
      },
      this.#epochCheck(),
      { name: 'lease', ok: freshForMs > 0, detail: freshForMs > 0 ? `fresh for ${freshForMs} ms` : 'fenced' },
      {
        name: 'view',
        ok: true,
        detail: `${renderPosition(cursor.position)}, ${targets} revoked ${targets === 1 ? 'target' : 'targets'}${clockNote}`,
      },
      ...recordingCheck(isRecording),
    ];
  }

  /** In the words of `/readyz`; undefined while an epoch is open. */
  get whyClosed(): string | undefined {
    const { ok, detail } = this.#epochCheck();
    return ok ? undefined : detail;
  }

  #epochCheck(): Readiness {
    const { renewer, cursor, joiner } = this.#ports;
    const { epochId } = cursor;
    const isOpen = renewer.state !== 'closed' && this.#closedSinceMs === NEVER_MS;
    if (epochId !== undefined && isOpen) return { name: 'epoch', ok: true, detail: epochId };
    const { found } = joiner;
    const closed = epochId ?? found?.closedEpochId;
    const detail =
      closed !== undefined
        ? `${closed} is closed; ${this.#nextStep()}`
        : found === undefined
          ? 'not known yet: the store has not answered'
          : found.epochId === undefined
            ? 'none is open: in a new fleet, once, writ epoch open --new-fleet; in one that has decided anything, start a replica that has its data first'
            : `${found.epochId} is open, and nothing of it is here yet`;
    return { name: 'epoch', ok: false, detail };
  }

  /** What a closed fleet waits for; what an operator has to do about it only once nobody comes who would spare it. */
  #nextStep(): string {
    const { reopener, clock } = this.#ports;
    const [said, advice, patienceMs = RESTART_MS] = stepOf(reopener.missing);
    return clock.now().monoMs - this.#closedSinceMs < patienceMs ? said : `${said}${advice}`;
  }

  async #run(): Promise<void> {
    const { timer, leaseMs } = this.#ports;
    const { signal } = this.#leaving;
    while (!signal.aborted) {
      const opened = this.#opened.next();
      if (await this.#inTurn(() => this.#stayJoined(signal))) continue;
      await Promise.race([timer.sleep(soonMs(leaseMs), signal), opened]);
    }
  }

  /** Until it has to be joined anew, which it tries once, or somebody else wants a turn. False: not now. */
  async #stayJoined(signal: AbortSignal): Promise<boolean> {
    const until = AbortSignal.any([signal, this.#asked.signal]);
    if (this.#isJoined) await this.#ports.renewer.run(until);
    if (until.aborted) return true;
    this.#isJoined = false;
    return this.#join();
  }

  /** False when no epoch is open, or the store does not answer: tried again. */
  async #join(): Promise<boolean> {
    const { joiner, renewer, clock, log } = this.#ports;
    try {
      const joined = await joiner.join(() => renewer.witnessed);
      this.#isJoined = joined !== undefined;
      this.#closedSinceMs =
        joined === undefined ? Math.min(this.#closedSinceMs, clock.now().monoMs) : NEVER_MS;
      if (joined !== undefined) {
        renewer.follow(joined);
        await renewer.renewUntilSettled();
      }
      this.#failure = undefined;
      const lack = this.#isJoined ? undefined : this.#epochCheck().detail;
      if (lack !== undefined && lack !== this.#lack) log.warn('no epoch is open', { detail: lack });
      this.#lack = lack;
    } catch (error) {
      const failure = explanationOf(error);
      const code = codeOf(error);
      if (failure !== this.#failure) log.error('the feed could not be joined', { code, detail: failure });
      this.#failure = failure;
    }
    return this.#isJoined;
  }
}

/** States that somebody has to do something about. */
const SAID_OF: Partial<Record<RenewState, string>> = {
  forgotten: 'forgotten: this incarnation is given no lease ever again; restart it',
  unknown:
    'unknown: the store does not have it on its roster, where somebody may have written; it is there again once it, or the store, is restarted',
  cloned:
    'cloned: two processes go by this incarnation, and neither is given a lease ever again; restart them',
  succeeded:
    'succeeded: another process has joined with this data directory, or with a copy of it, and this one is given no lease ever again; give each a directory of its own, then restart it',
  trimmed:
    'trimmed: the store no longer holds what comes next; this goes on at the next snapshot of the fleet',
  unfit: `unfit: set credentialLifeMax as the fleet has it; to raise it for the fleet, here: ${AMNESIA}`,
  awaiting: 'awaiting: nobody with a lease has acknowledged this replica yet',
};

const NEVER_MS = Number.POSITIVE_INFINITY;

const GONE = `; if they are gone for good: ${AMNESIA}`;
/** Whoever is there has more than who reports nothing. */
const ALL_GONE = `; if some of them are gone for good, /readyz of another says what to do; if all are: ${AMNESIA}`;
const BY_ITSELF =
  'of the replicas that had a lease then and were not stopped first, the one that holds most opens the next epoch by itself';
const NOBODY = `; if there is none, because all were stopped before the store was: ${AMNESIA}`;
/** So long somebody who is missing may be a process that is being restarted: nobody is told to give it up before. */
const RESTART_MS = 60_000;
/** So long who is there may take to be heard. */
const REPORTING_MS = 5_000;

type Step = readonly [said: string, advice: string, patienceMs?: number];

/** What there is to say of what a closed epoch waits for, what to do about it, and for how long that is not said. */
function stepOf(missing: Missing | undefined): Step {
  if (missing === undefined) return [`who is missing is not known here yet: ${BY_ITSELF}`, NOBODY];
  const { replicas, unjudged, isForThem, hasEveryoneLeft } = missing;
  const names = replicas.join(', ');
  if (hasEveryoneLeft)
    return [
      'everyone had left it',
      `; if nothing else was ever decided in this fleet: ${AMNESIA}`,
      REPORTING_MS,
    ];
  if (isForThem !== undefined) return [OF_THEM[isForThem](names), ALL_GONE];
  if (names !== '') return [`it waits for ${names}`, GONE];
  if (unjudged.length > 0)
    return [unjudged.join('; '), `: if nothing was decided there that is not here, ${AMNESIA}, here`];
  return [BY_ITSELF, NOBODY];
}

/** Who opens it where this replica reports nothing. */
const OF_THEM: Record<NonNullable<Missing['isForThem']>, (names: string) => string> = {
  left: (names) => `this replica had left it; it is opened again by who had not: ${names}`,
  forgotten: (names) => `this replica was forgotten in it; it is opened again by who was not: ${names}`,
  // A name may be this one's own: then another data directory is meant, which it had before.
  new: (names) => `this data directory was not in it; it is opened again with those that were, of ${names}`,
};

function recordingCheck(isRecording: boolean | undefined): readonly Readiness[] {
  if (isRecording === undefined) return [];
  const detail = isRecording
    ? 'lines are written'
    : 'lines are not written, and no answer goes out without one';
  return [{ name: 'decision_log', ok: isRecording, detail }];
}
