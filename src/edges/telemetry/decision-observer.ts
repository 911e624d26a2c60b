/** The DecisionObserver of a running Writ: every decision is counted. It is called on the hot path and never throws. */
import type { DecisionCounts } from '../../decision/counts.ts';
import type { DecisionObserver } from '../../decision/observer.ts';

export function createDecisionObserver(counts: DecisionCounts): DecisionObserver {
  return {
    decided: ({ reason }, { source, startedMs }) => {
      counts.add(reason, source, performance.now() - startedMs);
    },
  };
}
