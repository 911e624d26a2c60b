/**
 * One live session decided again, by the same brackets as a request, and killed when it is denied. Called when what it
 * was decided by has changed, when its time has come, and when its holder asks. Nothing here awaits: between the
 * decision and the kill nothing can land.
 */
import type { Actor } from '../credential/credential.ts';
import type { Decision } from '../decision/decision.ts';
import type { KillObserver } from '../decision/observer.ts';
import type { GrantTable } from '../decision/grants.ts';
import type { Cursor } from '../feed/cursor.ts';
import { renderPosition } from '../feed/position.ts';
import type { Clock, Instant } from '../kernel/clock.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import { standingOf } from '../session/grounds.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { KillReason, Session } from '../session/session.ts';
import { KILL_REASONS } from '../session/session.ts';
import type { Checker } from './check.ts';

export interface ReviewPorts {
  readonly checker: Checker;
  readonly sessions: SessionRegistry;
  readonly grants: GrantTable;
  readonly cursor: Cursor;
  readonly clock: Clock;
  readonly clockSkewS: number;
  readonly observer: KillObserver;
  readonly ids: { readonly next: () => string };
  readonly log: Log;
}

/** Why a session is decided again. */
export const REVIEW_CAUSES = ['policy', 'grant', 'time', 'holder'] as const;
export type ReviewCause = (typeof REVIEW_CAUSES)[number];

/** `unsettled`: it cannot be known now, so it must be asked again. */
export type ReviewOutcome = 'lives' | 'ended' | 'unsettled';

/** Whose grants a session may stand on, besides its subject's. */
export interface Holder {
  readonly issuer: string;
  readonly actor: Actor | undefined;
}

export interface ReviewCount {
  reviewed: number;
  killed: number;
}

export class Reviewer {
  readonly #ports: ReviewPorts;
  readonly #counts = new Map<ReviewCause, ReviewCount>(
    REVIEW_CAUSES.map((cause) => [cause, { reviewed: 0, killed: 0 }]),
  );

  constructor(ports: ReviewPorts) {
    this.#ports = ports;
  }

  /** Since the start of this process, by cause. */
  get counts(): ReadonlyMap<ReviewCause, Readonly<ReviewCount>> {
    return this.#counts;
  }

  review(session: Session, cause: ReviewCause): ReviewOutcome {
    if (session.kill !== undefined) return 'ended';
    const { sessions, clock } = this.#ports;
    const startedMs = performance.now();
    const now = clock.now();
    const decision = this.#decide(session, now);
    const count = this.#counts.get(cause) as ReviewCount;
    count.reviewed += 1;
    switch (decision.effect) {
      case 'allow':
        sessions.confirm(session);
        return 'lives';
      case 'indeterminate':
        return 'unsettled';
      case 'deny':
        if (!this.#kill(session, decision, now)) return 'ended';
        count.killed += 1;
        this.#tell(session, decision, { startedMs, cause });
        return 'ended';
    }
  }

  /**
   * Puts down when `session` has to be decided again: at the end of its credential, or of the first of `holder`'s grants,
   * and twice a minute under a policy that reads the time. Without `holder`, after a restart, by the rest alone.
   */
  schedule(session: Session, holder?: Holder): void {
    const { checker, sessions, grants, clock, clockSkewS } = this.#ports;
    const now = clock.now();
    const timeMs = sessions.timeMs(session, now);
    const nowS = Math.floor(timeMs / 1000);
    const againMs = checker.isTimeBound ? timeMs + LIMITS.timeBoundSessionMs : Number.POSITIVE_INFINITY;
    const grantS =
      holder === undefined
        ? Number.POSITIVE_INFINITY
        : grants.liveFor(session.subject, holder.issuer, holder.actor, nowS).earliestEndS;
    const endMs = Math.min(grantS * 1000, endOfCredentialMs(session, clockSkewS));
    sessions.schedule(session, Math.min(endMs, againMs), now);
  }

  #decide(session: Session, now: Instant): Decision {
    const { checker, sessions, log, clockSkewS } = this.#ports;
    const timeMs = sessions.timeMs(session, now);
    // The same moment as checkSpan's, and it comes first: a replica that is fenced knows this much.
    if (timeMs >= endOfCredentialMs(session, clockSkewS)) return EXPIRED;
    const standing = standingOf(session.grounds);
    if (standing === undefined) {
      log.warn('a session that cannot be decided again was killed', { kind: session.kind });
      return UNDECIDABLE;
    }
    const decision = checker.reconsider(session, standing, timeMs);
    if (decision.effect === 'allow') this.schedule(session, standing);
    return decision;
  }

  #kill(session: Session, decision: Decision, at: Instant): boolean {
    const { sessions, cursor } = this.#ports;
    const { reason, revocation } = decision;
    const event = {
      reason: killReasonOf(reason),
      ...(revocation === undefined ? {} : { revocation }),
      position: renderPosition(cursor.position),
    };
    return sessions.killOne(session, event, at);
  }

  /** Which session a change has ended stands in the decision log. */
  #tell(
    session: Session,
    decision: Decision,
    by: { readonly startedMs: number; readonly cause: ReviewCause },
  ): void {
    const { observer, ids } = this.#ports;
    const standing = standingOf(session.grounds);
    observer.killed(decision, {
      id: ids.next(),
      source: 'review',
      asked: standing?.request ?? { subject: { id: session.subject } },
      credential: standing?.credential,
      agent: session.actor,
      session: session.ref,
      ...by,
    });
  }
}

/** Wall time from which on it would be refused; Infinity where nobody knows. */
function endOfCredentialMs({ expiresAtS }: Session, clockSkewS: number): number {
  return expiresAtS === undefined ? Number.POSITIVE_INFINITY : (expiresAtS + clockSkewS) * 1000;
}

const EXPIRED: Decision = { effect: 'deny', reason: 'expired' };

/** Of a version before this one, which did not keep what it was decided on. */
const UNDECIDABLE: Decision = { effect: 'deny', reason: 'policy_denied' };

/** Of what can deny a session again, each reason is one for a kill; what could not be foreseen says no more than it must. */
function killReasonOf(reason: Decision['reason']): KillReason {
  return KILL_REASONS.find((known) => known === reason) ?? 'policy_denied';
}
