/** Locks and grants over the real doors: the examples of API.md, who may, what is refused, and what a restart keeps. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noteKeyOf, parseNoteKey } from '../../src/evidence/note.ts';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import type { Reply } from '../support/client.ts';
import { listen } from '../support/client.ts';
import { InProcessWrit, contextOf, evaluation, registration } from '../support/in-process.ts';
import { keyFor, mintToken } from '../support/tokens.ts';

const DEV_ISSUER = 'https://dev.writ.invalid';
const STAFF = 'https://staff.example';
const like = (form: RegExp): unknown => expect.stringMatching(form) as unknown;
const LOCK_ID = like(/^lck_[\w-]{22}$/);
const GRANT_ID = like(/^grt_[\w-]{22}$/);
const POSITION = like(/^\d+-\d+$/);
const INSTANT = like(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

let writ: InProcessWrit;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-facts-'));
  const file = join(directory, 'staff.json');
  await writeFile(file, JSON.stringify({ keys: [keyFor('ES256').jwk] }));
  const issuer = `{ issuer: "${STAFF}", audiences: [writ], jwks: { file: ${file} }, algorithms: [ES256] }`;
  writ = await InProcessWrit.open({ fileText: `control: { issuers: [${issuer}] }` });
});

afterAll(async () => {
  await writ.remove();
  await rm(directory, { recursive: true, force: true });
});

function staffToken(scope: string, sub = 'responder'): string {
  const nowS = Math.floor(Date.now() / 1000);
  const claims = { iss: STAFF, aud: 'writ', sub, iat: nowS, exp: nowS + 300, jti: `${sub} ${scope}`, scope };
  return mintToken({ claims });
}

const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();
const subject = (value: string): Record<string, unknown> => ({ kind: 'subject', issuer: DEV_ISSUER, value });

function lock(body: Record<string, unknown>, options: Record<string, unknown> = {}): Promise<Reply> {
  return writ.control('/v1/locks', { body: { expiresAt: inMs(60_000), ...body }, ...options });
}

function unlock(id: unknown, options: Record<string, unknown> = {}): Promise<Reply> {
  return writ.control(`/v1/locks/${String(id)}`, { method: 'DELETE', ...options });
}

function grant(body: Record<string, unknown>, options: Record<string, unknown> = {}): Promise<Reply> {
  return writ.control('/v1/grants', { body, ...options });
}

function ungrant(id: unknown, options: Record<string, unknown> = {}): Promise<Reply> {
  return writ.control(`/v1/grants/${String(id)}`, { method: 'DELETE', ...options });
}

async function ask(token: string, sub: string, action = 'read'): Promise<Record<string, unknown>> {
  const body = { ...evaluation(token), subject: { type: 'service', id: sub }, action: { name: action } };
  return contextOf(await writ.data('/access/v1/evaluation', { body }));
}

const entitled = (sub: string): Record<string, unknown> => ({
  subject: { type: 'service', id: sub },
  action: 'delete',
  resource: { type: 'invoice', id: '42' },
});

describe('a lock', () => {
  it('stops a subject, is lifted, and everything works again', async () => {
    const sub = 'locked-subject';
    const token = await writ.mint({ sub });
    expect(await ask(token, sub)).toMatchObject({ reason: 'permitted' });
    const reply = await lock({
      selector: subject(sub),
      reason: 'odd traffic',
      wait: 'enforced',
      waitMs: 5_000,
    });
    expect(reply.status, reply.text).toBe(201);
    const { id } = reply.body;
    expect(reply.body).toMatchObject({
      id: LOCK_ID,
      position: POSITION,
      state: 'enforced',
      closure: 'CLOSED',
      expiresAt: INSTANT,
      inForce: true,
      seen: true,
      receipt: `/v1/receipts/${String(id)}`,
    });
    expect(await ask(token, sub)).toMatchObject({ reason: 'locked', revocation: id });
    const check = await writ.data('/v1/check', {
      body: { ...evaluation(token), subject: { type: 'service', id: sub } },
    });
    expect(check.status).toBe(403);
    const younger = await writ.mint({ sub });
    expect(await ask(younger, sub)).toMatchObject({ reason: 'locked' });
    expect((await writ.data('/v1/sessions', { body: registration(younger) })).status).toBe(403);

    const lifted = await unlock(id);
    expect(lifted.status).toBe(200);
    expect(lifted.body).toMatchObject({
      id,
      inForce: false,
      state: 'durable',
      boundMs: 3_252,
      lift: { caller: 'admin' },
    });
    expect(await ask(token, sub)).toMatchObject({ reason: 'permitted' });
    expect((await unlock(id)).body).toMatchObject({ inForce: false, wasOver: true });
    const after = await writ.control(`/v1/locks/${String(id)}`);
    expect(after.body).toMatchObject({ id, state: 'enforced', inForce: false, lift: { position: POSITION } });
  });

  it('has a receipt that a stranger verifies, and that says that it is a lock', async () => {
    const { id } = (await lock({ selector: { kind: 'jti', issuer: 'i', value: 'receipt' } })).body;
    const { log } = (await writ.control('/v1/keys')).body as { log: string };
    const { text } = await writ.control(`/v1/receipts/${String(id)}`);
    const { name, key } = parseNoteKey(log);
    expect(verifyReceipt(text, [noteKeyOf(name, key)])).toMatchObject({
      id,
      kind: 'lock',
      expiresAt: INSTANT,
    });
  });

  it('ends by itself', async () => {
    const sub = 'short-lock';
    const token = await writ.mint({ sub });
    await lock({ selector: subject(sub), expiresAt: inMs(1_200) });
    expect(await ask(token, sub)).toMatchObject({ reason: 'locked' });
    await expect.poll(async () => (await ask(token, sub))['reason'], { timeout: 5_000 }).toBe('permitted');
  });

  it('kills the sessions it reaches, and says why', async () => {
    const sub = 'locked-session';
    const opened = await writ.data('/v1/sessions', { body: registration(await writ.mint({ sub })) });
    const path = `/v1/sessions/${String(opened.body['id'])}`;
    const stream = await listen(`${writ.writ.urls.data}${path}/events`);
    const answered = lock({ selector: subject(sub) });
    const { data } = await stream.killed;
    await writ.data(`${path}/closed`, { method: 'POST' });
    const reply = await answered;
    expect(data).toMatchObject({ reason: 'locked', revocation: reply.body['id'] });
    expect(reply.body).toMatchObject({ sessions: { matched: 1, killed: 1, unconfirmed: 0 } });
  });

  it('is listed while it is in force: what it names, until when, by whom', async () => {
    const first = await lock({ selector: subject('listed'), reason: 'why' });
    const second = await lock({ selectors: [{ kind: 'jkt', value: 'A'.repeat(43) }] });
    await unlock(second.body['id']);
    const { locks } = (await writ.control('/v1/locks?limit=1000')).body as {
      locks: Record<string, unknown>[];
    };
    const ids = locks.map(({ id }) => id);
    expect(ids).toContain(first.body['id']);
    expect(ids).not.toContain(second.body['id']);
    expect(locks.find(({ id }) => id === first.body['id'])).toEqual({
      id: first.body['id'],
      position: POSITION,
      at: INSTANT,
      caller: 'admin',
      reason: 'why',
      expiresAt: INSTANT,
      targets: 1,
      selectors: [subject('listed')],
    });
    const { locks: later } = (await writ.control(`/v1/locks?after=${String(first.body['position'])}`))
      .body as {
      locks: unknown[];
    };
    expect(later).not.toContainEqual(expect.objectContaining({ id: first.body['id'] }));
    const revocations = (await writ.control('/v1/revocations?limit=1000')).text;
    expect(revocations).not.toContain('lck_');
  });

  it('is one under one Idempotency-Key; another body under it is a conflict', async () => {
    const body = { selector: subject('idem'), expiresAt: inMs(60_000) };
    const headers = { 'idempotency-key': 'lock-1' };
    const [one, two] = [await lock(body, { headers }), await lock(body, { headers })];
    expect([one.status, two.status, two.body['id']]).toEqual([201, 201, one.body['id']]);
    expect((await lock({ ...body, reason: 'other' }, { headers })).body).toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
    });
  });

  it('that is a token’s stops every spelling of it', async () => {
    const sub = 'respelled';
    const token = await writ.mint({ sub });
    expect((await lock({ selector: { kind: 'token', value: token } })).status).toBe(201);
    // (r, n - s) verifies wherever (r, s) does.
    const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
    const signed = token.lastIndexOf('.') + 1;
    const raw = Buffer.from(token.slice(signed), 'base64url');
    const s = order - BigInt(`0x${raw.subarray(32).toString('hex')}`);
    const flipped = Buffer.concat([
      raw.subarray(0, 32),
      Buffer.from(s.toString(16).padStart(64, '0'), 'hex'),
    ]);
    const spellings = [token, `${token.slice(0, signed)}${flipped.toString('base64url')}`];
    expect(new Set(spellings).size).toBe(2);
    for (const spelling of spellings) expect(await ask(spelling, sub)).toMatchObject({ reason: 'locked' });
    for (const other of [`${token}=`, ` ${token}`])
      expect(await ask(other, sub)).toMatchObject({ reason: 'invalid_credential' });
    expect(await ask(await writ.mint({ sub }), sub)).toMatchObject({ reason: 'permitted' });
  });

  it.each([
    ['no end', { expiresAt: undefined }, 400, 'BAD_REQUEST', 'expiresAt'],
    ['an end that is no time', { expiresAt: 'tomorrow' }, 400, 'BAD_REQUEST', 'expiresAt'],
    ['an end that is past', { expiresAt: '2020-01-01T00:00:00.000Z' }, 422, 'TIME_INVALID', 'expiresAt'],
    [
      'an end that is too far ahead',
      { expiresAt: '2199-01-01T00:00:00.000Z' },
      422,
      'TIME_INVALID',
      'expiresAt',
    ],
    [
      'a cutoff',
      { selector: { ...subject('x'), before: '2020-01-01T00:00:00.000Z' } },
      422,
      'SELECTOR_INVALID',
      'selector.before',
    ],
    [
      'a cutoff in a list',
      { selector: undefined, selectors: [{ kind: 'all', before: null }] },
      422,
      'SELECTOR_INVALID',
      'selectors[0].before',
    ],
    ['nothing named', { selector: undefined }, 422, 'SELECTOR_INVALID', 'selector'],
    ['a kind that is none', { selector: { kind: 'shoe' } }, 422, 'SELECTOR_INVALID', 'selector.kind'],
    ['a dry run', { dryRun: true }, 400, 'BAD_REQUEST', 'dryRun'],
    ['a word that is none', { wait: 'forever' }, 400, 'BAD_REQUEST', 'wait'],
  ])('is refused with %s, and nothing is appended', async (_what, over, status, code, field) => {
    const before = (await writ.control('/v1/checkpoint')).text;
    const reply = await lock({ selector: subject('x'), ...over });
    expect(reply.status, reply.text).toBe(status);
    expect(reply.body).toMatchObject({ code, field });
    expect((await writ.control('/v1/checkpoint')).text).toBe(before);
  });
});

describe('a revocation', () => {
  it('cannot be lifted by any route', async () => {
    const sub = 'revoked-for-good';
    const token = await writ.mint({ sub });
    const { id } = (await writ.control('/v1/revocations', { body: { selector: subject(sub) } })).body;
    const reply = await unlock(id);
    expect(reply.status).toBe(409);
    expect(reply.body).toMatchObject({ code: 'NOT_LIFTABLE', detail: like(/is a revocation/) });
    expect((await writ.control(`/v1/revocations/${String(id)}`, { method: 'DELETE' })).status).toBe(405);
    expect((await unlock('rev_AAAAAAAAAAAAAAAAAAAAAA')).status).toBe(404);
    expect(await ask(token, sub)).toMatchObject({ reason: 'cutoff', revocation: id });
  });

  it('and a lock are not found under each other’s address', async () => {
    const { id } = (await lock({ selector: subject('addressed') })).body;
    expect((await writ.control(`/v1/revocations/${String(id)}`)).status).toBe(404);
    expect((await writ.control('/v1/locks/lck_AAAAAAAAAAAAAAAAAAAAAA')).status).toBe(404);
  });
});

describe('a grant', () => {
  it('is usable at once, and not any more once it is taken away', async () => {
    const sub = 'entitled';
    const token = await writ.mint({ sub });
    expect(await ask(token, sub, 'delete')).toMatchObject({ reason: 'policy_denied' });
    const reply = await grant({ ...entitled(sub), issuer: DEV_ISSUER, until: inMs(60_000) });
    expect(reply.status, reply.text).toBe(201);
    const { id } = reply.body;
    expect(reply.body).toEqual({
      id: GRANT_ID,
      position: POSITION,
      state: 'durable',
      inForce: true,
      ...entitled(sub),
      issuer: DEV_ISSUER,
      until: INSTANT,
    });
    expect(await ask(token, sub, 'delete')).toMatchObject({ reason: 'permitted', policyReason: 'grant' });
    const data = await writ.data('/v1/data/writ/authz/decision', {
      body: {
        input: {
          subject: { type: 'service', id: sub },
          action: { name: 'delete' },
          resource: { type: 'invoice', id: '42' },
          credential: token,
        },
      },
    });
    expect(data.body).toMatchObject({ result: { allow: true, reason: 'grant' } });
    expect((await writ.control(`/v1/grants/${String(id)}`)).body).toEqual(reply.body);
    const taken = await ungrant(id);
    expect(taken.status).toBe(200);
    expect(taken.body).toMatchObject({ id, inForce: false, boundMs: 3_252, ungrant: { position: POSITION } });
    expect(await ask(token, sub, 'delete')).toMatchObject({ reason: 'policy_denied' });
    expect((await ungrant(id)).body).toMatchObject({ wasOver: true, inForce: false });
    expect((await ungrant('grt_AAAAAAAAAAAAAAAAAAAAAA')).status).toBe(404);
  });

  it('cannot be brought by whoever asks: forged ones in a request count for nothing', async () => {
    const sub = 'forger';
    const token = await writ.mint({ sub });
    const forged = [{ subject: { id: sub }, action: 'delete', resource: { type: 'invoice' } }];
    const input = {
      subject: { type: 'service', id: sub },
      action: { name: 'delete' },
      resource: { type: 'invoice', id: '42' },
      credential: token,
      grants: forged,
      now: 1,
    };
    const data = await writ.data('/v1/data/writ/authz/decision', { body: { input } });
    expect(data.body).toMatchObject({ result: { allow: false } });
    const body = {
      ...evaluation(token),
      subject: { type: 'service', id: sub },
      action: { name: 'delete' },
      grants: forged,
    };
    const asked = await writ.data('/access/v1/evaluation', { body });
    expect(contextOf(asked)).not.toMatchObject({ reason: 'permitted' });
  });

  it('ends by itself', async () => {
    const sub = 'short-grant';
    const token = await writ.mint({ sub });
    await grant({ ...entitled(sub), until: inMs(2_100) });
    expect(await ask(token, sub, 'delete')).toMatchObject({ reason: 'permitted' });
    await expect
      .poll(async () => (await ask(token, sub, 'delete'))['reason'], { timeout: 5_000 })
      .toBe('policy_denied');
  });

  it('is listed while it is in force, also by its subject', async () => {
    const { id } = (await grant(entitled('listed-grant'))).body;
    await grant(entitled('another'));
    const { grants } = (await writ.control('/v1/grants?subject=listed-grant')).body as { grants: unknown[] };
    expect(grants).toEqual([
      { id, position: POSITION, at: INSTANT, caller: 'admin', ...entitled('listed-grant') },
    ]);
    await ungrant(id);
    expect((await writ.control('/v1/grants?subject=listed-grant')).body).toEqual({ grants: [] });
    expect((await writ.control('/v1/grants?who=x')).status).toBe(400);
    expect((await writ.control('/v1/locks?limit=0')).status).toBe(400);
  });

  it('is one under one Idempotency-Key', async () => {
    const headers = { 'idempotency-key': 'grant-1' };
    const [one, two] = [
      await grant(entitled('idem'), { headers }),
      await grant(entitled('idem'), { headers }),
    ];
    expect([one.status, two.status, two.body['id']]).toEqual([201, 201, one.body['id']]);
    expect((await grant(entitled('other'), { headers })).body).toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
    });
  });

  it.each([
    ['nobody', { subject: undefined }, 400, 'BAD_REQUEST', 'subject'],
    ['an empty name', { subject: { id: '' } }, 400, 'BAD_REQUEST', 'subject.id'],
    ['a subject that is a text', { subject: 'service:billing' }, 400, 'BAD_REQUEST', 'subject'],
    ['an action that is an object', { action: { name: 'read' } }, 400, 'BAD_REQUEST', 'action'],
    ['a resource without a type', { resource: { id: '42' } }, 400, 'BAD_REQUEST', 'resource.type'],
    ['a member that is not known', { forever: true }, 400, 'BAD_REQUEST', 'forever'],
    ['an end that is a number', { until: 1 }, 400, 'BAD_REQUEST', 'until'],
    ['an end that is no time', { until: 'later' }, 400, 'BAD_REQUEST', 'until'],
    ['an end that is past', { until: '2020-01-01T00:00:00Z' }, 422, 'TIME_INVALID', 'until'],
    ['an end before 1970', { until: '1960-01-01T00:00:00Z' }, 422, 'TIME_INVALID', 'until'],
    ['an end that no entry can hold', { until: '2199-01-01T00:00:00Z' }, 422, 'TIME_INVALID', 'until'],
  ])('is refused with %s, and nothing is appended', async (_what, over, status, code, field) => {
    const before = (await writ.control('/v1/checkpoint')).text;
    const reply = await grant({ ...entitled('x'), ...over });
    expect(reply.status, reply.text).toBe(status);
    expect(reply.body).toMatchObject({ code, field });
    expect((await writ.control('/v1/checkpoint')).text).toBe(before);
  });
});

describe('an OAuth caller', () => {
  const wide = { kind: 'all' };
  const narrow = { kind: 'jti', issuer: 'i', value: 'v' };

  it('may lock what its scopes say; who may revoke may lock the same', async () => {
    const cases = [
      ['writ:lock:token', narrow, 201],
      ['writ:lock:token', subject('s'), 403],
      ['writ:lock:subject', subject('s'), 201],
      ['writ:lock:subject', wide, 403],
      ['writ:revoke:token', narrow, 201],
      ['writ:revoke:token', subject('s'), 403],
      ['writ:read writ:grant', narrow, 403],
    ] as const;
    for (const [scope, selector, status] of cases) {
      const reply = await lock({ selector }, { token: staffToken(scope) });
      expect(reply.status, `${scope}: ${reply.text}`).toBe(status);
      if (status === 201) await unlock(reply.body['id']);
    }
  });

  it('may not revoke because it may lock', async () => {
    const token = staffToken('writ:lock:all');
    const reply = await writ.control('/v1/revocations', { token, body: { selector: narrow } });
    expect(reply.status).toBe(403);
  });

  it('lifts with the scope to lock as much; with that to revoke only what it locked itself', async () => {
    const own = await lock({ selector: subject('own') }, { token: staffToken('writ:revoke:subject') });
    const others = await lock({ selector: subject('others') });
    expect((await unlock(others.body['id'], { token: staffToken('writ:revoke:all') })).status).toBe(403);
    expect((await unlock(others.body['id'], { token: staffToken('writ:lock:token') })).status).toBe(403);
    expect((await unlock(own.body['id'], { token: staffToken('writ:revoke:all', 'somebody') })).status).toBe(
      403,
    );
    expect((await unlock(own.body['id'], { token: staffToken('writ:revoke:token') })).status).toBe(403);
    expect((await writ.control(`/v1/locks/${String(own.body['id'])}`)).body).toMatchObject({ inForce: true });
    expect((await unlock(own.body['id'], { token: staffToken('writ:revoke:subject') })).status).toBe(200);
    expect((await unlock(others.body['id'], { token: staffToken('writ:lock:subject') })).status).toBe(200);
  });

  it('grants and takes away with the scope for it only, and reads lists with the scope to read', async () => {
    const token = staffToken('writ:grant');
    for (const scope of ['writ:read', 'writ:lock:all', 'writ:revoke:all'])
      expect((await grant(entitled('x'), { token: staffToken(scope) })).status).toBe(403);
    const { id } = (await grant(entitled('x'), { token })).body;
    expect((await ungrant(id, { token: staffToken('writ:read') })).status).toBe(403);
    expect((await ungrant(id, { token })).status).toBe(200);
    for (const path of ['/v1/locks', '/v1/grants']) {
      expect((await writ.control(path, { token })).status).toBe(403);
      expect((await writ.control(path, { token: staffToken('writ:read') })).status).toBe(200);
      expect((await writ.control(path, { token: '' })).status).toBe(401);
    }
  });

  it('that is locked commands nothing, and commands again once that is lifted', async () => {
    const token = staffToken('writ:read', 'stopped');
    expect((await writ.control('/v1/locks', { token })).status).toBe(200);
    const { id } = (await lock({ selector: { kind: 'subject', issuer: STAFF, value: 'stopped' } })).body;
    const reply = await writ.control('/v1/locks', { token });
    expect([reply.status, reply.body['detail']]).toEqual([401, 'the credential was refused: locked']);
    await unlock(id);
    expect((await writ.control('/v1/locks', { token })).status).toBe(200);
  });
});

describe('a restart', () => {
  it('lets nobody go on who was told to end, and says of when a revocation was', async () => {
    const first = await InProcessWrit.open();
    const open = async (sub: string): Promise<string> => {
      const { body } = await first.data('/v1/sessions', { body: registration(await first.mint({ sub })) });
      return String(body['id']);
    };
    const [locked, revoked] = [await open('told'), await open('dead')];
    const lock = await first.control('/v1/locks', {
      body: { selector: subject('told'), expiresAt: inMs(60_000), waitMs: 2_500 },
    });
    await first.control(`/v1/locks/${String(lock.body['id'])}`, { method: 'DELETE' });
    const partial = await first.control('/v1/revocations', {
      body: { selector: subject('dead'), waitMs: 2_500 },
    });
    expect([lock.body['state'], partial.body['state']]).toEqual(['partial', 'partial']);
    await first.close();
    const second = await InProcessWrit.open({ dataDir: first.dataDir });
    try {
      const ping = (id: string) => second.data(`/v1/sessions/${id}/ping`, { method: 'POST' });
      const status = async () => (await second.control('/v1/status')).body;
      expect((await ping(locked)).body).toMatchObject({ freshForMs: 0, kill: { reason: 'locked' } });
      expect((await ping(revoked)).body).toMatchObject({ freshForMs: 0, kill: { reason: 'cutoff' } });
      expect(await status()).toMatchObject({ sessionsEnding: 2, revocationsOpen: 1 });
      // As it was said before, each time it is asked for; of a lock that is over there is only its receipt.
      const path = `/v1/locks/${String(lock.body['id'])}`;
      expect((await second.control(path)).body).toMatchObject({
        state: 'partial',
        appendedAt: lock.body['appendedAt'],
        sessions: { matched: 1, unconfirmed: 1 },
      });
      for (const id of [locked, revoked]) await second.data(`/v1/sessions/${id}/closed`, { method: 'POST' });
      const again = async () => (await second.control(`/v1/revocations/${String(partial.body['id'])}`)).body;
      await expect.poll(again).toMatchObject({ state: 'enforced' });
      const { appendedAt } = await again();
      const saidMs = Date.parse(String(partial.body['appendedAt']));
      expect(Math.abs(Date.parse(String(appendedAt)) - saidMs)).toBeLessThan(500);
      await expect.poll(status).toMatchObject({ sessionsEnding: 0, revocationsOpen: 0, verdict: 'well' });
    } finally {
      await second.remove();
    }
  });

  it('keeps locks and grants, lifted and taken away ones included', async () => {
    const first = await InProcessWrit.open();
    const post = async (path: string, body: unknown): Promise<unknown> =>
      (await first.control(path, { body })).body['id'];
    const of = (value: string) => ({ selector: subject(value), expiresAt: inMs(60_000) });
    const kept = await post('/v1/locks', of('kept'));
    const lifted = await post('/v1/locks', of('lifted'));
    const given = await post('/v1/grants', entitled('given'));
    const taken = await post('/v1/grants', entitled('taken'));
    await first.control(`/v1/locks/${String(lifted)}`, { method: 'DELETE' });
    await first.control(`/v1/grants/${String(taken)}`, { method: 'DELETE' });
    await first.close();
    const second = await InProcessWrit.open({ dataDir: first.dataDir });
    try {
      const reasonOf = async (sub: string, name: string): Promise<unknown> => {
        const token = await second.mint({ sub });
        const body = { ...evaluation(token), subject: { type: 'service', id: sub }, action: { name } };
        return contextOf(await second.data('/access/v1/evaluation', { body }))['reason'];
      };
      expect(await reasonOf('kept', 'read')).toBe('locked');
      expect(await reasonOf('lifted', 'read')).toBe('permitted');
      expect(await reasonOf('given', 'delete')).toBe('permitted');
      expect(await reasonOf('taken', 'delete')).toBe('policy_denied');
      expect((await second.control(`/v1/locks/${String(kept)}`)).body).toMatchObject({
        state: 'enforced',
        inForce: true,
      });
      expect((await second.control(`/v1/grants/${String(given)}`)).body).toMatchObject({ inForce: true });
      expect((await second.control(`/v1/receipts/${String(kept)}`)).status).toBe(200);
    } finally {
      await second.remove();
    }
  });
});
