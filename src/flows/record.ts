/**
 * Where every answer must have its line in the decision log: decide, record, decide again. The second look may only take
 * away: what was revoked while the line was being written must not be answered with yes (DESIGN 3.3, pepTimeout). Doors
 * call it for each decision of a log that is required.
 */
import type { Decision } from '../decision/decision.ts';

export interface Recording<T extends Decision> {
  /** Makes the decision, anew at each call. */
  readonly look: () => T | Promise<T>;
  /** True once the line about it is written; false when it cannot be, in time. */
  readonly record: (decision: T) => Promise<boolean>;
}

/** A decision whose line is written, and that still held when it was; undefined where the line cannot be written. */
export async function recorded<T extends Decision>({ look, record }: Recording<T>): Promise<T | undefined> {
  let decision = await look();
  for (;;) {
    if (!(await record(decision))) return undefined;
    // A no stays right however long its line took.
    if (decision.effect !== 'allow') return decision;
    const again = await look();
    if (isSameAnswer(decision, again)) return again;
    decision = again;
  }
}

/** Position, lease and credential may be newer; what was said must be what was written down. */
function isSameAnswer(written: Decision, now: Decision): boolean {
  return saidBy(written) === saidBy(now);
}

function saidBy({ effect, reason, policyReason, obligations }: Decision): string {
  return JSON.stringify([effect, reason, policyReason, obligations]);
}

/** The answer without a line. No word of the closed list says it better: what the operator demands was not to be had. */
export const UNRECORDED = ['policy_error', 'decision_log'] as const;
