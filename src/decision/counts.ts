/**
 * How many decisions there were, of which reason, at which door, and how long they took. Counted on every decision, read
 * by a scrape: closed lists and typed arrays, so that a count is an addition and nothing a caller sends is a label.
 */
import { FAST_BOUNDS_S, Histogram } from '../kernel/histogram.ts';
import type { Decision, Reason } from './decision.ts';
import { REASONS } from './decision.ts';
import type { DecisionSource } from './observer.ts';
import { DECISION_SOURCES } from './observer.ts';

export interface DecisionCount {
  readonly decision: Decision['effect'];
  readonly reason: Reason;
  readonly source: DecisionSource;
  readonly count: number;
}

const REASON_ROWS: ReadonlyMap<Reason, number> = new Map(REASONS.map((reason, i) => [reason, i]));
const SOURCE_COLUMNS: ReadonlyMap<DecisionSource, number> = new Map(
  DECISION_SOURCES.map((source, i) => [source, i]),
);

export class DecisionCounts {
  /** From the parsed request to the decision: verification and policy; where a line is required, its writing too. */
  readonly durationS = new Histogram(FAST_BOUNDS_S);
  readonly #counts = new Float64Array(REASONS.length * DECISION_SOURCES.length);

  add(reason: Reason, source: DecisionSource, durationMs: number): void {
    const at = placeOf(reason, source);
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.durationS.record(durationMs / 1000);
  }

  /** Every combination, those that were never seen too: a series that appears with its first increment has no rate. */
  list(): readonly DecisionCount[] {
    return DECISION_SOURCES.flatMap((source) =>
      REASONS.map((reason) => ({
        decision: effectOf(reason),
        reason,
        source,
        count: this.#counts[placeOf(reason, source)] as number,
      })),
    );
  }
}

function placeOf(reason: Reason, source: DecisionSource): number {
  return (
    (REASON_ROWS.get(reason) as number) * DECISION_SOURCES.length + (SOURCE_COLUMNS.get(source) as number)
  );
}

/** Which reason goes with which effect: each with one only. */
function effectOf(reason: Reason): Decision['effect'] {
  switch (reason) {
    case 'permitted':
      return 'allow';
    case 'fenced':
    case 'introspection_unavailable':
      return 'indeterminate';
    default:
      return 'deny';
  }
}
