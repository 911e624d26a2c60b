/** Talks to a running Writ over TCP or a Unix socket. Every call has a deadline; an answer is status, headers and text. */
import { readFile } from 'node:fs/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { TLSSocket } from 'node:tls';
import { WritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';

export interface Endpoint {
  /** `http://…`, `https://…` or `unix:/path`. */
  readonly url: string;
  readonly token: string | undefined;
  /** Where the token is from. */
  readonly tokenFile?: string;
  /** Who must vouch for a server that is asked by https; without it the authorities of Node. */
  readonly authority?: Authority;
  /** How long an answer may take; 40 s unless it says otherwise. */
  readonly deadlineMs?: number;
}

/** Certificates in PEM, and the file that they are from. */
export interface Authority {
  readonly ca: string;
  readonly caFile: string;
}

export interface Reply {
  /** Who was asked. */
  readonly from: Endpoint;
  readonly status: number;
  readonly text: string;
}

/** The server could not be asked at all, or its answer made no sense. The message is for people. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  /** True when it may have been asked and may have done it: nobody knows. */
  readonly isUncertain: boolean;

  constructor(message: string, isUncertain = false) {
    super(message);
    this.isUncertain = isUncertain;
  }
}

const DEADLINE_MS = 40_000;

/** One request. ClientError when no answer comes, CONFIG_INVALID for what is no address. */
export function call(
  endpoint: Endpoint,
  method: string,
  path: string,
  body?: JsonObject,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const answered = Promise.withResolvers<Reply>();
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const req = openRequest(endpoint, path, {
    method,
    signal: AbortSignal.timeout(endpoint.deadlineMs ?? DEADLINE_MS),
    headers: {
      ...(endpoint.token === undefined ? {} : { authorization: `Bearer ${endpoint.token}` }),
      ...(payload === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
      ...headers,
    },
  });
  let isConnected = false;
  req.on('socket', (socket) => {
    // From here on the request may have been read, whatever happens to its answer.
    if (req.reusedSocket) isConnected = true;
    else socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => (isConnected = true));
  });
  req.on('response', (res) => {
    const chunks: Buffer[] = [];
    res.on('data', (chunk: Buffer) => chunks.push(chunk));
    res.on('end', () =>
      answered.resolve({
        from: endpoint,
        status: res.statusCode ?? 0,
        text: Buffer.concat(chunks).toString('utf8'),
      }),
    );
    res.on('error', (error) =>
      answered.reject(new ClientError(`the answer of ${endpoint.url} broke off: ${error.message}`, true)),
    );
  });
  req.on('error', (error) =>
    answered.reject(
      new ClientError(`${endpoint.url} does not answer: ${reasonOf(error, endpoint)}`, isConnected),
    ),
  );
  req.end(payload);
  return answered.promise;
}

/** What OpenSSL calls a certificate that nobody here vouches for. */
const UNVOUCHED =
  /^(UNABLE_TO_(GET|VERIFY)_|SELF_SIGNED_CERT_|DEPTH_ZERO_SELF_SIGNED_|CERT_SIGNATURE_FAILURE$)/;

function reasonOf({ code = '', message }: NodeJS.ErrnoException, { authority }: Endpoint): string {
  if (!UNVOUCHED.test(code)) return message;
  const nobody = authority === undefined ? 'no authority known here' : `none in ${authority.caFile}`;
  return `its certificate is vouched for by ${nobody} (${code}): name the authority that signed it with --ca-file or WRIT_CA_FILE`;
}

/** A question whose answer that does not come is an answer: it cannot be known (exit 4). */
export async function callOrUnknown(
  endpoint: Endpoint,
  method: string,
  path: string,
  body?: JsonObject,
): Promise<Reply> {
  try {
    return await call(endpoint, method, path, body);
  } catch (error) {
    throw error instanceof ClientError ? new ClientError(error.message, true) : error;
  }
}

function openRequest(
  { url, authority }: Endpoint,
  path: string,
  options: Parameters<typeof requestHttp>[1] & object,
): ReturnType<typeof requestHttp> {
  if (url.startsWith('unix:')) return requestHttp({ ...options, socketPath: url.slice(5), path });
  if (!/^https?:\/\/./.test(url) || !URL.canParse(path, url))
    throw new WritError(
      'CONFIG_INVALID',
      `${JSON.stringify(url)} is no address of a server: http://…, https://… or unix:/path`,
    );
  const target = new URL(path, url);
  if (target.protocol === 'http:') return requestHttp(target, options);
  return requestHttps(target, authority === undefined ? options : { ...options, ca: authority.ca });
}

/** The JSON object of a reply; ClientError when it is none. */
export function objectOf(reply: Reply): JsonObject {
  let value: Json;
  try {
    value = JSON.parse(reply.text) as Json;
  } catch {
    throw new ClientError(`${reply.from.url} answered ${reply.status} without JSON: it is no Writ`);
  }
  if (isJsonObject(value)) return value;
  throw new ClientError(`${reply.from.url} answered ${reply.status} with JSON that is none of a Writ`);
}

/** Another server's token, mostly; undefined for any other answer. */
export function tokenProblem({ from, status }: Reply): string | undefined {
  return status === 401 && from.tokenFile !== undefined
    ? `${from.url} does not take the token in ${from.tokenFile}`
    : undefined;
}

/** The admin token in `file`; ClientError when it cannot be read. */
export async function readToken(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch {
    throw new ClientError(
      `no token can be read from ${file}: name it with --token-file, or start the server first`,
    );
  }
}
