import { describe, expect, it } from 'vitest';
import { ALGORITHMS, keyUseOf } from '../../src/credential/issuer.ts';
import { parsePublicJwk } from '../../src/credential/jwk.ts';
import { parseKeySet } from '../../src/credential/key-set.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import { base64url, keyFor, makeKey, without } from '../support/tokens.ts';

const ec = keyFor('ES256');
const rsa = keyFor('RS256');
const jwks = (...keys: unknown[]): string => JSON.stringify({ keys });

/** Without `alg` and `use`: what the key could do. */
function bareJwk(algorithm: (typeof ALGORITHMS)[number]): JsonObject {
  return keyFor(algorithm).publicKey.export({ format: 'jwk' }) as unknown as JsonObject;
}

describe('a public key', () => {
  it.each(ALGORITHMS)('fits %s by its kind, its curve and its own alg', (algorithm) => {
    const family = ALGORITHMS.filter((other) => /^[RP]S/.test(other) === /^[RP]S/.test(algorithm));
    const expected = /^[RP]S/.test(algorithm) ? family : [algorithm];
    expect([...(parsePublicJwk(bareJwk(algorithm))?.fits ?? [])]).toEqual(expected);
    const named = { ...bareJwk(algorithm), alg: algorithm };
    expect([...(parsePublicJwk(named)?.fits ?? [])]).toEqual([algorithm]);
  });

  it('has the thumbprint of RFC 7638, section 3.1', () => {
    const n =
      '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3' +
      'oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA' +
      'ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-' +
      'kEgU8awapJzKnqDKgw';
    const jwk = { kty: 'RSA', n, e: 'AQAB', alg: 'RS256', kid: '2011-04-29' };
    expect(parsePublicJwk(jwk)?.thumbprint).toBe('NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs');
  });

  it.each<[string, JsonObject]>([
    ['no kty', { ...bareJwk('ES256'), kty: 'ec' }],
    ['symmetric', { kty: 'oct', k: 'c2VjcmV0' }],
    ['private', keyFor('ES256').privateKey.export({ format: 'jwk' }) as unknown as JsonObject],
    ['RSA without modulus', { kty: 'RSA', e: 'AQAB' }],
    ['RSA without exponent', { kty: 'RSA', n: bareJwk('RS256').n ?? '' }],
    ['RSA with an exponent of three bytes of zero', { ...bareJwk('RS256'), e: 'AAAA' }],
    ['RSA with a modulus that is text', { ...bareJwk('RS256'), n: 'no base64url!' }],
    ['RSA with a modulus that is a number', { ...bareJwk('RS256'), n: 7 }],
    ['EC without y', { kty: 'EC', crv: 'P-256', x: bareJwk('ES256').x ?? '' }],
    ['EC with a short x', { ...bareJwk('ES256'), x: 'AQAB' }],
    ['EC with the coordinates of another curve', { ...bareJwk('ES384'), crv: 'P-256' }],
    ['EC off its curve', { ...bareJwk('ES256'), y: bareJwk('ES256').x ?? '' }],
    ['EC on a curve that is not used', { ...bareJwk('ES256'), crv: 'secp256k1' }],
    ['EC on no curve', { ...bareJwk('ES256'), crv: 7 }],
    ['OKP for agreement', { ...bareJwk('EdDSA'), crv: 'X25519' }],
    ['OKP of another size', { ...bareJwk('EdDSA'), x: 'AQAB' }],
    ['for wrapping keys', { ...bareJwk('RS256'), key_ops: ['wrapKey'] }],
    ['for operations that are no list', { ...bareJwk('RS256'), key_ops: 'verify' }],
    ['for an algorithm of another kind', { ...bareJwk('RS256'), alg: 'ES256' }],
    ['for an algorithm that is not named', { ...bareJwk('RS256'), alg: null }],
    ['with a kid that is a number', { ...bareJwk('ES256'), kid: 7 }],
    ['with an empty kid', { ...bareJwk('ES256'), kid: '' }],
    ['with an endless kid', { ...bareJwk('ES256'), kid: 'x'.repeat(LIMITS.keyIdCharsMax + 1) }],
  ])('is none when it is %s', (_, jwk) => {
    expect(parsePublicJwk(jwk)).toBeUndefined();
  });

  it('may have e = 3 and say that it is for verifying', () => {
    expect(parsePublicJwk({ ...bareJwk('RS256'), e: base64url(Uint8Array.of(3)) })).toBeDefined();
    expect(parsePublicJwk({ ...bareJwk('RS256'), key_ops: ['verify'] })).toBeDefined();
  });
});

describe('a key set', () => {
  it('finds a key by its name, for the algorithm it is for', () => {
    const set = parseKeySet(jwks(ec.jwk, rsa.jwk), 'sig');
    expect(set.lookup(ec.kid, 'ES256')).toMatchObject({ state: 'found', key: { kid: ec.kid } });
    expect(set.lookup(ec.kid, 'RS256').state).toBe('unfit');
    expect(set.lookup('other', 'ES256').state).toBe('unknown');
  });

  it('finds the only key that fits when a token names none', () => {
    const set = parseKeySet(jwks(ec.jwk, rsa.jwk), 'sig');
    expect(set.lookup(undefined, 'ES256')).toMatchObject({ state: 'found', key: { kid: ec.kid } });
    expect(set.lookup(undefined, 'EdDSA').state).toBe('unknown');
    const two = parseKeySet(jwks(ec.jwk, makeKey('ES256', 'second').jwk), 'sig');
    expect(two.lookup(undefined, 'ES256').state).toBe('ambiguous');
  });

  it('keeps keys of the use that is asked for; without use they are for signatures', () => {
    const unused = without(ec.jwk, 'use');
    const svid = makeKey('ES256', 'svid', { use: 'jwt-svid' });
    const text = jwks(unused, rsa.jwk, svid.jwk, { ...rsa.jwk, kid: 'enc', use: 'enc' });
    expect(parseKeySet(text, 'sig').size).toBe(2);
    expect(parseKeySet(text, 'jwt-svid').size).toBe(1);
    expect(keyUseOf('jwt-svid')).toBe('jwt-svid');
    expect([keyUseOf('at+jwt'), keyUseOf('jwt')]).toEqual(['sig', 'sig']);
  });

  it('may be empty: then its issuer has withdrawn everything', () => {
    expect(parseKeySet(jwks(), 'sig').lookup(undefined, 'ES256').state).toBe('unknown');
  });

  it('is the same as another whatever the order, and differs by one name, key or algorithm', () => {
    const one = parseKeySet(jwks(ec.jwk, rsa.jwk), 'sig');
    const open = without(rsa.jwk, 'alg');
    expect(one.isSameAs(parseKeySet(jwks(rsa.jwk, ec.jwk), 'sig'))).toBe(true);
    const others = [
      [ec.jwk],
      [ec.jwk, open],
      [ec.jwk, { ...rsa.jwk, kid: 'x' }],
      [rsa.jwk, makeKey('ES256').jwk],
    ];
    for (const keys of others) expect(one.isSameAs(parseKeySet(jwks(...keys), 'sig'))).toBe(false);
  });

  it.each<[string, string, string]>([
    ['no JSON', '<html>', 'is no JSON'],
    ['nothing', '', 'is no JSON'],
    ['a member twice', '{"keys":[],"keys":[]}', 'is no JSON'],
    ['a list', '[]', 'is none'],
    ['no keys', '{}', 'is none'],
    ['keys that are no list', '{"keys":{}}', 'is none'],
    ['a key that is no object', '{"keys":["key"]}', 'is none'],
    [
      'too many keys',
      jwks(...Array.from({ length: LIMITS.jwksKeysMax + 1 }, () => ({}))),
      'has too many keys',
    ],
    ['too many bytes', jwks({ x5c: 'x'.repeat(LIMITS.jwksBytesMax) }), 'is too large'],
    ['too many bytes, few characters', jwks({ x: 'é'.repeat(LIMITS.jwksBytesMax / 2) }), 'is too large'],
  ])('is refused when it is %s', (_, text, message) => {
    expect(() => parseKeySet(text, 'sig')).toThrow(message);
    expect(() => parseKeySet(text, 'sig')).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }));
  });
});
