import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DevIssuer } from '../../../src/edges/idp/dev-issuer.ts';
import { DEV_ISSUER } from '../../../src/config/config.ts';
import { openDevIssuer } from '../../../src/edges/idp/dev-issuer.ts';
import { bearer, NOW_MS, NOW_S, outcomeOf, verified, verifierOf } from '../../support/tokens.ts';

let dataDir = '';

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'writ-dev-'));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true });
});

function open(folder = dataDir): Promise<DevIssuer> {
  return openDevIssuer({
    dataDir: folder,
    audiences: ['writ'],
    clock: { now: () => ({ monoMs: 0, wallMs: NOW_MS + 999 }) },
    random: { bytes: (size) => new Uint8Array(randomBytes(size)) },
  });
}

const keyFile = (): string => join(dataDir, 'dev-issuer.key');

describe('the dev issuer', () => {
  it('mints RFC 9068 tokens that its own verifier accepts', async () => {
    const dev = await open();
    const token = await dev.mint({ sub: 'billing', audience: 'writ', scope: 'invoice:read' });
    const credential = await verified(verifierOf([dev.issuer]), token);
    expect(credential).toMatchObject({
      issuer: DEV_ISSUER,
      subject: 'billing',
      issuedAtS: NOW_S,
      expiresAtS: NOW_S + 300,
      claims: { aud: 'writ', client_id: 'billing', scope: 'invoice:read' },
    });
    expect(credential.claims.jti).toMatch(/^[\w-]{22}$/);
    expect(dev.issuer).toMatchObject({ issuer: 'https://dev.writ.invalid', audiences: ['writ'] });
  });

  it('adds claims, but lets none of them replace what makes the token', async () => {
    const dev = await open();
    const claims = {
      act: { sub: 'agent' },
      mission_id: 'm-1',
      ...{
        iss: 'https://evil.example',
        sub: 'admin',
        aud: 'x',
        exp: 1,
        iat: 1,
        jti: 'x',
        client_id: 'x',
        scope: 'x',
      },
    };
    const token = await dev.mint({
      sub: 'b',
      audience: 'writ',
      clientId: 'app',
      scope: 's',
      ttlS: 60,
      claims,
    });
    const credential = await verified(verifierOf([dev.issuer]), token);
    expect(credential).toMatchObject({
      subject: 'b',
      expiresAtS: NOW_S + 60,
      actors: [{ subject: 'agent' }],
      claims: { client_id: 'app', scope: 's', mission_id: 'm-1' },
    });
    expect(credential.claims.jti).not.toBe('x');
  });

  it('mints tokens for the audience it is told, each with a jti of its own', async () => {
    const dev = await open();
    const verifier = verifierOf([dev.issuer]);
    const other = await dev.mint({ sub: 'b', audience: 'other' });
    expect(await outcomeOf(verifier, other)).toBe('audience');
    const tokens = await Promise.all(['writ', 'writ'].map((audience) => dev.mint({ sub: 'b', audience })));
    const jtis = await Promise.all(tokens.map(async (token) => (await verified(verifier, token)).claims.jti));
    expect(new Set(jtis).size).toBe(2);
  });

  it('keeps its key over a restart, in a file that only its owner can read', async () => {
    const token = await (await open()).mint({ sub: 'b', audience: 'writ' });
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
    expect(await readdir(dataDir)).toEqual(['dev-issuer.key']);
    const { issuer } = await open();
    expect(await verifierOf([issuer]).verify(bearer(token), NOW_MS)).toMatchObject({ ok: true });
    await issuer.keys.refresh();
    expect([issuer.keys.isAvailable(), issuer.keys.generation()]).toEqual([true, 0]);
  });

  it('makes one key when two start at once', async () => {
    const [one, two] = await Promise.all([open(), open()]);
    const token = await one.mint({ sub: 'b', audience: 'writ' });
    expect(await outcomeOf(verifierOf([two.issuer]), token)).toBe('ok');
  });

  it('refuses a key that others can read', async () => {
    await open();
    await chmod(keyFile(), 0o640);
    await expect(open()).rejects.toMatchObject({ code: 'KEY_INVALID', field: keyFile() });
  });

  it('refuses a key that is damaged, and quotes nothing of it', async () => {
    await open();
    const text = await readFile(keyFile(), 'utf8');
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ format: 'jwk' });
    for (const damaged of [text.slice(0, -20), '', '{}', 'null', JSON.stringify(p384)]) {
      await writeFile(keyFile(), damaged);
      const error = await open().catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'KEY_INVALID' });
      expect(inspect(error)).not.toMatch(/"d"|kty/);
    }
  });

  it('says so when it cannot make one', async () => {
    await expect(open(join(dataDir, 'absent'))).rejects.toThrow();
  });
});
