/**
 * An issuer's keys at its JWKS URL (RFC 8414 `jwks_uri`). The URL comes from the configuration, never from a token;
 * redirects are not followed, and neither time, size nor encoding of an answer is the sender's to choose.
 */
import { WritError } from '../../kernel/error.ts';
import { LIMITS } from '../../kernel/limits.ts';
import type { Tracer } from '../../kernel/trace.ts';
import { NO_TRACER } from '../../kernel/trace.ts';
import type { RefreshedKeysOptions } from './refreshed-keys.ts';
import { RefreshedKeys } from './refreshed-keys.ts';

export interface JwksUrlOptions extends RefreshedKeysOptions {
  readonly url: string;
  /** For the whole answer, body included. Default: LIMITS.jwksMs. */
  readonly answerMs?: number;
  readonly tracer?: Tracer;
}

/** Opens no connection: the first `refresh` does. Throws CONFIG_INVALID for a URL that is not https or loopback. */
export function createJwksUrl(options: JwksUrlOptions): RefreshedKeys {
  const url = URL.parse(options.url);
  if (url === null || !isSafeUrl(url))
    throw new WritError('CONFIG_INVALID', 'a JWKS URL is https, or http on loopback', { field: 'jwks.url' });
  const { answerMs = LIMITS.jwksMs, tracer = NO_TRACER } = options;
  const load = (): Promise<string> =>
    tracer.span('GET jwks', { kind: 'client', facts: { 'server.address': url.hostname } }, () =>
      fetchKeys(url, answerMs, tracer.headers()),
    );
  return new RefreshedKeys(load, options);
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** URL.parse has put every spelling of an IPv4 address (hex, octal, one number) into the dotted one. */
function isSafeUrl({ protocol, hostname, username, password }: URL): boolean {
  if (username !== '' || password !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname));
}

async function fetchKeys(
  url: URL,
  answerMs: number,
  trace: Readonly<Record<string, string>>,
): Promise<string> {
  const response = await fetch(url, {
    redirect: 'error',
    headers: {
      accept: 'application/jwk-set+json, application/json',
      'accept-encoding': 'identity',
      ...trace,
    },
    signal: AbortSignal.timeout(answerMs),
  });
  const encoding = response.headers.get('content-encoding') ?? 'identity';
  if (response.status === 200 && encoding === 'identity') return readText(response);
  await response.body?.cancel();
  throw new WritError('KEY_INVALID', 'the JWKS URL answered with something else than a key set');
}

/** Stops at the first byte too many, so that an endless body costs no more than a full one. */
async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // A break out of the loop cancels the body, which closes the connection.
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > LIMITS.jwksBytesMax) break;
  }
  if (bytes > LIMITS.jwksBytesMax) throw new WritError('KEY_INVALID', 'the key set is too large');
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
}
