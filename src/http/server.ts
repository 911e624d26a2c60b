/** Opens one listener with every limit written out. What connects before, slower or larger than allowed is cut. */
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Listener } from '../config/config.ts';
import { WritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';

export interface OpenServer {
  /** `http://127.0.0.1:8181`, `https://…`, or `unix:/path`. */
  readonly url: string;
  close(): Promise<void>;
}

const SERVER_OPTIONS = {
  maxHeaderSize: LIMITS.headerBytesMax,
  headersTimeout: LIMITS.headersMs,
  requestTimeout: LIMITS.requestMs,
  keepAliveTimeout: LIMITS.keepAliveMs,
  connectionsCheckingInterval: 1_000,
  insecureHTTPParser: false,
  requireHostHeader: true,
  joinDuplicateHeaders: false,
} as const;

const TLS_VERSION_MIN = 'TLSv1.2';
const RELOAD_MS = 5_000;

/** Listens; CONFIG_INVALID of `field`, with the system's code, when the address cannot be had. */
export async function openServer(
  listener: Listener,
  handler: RequestListener,
  field?: string,
): Promise<OpenServer> {
  const { server, stopWatching } = createFor(listener, handler);
  server.maxConnections = LIMITS.connectionsMax;
  server.on('clientError', refuseClient);
  const sockets = trackSockets(server);
  await listen(server, listener, field);
  return {
    url: urlOf(server, listener),
    close: async () => {
      stopWatching();
      await closeServer(server, sockets);
    },
  };
}

function createFor(
  listener: Listener,
  handler: RequestListener,
): { server: Server | TlsServer; stopWatching: () => void } {
  const { tls } = listener;
  if (tls === undefined)
    return { server: createServer(SERVER_OPTIONS, handler), stopWatching: () => undefined };
  const files = () => ({
    cert: readFileSync(tls.certFile),
    key: readFileSync(tls.keyFile),
    ...(tls.clientCaFile === undefined ? {} : { ca: readFileSync(tls.clientCaFile) }),
  });
  const client = tls.clientCaFile === undefined ? {} : { requestCert: true, rejectUnauthorized: true };
  const server = createTlsServer(
    {
      ...SERVER_OPTIONS,
      ...files(),
      ...client,
      minVersion: TLS_VERSION_MIN,
      handshakeTimeout: LIMITS.headersMs,
    },
    handler,
  );
  // A renewed certificate is picked up without a restart; a half-written one, or one whose key is not there yet,
  // leaves the old in force. Each file is watched: they are never replaced in one step.
  const reload = (): void => {
    try {
      server.setSecureContext({ ...files(), minVersion: TLS_VERSION_MIN });
    } catch {
      return;
    }
  };
  const watched = Object.values(tls);
  for (const file of watched) watchFile(file, { interval: RELOAD_MS, persistent: false }, reload);
  return { server, stopWatching: () => watched.forEach((file) => unwatchFile(file, reload)) };
}

async function listen(
  server: Server | TlsServer,
  { address }: Listener,
  field: string | undefined,
): Promise<void> {
  if ('path' in address) await removeSocket(address.path);
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  const at = 'path' in address ? { path: address.path } : { host: address.host, port: address.port };
  server.listen(at, listening.resolve);
  await listening.promise.catch((cause: unknown) => {
    const where = 'path' in address ? address.path : `${address.host}:${address.port}`;
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw new WritError('CONFIG_INVALID', `cannot listen on ${where} (${code})`, {
      cause,
      ...(field === undefined ? {} : { field }),
    });
  });
  server.off('error', listening.reject);
}

/** A socket that a killed process left behind is in the way; a file that is no socket is not ours to remove. */
async function removeSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() === true) await unlink(path);
}

function urlOf(server: Server | TlsServer, { address, tls }: Listener): string {
  if ('path' in address) return `unix:${address.path}`;
  const bound = server.address() as AddressInfo;
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return `${tls === undefined ? 'http' : 'https'}://${host}:${bound.port}`;
}

/** Stops accepting, lets running requests end for a moment, then cuts what is left (event streams never end). */
async function closeServer(server: Server | TlsServer, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  server.closeIdleConnections();
  const cut = setTimeout(() => sockets.forEach((socket) => socket.destroy()), CLOSE_MS);
  await closed.promise;
  clearTimeout(cut);
}

const CLOSE_MS = 500;

/** Node's own list has no connection that never finished its TLS handshake: one would keep the listener open. */
function trackSockets(server: Server | TlsServer): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}

/** What is not HTTP, or too slow, or has too large a header: the status that says so, and the connection ends. */
function refuseClient(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
  // Destroyed once it is written: who does not hang up would keep half a connection for good.
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}
