/**
 * HTTP as bytes on a socket, for what no HTTP client would send: broken heads, two of a header, bodies that never
 * end. It says what came back and whether the other side hung up; it never repairs anything.
 */
import { connect } from 'node:net';

export interface RawReply {
  /** Of the first answer; 0 when none came. */
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  readonly text: string;
  /** The connection was ended by the server within the time. */
  readonly isClosed: boolean;
  readonly afterMs: number;
}

export interface RawOptions {
  /** How long to wait for the server to hang up. Default 5 s. */
  readonly waitMs?: number;
  /** Sent one after the other, each after so many milliseconds. */
  readonly later?: readonly { readonly afterMs: number; readonly bytes: string | Uint8Array }[];
}

/** Sends `bytes` to `url`'s port and reads until the server hangs up. Latin-1, so that any byte can be written. */
export function exchange(
  url: string,
  bytes: string | Uint8Array,
  options: RawOptions = {},
): Promise<RawReply> {
  const { waitMs = 5_000, later = [] } = options;
  const { hostname, port } = new URL(url);
  const replied = Promise.withResolvers<RawReply>();
  const startedMs = performance.now();
  const chunks: Buffer[] = [];
  // Half open: a client that is told to go and does not.
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  const finish = (isClosed: boolean): void => {
    socket.destroy();
    const text = Buffer.concat(chunks).toString('latin1');
    replied.resolve({ ...parse(text), text, isClosed, afterMs: performance.now() - startedMs });
  };
  const deadline = setTimeout(() => finish(false), waitMs);
  const timers = later.map((one) => setTimeout(() => socket.write(toBytes(one.bytes)), one.afterMs));
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('end', () => finish(true));
  // A reset is a way of hanging up.
  socket.on('error', () => finish(true));
  socket.on('close', () => {
    clearTimeout(deadline);
    timers.forEach(clearTimeout);
  });
  socket.write(toBytes(bytes));
  return replied.promise;
}

function toBytes(bytes: string | Uint8Array): Uint8Array {
  return typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
}

function parse(text: string): Pick<RawReply, 'status' | 'headers' | 'body'> {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [start = '', ...lines] = head.split('\r\n');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(start)?.[1] ?? 0),
    headers,
    body: rest.join('\r\n\r\n'),
  };
}

/** The bytes of one request that asks to be hung up on. */
export function rawRequest(
  line: string,
  headers: readonly string[],
  body: string | Uint8Array = '',
): Uint8Array {
  const head = [`${line} HTTP/1.1`, 'Host: writ', 'Connection: close', ...headers].join('\r\n');
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), toBytes(body)]);
}
