import { describe, expect, it } from 'vitest';
import { parseTokenHandle } from '../../src/credential/spelling.ts';
import { sha256Hex } from '../../src/kernel/digest.ts';
import {
  ISSUER,
  NOW_S,
  accessClaims,
  keyFor,
  makeKey,
  mintToken,
  signCompact,
  verifierOf,
} from '../support/tokens.ts';

const header = { alg: 'ES256' };

describe('the handle of a token that is not trusted', () => {
  it('is the SHA-256 of its signing input, with what the token says of issuer and end', () => {
    const token = mintToken({ key: makeKey('ES256', 'nobody'), claims: { exp: NOW_S - 9_000 } });
    expect(verifierOf().handleOfToken(token)).toEqual({
      digest: sha256Hex(token.slice(0, token.lastIndexOf('.'))),
      issuer: ISSUER,
      expiresAtS: NOW_S - 9_000,
    });
  });

  it('leaves out what the token says in no usable way', () => {
    const mistyped = signCompact(header, accessClaims({ iss: [ISSUER], exp: '9' }), keyFor('ES256'));
    expect(parseTokenHandle(mistyped)).toMatchObject({ issuer: undefined, expiresAtS: undefined });
    const twice = signCompact(header, '{"exp":1,"exp":2}', keyFor('ES256'));
    expect(parseTokenHandle(twice)).toMatchObject({ issuer: undefined, expiresAtS: undefined });
  });

  it('differs when one character of the signing input does', () => {
    const digests = ['a', 'b'].map((jti) => parseTokenHandle(mintToken({ claims: { jti } }))?.digest);
    expect(new Set(digests).size).toBe(2);
  });
});
