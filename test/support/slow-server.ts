/** What Writ waits for, for as long as a test likes: keys of an issuer, a collector of lines. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { makeKey, signCompact } from './tokens.ts';

const ISSUER = 'https://slow.example';
const key = makeKey('ES256', 'k2');

export const SLOW_KEYS = JSON.stringify({ keys: [key.jwk] });

/** Config with an issuer whose keys are at `url`. */
export function slowIssuer(url: string): string {
  return `issuers: [{ issuer: '${ISSUER}', jwks: { url: '${url}' }, audiences: [api] }]`;
}

/** A token of that issuer. */
export function slowToken(lifeS = 60): string {
  const iat = Math.floor(Date.now() / 1000);
  const who = { iss: ISSUER, aud: 'api', sub: 'billing', client_id: 'c', jti: 'j', scope: 'invoice:read' };
  return signCompact({ alg: 'ES256', typ: 'at+jwt', kid: 'k2' }, { ...who, iat, exp: iat + lifeS }, key);
}

/** A server that answers each request when it is let, and says when it was first asked. */
export async function openSlowServer(body: () => string) {
  const asked = Promise.withResolvers<void>();
  const isLet = Promise.withResolvers<void>();
  const server = createServer((req, res) => {
    req.resume();
    asked.resolve();
    res.setHeader('content-type', 'application/json');
    void isLet.promise.then(() => res.end(body()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/x`, asked: asked.promise, answer: () => isLet.resolve(), close };
}
