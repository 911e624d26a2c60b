/** Who may command the control plane, and what the doors say while this replica may not say yes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reply } from '../support/client.ts';
import { InProcessWrit, contextOf, evaluation, registration } from '../support/in-process.ts';
import { keyFor, mintToken } from '../support/tokens.ts';

const ISSUER = 'https://staff.example';
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-access-'));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

/** A token of the responders' issuer, of this moment. */
function staffToken(claims: Record<string, unknown>): string {
  const nowS = Math.floor(Date.now() / 1000);
  const times = { iat: nowS, exp: nowS + 300 };
  return mintToken({ claims: { iss: ISSUER, aud: 'writ', sub: 'responder', ...times, ...claims } });
}

describe('an OAuth caller', () => {
  let writ: InProcessWrit;

  beforeAll(async () => {
    const file = join(directory, 'staff.json');
    await writeFile(file, JSON.stringify({ keys: [keyFor('ES256').jwk] }));
    const issuer = `{ issuer: "${ISSUER}", audiences: [writ], jwks: { file: ${file} }, algorithms: [ES256] }`;
    writ = await InProcessWrit.open({ fileText: `control: { issuers: [${issuer}] }` });
  });

  afterAll(() => writ.remove());

  const jti = { kind: 'jti', issuer: 'i', value: 'v' };
  const subject = { kind: 'subject', value: 'nobody' };
  const revoke = (token: string, selector: unknown): Promise<Reply> =>
    writ.control('/v1/revocations', { token, body: { selector } });

  it('may do what its scopes say, and no more', async () => {
    const cases = [
      ['writ:revoke:token', jti, 201],
      ['writ:revoke:token', subject, 403],
      ['writ:revoke:subject', subject, 201],
      ['writ:revoke:subject', { kind: 'all' }, 403],
      ['writ:read', jti, 403],
      ['read revoke:all', jti, 403],
      ['', jti, 403],
    ] as const;
    for (const [scope, selector, status] of cases) {
      const reply = await revoke(staffToken({ scope }), selector);
      expect(reply.status, `${scope}: ${reply.text}`).toBe(status);
      if (status === 403) expect(reply.body).toMatchObject({ code: 'FORBIDDEN' });
    }
  });

  it('reads with the scope for it only', async () => {
    for (const path of [
      '/v1/revocations',
      '/v1/sessions',
      '/v1/replicas',
      '/v1/checkpoint',
      '/v1/keys',
      '/v1/ledger',
    ]) {
      expect((await writ.control(path, { token: staffToken({ scope: 'writ:read' }) })).status).toBe(200);
      expect((await writ.control(path, { token: staffToken({ scope: 'writ:revoke:all' }) })).status).toBe(
        403,
      );
    }
  });

  it('administers nothing, whatever its scopes', async () => {
    const token = staffToken({ scope: 'writ:read writ:revoke:all' });
    const epoch = { rule: 'new-fleet' };
    expect((await writ.control('/v1/epoch', { token, body: epoch })).status).toBe(403);
    expect((await writ.control('/v1/dev/tokens', { token, body: { sub: 'x' } })).status).toBe(403);
    expect((await writ.control('/v1/replicas/gw-1/forget', { token, body: {} })).status).toBe(403);
  });

  /** What the checkpoint is of; who has cosigned it may change. */
  const treeHead = async () => (await writ.control('/v1/checkpoint')).text.split('\n\n')[0];

  it('that is refused appends nothing', async () => {
    const before = await treeHead();
    await revoke(staffToken({ scope: 'writ:read' }), jti);
    await revoke(staffToken({ scope: 'writ:revoke:all', aud: 'elsewhere' }), jti);
    await revoke(staffToken({ scope: 'writ:revoke:all', exp: 1 }), jti);
    expect(await treeHead()).toBe(before);
  });

  it('is named in the ledger, by issuer and subject', async () => {
    await revoke(staffToken({ scope: 'writ:revoke:token' }), { ...jti, value: 'named' });
    const { revocations } = (await writ.control('/v1/revocations')).body as {
      revocations: { caller: string }[];
    };
    expect(revocations.at(-1)?.caller).toBe(`${ISSUER}|responder`);
  });

  it('that was revoked commands nothing more', async () => {
    const token = staffToken({ scope: 'writ:read', jti: 'staff-1' });
    expect((await writ.control('/v1/keys', { token })).status).toBe(200);
    const selector = { kind: 'jti', issuer: ISSUER, value: 'staff-1' };
    expect((await writ.control('/v1/revocations', { body: { selector } })).status).toBe(201);
    const reply = await writ.control('/v1/keys', { token });
    expect(reply.status).toBe(401);
    expect(reply.headers['www-authenticate']).toBe('Bearer realm="writ"');
  });
});

describe('without an open epoch', () => {
  let writ: InProcessWrit;
  let token: string;

  beforeAll(async () => {
    writ = await InProcessWrit.open({ sets: ['bootstrap=false'] });
    token = await writ.mint();
  });

  afterAll(() => writ.remove());

  it('nothing is allowed: every door says fenced', async () => {
    const one = await writ.data('/access/v1/evaluation', { body: evaluation(token) });
    expect([one.status, one.body['decision'], contextOf(one)['reason']]).toEqual([200, false, 'fenced']);
    expect(contextOf(one)['freshForMs']).toBe(0);
    const check = await writ.data('/v1/check', { body: evaluation(token) });
    expect([check.status, check.headers['retry-after']]).toEqual([503, '1']);
    const session = await writ.data('/v1/sessions', { body: registration(token) });
    expect([session.status, session.headers['retry-after']]).toEqual([503, '1']);
    expect(session.body).not.toHaveProperty('id');
    const input = { ...evaluation(), credential: token };
    const data = await writ.data('/v1/data/writ/authz/decision', { body: { input } });
    expect(data.body).toEqual({ result: { allow: false, reason: 'fenced' } });
    expect(data.headers['x-writ-reason']).toBe('fenced');
  });

  it('nothing is revoked, and the answer says to try again', async () => {
    const body = { selector: { kind: 'jti', issuer: 'i', value: 'v' } };
    const reply = await writ.control('/v1/revocations', { body });
    expect(reply.status).toBe(503);
    expect(['FENCED', 'EPOCH_CLOSED']).toContain(reply.body['code']);
    expect(reply.headers['retry-after']).toBe('1');
  });

  it('it lives, and is neither ready nor started', async () => {
    expect((await writ.diagnostics('/livez')).status).toBe(200);
    const ready = await writ.diagnostics('/readyz');
    expect(ready.status).toBe(503);
    expect(ready.body['status']).toBe('not ready');
    const failed = (ready.body['checks'] as { name: string; ok: boolean }[]).filter(({ ok }) => !ok);
    expect(failed.map(({ name }) => name)).toEqual(expect.arrayContaining(['epoch', 'lease']));
    expect((await writ.diagnostics('/startupz')).status).toBe(503);
  });

  it.each([
    [{}, 'rule'],
    [{ rule: 'bootstrap' }, 'rule'],
    [{ rule: 'new-fleet', reason: 7 }, 'reason'],
    [{ rule: 'new-fleet', reason: 'x'.repeat(1_025) }, 'reason'],
    [{ rule: 'accept-amnesia' }, 'reason'],
    [{ rule: 'accept-amnesia', reason: '' }, 'reason'],
    [{ rule: 'new-fleet', force: true }, 'force'],
  ])('an epoch is not opened by %j', async (body, field) => {
    const reply = await writ.control('/v1/epoch', { body });
    expect(reply.status).toBe(400);
    expect(reply.body['field']).toBe(field);
    expect((await writ.diagnostics('/readyz')).status).toBe(503);
  });

  it('an operator opens one, once, and everything is allowed that should be', async () => {
    const reply = await writ.control('/v1/epoch', { body: { rule: 'new-fleet', reason: 'first start' } });
    expect(reply.status).toBe(201);
    expect(reply.body).toEqual({ epochId: expect.stringMatching(/^ep_/) as string, rule: 'new-fleet' });
    await expect.poll(async () => (await writ.diagnostics('/readyz')).status).toBe(200);
    expect((await writ.diagnostics('/startupz')).status).toBe(200);
    const one = await writ.data('/access/v1/evaluation', { body: evaluation(token) });
    expect(one.body['decision']).toBe(true);
    const again = await writ.control('/v1/epoch', { body: { rule: 'new-fleet' } });
    expect([again.status, again.body['code']]).toEqual([409, 'ALREADY_OPEN']);
  });
});

describe('an issuer whose keys cannot be had', () => {
  it('is no reason to deny for good: 503, and the replica says that it is not ready', async () => {
    const issuer = `{ issuer: "${ISSUER}", audiences: [writ], jwks: { url: "http://127.0.0.1:9/jwks" }, algorithms: [ES256] }`;
    const writ = await InProcessWrit.open({
      dev: false,
      sets: ['bootstrap=true'],
      fileText: `issuers: [${issuer}]`,
    });
    try {
      const reply = await writ.data('/v1/check', { body: evaluation(staffToken({ sub: 'billing' })) });
      expect([reply.status, reply.headers['retry-after']]).toEqual([503, '1']);
      expect(contextOf(reply)).toMatchObject({
        reason: 'introspection_unavailable',
        detail: 'keys_unavailable',
      });
      expect((await writ.diagnostics('/readyz')).status).toBe(503);
      // No dev issuer, no mint.
      expect((await writ.control('/v1/dev/tokens', { body: { sub: 'x' } })).status).toBe(404);
    } finally {
      await writ.remove();
    }
  });
});
