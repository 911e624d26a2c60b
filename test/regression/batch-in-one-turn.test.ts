/**
 * Found by attack: a batch decided its items one after the other and answered when the last was done. While one waited
 * for the keys of another issuer, an allow before it grew old, and went out long after its revocation was `enforced`.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { parsePublicJwk } from '../../src/credential/jwk.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { AskedDecision } from '../../src/http/asked-decision.ts';
import { evaluateAll } from '../../src/http/evaluations.ts';
import { FakeClock } from '../support/fake-time.ts';
import { InProcessWrit, evaluation } from '../support/in-process.ts';
import { TestReplica, tokenOf } from '../support/replica-harness.ts';
import { makeKey, mintProof, signCompact } from '../support/tokens.ts';

const SLOW = 'https://slow.example';
const BATCH = '/access/v1/evaluations';
const key = makeKey('ES256', 'k2');
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** A server that answers each request when it is let, and says when it was first asked. */
async function openSlow(body: () => string) {
  const asked = Promise.withResolvers<void>();
  const isLet = Promise.withResolvers<void>();
  const server = createServer((req, res) => {
    req.resume();
    asked.resolve();
    res.setHeader('content-type', 'application/json');
    void isLet.promise.then(() => res.end(body()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/x`, asked: asked.promise, answer: () => isLet.resolve() };
}

async function start(url?: string, sets: readonly string[] = []): Promise<InProcessWrit> {
  const issuer = `{ issuer: '${SLOW}', jwks: { url: '${String(url)}' }, audiences: [api] }`;
  const writ = await InProcessWrit.open(
    url === undefined ? { sets } : { sets, fileText: `issuers: [${issuer}]` },
  );
  closers.push(() => writ.remove());
  return writ;
}

function slowToken(): string {
  const iat = Math.floor(Date.now() / 1000);
  const who = { iss: SLOW, aud: 'api', sub: 'billing', client_id: 'c', jti: 'j', scope: 'invoice:read' };
  return signCompact({ alg: 'ES256', typ: 'at+jwt', kid: 'k2' }, { ...who, iat, exp: iat + 60 }, key);
}

const item = (token: string) => ({ context: { credential: { scheme: 'Bearer', token } } });
const revocationOf = (value: string) => ({ selector: { kind: 'token', value }, wait: 'enforced' });

function answersOf({ body }: { readonly body: Record<string, unknown> }): unknown[] {
  return (body['evaluations'] as { decision: unknown }[]).map(({ decision }) => decision);
}

describe('a batch one of whose items waits for keys', () => {
  it.each([
    ['execute_all', [false, true]],
    ['deny_on_first_deny', [false]],
  ])('has, as %s, no allow that was revoked while keys were waited for', async (semantic, answers) => {
    const keys = await openSlow(() => JSON.stringify({ keys: [key.jwk] }));
    const writ = await start(keys.url);
    const dead = await writ.mint();
    const options = { evaluations_semantic: semantic };
    const body = { ...evaluation(), options, evaluations: [item(dead), item(slowToken())] };
    const pending = writ.data(BATCH, { body });
    await keys.asked;
    // Whoever asked before this one was answered has been verified by now.
    expect((await writ.data('/v1/check', { body: evaluation(dead) })).status).toBe(200);
    const revoked = await writ.control('/v1/revocations', { body: revocationOf(dead) });
    expect(revoked.body['state']).toBe('enforced');
    keys.answer();
    expect(answersOf(await pending)).toEqual(answers);
  });
});

describe('a batch that waits for its lines', () => {
  it.each([
    ['execute_all', [false, true]],
    ['deny_on_first_deny', [false]],
    ['permit_on_first_permit', [false, true]],
  ])('has, as %s, no allow that was revoked while lines were written', async (semantic, answers) => {
    const sink = await openSlow(() => '');
    const sets = ['sink=http', `url=${sink.url}`, 'required=true', 'requiredWait=5s'];
    const writ = await start(
      undefined,
      sets.map((set) => `telemetry.decisionLog.${set}`),
    );
    const [dead, alive] = [await writ.mint(), await writ.mint()];
    const options = { evaluations_semantic: semantic };
    const body = { ...evaluation(), options, evaluations: [item(dead), item(alive)] };
    const pending = writ.data(BATCH, { body });
    await sink.asked;
    const revoked = await writ.control('/v1/revocations', { body: revocationOf(dead) });
    expect(revoked.body['state']).toBe('enforced');
    sink.answer();
    expect(answersOf(await pending)).toEqual(answers);
  });
});

describe('a large batch', () => {
  it('gives others turns, and has no allow that was revoked in one of them', async () => {
    const replica = await new TestReplica({ clock: new FakeClock() }).start();
    closers.push(() => replica.stop());
    const { checker } = replica;
    const token = tokenOf('billing', 'j1', 1_800_000_000);
    let asked = 0;
    const text = await evaluateAll(
      { ...evaluation(token), evaluations: Array.from({ length: 120 }, () => ({})) },
      async ({ request }) => {
        asked += 1;
        if (asked === 119) replica.lease.drop();
        const occasion = { id: '', source: 'evaluations', startedMs: 0, asked: request } as const;
        return new AskedDecision({
          ...{ checker, request, observer: { decided: () => undefined }, isWanted: () => true },
          verification: await checker.verify(request.credential),
          occasion: { ...occasion, asking: { headers: {}, socket: {} } },
        });
      },
      ({ reason }) => JSON.stringify(reason),
    );
    expect(JSON.parse(text)).toEqual({ evaluations: Array.from({ length: 120 }, () => 'fenced') });
  });
});

describe('a DPoP proof in a batch', () => {
  it('is used once for all questions about its request, and by no other batch or request', async () => {
    const writ = await start();
    const dpop = makeKey('ES256', 'dpop');
    const jkt = parsePublicJwk(dpop.jwk as JsonObject)?.thumbprint;
    const token = await writ.mint({ claims: { cnf: { jkt } } });
    const proof = mintProof({ key: dpop, token, claims: { iat: Math.floor(Date.now() / 1000) } });
    const credential = { scheme: 'DPoP', token, proof, method: 'GET', uri: 'https://api.example/orders' };
    const other = { context: { credential: { ...credential, uri: 'https://api.example/other' } } };
    const body = { ...evaluation(), context: { credential }, evaluations: [{}, {}, other] };
    expect(answersOf(await writ.data(BATCH, { body }))).toEqual([true, true, false]);
    expect(answersOf(await writ.data(BATCH, { body }))).toEqual([false, false, false]);
  });
});
