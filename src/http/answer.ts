/** Answers as values: a handler returns one, `send` writes it. Nothing here is cached by anyone. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WritError } from '../kernel/error.ts';
import { ERROR_CODES, WritError as Failure, isPassing, isWritError } from '../kernel/error.ts';
import { headerOf } from './body.ts';

export interface Answer {
  readonly status: number;
  /** Sent as JSON unless it is a `text`. */
  readonly body?: unknown;
  readonly text?: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Writes `answer`. `X-Request-ID` is echoed (AuthZEN 1.0 section 10.1.3). Where another answer has begun, the
 * connection is cut, so that nobody takes the half that is there for the whole.
 */
export function send(req: IncomingMessage, res: ServerResponse, answer: Answer): void {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const payload = answer.text ?? (answer.body === undefined ? '' : JSON.stringify(answer.body));
  const bytes = Buffer.byteLength(payload);
  const headers: string[] = ['cache-control', 'no-store', 'content-length', `${bytes}`];
  if (payload !== '') headers.push('content-type', answer.type ?? 'application/json');
  for (const name in answer.headers) headers.push(name, answer.headers[name] as string);
  const requestId = headerOf(req.rawHeaders, 'x-request-id');
  if (requestId !== undefined) headers.push('x-request-id', requestId);
  res.writeHead(answer.status, headers);
  if (req.method === 'HEAD') res.end();
  // As many bytes as characters: it is ASCII, and what needs no encoding is written faster.
  else res.end(payload, bytes === payload.length ? 'latin1' : 'utf8');
}

/** The document of openapi.ts, which is text already. */
export function openApiAnswer(text: string): Answer {
  return { status: 200, text, type: 'application/json' };
}

/** RFC 9457, for our own routes. Carries the stable code, the field at fault, and nothing of what was sent. */
export function problemAnswer(error: WritError): Answer {
  const { status, title } = ERROR_CODES[error.code];
  return {
    status,
    type: 'application/problem+json',
    body: {
      type: `urn:writ:error:${error.code}`,
      title,
      status,
      code: error.code,
      detail: error.message,
      ...(error.field === undefined ? {} : { field: error.field }),
    },
    headers: {
      ...(isPassing(error.code) ? { 'retry-after': '1' } : {}),
      ...(error.code === 'UNAUTHENTICATED' ? { 'www-authenticate': 'Bearer realm="writ"' } : {}),
    },
  };
}

/** Anything thrown as a WritError: what was not foreseen is INTERNAL, and its message stays inside. */
export function asWritError(error: unknown): WritError {
  return isWritError(error)
    ? error
    : new Failure('INTERNAL', 'something unforeseen happened', { cause: error });
}
