/** Who is told of requests: metrics, and traces where there are any. Doors call it; nothing it does changes an answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface RequestWatch {
  /** An answer was given. `route` as the table of routes spells it, `*` where none matched. Never throws. */
  record(route: string, method: string, status: number, durationMs: number): void;
  /** There only when requests are traced: runs `work` inside the request's span, which ends with its answer. */
  readonly trace?: TraceRequest | undefined;
}

export type TraceRequest = <T>(
  req: IncomingMessage,
  res: ServerResponse,
  route: () => string,
  work: () => T,
) => T;
