import { describe, expect, it } from 'vitest';
import { isUnreadable, parseAuthorization, parseCredential } from '../../src/credential/parse-credential.ts';

function detailOf(parsed: ReturnType<typeof parseCredential>): string {
  return isUnreadable(parsed) ? `${parsed.reason} ${parsed.detail}` : 'a credential';
}

describe('context.credential', () => {
  it('is the bare token, or an object', () => {
    expect(parseCredential('tok')).toEqual({ scheme: 'Bearer', token: 'tok' });
    expect(parseCredential({ token: 'tok' })).toEqual({ scheme: 'Bearer', token: 'tok' });
    const dpop = {
      scheme: 'DPoP',
      token: 'tok',
      proof: 'p',
      method: 'GET',
      uri: 'https://a/',
      certificate: 'c',
    };
    expect(parseCredential(dpop)).toEqual(dpop);
    expect(parseCredential({ scheme: 'ApiKey', token: 'key' })).toEqual({ scheme: 'ApiKey', token: 'key' });
    expect(parseCredential({ scheme: 'mTLS', certificate: 'c' })).toEqual({
      scheme: 'mTLS',
      token: '',
      certificate: 'c',
    });
  });

  it('names its scheme in any case, and members that are not known do not count', () => {
    for (const scheme of ['bearer', 'BEARER', 'Bearer'])
      expect(parseCredential({ scheme, token: 'tok', color: 7 })).toEqual({ scheme: 'Bearer', token: 'tok' });
    expect(parseCredential({ scheme: 'dpop', token: 'tok' })).toEqual({ scheme: 'DPoP', token: 'tok' });
  });

  it('that is absent is none; whatever else it is, it is never taken for absent', () => {
    expect(detailOf(parseCredential(undefined))).toBe('no_credential absent');
    for (const input of [null, 7, true, [], ['tok'], '', {}, { token: null }, { token: 7 }, { token: '' }])
      expect(detailOf(parseCredential(input)), JSON.stringify(input)).toBe('invalid_credential malformed');
  });

  it.each([
    { token: 'two tokens' },
    { token: 'tok\n' },
    { token: 'tökèn' },
    { token: 'tok', scheme: 7 },
    { token: 'tok', scheme: null },
    { token: 'tok', scheme: 'DPoP', proof: 7 },
    { token: 'tok', scheme: 'DPoP', method: null },
    { token: 'tok', scheme: 'DPoP', uri: {} },
    { token: 'tok', certificate: [] },
    { scheme: 'mTLS' },
    { scheme: 'mTLS', token: 'tok', certificate: 'c' },
    { scheme: 'ApiKey', certificate: 'c' },
  ])('is refused when it is mistyped: %j', (input) => {
    expect(detailOf(parseCredential(input))).toBe('invalid_credential malformed');
  });

  it.each(['Basic', '', 'Bearer ', 'toString'])('has one of four schemes, not %j', (scheme) => {
    expect(detailOf(parseCredential({ scheme, token: 'tok' }))).toBe('invalid_credential scheme_unsupported');
  });
});

describe('the Authorization header', () => {
  it('holds one credential of one scheme, in any case of name and scheme', () => {
    const expected = { scheme: 'Bearer', token: 'a.b-c_d~e+f/g==' };
    for (const name of ['Authorization', 'authorization', 'AUTHORIZATION'])
      for (const scheme of ['Bearer', 'bearer', 'BEARER'])
        expect(parseAuthorization(['Host', 'x', name, `${scheme} a.b-c_d~e+f/g==`])).toEqual(expected);
  });

  it('that is absent is no credential', () => {
    expect(detailOf(parseAuthorization([]))).toBe('no_credential absent');
    // A header's value that reads like the name of another is not that header.
    expect(detailOf(parseAuthorization(['X-Note', 'authorization', 'Bearer tok', 'x']))).toBe(
      'no_credential absent',
    );
  });

  it.each([
    ['twice', ['Authorization', 'Bearer a', 'Authorization', 'Bearer a']],
    ['twice in other case', ['Authorization', 'Bearer a', 'authorization', 'Basic b']],
    ['joined by a proxy', ['Authorization', 'Bearer a, Bearer b']],
    ['joined without a space', ['Authorization', 'Bearer a,b']],
  ])('is refused when there are several: %s', (_, rawHeaders) => {
    expect(detailOf(parseAuthorization(rawHeaders))).toBe('invalid_credential several_credentials');
  });

  it.each([
    '',
    'Bearer',
    'Bearer ',
    'tok',
    'Bearer  tok',
    'Bearer\ttok',
    'Bearer tok ',
    ' Bearer tok',
    'Bearer to k',
    'Bearer t=k',
    'Bearer tök',
    'Bearer: tok',
    'Bearer "tok"',
  ])('is refused when it is not scheme, one space, token: %j', (value) => {
    const detail = detailOf(parseAuthorization(['Authorization', value]));
    expect(detail).toMatch(/^invalid_credential (malformed|scheme_unsupported)$/);
  });

  it.each(['Basic dXNlcg==', 'ApiKey k', 'mTLS x', 'Negotiate abc'])(
    'is not for other schemes: %s',
    (value) => {
      expect(detailOf(parseAuthorization(['Authorization', value]))).toBe(
        'invalid_credential scheme_unsupported',
      );
    },
  );

  it('takes the DPoP proof along, and refuses two of them', () => {
    const authorization = ['Authorization', 'DPoP tok'];
    expect(parseAuthorization([...authorization, 'DPoP', 'a.b.c'])).toEqual({
      scheme: 'DPoP',
      token: 'tok',
      proof: 'a.b.c',
    });
    expect(parseAuthorization(authorization)).toEqual({ scheme: 'DPoP', token: 'tok' });
    for (const proofs of [
      ['dpop', 'a', 'DPoP', 'b'],
      ['DPoP', 'a,b'],
      ['DPOP', 'a, b'],
    ])
      expect(detailOf(parseAuthorization([...authorization, ...proofs]))).toBe(
        'invalid_credential several_proofs',
      );
    expect(parseAuthorization(['Authorization', 'Bearer tok', 'DPoP', 'a'])).toEqual({
      scheme: 'Bearer',
      token: 'tok',
    });
  });
});
