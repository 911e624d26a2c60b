/**
 * A live session from its registration to its end. Order: register, check, keep, run. A revocation that lands after the
 * check finds the session registered; one that landed before is seen by the check.
 */
import type { Credential, Verification, VerifiedCredential } from '../credential/credential.ts';
import type { Unreadable } from '../credential/parse-credential.ts';
import { isUnreadable } from '../credential/parse-credential.ts';
import type { DecisionEvidence, Judgement } from '../decision/decision.ts';
import type { AccessRequest } from '../decision/request.ts';
import type { Clock } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Random } from '../kernel/random.ts';
import { newId } from '../kernel/random.ts';
import type { Standing } from '../session/grounds.ts';
import { groundsOf, standingOf } from '../session/grounds.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Fresh, KillEvent, Session, SessionRef } from '../session/session.ts';
import { sessionRefOf } from '../session/session.ts';
import type { Checker } from './check.ts';
import type { Reevaluator } from './reevaluate.ts';
import type { Reviewer } from './review.ts';

export interface SessionOrder {
  readonly kind: string;
  readonly selfEnds: boolean;
  /** `subject.id` undefined: the credential's own subject. */
  readonly request: Omit<AccessRequest, 'subject'> & {
    readonly subject: AccessRequest['subject'] | undefined;
  };
}

export interface OpenedSession {
  /** The capability; undefined when it was refused. */
  readonly id: string | undefined;
  readonly decision: Judgement;
  /** Decides again, after a wait: the session may have been killed meanwhile. */
  readonly decide: () => Judgement;
  /**
   * How long the holder may go on: exactly what it was registered with, so it is answered as it is here. Asked for
   * again after an await, a lease renewed meanwhile would let a holder go on after it was counted dead.
   */
  readonly freshForMs?: number;
}

export interface Ping {
  readonly freshForMs: number;
  readonly kill: KillEvent | undefined;
}

/** `taken` is there when the fresher credential took the place of the one before: exactly when `decision` allows. */
export interface Refreshed {
  readonly decision: Judgement;
  /** What the session stands for: it is decided on again. */
  readonly asked: AccessRequest;
  readonly taken?: { readonly freshForMs: number; readonly expiresAtS: number };
}

export interface KeepPorts {
  readonly checker: Checker;
  readonly reviewer: Reviewer;
  readonly reevaluator: Reevaluator;
  readonly sessions: SessionRegistry;
  readonly clock: Clock;
  readonly random: Random;
}

export class SessionKeeper {
  readonly #ports: KeepPorts;

  constructor(ports: KeepPorts) {
    this.#ports = ports;
  }

  /** Opens a session, or says why not. OVERLOADED when there are too many, BODY_TOO_LARGE for what is too large to keep. */
  async open(order: SessionOrder): Promise<OpenedSession> {
    const { checker, reviewer, sessions, clock, random } = this.#ports;
    if (order.request.credential === undefined) return refused(checker.refuse('no_credential'));
    const verification = await checker.verify(order.request.credential);
    const verified = verification?.ok === true ? verification.credential : undefined;
    const subject = order.request.subject ?? { type: 'identity', id: verified?.subject ?? '' };
    const request = { ...order.request, subject };
    if (verified === undefined) return refused(checker.judge(request, verification));
    const id = newId('ses', random);
    const ref = sessionRefOf(id);
    const now = clock.now();
    const { kind, selfEnds } = order;
    const fixed = { ref, kind, subject: verified.subject, selfEnds, openedAtMs: now.wallMs };
    const record = { ...fixed, ...freshOf(request, verified) };
    const leaseMs = checker.freshForMs();
    sessions.register(record, now.monoMs + leaseMs);
    const decision = checker.judgeAgain(request, verification);
    if (decision.effect !== 'allow') {
      sessions.end(ref);
      return refused(decision);
    }
    sessions.keep(record);
    const session = this.find(id);
    reviewer.schedule(session, { issuer: verified.issuer, actor: verified.actors[0] });
    const decide = (): Judgement => this.#decideAgain(ref, checker.judgeAgain(request, verification));
    return { id, decision, decide, freshForMs: Math.min(leaseMs, this.#leftMs(session)) };
  }

  /** Ends a session whose holder was never told that it has one. */
  abandon(id: string): void {
    this.#ports.sessions.end(sessionRefOf(id));
  }

  /**
   * A fresher credential for a session that goes on. Order: register, check, keep, run, as for one that opens: while it
   * is decided on, a revocation of either credential reaches the session. SESSION_ENDED for one that was killed or would
   * be denied by now, NOT_FRESHER for a credential that ends earlier, STORE_UNREACHABLE: the old one stays.
   */
  async refresh(id: string, presented: Credential | Unreadable): Promise<Refreshed> {
    const { checker, reviewer, sessions } = this.#ports;
    requireLive(this.find(id));
    const verification = await this.#verify(presented);
    // Everything may have happened meanwhile: what would be denied now is killed, not refreshed.
    const session = this.find(id);
    reviewer.review(session, 'holder');
    const { request: asked, issuer } = requireLive(session);
    if (verification === undefined) return { asked, decision: checker.refuse('no_credential') };
    if (!verification.ok) return { asked, decision: checker.judge(asked, verification) };
    const { credential: verified } = verification;
    if (verified.issuer !== issuer || verified.subject !== session.subject)
      return { asked, decision: checker.refuse('subject_mismatch') };
    if (verified.expiresAtS < (session.expiresAtS ?? 0))
      throw new WritError('NOT_FRESHER', 'the credential ends before the one of the session');
    const fresh = freshOf(asked, verified);
    const offer = sessions.offer(session, fresh);
    const decision = checker.judgeAgain(asked, verification);
    offer.settle(decision.effect === 'allow' ? fresh : undefined);
    if (decision.effect !== 'allow') return { asked, decision };
    reviewer.schedule(session, { issuer: verified.issuer, actor: verified.actors[0] });
    const taken = { freshForMs: this.#extend(session), expiresAtS: verified.expiresAtS };
    return { asked, decision, taken };
  }

  /** SESSION_ENDED or NOT_FOUND for one that was killed, is over, or may not go on by what is in force now. */
  requireLive(id: string): void {
    const session = this.find(id);
    if (this.#isToBeReviewed(session)) this.#ports.reviewer.review(session, 'holder');
    requireLive(session);
  }

  /** What is known of a session by its capability; NOT_FOUND for one that is not there. */
  find(id: string): Session {
    const session = this.#ports.sessions.lookup(sessionRefOf(id));
    if (session === undefined) throw new WritError('NOT_FOUND', 'no such session');
    return session;
  }

  /** Kills a session whose fresher credential could not be written down: it may not go on on a yes that has no line. */
  withdraw(id: string, { position }: DecisionEvidence): void {
    const { sessions, clock } = this.#ports;
    const session = sessions.lookup(sessionRefOf(id));
    if (session !== undefined) sessions.killOne(session, { reason: 'policy_denied', position }, clock.now());
  }

  /**
   * How long the holder may go on, counted from when it sent the ping; never beyond the end of its credential or grant.
   * 0 with the reason once it was killed: a session whose time has come, that is not decided again yet, or whose policy
   * reads the time, is first.
   */
  ping(id: string): Ping {
    const session = this.find(id);
    if (this.#isToBeReviewed(session)) this.#ports.reviewer.review(session, 'holder');
    const { kill } = session;
    if (kill !== undefined) return { freshForMs: 0, kill: killEventOf(kill) };
    return { freshForMs: this.#extend(session), kill: undefined };
  }

  #isToBeReviewed(session: Session): boolean {
    const { checker, sessions, reevaluator } = this.#ports;
    const isOwed = sessions.isOutdated(session) || reevaluator.owes(session);
    return isOwed || checker.isTimeBound || this.#leftMs(session) <= 0;
  }

  /** The holder says that it closed: the proof a kill waits for. NOT_FOUND when there is no such session. */
  closed(id: string): void {
    this.#ports.sessions.end(this.find(id).ref);
  }

  /** What killed a session stays its answer, even where a request like it is allowed again by now. */
  #decideAgain(ref: SessionRef, judgement: Judgement): Judgement {
    const { sessions, checker } = this.#ports;
    const session = sessions.lookup(ref);
    const isLive = session !== undefined && session.kill === undefined;
    if (isLive || judgement.effect !== 'allow') return judgement;
    return checker.refuse(session?.kill?.reason ?? 'policy_denied');
  }

  #verify(presented: Credential | Unreadable): Verification | undefined | Promise<Verification> {
    if (!isUnreadable(presented)) return this.#ports.checker.verify(presented);
    const { reason, detail } = presented;
    return reason === 'no_credential' ? undefined : { ok: false, reason, detail };
  }

  #extend(session: Session): number {
    const { checker, sessions, clock } = this.#ports;
    const freshForMs = Math.min(checker.freshForMs(), this.#leftMs(session));
    sessions.extend(session.ref, clock.now().monoMs, freshForMs);
    return freshForMs;
  }

  #leftMs(session: Session): number {
    return Math.max(0, Math.floor(this.#ports.sessions.leftMs(session, this.#ports.clock.now())));
  }
}

function refused(decision: Judgement): OpenedSession {
  return { id: undefined, decision, decide: () => decision };
}

/** What a record says of the credential that a session stands on. BODY_TOO_LARGE: it has to be kept. */
function freshOf(request: AccessRequest, credential: VerifiedCredential): Fresh {
  const grounds = groundsOf(request, credential);
  if (grounds.request.length > LIMITS.sessionRequestCharsMax)
    throw new WritError(
      'BODY_TOO_LARGE',
      'subject, action, resource and context of a session are kept: 16 KiB',
    );
  const { handles, issuedAtS, expiresAtS, actors } = credential;
  return { handles, issuedAtS, expiresAtS, actor: actors[0]?.subject, grounds };
}

/** What the session stands on. One that cannot say it was killed when it was reviewed. */
function requireLive(session: Session): Standing {
  const standing = session.kill === undefined ? standingOf(session.grounds) : undefined;
  if (standing === undefined) throw new WritError('SESSION_ENDED', 'the session was told to end');
  return standing;
}

/** A kill as its holder is told: without our own bookkeeping. */
export function killEventOf(kill: KillEvent): KillEvent {
  const { reason, revocation, position } = kill;
  return { reason, ...(revocation === undefined ? {} : { revocation }), position };
}
