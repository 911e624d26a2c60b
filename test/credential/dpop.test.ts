import { describe, expect, it } from 'vitest';
import { judgeProof, normalUri } from '../../src/credential/dpop.ts';
import { parsePublicJwk } from '../../src/credential/jwk.ts';
import type { JwtVerifier } from '../../src/credential/verifier.ts';
import { sha256, toBase64Url } from '../../src/kernel/digest.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import type { ProofParts, TestKey } from '../support/tokens.ts';
import {
  NOW_MS,
  NOW_S,
  bearer,
  keyFor,
  makeKey,
  mintProof,
  mintToken,
  outcomeOf,
  presented,
  signCompact,
  signHmac,
  verifierOf,
  without,
} from '../support/tokens.ts';

const URI = 'https://api.example/orders';
const key = makeKey('ES256', 'dpop');

function thumbprintOf({ jwk }: TestKey): string {
  return parsePublicJwk(jwk as JsonObject)?.thumbprint ?? '';
}

const token = mintToken({ claims: { cnf: { jkt: thumbprintOf(key) } } });

/** What becomes of `token` with this proof, in a verifier that has seen none. */
function withProof(
  proof: string | undefined,
  verifier: JwtVerifier = verifierOf(),
  uri = URI,
): Promise<string> {
  const rest = { method: 'GET', uri, ...(proof === undefined ? {} : { proof }) };
  return outcomeOf(verifier, presented('DPoP', token, rest));
}

const mint = (parts: Partial<ProofParts> = {}): string => mintProof({ key, token, ...parts });

describe('the examples of RFC 9449', () => {
  const header =
    'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0' +
    'RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAt' +
    'MjU2In19';
  const tokenRequest =
    `${header}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3` +
    'Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70' +
    'nfbV37xRZT3Lg';
  const resourceRequest =
    `${header}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZ` +
    'y9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0N' +
    'BcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA';
  const jkt = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I';
  const opaque = 'Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU';
  const resource = {
    token: opaque,
    jkt,
    method: 'GET',
    uri: 'https://resource.example.org/protectedresource',
  };
  const atMs = 1_562_262_618_000;

  it('agree on the thumbprint of section 6.1 and the ath of section 7', () => {
    const { jwk } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { jwk: JsonObject };
    expect(parsePublicJwk(jwk)?.thumbprint).toBe(jkt);
    expect(toBase64Url(sha256(opaque))).toBe('fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo');
  });

  it('verify as the request they are about (section 7.1), and as no other', async () => {
    expect(await judgeProof(resourceRequest, resource, atMs)).toEqual({ ok: true, jti: 'e1j3V_bKic8-LAEB' });
    const other = await judgeProof(resourceRequest, { ...resource, token: 'other' }, atMs);
    expect(other).toMatchObject({ detail: 'proof_token' });
  });

  it('refuse the token request of figure 2 at a resource: it names no token', async () => {
    const demand = { ...resource, method: 'POST', uri: 'https://server.example.com/token' };
    expect(await judgeProof(tokenRequest, demand, atMs)).toMatchObject({ detail: 'proof_token' });
  });
});

describe('a token that is bound to a key', () => {
  it('is accepted with a proof by that key, each proof once', async () => {
    const verifier = verifierOf();
    const verification = await verifier.verify(
      presented('DPoP', token, { proof: mint(), method: 'GET', uri: URI }),
      NOW_MS,
    );
    expect(verification).toMatchObject({ ok: true, credential: { scheme: 'DPoP' } });
    expect(await withProof(mint(), verifier)).toBe('proof_replayed');
    expect(await withProof(mint({ claims: { jti: 'proof-2' } }), verifier)).toBe('ok');
  });

  it('lets one of two through that bring the same proof at the same moment', async () => {
    const verifier = verifierOf();
    const proof = mint();
    const outcomes = await Promise.all([withProof(proof, verifier), withProof(proof, verifier)]);
    expect(outcomes.toSorted()).toEqual(['ok', 'proof_replayed']);
  });

  it('is never a bearer token, neither cold nor after it was accepted', async () => {
    const verifier = verifierOf();
    expect(await outcomeOf(verifier, bearer(token))).toBe('proof_required');
    expect(await withProof(mint(), verifier)).toBe('ok');
    expect(await outcomeOf(verifier, bearer(token))).toBe('proof_required');
    const downgraded = presented('Bearer', token, {
      proof: mint({ claims: { jti: '2' } }),
      method: 'GET',
      uri: URI,
    });
    expect(await outcomeOf(verifier, downgraded)).toBe('proof_required');
  });

  it('needs the proof, and to know which request it came with', async () => {
    expect(await withProof(undefined)).toBe('proof_required');
    expect(await outcomeOf(verifierOf(), presented('DPoP', token, { proof: mint(), uri: URI }))).toBe(
      'proof_required',
    );
    expect(await outcomeOf(verifierOf(), presented('DPoP', token, { proof: mint(), method: 'GET' }))).toBe(
      'proof_required',
    );
  });

  it('does not lend its scheme to a token that is not bound', async () => {
    const free = mintToken();
    const rest = { proof: mint({ token: free }), method: 'GET', uri: URI };
    expect(await outcomeOf(verifierOf(), presented('DPoP', free, rest))).toBe('not_bound');
  });

  it('is still judged itself, proof or not', async () => {
    const late = presented('DPoP', token, { proof: mint(), method: 'GET', uri: URI });
    expect(await outcomeOf(verifierOf(), late, NOW_MS + 3_600_000)).toBe('expired');
  });
});

describe('a proof', () => {
  const jwk = without(key.jwk, 'kid', 'alg', 'use');
  const privateJwk = key.privateKey.export({ format: 'jwk' });

  it.each<[string, object]>([
    ['typ absent', { typ: undefined }],
    ['typ of an access token', { typ: 'at+jwt' }],
    ['typ in other case', { typ: 'DPoP+JWT' }],
    ['alg none', { alg: 'none' }],
    ['alg symmetric', { alg: 'HS256' }],
    ['alg absent', { alg: undefined }],
    ['no jwk', { jwk: undefined }],
    ['jwk that is no object', { jwk: 'key' }],
    ['jwk with a private member', { jwk: privateJwk }],
    ['jwk with an empty private member', { jwk: { ...jwk, d: '' } }],
    ['jwk symmetric', { jwk: { kty: 'oct', k: 'c2VjcmV0' } }],
    ['jwk off the curve', { jwk: { ...jwk, y: jwk.x } }],
    [
      'jwk of short RSA',
      { jwk: makeKey('RS256', 'x', { rsaBits: 1024 }).publicKey.export({ format: 'jwk' }) },
    ],
    ['crit', { crit: ['x'], x: 1 }],
    ['b64', { b64: true }],
  ])('is refused for its header: %s', async (_, header) => {
    expect(await withProof(mint({ header: header as Record<string, unknown> }))).toBe('proof');
  });

  it.each<[string, string]>([
    ['empty', ''],
    ['no JWS', 'proof'],
    ['two of them joined', `${mint()},${mint()}`],
    ['with padding', `${mint()}=`],
    ['with a space', `${mint()} `],
    ['too large', mint({ claims: { pad: 'x'.repeat(LIMITS.tokenBytesMax) } })],
    ['header no object', signCompact('[]', {}, key)],
    ['claims no object', signCompact({ typ: 'dpop+jwt', alg: 'ES256', jwk }, '[]', key)],
    ['a claim twice', signCompact({ typ: 'dpop+jwt', alg: 'ES256', jwk }, '{"htm":"GET","htm":"POST"}', key)],
    ['HMAC under the public key', signHmac({ typ: 'dpop+jwt', alg: 'HS256', jwk }, {}, JSON.stringify(jwk))],
  ])('is refused when it is %s', async (_, proof) => {
    expect(await withProof(proof)).toBe('proof');
  });

  it.each(['jti', 'htm', 'htu', 'iat'])(
    'is refused without %s, or with one of another type',
    async (claim) => {
      for (const value of [undefined, null, [], {}, true, claim === 'iat' ? '1800000000' : 7])
        expect(await withProof(mint({ claims: { [claim]: value } }))).toBe('proof');
    },
  );

  it('is refused with an iat that is no whole second, and with an empty jti', async () => {
    for (const iat of [NOW_S + 0.5, -1, 1e300])
      expect(await withProof(mint({ claims: { iat } }))).toBe('proof');
    expect(await withProof(mint({ claims: { jti: '' } }))).toBe('proof');
  });

  it('is by the key the token is bound to, not by another that signs well', async () => {
    expect(await withProof(mint({ key: makeKey('ES256', 'other') }))).toBe('proof_key');
    expect(await withProof(mint({ key: keyFor('RS256') }))).toBe('proof_key');
    expect(await withProof(mint({ header: { alg: 'ES384' } }))).toBe('proof_key');
    const forged = signCompact(
      { typ: 'dpop+jwt', alg: 'ES256', jwk },
      JSON.parse(payloadOf(mint())) as object,
      {
        ...makeKey('ES256', 'mallory'),
      },
    );
    expect(await withProof(forged)).toBe('proof_signature');
  });

  it.each<[string, object, string]>([
    ['another method', { htm: 'POST' }, 'proof_method'],
    ['the method in other case', { htm: 'get' }, 'proof_method'],
    ['another path', { htu: 'https://api.example/admin' }, 'proof_uri'],
    ['another host', { htu: 'https://api.example.evil/orders' }, 'proof_uri'],
    ['another scheme', { htu: 'http://api.example/orders' }, 'proof_uri'],
    ['another port', { htu: 'https://api.example:8443/orders' }, 'proof_uri'],
    ['a slash more', { htu: 'https://api.example/orders/' }, 'proof_uri'],
    ['a path in other case', { htu: 'https://api.example/Orders' }, 'proof_uri'],
    ['no URI', { htu: '/orders' }, 'proof_uri'],
    ['another token', { ath: toBase64Url(sha256('other')) }, 'proof_token'],
    ['no token', { ath: undefined }, 'proof_token'],
    ['a token’s hash with padding', { ath: `${toBase64Url(sha256(token))}=` }, 'proof_token'],
    ['long ago', { iat: NOW_S - 61 }, 'proof_time'],
    ['an hour ago', { iat: NOW_S - 3_600 }, 'proof_time'],
    ['in an hour', { iat: NOW_S + 3_600 }, 'proof_time'],
    ['in a moment', { iat: NOW_S + 61 }, 'proof_time'],
  ])('is refused when it is about %s', async (_, claims, expected) => {
    expect(await withProof(mint({ claims: claims as Record<string, unknown> }))).toBe(expected);
  });

  it.each([-60, -10, 0, 10, 60])(
    'is accepted %i s from now (FAPI 2: 10 s either way must pass)',
    async (offset) => {
      expect(await withProof(mint({ claims: { iat: NOW_S + offset } }))).toBe('ok');
    },
  );

  it('may hold headers and claims that are not known, a nonce among them', async () => {
    const parts = { header: { kid: 'x', jku: 'https://evil.example' }, claims: { nonce: 'n', iss: 'x' } };
    expect(await withProof(mint(parts))).toBe('ok');
  });

  it('is about the URI without query and fragment, in whatever spelling means the same', async () => {
    const same = ['HTTPS://API.EXAMPLE:443/orders', `${URI}?a=1`, `${URI}#x`, 'https://api.example/%6frders'];
    for (const htu of same) expect(await withProof(mint({ claims: { htu } }))).toBe('ok');
    expect(await withProof(mint(), verifierOf(), `${URI}?page=2#top`)).toBe('ok');
    expect(await withProof(mint(), verifierOf(), 'not a uri')).toBe('proof_uri');
  });
});

function payloadOf(jws: string): string {
  return Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString();
}

describe('the normal form of a URI', () => {
  it.each([
    ['HTTP://Example.COM:80', 'http://example.com/'],
    ['https://example.com:8443/a', 'https://example.com:8443/a'],
    ['https://example.com/a/./b/../c', 'https://example.com/a/c'],
    ['https://example.com/%7euser/%c3%a9%2f', 'https://example.com/~user/%C3%A9%2F'],
    ['https://[::1]:443/', 'https://[::1]/'],
  ])('of %s is %s', (text, normal) => {
    expect(normalUri(text)).toBe(normal);
  });

  it.each([
    '',
    '/a',
    'ftp://example.com/',
    'https://user@example.com/',
    'https://user:pw@example.com/',
    'https://:pw@example.com/',
    'https://example.com/a b',
    'https://example.com\\a',
    'https://exämple.com/',
    'https://example.com/\n',
    'https:///a',
    'https://[::1/',
  ])('is none for %j', (text) => {
    expect(normalUri(text)).toBeUndefined();
  });
});
