/**
 * The DecisionObserver of a running Writ: every decision is counted, has its line where there is a decision log, and is
 * said on its span where there are traces. It is called on the hot path and never throws: a fault in telling of a decision must not become a fault of its answer.
 */
import type { DecisionCounts } from '../../decision/counts.ts';
import type { DecisionObserver, KillObserver } from '../../decision/observer.ts';
import type { Log } from '../../kernel/log.ts';
import type { DecisionLog } from './decision-log.ts';

export interface ObserverOptions {
  readonly counts: DecisionCounts;
  readonly decisionLog: DecisionLog | undefined;
  /** Every answer waits for its line. */
  readonly isRequired: boolean;
  /** Says on the request's span what was decided; undefined when requests are not traced. */
  readonly trace: DecisionObserver['decided'] | undefined;
  readonly log: Log;
}

export function createDecisionObserver(options: ObserverOptions): DecisionObserver & KillObserver {
  const { counts, decisionLog, isRequired, trace, log } = options;
  const failed = (error: unknown, decision: string): false => {
    const detail = error instanceof Error ? error.name : 'unknown';
    log.error('a decision could not be told of', { detail, decision });
    return false;
  };
  const tellers = [
    ...(trace === undefined ? [] : [trace]),
    ...(decisionLog === undefined || isRequired ? [] : [decisionLog.write.bind(decisionLog)]),
  ];
  const decided: DecisionObserver['decided'] = (decision, occasion) => {
    counts.add(decision.reason, occasion.source, performance.now() - occasion.startedMs);
    try {
      for (const tell of tellers) tell(decision, occasion);
    } catch (error) {
      failed(error, occasion.id);
    }
  };
  const killed: KillObserver['killed'] = (decision, occasion) => {
    try {
      decisionLog?.write(decision, occasion);
    } catch (error) {
      failed(error, occasion.id);
    }
  };
  if (decisionLog === undefined || !isRequired) return { decided, killed };
  const record: DecisionObserver['record'] = (decision, occasion) =>
    decisionLog.record(decision, occasion).catch((error: unknown) => failed(error, occasion.id));
  return { decided, killed, record };
}
