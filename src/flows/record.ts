/**
 * Where every answer must have its line in the decision log: decide, record, decide again. The second look may only take
 * away: what was revoked while the line was being written must not be answered with yes (DESIGN 3.3, pepTimeout). Doors
 * have one for each decision of a log that is required.
 */
import type { Observed } from '../decision/observer.ts';

export interface Recording<T extends Observed> {
  /** True once the line about it is written; false when it cannot be, in time. */
  readonly record: (decision: T) => Promise<boolean>;
  /** False once nobody waits for the answer any more. */
  readonly isWanted?: () => boolean;
}

/** `isReady`: the decision may be answered in this turn; undefined where its line cannot be had. */
export type Look<T> =
  | { readonly isReady: true; readonly decision: T | undefined }
  | { readonly isReady: false; readonly decision: T };

/** How often a yes that is another one each time is written down, before it is none. */
const LINES_MAX = 3;

const UNWRITABLE = { isReady: true, decision: undefined } as const;

/** One answer and its line. `look` and `write` in turns, until it is ready in the turn in which it is given. */
export class RecordedAnswer<T extends Observed> {
  readonly #recording: Recording<T>;
  #settled: Look<T> | undefined;
  #written: T | undefined;
  #lines = 0;

  constructor(recording: Recording<T>) {
    this.#recording = recording;
  }

  /** `decide` makes the decision, anew at each call and in one turn: what was presented is verified before, once. */
  look(decide: () => T): Look<T> {
    if (this.#settled !== undefined) return this.#settled;
    const decision = decide();
    const isReady = this.#written !== undefined && isSameAnswer(this.#written, decision);
    return { isReady, decision };
  }

  /** Writes the line of a look that was not ready. */
  async write(decision: T): Promise<void> {
    const { record, isWanted = () => true } = this.#recording;
    const isAllow = decision.effect === 'allow';
    const isTried = !(isAllow && this.#lines >= LINES_MAX) && isWanted();
    this.#lines += 1;
    if (!isTried || !(await record(decision))) this.#settled = UNWRITABLE;
    // A no stays right however long its line took.
    else if (!isAllow) this.#settled = { isReady: true, decision };
    this.#written = decision;
  }
}

/** Position, lease and credential may be newer; what was said, and by which policy, must be what was written down. */
function isSameAnswer(written: Observed, now: Observed): boolean {
  return saidBy(written) === saidBy(now);
}

function saidBy({ effect, reason, policyReason, obligations, value, evidence }: Observed): string {
  return JSON.stringify([effect, reason, policyReason, obligations, value, evidence?.policy]);
}

/** The answer without a line. No word of the closed list says it better: what the operator demands was not to be had. */
export const UNRECORDED = ['policy_error', 'decision_log'] as const;
