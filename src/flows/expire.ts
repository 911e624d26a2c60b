/**
 * The one timer of live sessions: at the moment when a credential or a grant ends, the session that stands on it is
 * decided again, and killed unless its holder has presented a fresher credential first; when this replica is fenced, all
 * are killed. The timer only wakes: what is due is read from the clock, so that after a pause all that has come due dies
 * at once, and a renewal that hangs keeps nobody alive.
 */
import type { Cursor } from '../feed/cursor.ts';
import type { Lease } from '../feed/lease.ts';
import { renderPosition } from '../feed/position.ts';
import type { Clock, Instant, Timer } from '../kernel/clock.ts';
import type { Log } from '../kernel/log.ts';
import type { Steps } from '../kernel/pace.ts';
import { Pace } from '../kernel/pace.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Reviewer } from './review.ts';

export interface ExpirePorts {
  readonly reviewer: Reviewer;
  readonly sessions: SessionRegistry;
  readonly lease: Lease;
  readonly cursor: Cursor;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly log: Log;
}

/** No sleep is longer: the machine may be suspended, the wall clock set, or a session opened with an earlier end. */
const LOOK_AGAIN_MS = 250;

export class Expirer {
  readonly #ports: ExpirePorts;
  #hasLease = false;
  /** Since when there is none any more, as found here. Monotonic; undefined before there ever was one, too. */
  #overSinceMs: number | undefined;

  constructor(ports: ExpirePorts) {
    this.#ports = ports;
  }

  /** Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { sessions, lease, clock, timer } = this.#ports;
    while (!signal.aborted) {
      await this.endDue(signal);
      this.#endWhenFenced();
      const now = clock.now();
      const freshForMs = lease.freshForMs(now);
      const untilMs = [LOOK_AGAIN_MS, sessions.untilNextMs(now), freshForMs > 0 ? freshForMs : LOOK_AGAIN_MS];
      await timer.sleep(Math.ceil(Math.min(...untilMs)), signal);
    }
  }

  /** All sessions: nothing can be said for any of them. */
  #endWhenFenced(): void {
    const { sessions, lease, cursor, clock, log } = this.#ports;
    const now = clock.now();
    if (lease.isFresh(now)) {
      this.#noteLease(now);
      return;
    }
    const event = { reason: 'fenced', position: renderPosition(cursor.position) } as const;
    const count = sessions.killWhere(() => true, event, now);
    if (!this.#hasLease) return;
    this.#hasLease = false;
    this.#overSinceMs = now.monoMs;
    log.warn('the lease is over: every answer is fenced, and live sessions were told to end', { count });
  }

  #noteLease({ monoMs }: Instant): void {
    if (this.#overSinceMs !== undefined)
      this.#ports.log.info('there is a lease again', { durationMs: Math.round(monoMs - this.#overSinceMs) });
    this.#hasLease = true;
    this.#overSinceMs = undefined;
  }

  /** Decides all that is due now again, in slices. */
  async endDue(signal: AbortSignal): Promise<void> {
    const { clock, timer } = this.#ports;
    await new Pace({ clock, timer }).run(this.#ending(signal));
  }

  *#ending(signal: AbortSignal): Steps<void> {
    const { sessions, reviewer, clock } = this.#ports;
    while (!signal.aborted) {
      const now = clock.now();
      const due = sessions.due(now);
      if (due === undefined) {
        if (!sessions.settleNext(now)) return;
      } else if (reviewer.review(due, 'time') === 'unsettled') {
        // What cannot be known now is due again a little later, not lost.
        sessions.schedule(due, sessions.timeMs(due, now) + LOOK_AGAIN_MS, now);
      }
      yield;
    }
  }
}
