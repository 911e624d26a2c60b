import { describe, expect, it } from 'vitest';
import { randomBytes } from 'node:crypto';
import type { DevIssuer } from '../../../src/edges/idp/dev-issuer.ts';
import { DEV_ISSUER } from '../../../src/config/config.ts';
import { createDevIssuer } from '../../../src/edges/idp/dev-issuer.ts';
import { bearer, NOW_MS, NOW_S, outcomeOf, verified, verifierOf } from '../../support/tokens.ts';

function create(fleetKey: Uint8Array = new Uint8Array(32).fill(1)): DevIssuer {
  return createDevIssuer({
    fleetKey,
    audiences: ['writ'],
    clock: { now: () => ({ monoMs: 0, wallMs: NOW_MS + 999 }) },
    random: { bytes: (size) => new Uint8Array(randomBytes(size)) },
  });
}

describe('the dev issuer', () => {
  it('mints RFC 9068 tokens that its own verifier accepts', async () => {
    const dev = create();
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
    const dev = create();
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
    const dev = create();
    const verifier = verifierOf([dev.issuer]);
    const other = await dev.mint({ sub: 'b', audience: 'other' });
    expect(await outcomeOf(verifier, other)).toBe('audience');
    const tokens = await Promise.all(['writ', 'writ'].map((audience) => dev.mint({ sub: 'b', audience })));
    const jtis = await Promise.all(tokens.map(async (token) => (await verified(verifier, token)).claims.jti));
    expect(new Set(jtis).size).toBe(2);
  });

  it('is one issuer on every replica with the same fleet key, and another one with another', async () => {
    const token = await create().mint({ sub: 'b', audience: 'writ' });
    const { issuer } = create();
    expect(await verifierOf([issuer]).verify(bearer(token), NOW_MS)).toMatchObject({ ok: true });
    await issuer.keys.refresh();
    expect([issuer.keys.isAvailable(), issuer.keys.generation()]).toEqual([true, 0]);
    const stranger = create(new Uint8Array(32).fill(2));
    expect(await outcomeOf(verifierOf([stranger.issuer]), token)).not.toBe('ok');
  });
});
