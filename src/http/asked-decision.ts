/**
 * A decision that a door cannot answer in the turn in which it was asked for: what was presented is verified once, its
 * line is written where the log is required, and the decision is made again in the turn of the answer.
 */
import type { Judgement } from '../decision/decision.ts';
import type { DecisionObserver, Observed, Occasion } from '../decision/observer.ts';
import type { Checker } from '../flows/check.ts';
import { RecordedAnswer, UNRECORDED } from '../flows/record.ts';
import type { Answer } from './answer.ts';
import type { LastLook } from './router.ts';

export interface AskedOptions<T extends Observed> {
  readonly checker: Checker;
  readonly observer: DecisionObserver;
  readonly occasion: Occasion;
  /** Makes the decision, anew at each call and in one turn. */
  readonly decide: () => T;
  /** False once nobody waits for the answer any more. */
  readonly isWanted: () => boolean;
}

/** `isReady`: it may be answered in this turn; else `write` is due, and then another look. */
export interface AskedLook<T extends Observed> {
  readonly isReady: boolean;
  readonly decision: T | Judgement;
}

export class AskedDecision<T extends Observed = Judgement> {
  readonly occasion: Occasion;
  readonly #checker: Checker;
  readonly #decide: () => T;
  /** There only where every answer must have its line. */
  readonly #recorded: RecordedAnswer<T | Judgement> | undefined;

  constructor({ checker, observer, occasion, decide, isWanted }: AskedOptions<T>) {
    const { record } = observer;
    this.occasion = occasion;
    this.#checker = checker;
    this.#decide = decide;
    this.#recorded =
      record && new RecordedAnswer({ record: (decision) => record(decision, occasion), isWanted });
  }

  look(): AskedLook<T> {
    return this.#looked(this.#decide);
  }

  /** A look at what there is no time to decide: no answer, for want of policy's. */
  lookTooLate(): AskedLook<T> {
    return this.#looked(() => this.#checker.refuse('policy_error', 'too_slow'));
  }

  /** Writes the line of a look that was not ready. */
  async write({ decision }: AskedLook<T>): Promise<void> {
    await this.#recorded?.write(decision);
  }

  /** The last look of a decision that is answered alone. */
  lastLook(answer: (decision: T | Judgement) => Answer): LastLook {
    const last: LastLook = () => {
      const look = this.look();
      return look.isReady ? answer(look.decision) : this.write(look).then(() => last);
    };
    return last;
  }

  #looked(decide: () => T | Judgement): AskedLook<T> {
    if (this.#recorded === undefined) return { isReady: true, decision: decide() };
    const { isReady, decision } = this.#recorded.look(decide);
    return { isReady, decision: decision ?? this.#checker.refuse(...UNRECORDED) };
  }
}
