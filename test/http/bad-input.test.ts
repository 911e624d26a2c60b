/** Every route against everything a request can be wrong in: a 4xx of its standard, never a 5xx, and nothing is harmed. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reply } from '../support/client.ts';
import { InProcessWrit, evaluation, registration } from '../support/in-process.ts';
import type { RawReply } from '../support/raw-http.ts';
import { exchange, rawRequest } from '../support/raw-http.ts';

let writ: InProcessWrit;
let token: string;
let ledgerBefore: string[];

beforeAll(async () => {
  writ = await InProcessWrit.open();
  token = await writ.mint();
  for (const value of ['one', 'two'])
    await writ.control('/v1/revocations', { body: { selector: { kind: 'jti', issuer: 'i', value } } });
  ledgerBefore = await ledger(writ);
});

afterAll(() => writ.remove());

/** The lines of the ledger that say what was revoked. */
async function ledger(of: InProcessWrit): Promise<string[]> {
  const lines = (await of.control('/v1/ledger')).text.trimEnd().split('\n');
  return lines.filter((line) => line.includes('"kind":"revocation"'));
}

type Listener = 'data' | 'control' | 'diagnostics';

interface RouteCase {
  readonly listener: Listener;
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  /** Methods that the path takes. */
  readonly allow: string;
  readonly bodyBytesMax?: number;
  /** A body it takes. */
  readonly good?: () => unknown;
  readonly native?: 'authzen' | 'opa';
}

const selector = { kind: 'jti', issuer: 'i', value: 'v' };
const KIB = 1_024;
const SESSION = '/v1/sessions/ses_AAAAAAAAAAAAAAAAAAAAAA';

const POSTS: readonly RouteCase[] = [
  {
    listener: 'data',
    method: 'POST',
    path: '/access/v1/evaluation',
    allow: 'POST',
    bodyBytesMax: 64 * KIB,
    good: () => evaluation(token),
    native: 'authzen',
  },
  {
    listener: 'data',
    method: 'POST',
    path: '/access/v1/evaluations',
    allow: 'POST',
    bodyBytesMax: KIB * KIB,
    good: () => ({ ...evaluation(token), evaluations: [{}, {}] }),
    native: 'authzen',
  },
  {
    listener: 'data',
    method: 'POST',
    path: '/v1/check',
    allow: 'POST',
    bodyBytesMax: 64 * KIB,
    good: () => evaluation(token),
  },
  {
    listener: 'data',
    method: 'POST',
    path: '/v1/data/writ/authz/decision',
    allow: 'POST',
    bodyBytesMax: 64 * KIB,
    good: () => ({ input: { ...evaluation(), credential: token } }),
    native: 'opa',
  },
  {
    listener: 'data',
    method: 'POST',
    path: '/v1/sessions',
    allow: 'POST',
    bodyBytesMax: 64 * KIB,
    good: () => registration(token),
  },
  {
    listener: 'control',
    method: 'POST',
    path: '/v1/revocations',
    allow: 'POST, GET',
    bodyBytesMax: KIB * KIB,
    good: () => ({ selector, dryRun: true }),
  },
  {
    listener: 'control',
    method: 'POST',
    path: '/v1/locks',
    allow: 'POST, GET',
    bodyBytesMax: KIB * KIB,
    good: () => ({ selector, expiresAt: '2020-01-01T00:00:00.000Z' }),
  },
  {
    listener: 'control',
    method: 'POST',
    path: '/v1/grants',
    allow: 'POST, GET',
    bodyBytesMax: KIB * KIB,
    good: () => ({
      subject: { id: 'b' },
      action: 'a',
      resource: { type: 'r' },
      until: '2020-01-01T00:00:00.000Z',
    }),
  },
  {
    listener: 'control',
    method: 'POST',
    path: '/v1/epoch',
    allow: 'POST',
    bodyBytesMax: KIB * KIB,
    good: () => ({ rule: 'new-fleet' }),
  },
  {
    listener: 'control',
    method: 'POST',
    path: '/v1/replicas/nobody/forget',
    allow: 'POST',
    bodyBytesMax: KIB * KIB,
    good: () => ({ reason: 'scrapped' }),
  },
  {
    listener: 'control',
    method: 'POST',
    path: '/v1/dev/tokens',
    allow: 'POST',
    bodyBytesMax: KIB * KIB,
    good: () => ({ sub: 'billing' }),
  },
];

const OTHERS: readonly RouteCase[] = [
  ...(
    ['/v1/revocations/rev_x', '/v1/receipts/rev_x', '/v1/sessions', '/v1/replicas', '/v1/checkpoint'] as const
  ).map((path) => ({ listener: 'control' as const, method: 'GET' as const, path, allow: 'GET' })),
  { listener: 'control', method: 'GET', path: '/v1/revocations', allow: 'POST, GET' },
  { listener: 'control', method: 'GET', path: '/v1/locks', allow: 'POST, GET' },
  { listener: 'control', method: 'GET', path: '/v1/grants', allow: 'POST, GET' },
  { listener: 'control', method: 'GET', path: '/v1/locks/lck_x', allow: 'GET, DELETE' },
  { listener: 'control', method: 'DELETE', path: '/v1/locks/lck_x', allow: 'GET, DELETE' },
  { listener: 'control', method: 'GET', path: '/v1/grants/grt_x', allow: 'GET, DELETE' },
  { listener: 'control', method: 'DELETE', path: '/v1/grants/grt_x', allow: 'GET, DELETE' },
  { listener: 'control', method: 'GET', path: '/v1/keys', allow: 'GET' },
  { listener: 'control', method: 'GET', path: '/v1/ledger', allow: 'GET' },
  { listener: 'data', method: 'GET', path: '/.well-known/authzen-configuration', allow: 'GET' },
  { listener: 'data', method: 'GET', path: `${SESSION}/events`, allow: 'GET' },
  { listener: 'data', method: 'POST', path: `${SESSION}/ping`, allow: 'POST' },
  { listener: 'data', method: 'POST', path: `${SESSION}/closed`, allow: 'POST' },
  { listener: 'data', method: 'DELETE', path: SESSION, allow: 'DELETE' },
  ...['/livez', '/healthz', '/readyz', '/startupz'].map((path) => ({
    listener: 'diagnostics' as const,
    method: 'GET' as const,
    path,
    allow: 'GET',
  })),
];

const ROUTES = [...POSTS, ...OTHERS];
const nameOf = ({ method, path }: RouteCase): string => `${method} ${path}`;
const each = (routes: readonly RouteCase[]): (readonly [string, RouteCase])[] =>
  routes.map((route) => [nameOf(route), route] as const);

const urlOf = ({ listener }: { listener: Listener }): string => writ.writ.urls[listener];
const credentialsOf = ({ listener }: RouteCase): string[] =>
  listener === 'control' ? [`Authorization: Bearer ${writ.adminToken}`] : [];

interface Sent {
  readonly type?: string;
  readonly headers?: readonly string[];
  readonly credentials?: readonly string[];
  readonly method?: string;
  readonly path?: string;
}

function send(route: RouteCase, body: string | Uint8Array, sent: Sent = {}): Promise<RawReply> {
  const { type = 'application/json', headers = [], credentials = credentialsOf(route) } = sent;
  const { method = route.method, path = route.path } = sent;
  const length = body.length === 0 ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const typed = body.length === 0 || type === '' ? [] : [`Content-Type: ${type}`];
  return exchange(
    urlOf(route),
    rawRequest(`${method} ${path}`, [...credentials, ...typed, ...length, ...headers], body),
  );
}

const CODES: Record<number, readonly string[]> = {
  400: ['BAD_REQUEST'],
  401: ['UNAUTHENTICATED'],
  404: ['NOT_FOUND'],
  405: ['METHOD_NOT_ALLOWED'],
  409: ['ALREADY_OPEN'],
  413: ['BODY_TOO_LARGE'],
  415: ['UNSUPPORTED_MEDIA_TYPE'],
  422: ['SELECTOR_INVALID', 'TIME_INVALID'],
};

/** A 4xx as the standard of the route has it, or RFC 9457 with a stable code. */
function expectRefused(reply: RawReply, status: number, native?: 'authzen' | 'opa'): void {
  expect(reply.status, reply.text).toBe(status);
  expect(reply.headers.get('cache-control')).toBe('no-store');
  const body = JSON.parse(reply.body) as unknown;
  if (native === 'authzen') expect(body).toEqual(expect.any(String));
  else if (native === 'opa')
    expect(body).toEqual({ code: 'invalid_parameter', message: expect.any(String) as string });
  else expectProblem(reply, status);
}

function expectProblem(reply: RawReply, status: number): void {
  expect(reply.status, reply.text).toBe(status);
  expect(reply.headers.get('content-type')).toBe('application/problem+json');
  const { code, ...rest } = JSON.parse(reply.body) as Record<string, unknown>;
  expect(CODES[status]).toContain(code);
  expect(rest).toMatchObject({ status, type: `urn:writ:error:${String(code)}` });
}

describe.each(each(POSTS))('%s', (_name, route) => {
  const { native, bodyBytesMax = 0, listener } = route;

  it.each(['{', '{"a":}', 'x', '[1', '{"a":1}}', '\0'])('refuses the malformed JSON %j', async (text) => {
    expectRefused(await send(route, text), 400, native);
  });

  it.each(['[]', 'null', '7', '"text"', 'true'])('refuses %s, which is no object', async (text) => {
    expectRefused(await send(route, text), 400, native);
  });

  it('refuses an absent body', async () => {
    const headers = ['Content-Type: application/json', 'Content-Length: 0'];
    expectRefused(await send(route, '', { headers }), 400, native);
  });

  it.each([
    ['a stray byte', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ['an overlong form', Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d])],
    ['half a surrogate pair', Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d])],
    ['UTF-16', Buffer.from('{"a":1}', 'utf16le')],
  ])('refuses what is not UTF-8: %s', async (_what, bytes) => {
    expectRefused(await send(route, bytes), 400, native);
  });

  it('refuses half an escaped surrogate pair, and a number no double can hold', async () => {
    expectRefused(await send(route, '{"a":"\\ud800"}'), 400, native);
    expectRefused(await send(route, '{"a":1e999}'), 400, native);
  });

  it('refuses JSON deeper than 32 before it is parsed', async () => {
    const deep = `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
    expectRefused(await send(route, deep), 400, native);
    expectRefused(await send(route, `{"a":${'{"a":'.repeat(32)}1${'}'.repeat(32)}}`), 400, native);
  });

  it('refuses a body that is too large by what it says, without reading it', async () => {
    const said = rawRequest(`POST ${route.path}`, [
      ...credentialsOf(route),
      'Content-Type: application/json',
      `Content-Length: ${bodyBytesMax + 1}`,
    ]);
    const reply = await exchange(urlOf(route), said);
    expectRefused(reply, 413, native);
    expect(reply.isClosed).toBe(true);
  });

  it('refuses a body that turns out too large, and hangs up', async () => {
    const chunk = Buffer.concat([Buffer.from('8000\r\n'), Buffer.alloc(0x8000, 0x20), Buffer.from('\r\n')]);
    const headers = [...credentialsOf(route), 'Content-Type: application/json', 'Transfer-Encoding: chunked'];
    const chunks = Array.from({ length: bodyBytesMax / 0x8000 + 1 }, () => chunk);
    const reply = await exchange(
      urlOf(route),
      rawRequest(`POST ${route.path}`, headers, Buffer.concat(chunks)),
    );
    expectRefused(reply, 413, native);
    expect(reply.isClosed).toBe(true);
  });

  it.each(['text/plain', 'application/xml', 'multipart/form-data', 'application/jsonx', ''])(
    'refuses the content type "%s" with 415',
    async (type) => {
      expectRefused(await send(route, JSON.stringify(route.good?.()), { type }), 415, native);
    },
  );

  it('does not guess at an encoded body', async () => {
    const headers = ['Content-Encoding: gzip'];
    expectRefused(await send(route, Buffer.from([0x1f, 0x8b, 8, 0, 0]), { headers }), 400, native);
  });

  it('lets go of a body that is cut off', async () => {
    const headers = [...credentialsOf(route), 'Content-Type: application/json', 'Content-Length: 100'];
    const reply = await exchange(urlOf(route), rawRequest(`POST ${route.path}`, headers, '{'), {
      waitMs: 50,
    });
    expect(reply.status).toBe(0);
  });

  it(listener === 'control' ? 'refuses a member twice' : 'takes the last of two members', async () => {
    const good = JSON.stringify(route.good?.());
    const [name = ''] = Object.keys(JSON.parse(good) as object);
    const reply = await send(route, good.replace('{', `{${JSON.stringify(name)}:null,`));
    if (listener === 'control') expectRefused(reply, 400, native);
    else expect(reply.status).toBeLessThan(300);
  });

  if (listener === 'control') {
    it.each(['__proto__', 'constructor', 'prototype'])('refuses a member named %s', async (name) => {
      const good = JSON.stringify(route.good?.());
      expectRefused(await send(route, good.replace('{', `{"${name}":{},`)), 400, native);
    });
  }

  it('never fails at any JSON', async () => {
    const json = fc.json({ maxDepth: 6 });
    await fc.assert(
      fc.asyncProperty(json, async (text) => {
        const reply = await post(route, text);
        expect(reply.status, text).toBeLessThan(500);
      }),
      { numRuns: 60 },
    );
  });

  it('never fails at what is almost right', async () => {
    const paths = pathsOf(route.good?.());
    const odd = fc.oneof(
      fc.jsonValue({ maxDepth: 3 }),
      fc.constantFrom<unknown>(
        '',
        'all',
        'Bearer',
        'a'.repeat(3_000),
        -1,
        1e300,
        2 ** 53,
        [[]],
        {},
        '\u0000',
        '\u{1f600}',
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), odd, async (path, value) => {
        const reply = await post(route, JSON.stringify(replaced(route.good?.(), path, value)));
        expect(reply.status, reply.text).toBeLessThan(500);
      }),
      { numRuns: 120 },
    );
  });
});

function post({ listener, path }: RouteCase, text: string): Promise<Reply> {
  return writ[listener](path, { body: text, method: 'POST' });
}

type Step = readonly string[];

/** Every place in `value`, the whole excepted. */
function pathsOf(value: unknown, at: Step = []): [Step, ...Step[]] {
  const inner =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([name, one]) => pathsOf(one, [...at, name]))
      : [];
  return [[...at, 'odd'], ...(at.length === 0 ? [] : [at]), ...inner];
}

function replaced(value: unknown, [step, ...rest]: Step, by: unknown): unknown {
  if (step === undefined) return by;
  const object = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  return { ...object, [step]: replaced(object[step], rest, by) };
}

describe.each(each(ROUTES))('%s', (_name, route) => {
  const { listener, allow } = route;

  it('answers every other method with 405, and says which it takes', async () => {
    const taken = new Set([...allow.split(', '), ...(allow.includes('GET') ? ['HEAD'] : [])]);
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      if (taken.has(method)) continue;
      const reply = await send(route, '', { method });
      expectProblem(reply, 405);
      expect(reply.headers.get('allow')).toBe(allow);
    }
  });

  it('is no other spelling of its path', async () => {
    const [, last = ''] = /([^/]+)$/.exec(route.path) ?? [];
    const spelled = [`/${route.path}`, `/x/..${route.path}`, route.path.toUpperCase(), `${route.path};a=b`];
    for (const path of [
      ...spelled,
      route.path.replace(/[^/]+$/, `%2f${last}`),
      `http://evil:99999${route.path}`,
    ]) {
      const reply = await send(route, '', { path });
      expect([400, 404, 405, 415, 200], `${path}: ${reply.text}`).toContain(reply.status);
      // Below a `:id` or `*` another word is another thing; none of these is ever the route itself.
      if (reply.status === 200) expect(reply.text).not.toContain('"decision":true');
    }
  });

  if (listener === 'control') {
    it('asks for exactly one well-formed credential, and says how', async () => {
      const admin = `Authorization: Bearer ${writ.adminToken}`;
      const shortened = writ.adminToken.slice(0, -1);
      const wrong = [
        [],
        ['Authorization:'],
        ['Authorization: Bearer'],
        ['Authorization: Bearer '],
        [`Authorization: ${writ.adminToken}`],
        [`Authorization: Basic ${writ.adminToken}`],
        [`Authorization: Bearer ${shortened}`],
        [`Authorization: Bearer ${shortened}~`],
        [`Authorization: Bearer  ${writ.adminToken}`],
        [`Authorization: Bearer ${writ.adminToken} x`],
        [`Authorization: Bearer ${writ.adminToken},Bearer x`],
        [`Authorization: DPoP ${writ.adminToken}`],
        [`Authorization: Bearer ${token}`],
        [admin, admin],
        [admin, `authorization: Bearer ${token}`],
        [`X-Authorization: Bearer ${writ.adminToken}`],
      ];
      for (const credentials of wrong) {
        const reply = await send(route, '{}', { credentials });
        expectProblem(reply, 401);
        expect(reply.headers.get('www-authenticate')).toMatch(/^Bearer realm="writ"/);
      }
    });
  }

  if (listener === 'control') {
    it('takes no credential from the query', async () => {
      const path = `${route.path}?access_token=${writ.adminToken}`;
      expectProblem(await send(route, '', { path, credentials: [] }), 401);
    });
  }
});

describe.each(['data', 'control', 'diagnostics'] as const)('the %s listener', (listener) => {
  const get = (path: string, headers: readonly string[] = []): Promise<RawReply> =>
    exchange(urlOf({ listener }), rawRequest(`GET ${path}`, headers));

  it.each(['/', '/nowhere', '/v1', '/v1/', '/v1/nowhere', '//', '/%00', '/.env', '*', '/metrics/x'])(
    'does not find %s',
    async (path) => {
      expectProblem(await get(path), 404);
    },
  );

  it.each(['http://[/', 'http://evil/v1/keys', 'http://evil:99999/livez', '//evil/livez'])(
    'does not find the absolute target %s',
    async (path) => {
      expectProblem(await get(path), 404);
    },
  );

  it('does not fail at any path', async () => {
    const part = fc.oneof(
      fc.stringMatching(/^[\x21-\x7e]{0,12}$/),
      fc.constantFrom(
        'v1',
        'sessions',
        'revocations',
        'receipts',
        'data',
        'events',
        '%',
        '%zz',
        '%2e%2e',
        '..',
        '?',
        '#',
      ),
    );
    const admin = `Authorization: Bearer ${writ.adminToken}`;
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 5 }), async (parts) => {
        const reply = await get(`/${parts.join('/')}`, listener === 'control' ? [admin] : []);
        expect(reply.status, reply.text).toBeGreaterThan(0);
        expect(reply.status, reply.text).toBeLessThan(500);
      }),
      { numRuns: 60 },
    );
  });

  it('answers 431 to a head that is too large, and hangs up', async () => {
    const reply = await get('/', [`X-Large: ${'x'.repeat(20_000)}`]);
    expect(reply.status).toBe(431);
    expect(reply.isClosed).toBe(true);
  });

  it.each([
    ['no HTTP at all', 'GARBAGE\r\n\r\n'],
    ['another protocol', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx'],
    [
      'length and chunks',
      'POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a chunk of no size', 'POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n'],
    ['a folded line', 'GET / HTTP/1.1\r\nHost: w\r\nX: a\r\n b\r\n\r\n'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : w\r\n\r\n'],
    ['a control character', 'GET / HTTP/1.1\r\nHost: w\r\nX: a\x01b\r\n\r\n'],
    ['a negative length', 'POST / HTTP/1.1\r\nHost: w\r\nContent-Length: -1\r\n\r\n'],
  ])('answers 400 to %s, and hangs up whether or not the client does', async (_what, bytes) => {
    const reply = await exchange(urlOf({ listener }), bytes);
    // Two of them are only found after the head was routed.
    expect([400, 404], reply.text).toContain(reply.status);
    const held = await exchange(urlOf({ listener }), bytes, { waitMs: 2_000 });
    expect(held.isClosed).toBe(true);
  });

  it('does not become a tunnel or another protocol', async () => {
    const connect = await exchange(urlOf({ listener }), rawRequest('CONNECT evil:443', []));
    expect(connect.status).not.toBe(200);
    const upgrade = await get('/nowhere', ['Upgrade: websocket']);
    expect(upgrade.status).not.toBe(101);
  });

  it('refuses an expectation it does not know', async () => {
    expect((await get('/', ['Expect: more'])).status).toBe(417);
  });
});

describe('a malformed percent sign', () => {
  it.each(['%zz', '%', '%c0%af', '%ff'])('in %s is refused where the path is decoded', async (id) => {
    const reply = await exchange(
      writ.writ.urls.control,
      rawRequest(`GET /v1/receipts/${id}`, [`Authorization: Bearer ${writ.adminToken}`]),
    );
    expectProblem(reply, 400);
  });
});

describe('the Idempotency-Key', () => {
  const withKeys = (...keys: string[]): Promise<RawReply> =>
    send(POSTS.find(({ path }) => path === '/v1/revocations') as RouteCase, JSON.stringify({ selector }), {
      headers: keys.map((key) => `Idempotency-Key: ${key}`),
    });
  it.each([
    ['', 'empty'],
    ['a b', 'with a space'],
    ['x'.repeat(256), 'too long'],
    ['\xff', 'not ASCII'],
  ])('"%s" is refused: %s', async (key) => {
    expectProblem(await withKeys(key), 400);
  });
  it('is refused when it is there twice', async () => {
    expectProblem(await withKeys('a', 'a'), 400);
    expectProblem(await withKeys('a', 'b'), 400);
  });
});

describe('after all that', () => {
  it('the server still decides, revokes and proves', async () => {
    const jwt = await writ.mint();
    const ask = (): Promise<Reply> => writ.data('/access/v1/evaluation', { body: evaluation(jwt) });
    expect((await ask()).body['decision']).toBe(true);
    const reply = await writ.control('/v1/revocations', {
      body: { selector: { kind: 'token', value: jwt } },
    });
    expect(reply.body).toMatchObject({ state: 'enforced' });
    expect((await ask()).body['decision']).toBe(false);
    expect((await writ.diagnostics('/readyz')).status).toBe(200);
    expect(writ.log).not.toContain('unforeseen');
  });

  it('the journal has lost nothing, also for the run after this one', async () => {
    const before = await ledger(writ);
    expect(before.slice(0, ledgerBefore.length)).toEqual(ledgerBefore);
    await writ.close();
    const { dataDir } = writ;
    writ = await InProcessWrit.open({ dataDir });
    expect(await ledger(writ)).toEqual(before);
  });
});
