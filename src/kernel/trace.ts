/**
 * Traces as flows and edges see them: a piece of work runs inside a span, and outgoing requests carry its context. The
 * real one is in edges/telemetry; without a collector it is NO_TRACER, which calls the work and nothing else.
 */

/** Closed names and short values; never a subject, a token, a session or a selector. */
export type SpanFacts = Readonly<Record<string, string | number | boolean>>;

export interface SpanOptions {
  readonly facts?: SpanFacts;
  /** `client`: the span is our side of a request to someone else. */
  readonly kind?: 'internal' | 'client';
}

export interface Tracer {
  /** Runs `work` inside a span; it ends with the work, and says so when that failed. What `work` does is never changed. */
  span<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T>;
  /** Headers that carry the current trace to whoever is asked; none outside of one. */
  headers(): Readonly<Record<string, string>>;
}

const NONE: Readonly<Record<string, string>> = {};

export const NO_TRACER: Tracer = {
  span: (_name, _options, work) => work(),
  headers: () => NONE,
};
