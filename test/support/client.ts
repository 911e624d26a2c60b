/** The client side of tests and demos: plain HTTP on one keep-alive connection pool, and an event stream. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, request } from 'node:http';

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** The parsed body; undefined when it is no JSON. */
  readonly body: Record<string, unknown>;
}

export interface CallOptions {
  readonly method?: string;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** An object is sent as JSON; a string or bytes as they are. */
  readonly body?: unknown;
  readonly agent?: Agent;
}

export const keepAlive = new Agent({ keepAlive: true, maxSockets: 64 });

export function call(url: string, options: CallOptions = {}): Promise<Reply> {
  const answered = Promise.withResolvers<Reply>();
  const {
    method = options.body === undefined ? 'GET' : 'POST',
    token,
    headers = {},
    body,
    agent = keepAlive,
  } = options;
  const payload =
    typeof body === 'string' || body instanceof Uint8Array
      ? body
      : body === undefined
        ? undefined
        : JSON.stringify(body);
  const req: ClientRequest = request(url, {
    method,
    agent,
    headers: {
      ...(payload === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
  });
  req.on('response', (res) => {
    const chunks: Buffer[] = [];
    res.on('data', (chunk: Buffer) => chunks.push(chunk));
    res.on('error', answered.reject);
    res.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      answered.resolve({ status: res.statusCode ?? 0, headers: res.headers, text, body: parse(text) });
    });
  });
  req.on('error', answered.reject);
  req.end(payload);
  return answered.promise;
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

export interface EventStream {
  /** Resolves with the data of the first `kill`, and when it arrived by this process's monotonic clock. */
  readonly killed: Promise<{ readonly data: Record<string, unknown>; readonly atMs: number }>;
  /** Resolves when the stream ended, for whatever reason. */
  readonly ended: Promise<void>;
  close(): void;
}

/** Opens a server-sent event stream and waits until it is open. */
export async function listen(url: string): Promise<EventStream> {
  const opened = Promise.withResolvers<IncomingMessage>();
  const req = request(url, { agent: false });
  req.on('response', opened.resolve);
  req.on('error', opened.reject);
  req.end();
  const res = await opened.promise;
  if (res.statusCode !== 200) throw new Error(`the event stream answered ${String(res.statusCode)}`);
  const killed = Promise.withResolvers<{ data: Record<string, unknown>; atMs: number }>();
  const ended = Promise.withResolvers<void>();
  const isOpen = Promise.withResolvers<void>();
  let text = '';
  res.setEncoding('utf8');
  res.on('data', (chunk: string) => {
    text += chunk;
    isOpen.resolve();
    const match = /event: kill\ndata: (.*)\n\n/.exec(text);
    if (match !== null)
      killed.resolve({
        data: JSON.parse(match[1] ?? '') as Record<string, unknown>,
        atMs: performance.now(),
      });
  });
  res.on('error', () => ended.resolve());
  res.on('close', () => ended.resolve());
  await isOpen.promise;
  return { killed: killed.promise, ended: ended.promise, close: () => req.destroy() };
}
