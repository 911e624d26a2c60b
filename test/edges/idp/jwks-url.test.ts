import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { createJwksUrl } from '../../../src/edges/idp/jwks-url.ts';
import type { RefreshedKeys } from '../../../src/edges/idp/refreshed-keys.ts';
import { LIMITS } from '../../../src/kernel/limits.ts';
import { ISSUER, keyFor, makeKey } from '../../support/tokens.ts';

const ec = keyFor('ES256');
const SET = JSON.stringify({ keys: [ec.jwk] });

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listen(handler: Handler): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const codes: unknown[] = [];

function keysAt(url: string, answerMs = 2_000): RefreshedKeys {
  codes.length = 0;
  return createJwksUrl({
    url,
    answerMs,
    issuer: ISSUER,
    use: 'sig',
    clock: { now: () => ({ monoMs: 0, wallMs: 0 }) },
    log: { info: () => undefined, warn: (_, fields) => codes.push(fields?.code), error: () => undefined },
  });
}

describe('keys at a URL', () => {
  it('are fetched with nothing of ours but what is asked for', async () => {
    const seen: IncomingMessage[] = [];
    const url = await listen((request, response) => {
      seen.push(request);
      response.setHeader('content-type', 'application/jwk-set+json').end(SET);
    });
    const keys = keysAt(`${url}/jwks?x=1`);
    expect(seen).toHaveLength(0);
    await keys.refresh();
    expect(keys.lookup(ec.kid, 'ES256').state).toBe('found');
    expect(seen[0]?.url).toBe('/jwks?x=1');
    expect(seen[0]?.headers).toMatchObject({
      accept: 'application/jwk-set+json, application/json',
      'accept-encoding': 'identity',
    });
    for (const header of ['authorization', 'cookie', 'referer'])
      expect(seen[0]?.headers[header]).toBeUndefined();
  });

  it('are not fetched from where the answer points', async () => {
    let hits = 0;
    const canary = await listen((_request, response) => {
      hits += 1;
      response.end(JSON.stringify({ keys: [makeKey('ES256', 'evil').jwk] }));
    });
    for (const status of [301, 302, 303, 307, 308]) {
      const url = await listen((_, response) => response.writeHead(status, { location: canary }).end());
      const keys = keysAt(url);
      await keys.refresh();
      expect([keys.isAvailable(), hits, codes.length]).toEqual([false, 0, 1]);
    }
  });

  it.each<[string, Handler]>([
    ['404', (_, response) => response.writeHead(404).end(SET)],
    ['500', (_, response) => response.writeHead(500).end(SET)],
    ['201', (_, response) => response.writeHead(201).end(SET)],
    ['204', (_, response) => response.writeHead(204).end()],
    ['nothing', (_, response) => response.end()],
    ['HTML', (_, response) => response.setHeader('content-type', 'text/html').end('<html>')],
    ['half of it', (_, response) => response.end(SET.slice(0, -1))],
    ['bytes that are no text', (_, response) => response.end(Buffer.from([0x7b, 0xff, 0x7d]))],
    [
      'gzip nobody asked for',
      (_, response) => {
        response.setHeader('content-encoding', 'gzip').end(gzipSync(SET));
      },
    ],
    ['a cut connection', (request) => request.socket.destroy()],
    [
      'less than it promised',
      (_, response) => {
        response.setHeader('content-length', SET.length + 10).write(SET, () => response.socket?.destroy());
      },
    ],
  ])('are refused when the answer is %s', async (_, handler) => {
    const keys = keysAt(await listen(handler));
    await keys.refresh();
    expect([keys.isAvailable(), codes.length]).toEqual([false, 1]);
  });

  it('are refused when the answer does not end, at the first byte too many', async () => {
    let sent = 0;
    const closed = Promise.withResolvers<undefined>();
    const url = await listen((_, response) => {
      const pour = (): void => {
        sent += 16_384;
        response.write(Buffer.alloc(16_384, 0x20));
        next = setImmediate(pour);
      };
      let next = setImmediate(pour);
      response.on('close', () => {
        clearImmediate(next);
        closed.resolve(undefined);
      });
    });
    const keys = keysAt(url);
    await keys.refresh();
    await closed.promise;
    expect([keys.isAvailable(), codes]).toEqual([false, ['KEY_INVALID']]);
    expect(sent).toBeLessThan(100 * LIMITS.jwksBytesMax);
  });

  it.each<[string, Handler]>([
    ['before it begins', () => undefined],
    ['in the middle', (_, response) => response.write(SET.slice(0, 10))],
  ])('are refused when the answer stops %s', async (_, handler) => {
    const keys = keysAt(await listen(handler), 50);
    await keys.refresh();
    expect([keys.isAvailable(), codes.length]).toEqual([false, 1]);
  });

  it('are refused when nobody listens', async () => {
    const keys = keysAt('http://127.0.0.1:1/jwks');
    await keys.refresh();
    expect([keys.isAvailable(), codes.length]).toEqual([false, 1]);
  });
});

describe('the URL itself', () => {
  it.each([
    'http://idp.example/jwks',
    'http://169.254.169.254/latest/meta-data',
    'http://[::ffff:127.0.0.1]/jwks',
    'http://127.0.0.1.evil.example/jwks',
    'http://localhost.evil.example/jwks',
    'http://0.0.0.0/jwks',
    'ftp://127.0.0.1/jwks',
    'file:///etc/passwd',
    'data:application/json,{}',
    'https://user:pw@idp.example/jwks',
    'https://:pw@idp.example/jwks',
    'jwks.json',
    '',
  ])('is refused: %s', (url) => {
    expect(() => keysAt(url)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', field: 'jwks.url' }));
  });

  it.each([
    'https://idp.example/jwks',
    'http://127.0.0.1:8080/jwks',
    'http://127.9.9.9/jwks',
    'http://[::1]:8080/jwks',
    'http://localhost/jwks',
    'http://0x7f000001/jwks',
  ])('is https, or http on loopback: %s', (url) => {
    expect(() => keysAt(url)).not.toThrow();
  });
});
