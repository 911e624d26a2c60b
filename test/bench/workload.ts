/**
 * What every server of the benchmark is asked: one AuthZEN evaluation as a real caller sends it, with tokens that
 * rotate, and what is revoked in each of them. run.ts and the contenders use it; it never talks to a server.
 */
import type { JSONWebKeySet } from 'jose';
import { DEV_ISSUER } from '../../src/config/config.ts';
import { createDevIssuer } from '../../src/edges/idp/dev-issuer.ts';
import { loadFleetKey } from '../../src/edges/system/key-files.ts';
import { systemRandom } from '../../src/edges/system/random.ts';
import type { Minted, Running } from '../support/scene.ts';
import { mint } from '../support/scene.ts';

export const ISSUER = DEV_ISSUER;
export const AUDIENCE = 'writ-dev';
export const ALGORITHM = 'ES256';
const TOKENS = 32;

/** Headers beside the content type, as an HTTP client inside a mesh sends them. */
export const HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'application/json',
  accept: 'application/json',
  'user-agent': 'orders-api/4.11.2 (linux; go1.26)',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
  'x-request-id': '7f0c1d1e-53c4-4f0a-9a3b-2f6a8a9b8f11',
};

/** Tokens of the dev issuer that are good, and one that is revoked in every server. */
export interface Workload {
  readonly good: readonly string[];
  readonly dead: Minted;
}

const CLAIMS = {
  sid: '08a5019c-17e1-4977-8f42-65a12843ea02',
  tenant: 'acme-emea',
  acr: 'urn:example:loa:2',
  amr: ['pwd', 'otp'],
  auth_time: 1_764_000_000,
  groups: ['finance', 'finance-emea', 'invoice-clerks'],
};

const SCOPE = 'openid profile invoice:list invoice:read invoice:export';

export async function mintWorkload(writ: Running): Promise<Workload> {
  const request = { scope: SCOPE, ttlS: 7_200, clientId: 'orders-api', claims: CLAIMS };
  const minted = await Promise.all(Array.from({ length: TOKENS + 1 }, () => mint(writ, request)));
  const [dead, ...good] = minted as [Minted, ...Minted[]];
  return { good: good.map(({ token }) => token), dead };
}

/** One evaluation request: 1.1 KB with its token, 1.4 KB with the headers. */
export function evaluationOf(token: string, sub = 'billing'): Record<string, unknown> {
  return {
    subject: { type: 'service', id: sub, properties: { department: 'finance', region: 'emea' } },
    action: { name: 'read', properties: { method: 'GET' } },
    resource: { type: 'invoice', id: 'inv-2026-004217', properties: { owner: 'acme-emea', status: 'open' } },
    context: {
      time: '2026-11-24T10:15:30.000Z',
      ip: '203.0.113.42',
      credential: { scheme: 'Bearer', token },
    },
  };
}

/** What one request weighs, for the head of the table. */
export function renderWeight({ good }: Workload): string {
  const token = good[0] ?? '';
  const body = JSON.stringify(evaluationOf(token)).length;
  const headers = Object.entries(HEADERS).map(([name, value]) => `${name}: ${value}\r\n`);
  return `each request: ${body} B of body with a token of ${token.length} B, ${good.length} tokens in turn, and ${headers.join('').length} B of headers beside those of HTTP itself`;
}

/** The i-th revoked token id: 22 characters, as 128 random bits have in base64url. */
export function revokedId(i: number): string {
  return `${mix(i, 1)}${mix(i, 2)}${i.toString(36).padStart(8, '0')}`;
}

function mix(i: number, salt: number): string {
  let z = (Math.imul(i, 0x9e3779b1) + salt) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return ((z ^ (z >>> 15)) >>> 0).toString(36).padStart(7, '0');
}

/** The public key of a server's dev issuer as the JWK Set that its other verifiers are given. */
export async function jwksOf(dataDir: string, kid: string): Promise<JSONWebKeySet> {
  const dev = createDevIssuer({
    fleetKey: await loadFleetKey({ dataDir }),
    audiences: [AUDIENCE],
    clock: { now: () => ({ monoMs: 0, wallMs: 0 }) },
    random: systemRandom,
  });
  const found = dev.issuer.keys.lookup(kid, ALGORITHM);
  if (found.state !== 'found') throw new Error('the tokens are not of that dev issuer');
  return { keys: [{ ...found.key.key.export({ format: 'jwk' }), kid, alg: ALGORITHM, use: 'sig' }] };
}

/** `kid` of a token's header. */
export function kidOf(token: string): string {
  const header = Buffer.from(token.split('.')[0] ?? '', 'base64url').toString('utf8');
  return (JSON.parse(header) as { kid: string }).kid;
}
