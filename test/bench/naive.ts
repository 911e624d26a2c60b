/**
 * The sidecar that a competent team writes in a week: Express 5, jose with a cache of verified tokens by their
 * SHA-256, a Map of what is revoked, and OPA's own SDK. Started by run.ts; argument: the path of its settings.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { JSONWebKeySet, JWTPayload } from 'jose';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { loadPolicy } from '@open-policy-agent/opa-wasm';
import express from 'express';
import { readBundle } from '../../src/edges/opa/bundle.ts';

export interface NaiveSettings {
  readonly jwks: JSONWebKeySet;
  readonly issuer: string;
  readonly audience: string;
  readonly bundle: string;
  /** A JSON array of token ids. */
  readonly revoked: string;
}

interface Question {
  readonly subject: { readonly id: string };
  readonly action: unknown;
  readonly resource: unknown;
  readonly context: { readonly credential: { readonly token: string } } & Record<string, unknown>;
}

const settings = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as NaiveSettings;
const bundle = await readBundle(readFileSync(settings.bundle));
const policy = await loadPolicy(bundle.wasm);
policy.setData(JSON.parse(Buffer.from(bundle.data).toString('utf8')) as object);
const keys = createLocalJWKSet(settings.jwks);
const revoked = new Map<string, true>();
for (const id of JSON.parse(await readFile(settings.revoked, 'utf8')) as string[]) revoked.set(id, true);
const verified = new Map<string, JWTPayload>();

async function verify(token: string): Promise<JWTPayload> {
  const key = createHash('sha256').update(token).digest('hex');
  const known = verified.get(key);
  if (known !== undefined && (known.exp ?? 0) > Date.now() / 1000) return known;
  const { issuer, audience } = settings;
  const { payload } = await jwtVerify(token, keys, { issuer, audience, algorithms: ['ES256'] });
  verified.set(key, payload);
  return payload;
}

async function decide(question: Question): Promise<{ decision: boolean; context: { reason: string } }> {
  const { subject, action, resource, context } = question;
  const { credential, ...facts } = context;
  const claims = await verify(credential.token).catch(() => undefined);
  if (claims === undefined) return { decision: false, context: { reason: 'invalid_credential' } };
  if (revoked.has(claims.jti ?? '')) return { decision: false, context: { reason: 'revoked' } };
  if (claims.sub !== subject.id) return { decision: false, context: { reason: 'subject_mismatch' } };
  const now = Math.floor(Date.now() / 1000);
  const input = { subject, action, resource, context: facts, credential: { claims }, grants: [], now };
  const answers = policy.evaluate(input) as { result: { allow: boolean; reason: string } }[];
  const answer = answers[0]?.result;
  return { decision: answer?.allow === true, context: { reason: answer?.reason ?? 'undefined' } };
}

const app = express();
app.use(express.json());
app.post('/access/v1/evaluation', async (req, res) => {
  res.json(await decide(req.body as Question));
});
const server = app.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === 'object' ? address?.port : 0 }));
});
server.keepAliveTimeout = 60_000;
