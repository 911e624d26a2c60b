/**
 * What each revocation has reached on this replica, and what its acknowledgement says of it: sessions, last accept
 * before, accepts after. Late accepts are watched apart from the index, so that an error there would be seen here.
 */
import type { AcknowledgedOutcome } from '../evidence/acknowledgement.ts';
import type { Entry, Folded, OutcomeEntry } from '../feed/entry.ts';
import type { Position } from '../feed/position.ts';
import { comparePositions, parsePosition, renderPosition } from '../feed/position.ts';
import type { Instant } from '../kernel/clock.ts';
import { renderInstant } from '../kernel/clock.ts';
import type { Steps } from '../kernel/pace.ts';
import type { LastAccepts } from '../revocation/last-accepts.ts';
import type { AppliedRevocation } from '../revocation/view.ts';
import type { DeadHandle } from '../revocation/cutoff.ts';
import { NEVER_S } from '../revocation/table.ts';
import { word } from '../revocation/word.ts';
import type { SessionRegistry } from '../session/registry.ts';

interface Effect {
  readonly dead: PackedHandles;
  /** Wall time of the last accept of something it names, until it was applied here. */
  readonly lastAcceptMs: number | undefined;
}

/** `by`: the incarnation that made its receipt; where it came with a snapshot, that is not said. */
export type KnownOutcome = Folded<OutcomeEntry> & Partial<Pick<OutcomeEntry, 'by'>>;

/** What is dead, three words each (high, low, cutoff): a thousand objects for each of a thousand would be a heap. */
export type PackedHandles = Uint32Array;

/** What was said no more when the history here was doubted: what was not to be proven, and what was said of it. */
interface Doubted {
  readonly finished: readonly string[];
  readonly outcomes: readonly KnownOutcome[];
}

interface LateAccepts {
  readonly count: number;
  readonly lastMs: number;
}

/** Revocations that are not enforced yet and whose effects are kept in memory. */
const EFFECTS_MAX = 1_024;

const OUTCOMES_MAX = 65_536;

export const PACKED_WORDS = 3;

/** Of a revocation of which it is not known here what it has made dead. */
export const NOT_SAID: PackedHandles = new Uint32Array();

/** Beyond any cutoff: whoever is dead under that is dead whatever its `iat`. */
const NO_CUTOFF = NEVER_S;

/** Handles that are begun to be watched between two looks at the clock. */
const PIECE = 128;

export class Effects {
  readonly #lastAccepts: LastAccepts;
  readonly #sessions: SessionRegistry;
  readonly #outcomesMax: number;
  readonly #effects = new Map<string, Effect>();
  /** The newest of those that say `enforced`; of the others the receipt speaks. */
  readonly #outcomes = new Map<string, KnownOutcome>();
  /** The newest `partial` of each that is not enforced, with all that owe by any of them. */
  readonly #partial = new Map<string, KnownOutcome>();
  /** Revocations and locks that no outcome has called enforced, and what each has made dead. */
  readonly #unfinished = new Map<string, PackedHandles>();
  /** Over here, or enforced before their sessions were told, while one of those is not proven to have ended. */
  readonly #unproven = new Set<string>();
  #givenUp = 0;
  #doubted: Doubted | undefined;
  /** Late accepts by revocation, as they were when `lateTotal` was this: they are summed again only when it moves. */
  #late = new Map<string, LateAccepts>();
  #lateTotal = 0;

  constructor(lastAccepts: LastAccepts, sessions: SessionRegistry, outcomesMax = OUTCOMES_MAX) {
    this.#lastAccepts = lastAccepts;
    this.#sessions = sessions;
    this.#outcomesMax = outcomesMax;
  }

  /** How often a history was given up: what was proven in it is proven no more. */
  get givenUp(): number {
    return this.#givenUp;
  }

  /**
   * The history that `orders` were enforced in was given up: whoever holds a lease now may lack any of them. Who owes for one
   * that is partial still owes.
   */
  giveUp(orders: Iterable<string>): void {
    this.#doubted = undefined;
    this.#givenUp += 1;
    this.#outcomes.clear();
    for (const id of orders) this.#begin(id);
  }

  /** As `giveUp`, while it is not known whether the fleet goes on with the history here: until `resume`. */
  doubt(orders: readonly string[]): void {
    if (this.#doubted !== undefined) return;
    const finished = orders.filter((id) => !this.#unfinished.has(id));
    const outcomes = [...this.#outcomes.values()];
    this.giveUp(orders);
    this.#doubted = { finished, outcomes };
  }

  /** It goes on with it. Called before anything is applied that does, so that the fold is as if nothing had been doubted. */
  resume(): void {
    const { finished = [], outcomes = [] } = this.#doubted ?? {};
    this.#doubted = undefined;
    for (const id of finished) this.#unfinished.delete(id);
    for (const outcome of outcomes) this.#takeOutcome(outcome);
  }

  /**
   * What stands after `after` is in the history of this replica alone: what was proven of an order that stands there is proven no
   * more. `isGivenUp`: an operator has said that something may be missing, so it may be what is just being proven.
   */
  lose(after: Position, isGivenUp = false): void {
    this.resume();
    const lost = [...this.#outcomes].filter(([, outcome]) => isAbout(outcome, after)).map(([id]) => id);
    for (const id of lost) {
      this.#outcomes.delete(id);
      this.#begin(id);
    }
    if (isGivenUp || lost.length > 0) this.#givenUp += 1;
  }

  /** A revocation that came with a snapshot, where it has been enforced: whatever was known of it here. */
  finish(id: string): void {
    this.#unfinished.delete(id);
    this.#partial.delete(id);
  }

  /** At its end, an accept of what `applied` names is late. Called once it is in the index. */
  *beginning(applied: AppliedRevocation): Steps<void> {
    const { id, dead, expiresAtS } = applied;
    let lastAcceptMs: number | undefined;
    for (const [i, { hi, lo, cutoffS }] of dead.entries()) {
      if (i % PIECE === 0) yield;
      const before =
        expiresAtS === undefined ? this.#lastAccepts.watch(hi, lo, cutoffS) : this.#lastAccepts.seen(hi, lo);
      if (before !== undefined) lastAcceptMs = Math.max(lastAcceptMs ?? 0, before.lastMs);
    }
    if (expiresAtS !== undefined) this.#lastAccepts.locks.begin(id, dead, expiresAtS);
    // One that comes again was in force since it came first.
    const effect = this.#effects.get(id) ?? { dead: packed(dead), lastAcceptMs };
    this.#effects.set(id, effect);
    if (!this.#outcomes.has(id)) this.#unfinished.set(id, effect.dead);
    if (this.#effects.size > EFFECTS_MAX) this.#forgetOldest();
  }

  /** Lets go of what is said of revocations and locks that are no longer kept. */
  prune(isKept: (id: string) => boolean): void {
    for (const ids of [this.#outcomes, this.#partial, this.#unfinished])
      for (const id of ids.keys()) if (!isKept(id)) ids.delete(id);
  }

  /** The outcomes in memory, those that say `partial` first; each the oldest first. */
  folded(): readonly KnownOutcome[] {
    return [...this.#partial.values(), ...this.#outcomes.values()];
  }

  /** An unfinished revocation or lock that came with a snapshot, and what it has made dead; its outcomes come after it. */
  restore(id: string, dead: PackedHandles): void {
    if ((this.#unfinished.get(id) ?? NOT_SAID).length === 0) this.#unfinished.set(id, dead);
  }

  /** It is to be proven, by what is known of it here. */
  #begin(id: string): void {
    this.restore(id, this.#effects.get(id)?.dead ?? NOT_SAID);
  }

  /** An outcome that came with a snapshot. */
  restoreOutcome(outcome: Folded<OutcomeEntry>): void {
    this.#takeOutcome(outcome);
  }

  /** A revocation that was enforced has its receipt: its effects need no more acknowledging. */
  noteOutcome(entry: Entry, placeOf: (id: string) => Position | undefined): void {
    if (entry.kind === 'lift') this.#endLock(entry.lock);
    if (entry.kind !== 'outcome') return;
    const isLost = entry.state === 'enforced' && isOfAnother(entry, placeOf(entry.revocation));
    if (!isLost) this.#takeOutcome(entry);
  }

  #takeOutcome(outcome: KnownOutcome): void {
    this.#keepOutcome(outcome);
    if (outcome.state !== 'enforced') return;
    this.#unfinished.delete(outcome.revocation);
    this.#forget(outcome.revocation);
  }

  /** Its sessions were told. One whose outcome came before that (the same page, a restart) waits for them alone. */
  killed(id: string): void {
    if (this.#outcomes.get(id)?.state === 'enforced' && !this.#sessions.releaseClaim(id))
      this.#unproven.add(id);
  }

  #keepOutcome(entry: KnownOutcome): void {
    const { revocation: id, state } = entry;
    if (state === 'partial') {
      // One that a store had lost and that was appended again (carry.ts) may come after what came of it.
      if (!this.#outcomes.has(id)) this.#keepPartial(entry);
      return;
    }
    this.#partial.delete(id);
    // The newest last, also of a revocation that had one before.
    this.#outcomes.delete(id);
    this.#outcomes.set(id, entry);
    if (this.#outcomes.size <= this.#outcomesMax) return;
    const [oldest] = this.#outcomes.keys();
    this.#outcomes.delete(oldest as string);
  }

  /** Several may coordinate one order, and each has heard of somebody else: none takes back who owes by another's word. */
  #keepPartial(entry: KnownOutcome): void {
    const { revocation: id } = entry;
    const named = [this.#partial.get(id), entry].flatMap((one) => one?.owing ?? []);
    this.#partial.delete(id);
    this.#partial.set(id, named.length === 0 ? entry : { ...entry, owing: [...new Set(named)].sort() });
  }

  /**
   * A lock that is over is not to be answered for: whoever is accepted now is accepted rightly. What it has killed is:
   * for a replica whose clock is behind, or that has not read the lift, it is in force, and without these sessions it
   * would call it enforced.
   */
  #endLock(id: string): void {
    this.#lastAccepts.locks.end(id);
    this.#effects.delete(id);
    this.#late.delete(id);
    if (!this.#sessions.releaseClaim(id)) this.#unproven.add(id);
  }

  /** The newest `outcome` entry about a revocation, unless that was very many outcomes ago. */
  outcome(id: string): KnownOutcome | undefined {
    return this.#outcomes.get(id) ?? this.#partial.get(id);
  }

  /** True until an outcome has called it enforced, however long ago that was. */
  isUnfinished(id: string): boolean {
    return this.#unfinished.has(id);
  }

  /** Revocations and locks that are not known to be enforced, oldest first. */
  unfinished(): readonly string[] {
    return [...this.#unfinished.keys()];
  }

  /** The same, with what each has made dead. What this refers to is never changed. */
  unfinishedDead(): ReadonlyMap<string, PackedHandles> {
    return new Map(this.#unfinished);
  }

  /** Lets go of locks that are over at `nowS`: nothing of theirs is late any more. Their sessions are waited for. */
  sweep(nowS: number): void {
    for (const id of this.#unproven) if (this.#sessions.releaseClaim(id)) this.#unproven.delete(id);
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
      let count = 0;
      let lastMs = 0;
      for (let at = 0; at < dead.length; at += PACKED_WORDS) {
        const late = this.#lastAccepts.late(word(dead, at), word(dead, at + 1));
        count = Math.max(count, late.count);
        lastMs = Math.max(lastMs, late.lastMs);
      }
      if (count > 0) this.#late.set(id, { count, lastMs });
    }
  }

  #outcomeOf(id: string, now: Instant): AcknowledgedOutcome {
    const { matched, killed, pending, selfEnding, unconfirmed, silent } = this.#sessions.tally(id, now);
    const late = this.#late.get(id) ?? this.#lastAccepts.locks.late(id);
    const lastMs = late?.lastMs ?? this.#effects.get(id)?.lastAcceptMs;
    return {
      revocation: id,
      matched,
      killed,
      pending,
      ...(selfEnding > 0 ? { selfEnding } : {}),
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

/** Whether it proves the order at another place than `place`, where it stands, and so in a history that was lost. */
function isOfAnother({ position }: Folded<OutcomeEntry>, place: Position | undefined): boolean {
  return position !== undefined && (place === undefined || position !== renderPosition(place));
}

/** Whether the order that it is about stands after `after`. */
function isAbout({ position }: Folded<OutcomeEntry>, after: Position): boolean {
  return position !== undefined && comparePositions(parsePosition(position), after) > 0;
}

function hasNews(outcome: AcknowledgedOutcome): boolean {
  return outcome.matched > 0 || outcome.lateAccepts > 0 || outcome.lastAcceptAt !== undefined;
}

function packed(dead: readonly DeadHandle[]): PackedHandles {
  const words = new Uint32Array(PACKED_WORDS * dead.length);
  for (const [i, { hi, lo, cutoffS = NO_CUTOFF }] of dead.entries())
    words.set([hi, lo, cutoffS], PACKED_WORDS * i);
  return words;
}

export function unpacked(words: PackedHandles): DeadHandle[] {
  const dead: DeadHandle[] = [];
  for (let at = 0; at < words.length; at += PACKED_WORDS) {
    const cutoffS = word(words, at + 2);
    const [hi, lo] = [word(words, at), word(words, at + 1)];
    dead.push({ hi, lo, cutoffS: cutoffS === NO_CUTOFF ? undefined : cutoffS });
  }
  return dead;
}
