/**
 * Canaries in everything a caller can send: none comes back but where the caller's own field is the answer, none is
 * logged, and no credential and no session id is ever on disk.
 */
import { stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reply } from '../support/client.ts';
import { listen } from '../support/client.ts';
import { InProcessWrit, evaluation, registration } from '../support/in-process.ts';
import type { RawReply } from '../support/raw-http.ts';
import { exchange, rawRequest } from '../support/raw-http.ts';

let writ: InProcessWrit;
const answers: { readonly to: string; readonly text: string }[] = [];
const tokens: string[] = [];
const sessionIds: string[] = [];

beforeAll(async () => {
  writ = await InProcessWrit.open();
});

afterAll(() => writ.remove());

/** Everything that came back: status, headers and body. */
function keep(to: string, reply: Reply | RawReply): void {
  const headers = reply.headers instanceof Map ? [...reply.headers] : Object.entries(reply.headers);
  answers.push({ to, text: `${JSON.stringify(headers)}\n${reply.text}` });
}

async function ask(
  listener: 'data' | 'control' | 'diagnostics',
  path: string,
  body?: unknown,
): Promise<Reply> {
  const reply = await writ[listener](path, body === undefined ? {} : { body });
  keep(path, reply);
  return reply;
}

let count = 0;
const canary = (where: string): string => `CANARY-${where}-${String(count++)}-${'s3cr3t'.repeat(3)}`;

async function mint(): Promise<string> {
  // Minting is the one route whose answer is a credential: it is not among the answers that are searched.
  const token = await writ.mint({ claims: { sid: 'canary-free' } });
  tokens.push(token);
  return token;
}

/** Canaries in each place of a body, one request for each place, so that none is hidden behind an earlier refusal. */
function seeded(value: unknown, where: string): unknown[] {
  if (typeof value !== 'object' || value === null) return [canary(where)];
  const members = Object.entries(value as Record<string, unknown>);
  const inner = members.flatMap(([name, one]) =>
    seeded(one, `${where}.${name}`).map((put) => ({ ...value, [name]: put })),
  );
  return [...inner, { ...value, [canary(`${where}-member`)]: canary(`${where}-unknown`) }];
}

const selectorOf = (kind: string): Record<string, unknown> => ({ kind, issuer: 'i', value: 'v', name: 'n' });

describe('a canary', () => {
  it('is put into every field of every body, and comes back from none', async () => {
    const token = await mint();
    const bodies: [listener: 'data' | 'control', path: string, body: unknown][] = [
      ['data', '/access/v1/evaluation', evaluation(token)],
      [
        'data',
        '/access/v1/evaluations',
        { ...evaluation(token), evaluations: [{}], options: { evaluations_semantic: 'execute_all' } },
      ],
      ['data', '/v1/check', evaluation(token)],
      [
        'data',
        '/v1/data/writ/authz/decision',
        { input: { ...evaluation(), credential: { scheme: 'Bearer', token } } },
      ],
      [
        'data',
        '/v1/sessions',
        { ...registration(token), selfEnds: true, subject: { type: 'service', id: 'billing' } },
      ],
      ['control', '/v1/epoch', { rule: 'accept-amnesia', reason: 'because' }],
      ['control', '/v1/replicas/nobody/forget', { reason: 'because' }],
      [
        'control',
        '/v1/revocations',
        {
          selector: selectorOf('nothing'),
          reason: 'r',
          ticket: 't',
          wait: 'durable',
          waitMs: 1,
          dryRun: true,
        },
      ],
    ];
    for (const [listener, path, body] of bodies) {
      for (const one of seeded(body, path.replaceAll('/', '_'))) await ask(listener, path, one);
      await ask(listener, path, canary('whole'));
      await ask(listener, path, `{"${canary('broken')}"`);
    }
    for (const kind of [
      'token',
      'jti',
      'session',
      'key',
      'jkt',
      'certificate',
      'apikey',
      'subject',
      'client',
      'actor',
      'issuer',
      'spiffe',
      'claim',
      'all',
    ])
      for (const selector of seeded(selectorOf(kind), `selector-${kind}`))
        await ask('control', '/v1/revocations', { selector, dryRun: true });
    // A minted token carries its claims, so only what is refused is searched here.
    for (const body of seeded({ sub: 7, scope: 7, ttlS: 'x', audience: 7, clientId: 7, claims: 7 }, 'mint'))
      await ask('control', '/v1/dev/tokens', body);
  });

  it('is put into headers, queries and paths, and comes back from none', async () => {
    for (const [listener, path] of [
      ['data', '/v1/check'],
      ['data', '/.well-known/authzen-configuration'],
      ['control', '/v1/keys'],
      ['control', '/v1/revocations'],
      ['control', '/v1/ledger'],
      ['diagnostics', '/readyz'],
    ] as const) {
      const url = writ.writ.urls[listener];
      const admin = `Authorization: Bearer ${writ.adminToken}`;
      const requests = [
        [`GET ${path}/${canary('path')}`, [admin]],
        [`GET ${path}?access_token=${canary('query')}`, [admin]],
        [`GET ${path}?${canary('parameter')}=1`, [admin]],
        [`GET ${path}?after=${canary('after')}&from=${canary('from')}&limit=${canary('limit')}`, [admin]],
        [`GET ${path}`, [`Authorization: Bearer ${canary('bearer')}`]],
        [`GET ${path}`, [`Authorization: Bearer writ_admin_${canary('admin')}`]],
        [`GET ${path}`, [`Authorization: ${canary('scheme')} x`]],
        [`GET ${path}`, [`Authorization: DPoP ${canary('dpop')}`, `DPoP: ${canary('proof')}`]],
        [`GET ${path}`, [admin, `Cookie: a=${canary('cookie')}`, `X-Forwarded-For: ${canary('forwarded')}`]],
        [`GET ${path}`, [admin, `${canary('name')}: ${canary('value')}`, `traceparent: ${canary('trace')}`]],
        [`${canary('METHOD')} ${path}`, [admin]],
        [`GET ${path}`, [admin, `X-Large: ${canary('large')}${'x'.repeat(20_000)}`]],
        [`GET http://${canary('user')}@[${path}`, [admin]],
      ] as const;
      for (const [line, headers] of requests) keep(line, await exchange(url, rawRequest(line, headers)));
    }
    for (const id of [canary('revocation'), `%${canary('percent')}`]) {
      await ask('control', `/v1/revocations/${id}`);
      await ask('control', `/v1/receipts/${id}`);
    }
  });

  it('that is a credential is checked, revoked and refused, and a session lives and dies by it', async () => {
    const token = await mint();
    for (const path of ['/access/v1/evaluation', '/v1/check']) await ask('data', path, evaluation(token));
    const opened = await writ.data('/v1/sessions', { body: registration(token) });
    const id = String(opened.body['id']);
    sessionIds.push(id);
    // The capability goes to its holder, once; the `events` address has it too. No other answer does.
    expect(opened.body['events']).toBe(`/v1/sessions/${id}/events`);
    const stream = await listen(`${writ.writ.urls.data}/v1/sessions/${id}/events`);
    await ask('control', '/v1/sessions');
    keep('ping', await writ.data(`/v1/sessions/${id}/ping`, { method: 'POST' }));
    const order = { selector: { kind: 'token', value: token }, reason: 'leaked' };
    await ask('control', '/v1/revocations', { ...order, dryRun: true });
    const answered = ask('control', '/v1/revocations', order);
    answers.push({ to: 'stream', text: JSON.stringify((await stream.killed).data) });
    keep('closed', await writ.data(`/v1/sessions/${id}/closed`, { method: 'POST' }));
    keep('gone', await writ.data(`/v1/sessions/${id}/ping`, { method: 'POST' }));
    const { body } = await answered;
    expect(body['state']).toBe('enforced');
    await ask('control', String(body['receipt']));
    await ask('data', '/access/v1/evaluation', evaluation(token));
    await ask('data', '/v1/data/writ/authz/decision', { input: { ...evaluation(), credential: token } });
    // One that stays open, so that it is in the session file when that is searched.
    const left = await writ.data('/v1/sessions', { body: registration(await mint()) });
    sessionIds.push(String(left.body['id']));
  });

  it('is in what shows the whole state neither', async () => {
    for (const path of [
      '/v1/revocations',
      '/v1/sessions',
      '/v1/replicas',
      '/v1/ledger',
      '/v1/checkpoint',
      '/v1/keys',
    ])
      await ask('control', path);
    for (const path of ['/livez', '/readyz', '/startupz', '/metrics']) await ask('diagnostics', path);
  });
});

/**
 * Where the caller's own field is the answer: the echo of X-Request-ID; subject and kind in the list of sessions; reason
 * and ticket in the list of revocations; the values of selectors in the ledger, a token's excepted; what policy makes of
 * its input. They are asked for apart, at the end; what is searched here has to be free of canaries.
 */
describe('what came back', () => {
  it('has no canary in it', () => {
    expect(answers.length).toBeGreaterThan(200);
    for (const { to, text } of answers) {
      const [found] = /CANARY-[\w.-]+/.exec(text) ?? [];
      expect(found, `from ${to}`).toBeUndefined();
    }
  });

  it('has no token, no admin token and no session id in it', () => {
    expect(tokens.length).toBeGreaterThanOrEqual(3);
    for (const { to, text } of answers)
      for (const secret of [...tokens, ...sessionIds, writ.adminToken])
        expect(text.includes(secret), `from ${to}`).toBe(false);
  });

  it('names no file, no stack and no library', () => {
    for (const { text } of answers)
      expect(text).not.toMatch(/node_modules|\.ts:\d|\bat \S+ \(|ZodError|x-powered-by/);
  });
});

describe('the log', () => {
  it('has no canary, no token, no admin token and no session id in it', () => {
    expect(writ.log).toContain('listening');
    expect(writ.log).not.toContain('CANARY');
    expect(writ.log).not.toContain('unforeseen');
    for (const secret of [...tokens, ...sessionIds, writ.adminToken]) expect(writ.log).not.toContain(secret);
  });
});

describe('the data directory', () => {
  it('has no token and no session id in any file, nor a part that could stand for one', async () => {
    const files = await writ.files();
    expect([...files.keys()].some((path) => path.includes('receipts'))).toBe(true);
    expect([...files.keys()].some((path) => path.endsWith('sessions.jsonl'))).toBe(true);
    for (const [path, bytes] of files) {
      for (const token of tokens) {
        const [, payload = '', signature = ''] = token.split('.');
        for (const part of [payload, signature]) expect(bytes.includes(part), path).toBe(false);
      }
      for (const id of sessionIds) expect(bytes.includes(id.slice(4)), path).toBe(false);
      if (!path.endsWith('admin-token')) expect(bytes.includes(writ.adminToken), path).toBe(false);
    }
  });

  it('is readable by its owner only', async () => {
    for (const path of (await writ.files()).keys())
      if (/key|token/.test(path)) expect((await stat(path)).mode & 0o077, path).toBe(0);
  });
});

describe("the caller's own field", () => {
  it('comes back where it is the answer, and only there', async () => {
    const echo = await writ.data('/livez', { headers: { 'x-request-id': 'own-request' } });
    expect(echo.headers['x-request-id']).toBe('own-request');
    const token = await writ.mint({ sub: 'own-subject' });
    const body = { ...registration(token), kind: 'own-kind' };
    expect((await writ.data('/v1/sessions', { body })).status).toBe(201);
    const sessions = await writ.control('/v1/sessions');
    expect(sessions.text).toContain('own-subject');
    expect(sessions.text).toContain('own-kind');
    const selector = { kind: 'jti', issuer: 'own-issuer', value: 'own-value' };
    const order = { selector, reason: 'own-reason', ticket: 'own-ticket' };
    const answered = await writ.control('/v1/revocations', { body: order });
    expect(answered.text).not.toMatch(/own-(issuer|value|reason|ticket)/);
    const listed = (await writ.control('/v1/revocations')).text;
    expect(listed).toContain('own-reason');
    expect(listed).toContain('own-ticket');
    expect(listed).not.toContain('own-value');
    expect((await writ.control('/v1/ledger')).text).toContain('own-value');
    expect(writ.log).not.toMatch(/own-[a-z]+/);
  });
});
