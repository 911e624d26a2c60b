/**
 * What each revocation has reached on this replica, and what its acknowledgement says of it: sessions, last accept
 * before, accepts after. Late accepts are watched apart from the index, so that an error there would be seen here.
 */
import type { AcknowledgedOutcome } from '../evidence/acknowledgement.ts';
import type { Entry, OutcomeEntry } from '../feed/entry.ts';
import type { Instant } from '../kernel/clock.ts';
import { renderInstant } from '../kernel/clock.ts';
import type { LastAccepts } from '../revocation/last-accepts.ts';
import type { AppliedRevocation } from '../revocation/view.ts';
import type { DeadHandle } from '../revocation/cutoff.ts';
import type { SessionRegistry } from '../session/registry.ts';

interface Effect {
  readonly dead: readonly DeadHandle[];
  /** Wall time of the last accept of something it names, until it was applied here. */
  readonly lastAcceptMs: number | undefined;
}

interface LateAccepts {
  readonly count: number;
  readonly lastMs: number;
}

/** Revocations that are not enforced yet and whose effects are kept in memory. */
const EFFECTS_MAX = 1_024;

export class Effects {
  readonly #lastAccepts: LastAccepts;
  readonly #sessions: SessionRegistry;
  readonly #effects = new Map<string, Effect>();
  readonly #outcomes = new Map<string, OutcomeEntry>();
  /** Late accepts by revocation, as they were when `lateTotal` was this: they are summed again only when it moves. */
  #late = new Map<string, LateAccepts>();
  #lateTotal = 0;

  constructor(lastAccepts: LastAccepts, sessions: SessionRegistry) {
    this.#lastAccepts = lastAccepts;
    this.#sessions = sessions;
  }

  /** From here on an accept of what `applied` names is late. Called as it enters the index. */
  begin(applied: AppliedRevocation): void {
    const { id, dead, expiresAtS } = applied;
    let lastAcceptMs: number | undefined;
    for (const { hi, lo, cutoffS } of dead) {
      const before =
        expiresAtS === undefined ? this.#lastAccepts.watch(hi, lo, cutoffS) : this.#lastAccepts.seen(hi, lo);
      if (before !== undefined) lastAcceptMs = Math.max(lastAcceptMs ?? 0, before.lastMs);
    }
    if (expiresAtS !== undefined) this.#lastAccepts.locks.begin(id, dead, expiresAtS);
    this.#effects.set(id, { dead, lastAcceptMs });
    if (this.#effects.size > EFFECTS_MAX) this.#forgetOldest();
  }

  /** A revocation that was enforced has its receipt: its effects need no more acknowledging. */
  noteOutcome(entry: Entry): void {
    if (entry.kind === 'lift') this.#endLock(entry.lock);
    if (entry.kind !== 'outcome') return;
    this.#outcomes.set(entry.revocation, entry);
    if (entry.state === 'enforced') this.#forget(entry.revocation);
  }

  /** A lock that is over is not to be answered for: whoever is accepted now is accepted rightly. */
  #endLock(id: string): void {
    this.#lastAccepts.locks.end(id);
    this.#forget(id);
  }

  /** The newest `outcome` entry about a revocation. */
  outcome(id: string): OutcomeEntry | undefined {
    return this.#outcomes.get(id);
  }

  /** Lets go of locks that are over at `nowS`: nothing of theirs is late any more, and nobody waits for it. */
  sweep(nowS: number): void {
    for (const id of this.#lastAccepts.locks.over(nowS)) this.#endLock(id);
  }

  /** What is to be acknowledged: everything that matched, was seen, or was accepted late. The rest is silence. */
  outcomes(now: Instant): AcknowledgedOutcome[] {
    this.#watchLate();
    // A kill is answered for whatever else has been forgotten of its revocation.
    const ids = new Set([...this.#effects.keys(), ...this.#sessions.claims()]);
    return [...ids].map((id) => this.#outcomeOf(id, now)).filter(hasNews);
  }

  #watchLate(): void {
    if (this.#lastAccepts.lateTotal === this.#lateTotal) return;
    this.#lateTotal = this.#lastAccepts.lateTotal;
    for (const [id, { dead }] of this.#effects) {
      const late = dead.map(({ hi, lo }) => this.#lastAccepts.late(hi, lo));
      const count = Math.max(0, ...late.map((one) => one.count));
      if (count > 0) this.#late.set(id, { count, lastMs: Math.max(...late.map((one) => one.lastMs)) });
    }
  }

  #outcomeOf(id: string, now: Instant): AcknowledgedOutcome {
    const { matched, killed, pending, unconfirmed, silent } = this.#sessions.tally(id, now);
    const late = this.#late.get(id) ?? this.#lastAccepts.locks.late(id);
    const lastMs = late?.lastMs ?? this.#effects.get(id)?.lastAcceptMs;
    return {
      revocation: id,
      matched,
      killed,
      pending,
      unconfirmed,
      lateAccepts: late?.count ?? 0,
      ...(lastMs === undefined ? {} : { lastAcceptAt: renderInstant(lastMs) }),
      ...(silent.length > 0 ? { silent: silent.map(({ ref, kind }) => ({ session: ref, kind })) } : {}),
    };
  }

  /** Only what has no session to answer for may be forgotten early: it loses `seen` and the window, no kill. */
  #forgetOldest(): void {
    const claimed = new Set(this.#sessions.claims());
    for (const id of this.#effects.keys()) {
      if (claimed.has(id)) continue;
      this.#forget(id);
      return;
    }
  }

  #forget(id: string): void {
    this.#effects.delete(id);
    this.#late.delete(id);
    this.#sessions.forgetClaim(id);
  }
}

function hasNews(outcome: AcknowledgedOutcome): boolean {
  return outcome.matched > 0 || outcome.lateAccepts > 0 || outcome.lastAcceptAt !== undefined;
}
