import { describe, expect, it } from 'vitest';
import { certificateThumbprint } from '../../src/credential/confirmation.ts';
import { sha256, toBase64Url } from '../../src/kernel/digest.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import { bearer, mintToken, outcomeOf, presented, verifierOf } from '../support/tokens.ts';

// Only its bytes count: RFC 8705 compares digests, and whoever passes the certificate on vouches for the handshake.
const DER = Buffer.from('30820122300d06092a864886f70d01010105000382010f00', 'hex');
const PEM = pemOf(DER);
const X5T = toBase64Url(sha256(DER));

function pemOf(der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/(.{64})/g, '$1\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

const bound = mintToken({ claims: { cnf: { 'x5t#S256': X5T } } });

describe('a token that is bound to a certificate', () => {
  it('is accepted with that certificate, as a bearer token', async () => {
    const verification = await verifierOf().verify(presented('Bearer', bound, { certificate: PEM }), 1.8e12);
    expect(verification).toMatchObject({
      ok: true,
      credential: { scheme: 'Bearer', confirmation: { 'x5t#S256': X5T } },
    });
  });

  it('is refused without it, with another, and with what is none, also after it was accepted', async () => {
    const verifier = verifierOf();
    const withCertificate = (certificate: string) => presented('Bearer', bound, { certificate });
    expect(await outcomeOf(verifier, withCertificate(PEM))).toBe('ok');
    expect(await outcomeOf(verifier, bearer(bound))).toBe('proof_required');
    for (const other of [pemOf(DER.subarray(1)), PEM + PEM, '', 'PEM', DER.toString('base64'), `x${PEM}`])
      expect(await outcomeOf(verifier, withCertificate(other))).toBe('certificate');
    expect(await outcomeOf(verifier, presented('DPoP', bound, { certificate: PEM }))).toBe('not_bound');
  });

  it('may be bound to a DPoP key as well, and then needs both', async () => {
    const jkt = toBase64Url(sha256('key'));
    const both = mintToken({ claims: { cnf: { jkt, 'x5t#S256': X5T } } });
    const verifier = verifierOf();
    expect(await outcomeOf(verifier, presented('Bearer', both, { certificate: PEM }))).toBe('proof_required');
    const rest = { proof: 'a.b.c', method: 'GET', uri: 'https://api.example/' };
    expect(await outcomeOf(verifier, presented('DPoP', both, rest))).toBe('proof_required');
    expect(await outcomeOf(verifier, presented('DPoP', both, { ...rest, certificate: PEM }))).toBe('proof');
  });
});

describe('cnf', () => {
  const digest = toBase64Url(sha256(''));

  it.each([
    ['jwk', { jwk: { kty: 'EC' } }],
    ['kid', { kid: 'x' }],
    ['nothing', {}],
    ['null', null],
    ['text', digest],
    ['a list', [digest]],
    ['jkt that is no digest', { jkt: 'short' }],
    ['jkt that is no text', { jkt: 7 }],
    ['jkt that is null', { jkt: null }],
    ['jkt with padding', { jkt: `${digest}=` }],
    ['jkt with unused bits', { jkt: `${digest.slice(0, -1)}V` }],
    ['x5t of SHA-1', { x5t: digest }],
    ['x5t#S256 that is no digest', { 'x5t#S256': 'short' }],
    ['one good, one not', { jkt: digest, 'x5t#S256': '' }],
  ])('that cannot be checked refuses the token: %s', async (_, cnf) => {
    expect(await outcomeOf(verifierOf(), mintToken({ claims: { cnf } }))).toBe('confirmation');
  });

  it('may hold members that are not known beside one that is (RFC 7800 section 3.1)', async () => {
    const token = mintToken({ claims: { cnf: { 'x5t#S256': X5T, kid: 'x' } } });
    expect(await outcomeOf(verifierOf(), presented('Bearer', token, { certificate: PEM }))).toBe('ok');
  });
});

describe('the thumbprint of a certificate', () => {
  it('does not depend on line breaks or indentation', () => {
    expect(certificateThumbprint(PEM)).toBe(X5T);
    expect(certificateThumbprint(PEM.replaceAll('\n', '\r\n'))).toBe(X5T);
    expect(certificateThumbprint(`  ${PEM.replaceAll('\n', '\n\t ')}`)).toBe(X5T);
  });

  it('is none for text that is too large or holds other characters', () => {
    expect(certificateThumbprint(pemOf(Buffer.alloc(LIMITS.headerBytesMax)))).toBeUndefined();
    expect(certificateThumbprint(PEM.replace('MI', 'M*'))).toBeUndefined();
    expect(certificateThumbprint('-----BEGIN CERTIFICATE----------END CERTIFICATE-----')).toBeUndefined();
    expect(certificateThumbprint('-----BEGIN CERTIFICATE-----')).toBeUndefined();
  });
});
