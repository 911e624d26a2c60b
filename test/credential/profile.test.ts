import { describe, expect, it } from 'vitest';
import type { IssuerParts, Members } from '../support/tokens.ts';
import {
  ISSUER,
  MemoryKeys,
  issuerOf,
  keyFor,
  makeKey,
  mintToken,
  outcomeOf,
  verified,
  verifierOf,
} from '../support/tokens.ts';

const svidKey = makeKey('ES256', 'svid', { use: 'jwt-svid' });
const DOMAIN = 'spiffe://example.org';

function svidIssuer(parts: IssuerParts = {}) {
  const keys = new MemoryKeys([svidKey], 'jwt-svid');
  return issuerOf({ issuer: DOMAIN, tokenType: 'jwt-svid', keys, ...parts });
}

function mintSvid(claims: Members = {}, header: Members = {}): string {
  const base = { iss: undefined, client_id: undefined, jti: undefined, sub: `${DOMAIN}/billing` };
  return mintToken({ key: svidKey, header: { typ: 'JWT', ...header }, claims: { ...base, ...claims } });
}

describe('a JWT-SVID', () => {
  it('is taken without iss, by the trust domain of its sub', async () => {
    const credential = await verified(verifierOf([svidIssuer()]), mintSvid());
    expect(credential).toMatchObject({ issuer: DOMAIN, subject: `${DOMAIN}/billing` });
    expect(credential.handles.handles).toContainEqual({ kind: 'spiffe', parts: [`${DOMAIN}/billing`] });
  });

  it('speaks only for the trust domain whose bundle signed it', async () => {
    const verifier = verifierOf([svidIssuer()]);
    expect(await outcomeOf(verifier, mintSvid({ sub: 'spiffe://example.com/billing' }))).toBe('issuer');
    const named = mintSvid({ iss: DOMAIN, sub: 'spiffe://example.com/billing' });
    expect(await outcomeOf(verifier, named)).toBe('subject');
    expect(await outcomeOf(verifier, mintSvid({ iss: DOMAIN }))).toBe('ok');
  });

  it('may come from an issuer with a web address, which then has to be its iss', async () => {
    const verifier = verifierOf([svidIssuer({ issuer: ISSUER })]);
    expect(await outcomeOf(verifier, mintSvid({ iss: ISSUER }))).toBe('ok');
    expect(await outcomeOf(verifier, mintSvid({ iss: ISSUER, sub: 'billing' }))).toBe('subject');
    expect(await outcomeOf(verifier, mintSvid())).toBe('issuer');
  });

  it.each([
    'billing',
    'https://example.org/billing',
    'spiffe://Example.org/billing',
    'spiffe://example.org:8443/billing',
    'spiffe://user@example.org/billing',
    'spiffe://example.org/billing?x=1',
    'spiffe://example.org/billing#x',
    'spiffe://example.org/bill%69ng',
    'spiffe://example.org/',
    'spiffe://example.org/a//b',
    'spiffe://example.org/a/',
    'spiffe://example.org/.',
    'spiffe://example.org/../admin',
    'spiffe://example.org/a/./b',
    'spiffe:///billing',
    `spiffe://example.org/${'x'.repeat(2_048)}`,
  ])('needs a SPIFFE ID as sub: not %s', async (sub) => {
    const verifier = verifierOf([svidIssuer({ issuer: ISSUER })]);
    expect(await outcomeOf(verifier, mintSvid({ iss: ISSUER, sub }))).toBe('subject');
  });

  it('has no header but alg, kid and typ', async () => {
    const verifier = verifierOf([svidIssuer()]);
    expect(await outcomeOf(verifier, mintSvid({}, { cty: 'JWT' }))).toBe('header');
    expect(await outcomeOf(verifier, mintSvid({}, { kid: undefined }))).toBe('key_id');
    expect(await outcomeOf(verifier, mintSvid({}, { typ: undefined }))).toBe('ok');
  });

  it('is not signed with EdDSA, even where that is allowed', async () => {
    const key = makeKey('EdDSA', 'svid-eddsa', { use: 'jwt-svid' });
    const issuer = svidIssuer({ algorithms: ['EdDSA'], keys: new MemoryKeys([key], 'jwt-svid') });
    const token = mintToken({ key, header: { typ: 'JWT' }, claims: { iss: undefined, sub: DOMAIN } });
    expect(await outcomeOf(verifierOf([issuer]), token)).toBe('algorithm');
  });

  it('is signed by a key of that use only', async () => {
    const sig = new MemoryKeys([keyFor('ES256'), svidKey], 'jwt-svid');
    const token = mintToken({ header: { typ: 'JWT' }, claims: { iss: undefined, sub: `${DOMAIN}/billing` } });
    expect(await outcomeOf(verifierOf([svidIssuer({ keys: sig })]), token)).toBe('key_unknown');
    const access = issuerOf({ keys: new MemoryKeys([svidKey]) });
    expect(await outcomeOf(verifierOf([access]), mintToken({ key: svidKey }))).toBe('key_unknown');
  });

  it.each(['exp', 'aud', 'sub'])('needs %s', async (claim) => {
    const outcome = await outcomeOf(verifierOf([svidIssuer()]), mintSvid({ [claim]: undefined }));
    expect(outcome).toBe({ exp: 'claims', aud: 'audience', sub: 'issuer' }[claim]);
  });

  it('lends its way of being found to no other kind of token', async () => {
    const plain = issuerOf({ issuer: DOMAIN, tokenType: 'jwt' });
    const token = mintToken({ claims: { iss: undefined, sub: `${DOMAIN}/billing` } });
    expect(await outcomeOf(verifierOf([plain]), token)).toBe('issuer');
  });
});

describe('claims that name something', () => {
  it.each(['jti', 'sid', 'client_id', 'azp'])(
    '%s is text that is not empty, where it is there',
    async (claim) => {
      const verifier = verifierOf([issuerOf({ tokenType: 'jwt' })]);
      for (const value of [7, '', null, ['a'], { a: 1 }, true])
        expect(await outcomeOf(verifier, mintToken({ claims: { [claim]: value } }))).toBe('claims');
      expect(await outcomeOf(verifier, mintToken({ claims: { [claim]: undefined } }))).toBe('ok');
    },
  );
});

describe('an issuer that is not configured', () => {
  it('has a reason of its own', async () => {
    const token = mintToken({ claims: { iss: 'https://nobody.example' } });
    expect(await verifierOf().verify({ scheme: 'Bearer', token }, 0)).toEqual({
      ok: false,
      reason: 'unknown_issuer',
      detail: 'issuer',
    });
  });
});
