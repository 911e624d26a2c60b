/**
 * A decision that a door is asked for among others which are answered with it: what was presented is verified once, and
 * the decision is made again in the turn of the answer. Doors make one for each item of a batch.
 */
import type { Verification } from '../credential/credential.ts';
import type { Judgement } from '../decision/decision.ts';
import type { DecisionObserver, Occasion } from '../decision/observer.ts';
import type { AccessRequest } from '../decision/request.ts';
import type { Checker } from '../flows/check.ts';
import type { Look } from '../flows/record.ts';
import { RecordedAnswer, UNRECORDED } from '../flows/record.ts';

export interface AskedDecisionOptions {
  readonly checker: Checker;
  readonly observer: DecisionObserver;
  readonly request: AccessRequest;
  readonly verification: Verification | undefined;
  readonly occasion: Occasion;
  readonly isWanted: () => boolean;
}

/** `isReady`: it may be answered in this turn; else `write` is due, and then another look. */
export interface AskedLook {
  readonly isReady: boolean;
  readonly judgement: Judgement;
}

export class AskedDecision {
  readonly occasion: Occasion;
  readonly #checker: Checker;
  readonly #look: () => Judgement;
  /** There only where every answer must have its line. */
  readonly #recorded: RecordedAnswer<Judgement> | undefined;

  constructor({ checker, observer, request, verification, occasion, isWanted }: AskedDecisionOptions) {
    const { record } = observer;
    this.occasion = occasion;
    this.#checker = checker;
    const look = (): Judgement => checker.judgeAgain(request, verification);
    this.#look = look;
    this.#recorded =
      record && new RecordedAnswer({ look, record: (decision) => record(decision, occasion), isWanted });
  }

  look(): AskedLook {
    if (this.#recorded === undefined) return { isReady: true, judgement: this.#look() };
    const { isReady, decision }: Look<Judgement> = this.#recorded.look();
    return { isReady, judgement: decision ?? this.#checker.refuse(...UNRECORDED) };
  }

  /** Writes the line of a look that was not ready. */
  async write({ judgement }: AskedLook): Promise<void> {
    await this.#recorded?.write(judgement);
  }
}
