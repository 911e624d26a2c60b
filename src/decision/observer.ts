/**
 * Who is told of every decision that becomes an answer: metrics, traces, the decision log. Doors call it at the one
 * place where that happens. It never changes a decision; only a log that is required holds one back (flows/record.ts).
 */
import type { JsonObject } from '../kernel/json.ts';
import type { Decision, DecisionEvidence } from './decision.ts';
import type { PolicyValue } from './policy-engine.ts';
import type { AccessRequest } from './request.ts';

/** The doors at which decisions are asked for: a closed list, because it is a label. */
export const DECISION_SOURCES = ['evaluation', 'evaluations', 'check', 'data', 'session'] as const;
export type DecisionSource = (typeof DECISION_SOURCES)[number];

/** What an observer may want of the HTTP request; `IncomingMessage` is one. */
export interface Asking {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket: { readonly remoteAddress?: string | undefined };
}

/** A decision's circumstances. What was presented as a credential is not among them. */
export interface Occasion {
  readonly id: string;
  readonly source: DecisionSource;
  /** Monotonic milliseconds at which the work on it began. */
  readonly startedMs: number;
  /** What was asked: the access request, or the input of the OPA Data API without `credential`. */
  readonly asked: Omit<AccessRequest, 'credential'> | JsonObject;
  readonly asking: Asking;
  /** Its share of the body of a batch. */
  readonly bodyChars?: number;
  /** The entrypoint, where the OPA Data API asked for one. */
  readonly path?: string;
}

/** Nobody asked: a live session was decided again. */
export interface ReviewOccasion extends Pick<Occasion, 'id' | 'startedMs' | 'asked'> {
  readonly source: 'review';
  /** The digest of its id, as lists of sessions show it. */
  readonly session: string;
  /** What made it necessary. */
  readonly cause: string;
  /** As policy sees it; absent where nobody knows what the session stands on. */
  readonly credential: JsonObject | undefined;
  /** Who acts for the subject. */
  readonly agent: string | undefined;
}

/** A decision, with what it was made on, and with the value that the OPA Data API gave as its answer. */
export type Observed = Decision & { readonly evidence?: DecisionEvidence; readonly value?: PolicyValue };

export interface DecisionObserver {
  /** Told once for each decision, in the turn of its answer. Never waits, never throws. */
  decided(decision: Observed, occasion: Occasion): void;
  /**
   * There only where every answer must have its line: true once that line is written, false when it cannot be, in time.
   * Never rejects.
   */
  readonly record?: ((decision: Observed, occasion: Occasion) => Promise<boolean>) | undefined;
}

export interface KillObserver {
  /** Told of each session that was decided again and killed. Never throws; it is dead whether there is a line or not. */
  killed(decision: Decision, occasion: ReviewOccasion): void;
}
