/**
 * A live session from its registration to its end. Order: register, check, keep, run. A revocation that lands after the
 * check finds the session registered; one that landed before is seen by the check.
 */
import type { Judgement } from '../decision/decision.ts';
import type { AccessRequest } from '../decision/request.ts';
import type { Clock } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import type { Random } from '../kernel/random.ts';
import { newId } from '../kernel/random.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { KillEvent, Session } from '../session/session.ts';
import { sessionRefOf } from '../session/session.ts';
import type { Checker } from './check.ts';

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

export class SessionKeeper {
  readonly #checker: Checker;
  readonly #sessions: SessionRegistry;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(ports: { checker: Checker; sessions: SessionRegistry; clock: Clock; random: Random }) {
    this.#checker = ports.checker;
    this.#sessions = ports.sessions;
    this.#clock = ports.clock;
    this.#random = ports.random;
  }

  /** Opens a session, or says why not. OVERLOADED when there are too many. */
  async open(order: SessionOrder): Promise<OpenedSession> {
    if (order.request.credential === undefined)
      return { id: undefined, decision: this.#checker.refuse('no_credential') };
    const verification = await this.#checker.verify(order.request.credential);
    const verified = verification?.ok === true ? verification.credential : undefined;
    const subject = order.request.subject ?? { type: 'identity', id: verified?.subject ?? '' };
    const request = { ...order.request, subject };
    if (verified === undefined)
      return { id: undefined, decision: this.#checker.judge(request, verification) };
    const id = newId('ses', this.#random);
    const ref = sessionRefOf(id);
    const now = this.#clock.now();
    const record = {
      ref,
      kind: order.kind,
      subject: verified.subject,
      handles: verified.handles,
      issuedAtS: verified.issuedAtS,
      expiresAtS: verified.expiresAtS,
      selfEnds: order.selfEnds,
      openedAtMs: now.wallMs,
    };
    const freshForMs = this.#checker.freshForMs();
    this.#sessions.register(record, now.monoMs + freshForMs);
    const decision = this.#checker.judge(request, verification);
    if (decision.effect !== 'allow') {
      this.#sessions.end(ref);
      return { id: undefined, decision };
    }
    this.#sessions.keep(record);
    return { id, decision, freshForMs };
  }

  /** What is known of a session by its capability; NOT_FOUND for one that is not there. */
  find(id: string): Session {
    const session = this.#sessions.lookup(sessionRefOf(id));
    if (session === undefined) throw new WritError('NOT_FOUND', 'no such session');
    return session;
  }

  /** How long the holder may go on, counted from when it sent the ping. 0 with the reason once it was killed. */
  ping(id: string): Ping {
    const session = this.find(id);
    if (session.kill !== undefined) return { freshForMs: 0, kill: killEventOf(session.kill) };
    const freshForMs = this.#checker.freshForMs();
    this.#sessions.extend(session.ref, this.#clock.now().monoMs, freshForMs);
    return { freshForMs, kill: undefined };
  }

  /** The holder says that it closed: the proof a kill waits for. NOT_FOUND when there is no such session. */
  closed(id: string): void {
    this.#sessions.end(this.find(id).ref);
  }
}

/** A kill as its holder is told: without our own bookkeeping. */
export function killEventOf(kill: KillEvent): KillEvent {
  const { reason, revocation, position } = kill;
  return { reason, ...(revocation === undefined ? {} : { revocation }), position };
}
