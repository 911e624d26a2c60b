/**
 * The DecisionObserver of a running Writ: every decision is counted, and has its line where there is a decision log. It
 * is called on the hot path and never throws: a fault in telling of a decision must not become a fault of its answer.
 */
import type { DecisionCounts } from '../../decision/counts.ts';
import type { DecisionObserver } from '../../decision/observer.ts';
import type { Log } from '../../kernel/log.ts';
import type { DecisionLog } from './decision-log.ts';

export interface ObserverOptions {
  readonly counts: DecisionCounts;
  readonly decisionLog: DecisionLog | undefined;
  /** Every answer waits for its line. */
  readonly isRequired: boolean;
  readonly log: Log;
}

export function createDecisionObserver({
  counts,
  decisionLog,
  isRequired,
  log,
}: ObserverOptions): DecisionObserver {
  const count: DecisionObserver['decided'] = ({ reason }, { source, startedMs }) => {
    counts.add(reason, source, performance.now() - startedMs);
  };
  if (decisionLog === undefined) return { decided: count };
  const failed = (error: unknown): false => {
    log.error('a decision could not be written down', {
      detail: error instanceof Error ? error.name : 'unknown',
    });
    return false;
  };
  if (isRequired)
    return {
      decided: count,
      record: async (decision, occasion) => decisionLog.record(decision, occasion).catch(failed),
    };
  return {
    decided: (decision, occasion) => {
      count(decision, occasion);
      try {
        decisionLog.write(decision, occasion);
      } catch (error) {
        failed(error);
      }
    },
  };
}
