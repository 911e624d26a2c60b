/**
 * Runtime follows decisions: when policy, data or grants change, every live session that the change can touch is decided
 * again, off the request path, in slices between which requests are answered. Sessions opened meanwhile were decided by
 * what is new. What cannot be known now is owed until it can.
 */
import type { Clock, Timer } from '../kernel/clock.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import type { Steps } from '../kernel/pace.ts';
import { Pace } from '../kernel/pace.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Session } from '../session/session.ts';
import { News, firstOf } from './news.ts';
import type { ReviewCause, Reviewer } from './review.ts';

export interface ReevaluatePorts {
  readonly reviewer: Reviewer;
  readonly sessions: SessionRegistry;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly log: Log;
}

/** How soon what could not be known is asked again: a lease may be back by then. */
const RETRY_MS = 100;
/** Nothing is owed: a change wakes it. */
const IDLE_MS = 60_000;

export class Reevaluator {
  readonly #ports: ReevaluatePorts;
  readonly #changed = new News();
  /** Whose sessions are owed from the next round on. */
  #subjects = new Set<string>();
  /** Whose sessions this round goes through; one that comes again meanwhile is gone through again, in the next. */
  #round = new Set<string>();
  /** The generation of policy up to which every session was decided. */
  #settled = 0;
  /** As many as the log has been told of. */
  #said = 0;

  constructor(ports: ReevaluatePorts) {
    this.#ports = ports;
  }

  /** The policy or its data is another one: all sessions. Call it in the turn of the swap, or after it. */
  policyChanged(): void {
    this.#ports.sessions.outdate();
    this.#changed.notify();
  }

  /** Grants of these subjects have changed: sessions whose subject or current actor is one of them. */
  subjectsChanged(ids: readonly string[]): void {
    for (const id of ids) this.#subjects.add(id);
    this.#changed.notify();
  }

  /** True while a session may be live by a decision that is no longer so. */
  get isOwing(): boolean {
    return this.#subjects.size + this.#round.size > 0 || this.#isPolicyOwed;
  }

  /** True while `session` may be live by grants that are no longer so. */
  owes({ subject, actor = subject }: Session): boolean {
    return [this.#subjects, this.#round].some((ids) => ids.has(subject) || ids.has(actor));
  }

  get #isPolicyOwed(): boolean {
    return this.#settled < this.#ports.sessions.generation;
  }

  /** Until `signal` aborts. One pass at a time. */
  async run(signal: AbortSignal): Promise<void> {
    const { timer, clock } = this.#ports;
    while (!signal.aborted) {
      const changed = this.#changed.next();
      const isWhole = await new Pace({ clock, timer }).run(this.#pass(signal));
      if (isWhole) this.#say();
      await firstOf(signal, (over) => [changed, timer.sleep(isWhole ? IDLE_MS : RETRY_MS, over)]);
    }
  }

  /** False when something could not be known: it is still owed. */
  *#pass(signal: AbortSignal): Steps<boolean> {
    while (this.isOwing) {
      if (!(yield* this.#policyPass(signal))) return false;
      if (!(yield* this.#subjectRound(signal))) return false;
    }
    return true;
  }

  *#policyPass(signal: AbortSignal): Steps<boolean> {
    const { sessions } = this.#ports;
    while (this.#isPolicyOwed) {
      const { generation } = sessions;
      if (!(yield* this.#reviewing(sessions.all(), 'policy', signal))) return false;
      // A change during the pass has outdated what was decided before it: another one, for those.
      this.#settled = generation;
    }
    return true;
  }

  /** What comes meanwhile waits for the next round, and policy goes before the rest: neither waits for ever. */
  *#subjectRound(signal: AbortSignal): Steps<boolean> {
    if (this.#round.size === 0) [this.#round, this.#subjects] = [this.#subjects, this.#round];
    for (const id of this.#round) {
      if (this.#isPolicyOwed) return true;
      if (!(yield* this.#reviewing(this.#ports.sessions.ofSubject(id), 'grant', signal))) return false;
      this.#round.delete(id);
    }
    return true;
  }

  *#reviewing(all: Iterable<Session>, cause: ReviewCause, signal: AbortSignal): Steps<boolean> {
    const { sessions, reviewer } = this.#ports;
    let passed = 0;
    for (const session of all) {
      if (signal.aborted) return false;
      if (session.kill !== undefined || (cause === 'policy' && !sessions.isOutdated(session))) {
        if (++passed % LIMITS.piecesMax === 0) yield;
        continue;
      }
      if (reviewer.review(session, cause) === 'unsettled') return false;
      yield;
    }
    return true;
  }

  #say(): void {
    const { reviewer, log } = this.#ports;
    let reviewed = 0;
    for (const [cause, count] of reviewer.counts) if (CAUSES.has(cause)) reviewed += count.reviewed;
    if (reviewed > this.#said)
      log.info('live sessions were evaluated again', { count: reviewed - this.#said });
    this.#said = reviewed;
  }
}

/** Of passes: what is due, and what a holder asks, is no news. */
const CAUSES: ReadonlySet<ReviewCause> = new Set(['policy', 'grant']);
