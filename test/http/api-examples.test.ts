/** The examples of API.md that one replica answers, as a table: what is sent, the status, and every promised field. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyCosignature } from '../../src/evidence/cosignature.ts';
import { parsePublicKey } from '../../src/kernel/key.ts';
import type { Reply } from '../support/client.ts';
import { call, listen } from '../support/client.ts';
import { InProcessWrit, contextOf, evaluation, registration } from '../support/in-process.ts';

const like = (form: RegExp): unknown => expect.stringMatching(form) as unknown;
const INTEGER = expect.toSatisfy((value) => Number.isSafeInteger(value)) as unknown;
const FRESH = expect.toSatisfy(
  (value: number) => Number.isInteger(value) && value > 0 && value <= 3_000,
) as unknown;
const POSITION = like(/^\d+-\d+$/);
const DIGEST = like(/^sha256:[0-9a-f]{64}$/);
const INSTANT = like(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const DECISION_ID = like(/^dec_[\w-]+$/);
const REVOCATION_ID = like(/^rev_[\w-]{22}$/);
const DEV_ISSUER = 'https://dev.writ.invalid';
const DECISION = 'writ/authz/decision';

let writ: InProcessWrit;
let token: string;

beforeAll(async () => {
  writ = await InProcessWrit.open();
  token = await writ.mint();
});

afterAll(() => writ.remove());

/** What every decision says besides itself. */
const decided = (decision: boolean, context: Record<string, unknown>) => ({
  decision,
  context: { id: DECISION_ID, position: POSITION, policy: DIGEST, freshForMs: FRESH, ...context },
});

function claimsOf(jwt: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
}

function revoke(body: Record<string, unknown>, headers: Record<string, string> = {}): Promise<Reply> {
  return writ.control('/v1/revocations', { body, headers });
}

/** What the checkpoint is of; who has cosigned it may change. */
async function treeHead(): Promise<string | undefined> {
  return (await writ.control('/v1/checkpoint')).text.split('\n\n')[0];
}

async function revoked(): Promise<{ dead: string; id: string }> {
  const dead = await writ.mint();
  const reply = await revoke({ selector: { kind: 'token', value: dead } });
  return { dead, id: String(reply.body['id']) };
}

async function openSession(more: Record<string, unknown> = {}): Promise<{ jwt: string; path: string }> {
  const jwt = await writ.mint();
  const reply = await writ.data('/v1/sessions', { body: registration(jwt, more) });
  return { jwt, path: `/v1/sessions/${String(reply.body['id'])}` };
}

interface Example {
  readonly name: string;
  readonly ask: () => Promise<Reply>;
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, unknown>>;
}

function table(examples: readonly Example[]): void {
  it.each(examples)('$name', async ({ ask, status, body, headers = {} }) => {
    const reply = await ask();
    expect(reply.status, reply.text).toBe(status);
    if (body !== undefined) expect(reply.body).toEqual(body);
    expect(reply.headers).toMatchObject({ 'cache-control': 'no-store', ...headers });
  });
}

describe('decide', () => {
  const evaluate = (body: unknown): Promise<Reply> => writ.data('/access/v1/evaluation', { body });
  table([
    {
      name: 'a verified credential whose scope permits it is allowed',
      ask: () => evaluate(evaluation(token)),
      status: 200,
      body: decided(true, { reason: 'permitted', policyReason: 'scope' }),
      headers: { 'content-type': 'application/json' },
    },
    {
      name: 'the bare token is a credential too',
      ask: () => evaluate({ ...evaluation(), context: { credential: token } }),
      status: 200,
      body: decided(true, { reason: 'permitted', policyReason: 'scope' }),
    },
    {
      name: 'what no scope permits is denied with the reason of the policy',
      ask: () => evaluate({ ...evaluation(token), action: { name: 'delete' } }),
      status: 200,
      body: decided(false, { reason: 'policy_denied', policyReason: 'default' }),
    },
    {
      name: 'an asserted subject without a credential is decided by policy alone',
      ask: () => evaluate(evaluation()),
      status: 200,
      body: decided(false, { reason: 'policy_denied', policyReason: 'default' }),
    },
    {
      name: 'a credential of somebody else is no credential of the subject',
      ask: () => evaluate({ ...evaluation(token), subject: { type: 'service', id: 'payroll' } }),
      status: 200,
      body: decided(false, { reason: 'subject_mismatch' }),
    },
    {
      name: 'a credential that cannot be read is invalid, and the answer says in which way',
      ask: () => evaluate({ ...evaluation(), context: { credential: { scheme: 'Digest', token: 'x' } } }),
      status: 200,
      body: decided(false, { reason: 'invalid_credential', detail: 'scheme_unsupported' }),
    },
    {
      name: 'a forged signature is invalid',
      ask: () => evaluate(evaluation(`${token.slice(0, -8)}AAAAAAAA`)),
      status: 200,
      body: decided(false, { reason: 'invalid_credential', detail: 'signature' }),
    },
    {
      name: 'a token of another audience is invalid',
      ask: async () => evaluate(evaluation(await writ.mint({ audience: 'elsewhere' }))),
      status: 200,
      body: decided(false, { reason: 'invalid_credential', detail: 'audience' }),
    },
    {
      name: 'a token before its time is not yet valid',
      ask: async () =>
        evaluate(evaluation(await writ.mint({ claims: { nbf: Math.floor(Date.now() / 1000) + 100 } }))),
      status: 200,
      body: decided(false, { reason: 'not_yet_valid', detail: 'not_yet_valid' }),
    },
    {
      name: 'the metadata names the endpoints under the address of the data listener',
      ask: () => writ.data('/.well-known/authzen-configuration'),
      status: 200,
      body: {
        policy_decision_point: like(/^http:\/\/127\.0\.0\.1:\d+$/),
        access_evaluation_endpoint: like(/^http:\/\/127\.0\.0\.1:\d+\/access\/v1\/evaluation$/),
        access_evaluations_endpoint: like(/^http:\/\/127\.0\.0\.1:\d+\/access\/v1\/evaluations$/),
      },
      headers: { 'content-type': 'application/json' },
    },
  ]);

  it('answers revoked with the id of the revocation, and a sibling goes on', async () => {
    const { dead, id } = await revoked();
    const reply = await writ.data('/access/v1/evaluation', { body: evaluation(dead) });
    expect(reply.body).toEqual(decided(false, { reason: 'revoked', revocation: id }));
    expect((await writ.data('/access/v1/evaluation', { body: evaluation(token) })).body['decision']).toBe(
      true,
    );
  });

  it('answers cutoff for the kinds with a time, which reach the bare subject by authenticatedAt', async () => {
    const sub = 'cut-off';
    const mine = await writ.mint({ sub });
    const ask = (context: unknown): Promise<Reply> =>
      evaluate({ ...evaluation(), subject: { type: 'user', id: sub }, context });
    const { id } = (await revoke({ selector: { kind: 'subject', value: sub } })).body;
    const reply = await ask({ credential: mine });
    expect(reply.body).toEqual(decided(false, { reason: 'cutoff', revocation: id }));
    expect(contextOf(await ask({}))).toMatchObject({ reason: 'cutoff', revocation: id });
    expect(contextOf(await ask({ authenticatedAt: '2020-01-01T00:00:00Z' }))['reason']).toBe('cutoff');
    const later = new Date(Date.now() + 2_000).toISOString();
    expect(contextOf(await ask({ authenticatedAt: later }))['reason']).toBe('policy_denied');
  });
});

describe('check, where the status tells as well', () => {
  const check = (body: unknown): Promise<Reply> => writ.data('/v1/check', { body });
  const challenge = (reason: string): string =>
    `Bearer realm="writ", error="invalid_token", error_description="${reason}"`;
  table([
    {
      name: '200 for allow',
      ask: () => check(evaluation(token)),
      status: 200,
      body: decided(true, { reason: 'permitted', policyReason: 'scope' }),
    },
    {
      name: '403 for what policy denies',
      ask: () => check(evaluation()),
      status: 403,
      body: decided(false, { reason: 'policy_denied', policyReason: 'default' }),
    },
    {
      name: '403 for another subject',
      ask: () => check({ ...evaluation(token), subject: { type: 'service', id: 'payroll' } }),
      status: 403,
      body: decided(false, { reason: 'subject_mismatch' }),
    },
    {
      name: '401 with a challenge for an invalid credential',
      ask: () => check(evaluation('nonsense')),
      status: 401,
      body: decided(false, { reason: 'invalid_credential', detail: like(/^\w+$/) }),
      headers: { 'www-authenticate': challenge('invalid_credential') },
    },
    {
      name: '401 with a challenge for a credential of an unknown issuer',
      ask: () => {
        const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
        const header = part({ alg: 'ES256', typ: 'at+jwt', kid: 'k' });
        return check(
          evaluation(`${header}.${part({ ...claimsOf(token), iss: 'https://other.example' })}.AAAA`),
        );
      },
      status: 401,
      body: decided(false, { reason: 'unknown_issuer', detail: 'issuer' }),
      headers: { 'www-authenticate': challenge('unknown_issuer') },
    },
    {
      name: '401 with a challenge for a revoked credential',
      ask: async () => check(evaluation((await revoked()).dead)),
      status: 401,
      body: decided(false, { reason: 'revoked', revocation: REVOCATION_ID }),
      headers: { 'www-authenticate': challenge('revoked') },
    },
  ]);

  it('answers 401 expired once the time of the token is over', async () => {
    const short = await writ.mint({ ttlS: 1, claims: {} });
    const exp = Number(claimsOf(short)['exp']);
    // Expiry has no leeway to wait for but the clock skew of 5 s: the token is asked about until then.
    await expect
      .poll(async () => contextOf(await check(evaluation(short)))['reason'], {
        timeout: 10_000,
        interval: 250,
      })
      .toBe('expired');
    expect(Date.now() / 1000).toBeGreaterThanOrEqual(exp);
    const reply = await check(evaluation(short));
    expect(reply.status).toBe(401);
    expect(reply.headers['www-authenticate']).toBe(challenge('expired'));
  });
});

describe('the OPA Data API', () => {
  const data = (path: string, body: unknown): Promise<Reply> => writ.data(`/v1/data/${path}`, { body });
  const inputOf = (credential?: unknown): Record<string, unknown> => ({
    input: { ...evaluation(), ...(credential === undefined ? {} : { credential }) },
  });
  table([
    {
      name: 'the decision entrypoint answers what the rule says',
      ask: () => data(DECISION, inputOf(token)),
      status: 200,
      body: { result: { allow: true, reason: 'scope' } },
    },
    {
      name: 'without a credential the rule decides on the asserted input',
      ask: () => data(DECISION, inputOf()),
      status: 200,
      body: { result: { allow: false, reason: 'default' } },
    },
    {
      name: 'an entrypoint the bundle does not have is undefined',
      ask: () => data('no/such/rule', inputOf()),
      status: 200,
      body: {},
    },
    {
      name: 'no input is an empty one',
      ask: () => data(DECISION, {}),
      status: 200,
      body: { result: { allow: false, reason: 'default' } },
    },
    {
      name: 'a revoked credential gets a refusal from the decision entrypoint',
      ask: async () => data(DECISION, inputOf((await revoked()).dead)),
      status: 200,
      body: { result: { allow: false, reason: 'revoked' } },
      headers: { 'x-writ-reason': 'revoked' },
    },
    {
      name: 'and nothing from any other entrypoint',
      ask: async () => data('writ/authz/permitted_by_scope', inputOf((await revoked()).dead)),
      status: 200,
      body: {},
      headers: { 'x-writ-reason': 'revoked' },
    },
    {
      name: 'a credential that cannot be read gets no value either',
      ask: () => data(DECISION, inputOf({ scheme: 'Bearer' })),
      status: 200,
      body: { result: { allow: false, reason: 'invalid_credential' } },
      headers: { 'x-writ-reason': 'invalid_credential' },
    },
    {
      name: 'nor one that does not verify',
      ask: () => data('no/such/rule', inputOf(`${token.slice(0, -8)}AAAAAAAA`)),
      status: 200,
      body: {},
      headers: { 'x-writ-reason': 'invalid_credential' },
    },
    {
      name: 'an input that is no object is refused in the words of OPA',
      ask: () => data(DECISION, { input: [] }),
      status: 400,
      body: { code: 'invalid_parameter', message: 'input must be an object' },
    },
  ]);
});

describe('live sessions', () => {
  table([
    {
      name: 'a session is opened with a credential that is allowed',
      ask: () => writ.data('/v1/sessions', { body: registration(token) }),
      status: 201,
      body: {
        id: like(/^ses_[\w-]{22}$/),
        events: like(/^\/v1\/sessions\/ses_[\w-]{22}\/events$/),
        freshForMs: FRESH,
      },
    },
    {
      name: 'one with its own subject and the promise to end itself is opened too',
      ask: () =>
        writ.data('/v1/sessions', {
          body: registration(token, { subject: { type: 'service', id: 'billing' }, selfEnds: true }),
        }),
      status: 201,
    },
    {
      name: 'what policy denies is no session',
      ask: () => writ.data('/v1/sessions', { body: registration(token, { action: { name: 'delete' } }) }),
      status: 403,
      body: decided(false, { reason: 'policy_denied', policyReason: 'default' }),
    },
    {
      name: 'nor is a revoked credential',
      ask: async () => writ.data('/v1/sessions', { body: registration((await revoked()).dead) }),
      status: 403,
      body: decided(false, { reason: 'revoked', revocation: REVOCATION_ID }),
    },
    {
      name: 'nor one that does not verify',
      ask: () => writ.data('/v1/sessions', { body: registration('nonsense') }),
      status: 403,
      body: decided(false, { reason: 'invalid_credential', detail: like(/^\w+$/) }),
    },
    {
      name: 'nor one that cannot be read',
      ask: () => writ.data('/v1/sessions', { body: { ...registration(''), credential: 7 } }),
      status: 403,
      body: decided(false, { reason: 'invalid_credential', detail: 'malformed' }),
    },
    {
      name: 'nor none at all',
      ask: () => writ.data('/v1/sessions', { body: { ...registration(''), credential: undefined } }),
      status: 403,
      body: decided(false, { reason: 'no_credential' }),
    },
    {
      name: 'a ping says for how long the holder may go on',
      ask: async () => writ.data(`${(await openSession()).path}/ping`, { method: 'POST' }),
      status: 200,
      body: { freshForMs: FRESH },
    },
    {
      name: 'a session that is not there is not found',
      ask: () => writ.data('/v1/sessions/ses_AAAAAAAAAAAAAAAAAAAAAA/ping', { method: 'POST' }),
      status: 404,
    },
  ]);

  it('go on with a fresher credential of the same subject, and with no other', async () => {
    const { path } = await openSession();
    const present = (credential: unknown) => writ.data(`${path}/credential`, { body: { credential } });
    const fresher = await writ.mint({ ttlS: 3_600 });
    const taken = await present({ scheme: 'Bearer', token: fresher });
    expect(taken.status).toBe(200);
    expect(taken.body).toEqual({ freshForMs: FRESH, expiresAt: INSTANT });
    const refused: [unknown, number, object][] = [
      [
        { scheme: 'Bearer', token: await writ.mint({ sub: 'other', ttlS: 3_600 }) },
        403,
        { reason: 'subject_mismatch' },
      ],
      [{ scheme: 'Bearer', token: (await revoked()).dead }, 409, {}],
      [
        { scheme: 'Bearer', token: await writ.mint({ scope: 'none', ttlS: 3_700 }) },
        403,
        { reason: 'policy_denied' },
      ],
      [{ scheme: 'Bearer', token: 'nonsense' }, 403, { reason: 'invalid_credential' }],
      [7, 403, { reason: 'invalid_credential', detail: 'malformed' }],
      [undefined, 403, { reason: 'no_credential' }],
    ];
    for (const [credential, status, context] of refused) {
      const answer = await present(credential);
      expect(answer.status).toBe(status);
      if (status === 403) expect(answer.body).toMatchObject({ decision: false, context });
      else expect(answer.body).toMatchObject({ code: 'NOT_FRESHER' });
    }
    expect((await writ.data(`${path}/ping`, { method: 'POST' })).body).toEqual({ freshForMs: FRESH });
    await revoke({ selector: { kind: 'token', value: fresher }, wait: 'durable' });
    expect(await present({ scheme: 'Bearer', token: await writ.mint({ ttlS: 3_700 }) })).toMatchObject({
      status: 409,
      body: { code: 'SESSION_ENDED' },
    });
    await writ.data(`${path}/closed`, { method: 'POST' });
    expect(await present({ scheme: 'Bearer', token: fresher })).toMatchObject({ status: 404 });
  });

  it('are told to end by one kill event, and confirmed dead by their holders', async () => {
    const { jwt, path } = await openSession();
    const stream = await listen(`${writ.writ.urls.data}${path}/events`);
    const answered = revoke({ selector: { kind: 'token', value: jwt } });
    const { data } = await stream.killed;
    expect(data).toEqual({ reason: 'revoked', revocation: REVOCATION_ID, position: POSITION });
    await stream.ended;
    const ping = await writ.data(`${path}/ping`, { method: 'POST' });
    expect(ping.body).toEqual({ freshForMs: 0, kill: data });
    expect((await writ.data(`${path}/closed`, { method: 'POST' })).status).toBe(204);
    const { status, body } = await answered;
    expect(status).toBe(201);
    expect(body).toMatchObject({
      id: data['revocation'],
      state: 'enforced',
      closure: 'CLOSED',
      sessions: { matched: 1, killed: 1, unconfirmed: 0 },
    });
    expect((await writ.data(`${path}/closed`, { method: 'POST' })).status).toBe(404);
  });

  it('that were killed before anyone listened say so at once', async () => {
    const { jwt, path } = await openSession();
    await revoke({ selector: { kind: 'token', value: jwt }, wait: 'durable' });
    const stream = await listen(`${writ.writ.urls.data}${path}/events`);
    expect((await stream.killed).data).toMatchObject({ reason: 'revoked' });
    await writ.data(`${path}/closed`, { method: 'POST' });
  });

  it('whose holder is silent stay unconfirmed: 202, partial, and the session is named', async () => {
    const { jwt } = await openSession({ kind: 'silent-one' });
    const { status, body } = await revoke({ selector: { kind: 'token', value: jwt } });
    expect(status).toBe(202);
    expect(body).toMatchObject({
      state: 'partial',
      closure: 'PARTIAL',
      sessions: {
        matched: 1,
        killed: 0,
        unconfirmed: 1,
        silent: [{ session: like(/^[\w-]{43}$/), kind: 'silent-one' }],
      },
    });
    const again = await writ.control(`/v1/revocations/${String(body['id'])}`);
    expect(again.body).toMatchObject({ state: 'partial', closure: 'PARTIAL' });
  });

  it('whose holder promised to end them itself count as dead once its last word is over', async () => {
    const { jwt } = await openSession({ selfEnds: true });
    const { status, body } = await revoke({ selector: { kind: 'token', value: jwt }, waitMs: 10_000 });
    expect(status).toBe(201);
    expect(body).toMatchObject({ closure: 'CLOSED', sessions: { matched: 1, killed: 1, unconfirmed: 0 } });
  });

  it('that ended normally are gone', async () => {
    const { path } = await openSession();
    expect((await writ.data(path, { method: 'DELETE' })).status).toBe(204);
    expect((await writ.data(`${path}/ping`, { method: 'POST' })).status).toBe(404);
    expect((await writ.data(`${path}/events`)).status).toBe(404);
  });

  it('are not taken from who listens by who asks for the head only', async () => {
    const { jwt, path } = await openSession();
    const stream = await listen(`${writ.writ.urls.data}${path}/events`);
    const head = await writ.data(`${path}/events`, { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(head.headers['content-type']).toBe('text/event-stream');
    const answered = revoke({ selector: { kind: 'token', value: jwt } });
    expect((await stream.killed).data).toMatchObject({ reason: 'revoked' });
    await writ.data(`${path}/closed`, { method: 'POST' });
    expect((await answered).status).toBe(201);
  });

  it('are kept when a stream is lost, and the next stream hears of the kill', async () => {
    const { jwt, path } = await openSession();
    const lost = await listen(`${writ.writ.urls.data}${path}/events`);
    lost.close();
    await lost.ended;
    const next = await listen(`${writ.writ.urls.data}${path}/events`);
    const answered = revoke({ selector: { kind: 'token', value: jwt } });
    expect((await next.killed).data).toMatchObject({ reason: 'revoked' });
    await writ.data(`${path}/closed`, { method: 'POST' });
    expect((await answered).status).toBe(201);
  });
});

describe('revoke', () => {
  const enforced = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
    id: REVOCATION_ID,
    position: POSITION,
    state: 'enforced',
    closure: 'CLOSED',
    appendedAt: INSTANT,
    enforcedAt: INSTANT,
    boundMs: 3_252,
    replicas: [{ replica: 'gw-1', incarnation: like(/^inc_/), state: 'acknowledged', at: INSTANT }],
    sessions: { matched: 0, killed: 0, unconfirmed: 0 },
    revocationWindowMs: INTEGER,
    lateAccepts: 0,
    seen: false,
    receipt: like(/^\/v1\/receipts\/rev_[\w-]{22}$/),
    ...more,
  });

  it('answers 201 with every field once it is enforced, and says whether it was seen before', async () => {
    const jwt = await writ.mint();
    const selector = { kind: 'jti', issuer: DEV_ISSUER, value: claimsOf(jwt)['jti'] };
    const order = { selector, reason: 'leaked', ticket: 'INC-4711', wait: 'enforced', waitMs: 5_000 };
    const unseen = await revoke({ ...order, selector: { ...selector, value: 'never-seen' } });
    expect(unseen.status).toBe(201);
    expect(unseen.body).toMatchObject({ seen: false });
    expect((await writ.data('/access/v1/evaluation', { body: evaluation(jwt) })).body['decision']).toBe(true);
    const reply = await revoke(order);
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject(enforced({ seen: true }));
    expect(reply.body['receipt']).toBe(`/v1/receipts/${String(reply.body['id'])}`);
    expect(Number(reply.body['revocationWindowMs'])).toBeGreaterThanOrEqual(0);
  });

  it('goes on from there under its own address, with the same facts', async () => {
    const first = await revoke({ selector: { kind: 'jkt', value: 'A'.repeat(43) } });
    const again = await writ.control(`/v1/revocations/${String(first.body['id'])}`);
    expect(again.status).toBe(200);
    const { id, position, appendedAt, enforcedAt, receipt } = first.body;
    expect(again.body).toMatchObject(enforced({ id, position, appendedAt, enforcedAt, receipt }));
  });

  it.each(['accepted', 'durable', 'enforced'])(
    'answers 201 when %s was asked for and is reached',
    async (wait) => {
      const reply = await revoke({ selector: { kind: 'jti', issuer: 'i', value: wait }, wait });
      expect(reply.status).toBe(201);
      expect(['accepted', 'durable', 'enforced']).toContain(reply.body['state']);
      expect(reply.body['boundMs']).toBe(3_252);
    },
  );

  it('answers 202 with the state so far when the word was not reached in waitMs', async () => {
    const { jwt, path } = await openSession();
    const { status, body } = await revoke({ selector: { kind: 'token', value: jwt }, waitMs: 0 });
    expect(status).toBe(202);
    expect(['accepted', 'durable']).toContain(body['state']);
    expect(body).toMatchObject({ closure: like(/^[A-Z]+$/), boundMs: 3_252 });
    expect(body).not.toHaveProperty('receipt');
    await writ.data(`${path}/closed`, { method: 'POST' });
    await expect
      .poll(async () => (await writ.control(`/v1/revocations/${String(body['id'])}`)).body['state'])
      .toBe('enforced');
  });

  it('kills every session of the subject and counts them', async () => {
    const sub = 'many-sessions';
    const paths: string[] = [];
    for (let i = 0; i < 3; i++) {
      const body = { ...registration(await writ.mint({ sub })) };
      const reply = await writ.data('/v1/sessions', { body });
      paths.push(`/v1/sessions/${String(reply.body['id'])}`);
    }
    const answered = revoke({ selector: { kind: 'subject', issuer: DEV_ISSUER, value: sub } });
    await Promise.all(
      paths.map(async (path) => {
        const stream = await listen(`${writ.writ.urls.data}${path}/events`);
        expect((await stream.killed).data).toMatchObject({ reason: 'cutoff' });
        await writ.data(`${path}/closed`, { method: 'POST' });
      }),
    );
    expect((await answered).body).toMatchObject({ sessions: { matched: 3, killed: 3, unconfirmed: 0 } });
  });

  it('answers a dry run with what would die, and appends nothing', async () => {
    const { jwt, path } = await openSession();
    const before = await treeHead();
    const body = { selector: { kind: 'token', value: jwt }, dryRun: true };
    const reply = await revoke(body);
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      dryRun: true,
      targets: 1,
      sessions: { matched: 1 },
      seen: true,
      lastAcceptAt: INSTANT,
    });
    const unseen = await revoke({ selector: { kind: 'jti', issuer: 'i', value: 'unseen' }, dryRun: true });
    expect(unseen.body).toEqual({ dryRun: true, targets: 1, sessions: { matched: 0 }, seen: false });
    expect(await treeHead()).toBe(before);
    expect((await writ.data(`${path}/ping`, { method: 'POST' })).body).toEqual({ freshForMs: FRESH });
    await writ.data(path, { method: 'DELETE' });
  });

  it('takes many selectors in one entry, without repeats', async () => {
    const selectors = [1, 2, 2, 3].map((n) => ({ kind: 'jti', issuer: 'i', value: `many-${n}` }));
    const reply = await revoke({ selectors, dryRun: true });
    expect(reply.body).toMatchObject({ targets: 3 });
  });

  it('answers the same key and body with the same revocation, and another body with a conflict', async () => {
    const body = { selector: { kind: 'jti', issuer: 'i', value: 'idempotent' } };
    const key = { 'idempotency-key': 'INC-4711/1' };
    const first = await revoke(body, key);
    const second = await revoke(body, key);
    expect(second.status).toBe(201);
    expect([second.body['id'], second.body['position']]).toEqual([first.body['id'], first.body['position']]);
    const other = await revoke({ ...body, reason: 'another' }, key);
    expect(other.status).toBe(409);
    expect(other.body).toMatchObject({ code: 'IDEMPOTENCY_CONFLICT', status: 409 });
  });

  const problem = (code: string, status: number, field?: string): Record<string, unknown> => ({
    type: `urn:writ:error:${code}`,
    title: like(/./),
    status,
    code,
    detail: like(/./),
    ...(field === undefined ? {} : { field }),
  });
  const form = { 'content-type': 'application/problem+json' };
  const jti = { kind: 'jti', issuer: 'i', value: 'v' };
  const refused = (name: string, body: Record<string, unknown>, code: string, field: string): Example => {
    const status = code === 'SELECTOR_INVALID' ? 422 : 400;
    return { name, ask: () => revoke(body), status, body: problem(code, status, field), headers: form };
  };
  table([
    refused('no selector is refused', {}, 'SELECTOR_INVALID', 'selector'),
    refused(
      'one that can match nothing by its form is refused',
      { selector: { kind: 'jkt', value: 'short' } },
      'SELECTOR_INVALID',
      'selector.value',
    ),
    refused('an empty list is refused', { selectors: [] }, 'SELECTOR_INVALID', 'selectors'),
    refused('an unknown wait is refused', { selector: jti, wait: 'soon' }, 'BAD_REQUEST', 'wait'),
    refused('a wait beyond 30 s is refused', { selector: jti, waitMs: 30_001 }, 'BAD_REQUEST', 'waitMs'),
    refused('a negative one too', { selector: jti, waitMs: -1 }, 'BAD_REQUEST', 'waitMs'),
    refused('half a millisecond too', { selector: jti, waitMs: 0.5 }, 'BAD_REQUEST', 'waitMs'),
    refused('a reason that is no text is refused', { selector: jti, reason: 7 }, 'BAD_REQUEST', 'reason'),
    refused('an empty one too', { selector: jti, reason: '' }, 'BAD_REQUEST', 'reason'),
    refused('a long one too', { selector: jti, reason: 'x'.repeat(1_025) }, 'BAD_REQUEST', 'reason'),
    refused('an unknown member is refused by name', { selector: jti, force: true }, 'BAD_REQUEST', 'force'),
    {
      name: 'an Idempotency-Key with a space is refused',
      ask: () => revoke({ selector: jti }, { 'idempotency-key': 'a b' }),
      status: 400,
      body: problem('BAD_REQUEST', 400, 'Idempotency-Key'),
      headers: form,
    },
    {
      name: 'without a credential nothing is revoked',
      ask: () => writ.control('/v1/revocations', { body: { selector: jti }, token: '' }),
      status: 401,
      body: problem('UNAUTHENTICATED', 401),
      headers: { ...form, 'www-authenticate': 'Bearer realm="writ"' },
    },
    {
      name: 'with another token neither',
      ask: () => writ.control('/v1/revocations', { body: { selector: jti }, token: 'writ_admin_guess' }),
      status: 401,
      body: problem('UNAUTHENTICATED', 401),
      headers: form,
    },
  ]);
});

describe('what the control plane shows', () => {
  it('lists revocations oldest first, in pages', async () => {
    const ids = [];
    for (const value of ['page-1', 'page-2', 'page-3'])
      ids.push((await revoke({ selector: { kind: 'jti', issuer: 'i', value }, reason: value })).body['id']);
    const all = (await writ.control('/v1/revocations?limit=1000')).body['revocations'] as Record<
      string,
      unknown
    >[];
    expect(all.slice(-3).map(({ id }) => id)).toEqual(ids);
    expect(all.at(-1)).toMatchObject({ id: ids[2], position: POSITION, targets: 1, reason: 'page-3' });
    const after = String(all.at(-3)?.['position']);
    const page = await writ.control(`/v1/revocations?after=${after}&limit=1`);
    expect(page.body['revocations']).toEqual([all.at(-2)]);
  });

  it('lists sessions by their digest, never by their id', async () => {
    const { jwt, path } = await openSession({ kind: 'listed', selfEnds: true });
    const killed = await openSession({ kind: 'listed-killed' });
    // Long enough to be applied; its holder never confirms.
    await revoke({ selector: { kind: 'token', value: killed.jwt }, waitMs: 300 });
    const reply = await writ.control('/v1/sessions?limit=1000');
    const sessions = reply.body['sessions'] as Record<string, unknown>[];
    expect(sessions.find(({ kind }) => kind === 'listed')).toEqual({
      session: like(/^[\w-]{43}$/),
      kind: 'listed',
      subject: 'billing',
      selfEnds: true,
      openedAt: INSTANT,
      expiresAt: new Date(Number(claimsOf(jwt)['exp']) * 1000).toISOString(),
    });
    expect(sessions.find(({ kind }) => kind === 'listed-killed')).toMatchObject({
      kill: { reason: 'revoked', revocation: REVOCATION_ID, at: INSTANT, unconfirmed: false },
    });
    expect(reply.body['total']).toBe(sessions.length);
    expect(reply.text).not.toContain('ses_');
    await writ.data(path, { method: 'DELETE' });
    await writ.data(`${killed.path}/closed`, { method: 'POST' });
  });

  it('lists replicas with their state and how far they are', async () => {
    const reply = await writ.control('/v1/replicas');
    expect(reply.body['replicas']).toEqual([
      {
        replica: 'gw-1',
        incarnation: like(/^inc_/),
        self: true,
        state: 'live',
        joinedAt: INSTANT,
        position: POSITION,
        lag: 0,
        freshForMs: FRESH,
        sessionsUnconfirmed: 1,
      },
    ]);
  });

  it('forgets no replica that holds a lease, nor one that is not there', async () => {
    const forget = (name: string, body: object) => writ.control(`/v1/replicas/${name}/forget`, { body });
    const self = await forget('gw-1', { reason: 'scrapped' });
    expect(self.status).toBe(409);
    expect(self.body).toMatchObject({
      code: 'STILL_LEASED',
      detail: like(/^inc_\S+: it is the one that was asked$/),
    });
    expect((await forget('gw-2', {})).body).toMatchObject({ code: 'NOT_FOUND' });
    for (const [body, field] of [
      [{ reason: '' }, 'reason'],
      [{ reason: 'x'.repeat(1_025) }, 'reason'],
      [{ force: true }, 'force'],
    ] as const) {
      const reply = await forget('gw-2', body);
      expect([reply.status, reply.body['field']]).toEqual([400, field]);
    }
  });

  it('serves a receipt as text that names its revocation', async () => {
    const { id } = await revoked();
    const reply = await writ.control(`/v1/receipts/${id}`);
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(reply.text).toContain(id);
  });

  it('serves the ledger as lines with positions, and last the signed checkpoint', async () => {
    const reply = await writ.control('/v1/ledger');
    expect(reply.headers['content-type']).toBe('application/jsonl');
    const lines = reply.text.trimEnd().split('\n');
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(parsed.slice(0, -1).map(({ position }) => position)).toEqual(
      parsed.slice(0, -1).map((_, i) => like(new RegExp(`^\\d+-${i + 1}$`))),
    );
    expect(parsed.at(-1)).toHaveProperty('checkpoint');
    const from = String(parsed[2]?.['position']);
    const part = (await writ.control(`/v1/ledger?from=${from}`)).text.trimEnd().split('\n');
    expect(part.slice(0, -1)).toEqual(lines.slice(2, part.length + 1));
    expect((await writ.control('/v1/ledger?from=1-1')).text.trimEnd().split('\n').length).toBeGreaterThan(1);
  });

  it('serves a ledger that is larger than any buffer whole', async () => {
    const selectors = Array.from({ length: 1_000 }, (_, n) => ({
      kind: 'jti',
      issuer: 'i',
      value: `bulk-${n}`,
    }));
    await revoke({ selectors });
    const reply = await writ.control('/v1/ledger');
    expect(reply.text).toContain('bulk-999');
    expect(JSON.parse(reply.text.trimEnd().split('\n').at(-1) ?? '')).toHaveProperty('checkpoint');
  });

  it('serves the checkpoint as a signed note, and the keys that verify it', async () => {
    const note = await writ.control('/v1/checkpoint');
    expect(note.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(note.text).toMatch(/^writ\/default\S*\n\d+\n[\w+/=]+\n\n— writ\/default \S+\n(— .*\n)*$/);
    const keys = await writ.control('/v1/keys');
    expect(keys.body).toEqual({
      log: like(/^writ\/default\+[0-9a-f]{8}\+\S+$/),
      replicas: [
        {
          replica: 'gw-1',
          incarnation: like(/^inc_/),
          key: like(/^[\w-]{43}$/),
          cosigner: like(/^writ\/default\/gw-1\+[0-9a-f]{8}\+B\S+$/),
        },
      ],
    });
  });

  it('serves it with the cosignature of each replica that has come so far, which its key verifies', async () => {
    const [{ key, cosigner }] = (await writ.control('/v1/keys')).body['replicas'] as [
      { key: string; cosigner: string },
    ];
    let lines: string[] = [];
    const read = async () => (lines = (await writ.control('/v1/checkpoint')).text.split('\n'));
    // In the background, once a second at most.
    await expect.poll(read, { timeout: 10_000 }).toHaveLength(7);
    const [origin, size, root, , , line = ''] = lines;
    const publicKey = parsePublicKey(key)!;
    const note = `${origin}\n${size}\n${root}\n\n${line}\n`;
    expect(verifyCosignature(note, 'gw-1', publicKey)).toMatchObject({ origin, size: Number(size) });
    expect(Buffer.from(line.split(' ')[2] ?? '', 'base64').toString('hex', 0, 4)).toBe(
      cosigner.split('+')[1],
    );
    const exported = (await writ.control('/v1/ledger')).text.trimEnd().split('\n').at(-1) ?? '';
    const { cosigned } = JSON.parse(exported) as { cosigned: [string] };
    expect(verifyCosignature(cosigned[0], 'gw-1', publicKey)).toMatchObject({ origin });
  });

  it.each([
    '/v1/revocations?limit=0',
    '/v1/revocations?limit=1001',
    '/v1/revocations?limit=x',
    '/v1/revocations?limit=1&limit=2',
    '/v1/revocations?after=yesterday',
    '/v1/revocations?after=',
    '/v1/revocations?unknown=1',
    '/v1/sessions?after=1-1',
    '/v1/ledger?from=x',
    '/v1/ledger?to=1-1',
  ])('refuses %s', async (path) => {
    const reply = await writ.control(path);
    expect(reply.status).toBe(400);
    expect(reply.body).toMatchObject({ code: 'BAD_REQUEST', status: 400 });
  });

  it.each(['/v1/revocations/rev_none', '/v1/receipts/rev_none', '/v1/receipts/..%2f..%2fadmin-token'])(
    'does not find %s',
    async (path) => {
      const reply = await writ.control(path);
      expect(reply.status).toBe(404);
      expect(reply.body).toMatchObject({ code: 'NOT_FOUND' });
    },
  );

  it('answers HEAD like GET, without the body', async () => {
    const reply = await writ.control('/v1/keys', { method: 'HEAD' });
    expect([reply.status, reply.text]).toEqual([200, '']);
    expect(Number(reply.headers['content-length'])).toBeGreaterThan(0);
  });
});

describe('diagnostics', () => {
  const check = (name: string): Record<string, unknown> => ({ name, ok: true, detail: like(/./) });
  table([
    {
      name: '/livez asks the process only',
      ask: () => writ.diagnostics('/livez'),
      status: 200,
      body: { status: 'live' },
    },
    {
      name: '/healthz is the same',
      ask: () => writ.diagnostics('/healthz'),
      status: 200,
      body: { status: 'live' },
    },
    {
      name: '/readyz names every check',
      ask: () => writ.diagnostics('/readyz'),
      status: 200,
      body: { status: 'ready', checks: ['policy', 'keys', 'store', 'epoch', 'lease', 'view'].map(check) },
    },
    {
      name: '/startupz says that it started',
      ask: () => writ.diagnostics('/startupz'),
      status: 200,
      body: { status: 'started' },
    },
  ]);
});

describe('an X-Request-ID', () => {
  it('is echoed by every listener, in answers and in refusals', async () => {
    const headers = { 'x-request-id': 'req-1' };
    for (const reply of [
      await writ.data('/access/v1/evaluation', { body: evaluation(token), headers }),
      await writ.data('/nowhere', { headers }),
      await writ.control('/v1/keys', { headers }),
      await writ.control('/nowhere', { headers }),
      await call(`${writ.writ.urls.diagnostics}/readyz`, { headers }),
    ])
      expect(reply.headers['x-request-id']).toBe('req-1');
  });
});
