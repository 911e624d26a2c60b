/**
 * Each row of THREATS.md section 5.1 as something that is tried. A refusal proves that nothing behind it ran: no key
 * was fetched, nothing is kept, and a good token is still accepted afterwards.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALGORITHMS } from '../../src/credential/issuer.ts';
import { parseKeySet } from '../../src/credential/key-set.ts';
import { isUnreadable, parseAuthorization } from '../../src/credential/parse-credential.ts';
import type { JwtVerifier } from '../../src/credential/verifier.ts';
import { RefreshedKeys } from '../../src/edges/idp/refreshed-keys.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import type { TestKey } from '../support/tokens.ts';
import {
  AUDIENCE,
  ISSUER,
  MemoryKeys,
  NOW_MS,
  NOW_S,
  accessClaims,
  base64url,
  bearer,
  issuerOf,
  keyFor,
  makeKey,
  mintToken,
  outcomeOf,
  presented,
  signCompact,
  signHmac,
  signatureOf,
  verified,
  verifierOf,
} from '../support/tokens.ts';

const ec = keyFor('ES256');
const rsa = keyFor('RS256');

/** Order of P-256: (r, n - s) verifies wherever (r, s) does. */
const N = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');

function hexOf(value: bigint): string {
  return value.toString(16).padStart(64, '0');
}

function withSignature(token: string, signature: Uint8Array): string {
  return `${token.slice(0, token.lastIndexOf('.') + 1)}${base64url(signature)}`;
}

function flipS(token: string): string {
  const raw = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url');
  const s = BigInt(`0x${raw.subarray(32).toString('hex')}`);
  return withSignature(token, Buffer.concat([raw.subarray(0, 32), Buffer.from(hexOf(N - s), 'hex')]));
}

/** The last character of each part with its unused bits set, where it has any. */
function unusedBits(token: string, part: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const parts = token.split('.');
  const text = parts[part] ?? '';
  if (text.length % 4 === 0) return `${token}=`;
  const last = alphabet[alphabet.indexOf(text.at(-1) ?? '') + 1] ?? '=';
  parts[part] = text.slice(0, -1) + last;
  return parts.join('.');
}

async function tokHandle(verifier: JwtVerifier, token: string): Promise<string | undefined> {
  const { handles } = await verified(verifier, token);
  return handles.handles.find((handle) => handle.kind === 'tok')?.parts[0];
}

describe('a token in another spelling', () => {
  const token = mintToken();
  const digest = createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('hex');

  it.each<[string, string]>([
    ['padding at the end', `${token}==`],
    ['padding inside', token.replace('.', '=.')],
    ['a space before the signature', token.replace(/\.(?=[^.]*$)/, '. ')],
    ['a line feed at the end', `${token}\n`],
    ['a line feed at the front', `\n${token}`],
    ['a tab inside', `${token.slice(0, 20)}\t${token.slice(20)}`],
    ['unused bits of the header', unusedBits(token, 0)],
    ['unused bits of the payload', unusedBits(token, 1)],
    ['unused bits of the signature', unusedBits(token, 2)],
    ['the other base64 alphabet', `${token.slice(0, -2)}+/`],
    ['a percent-encoded dot', token.replace('.', '%2e')],
    ['a full-width dot', token.replace('.', '．')],
    ['a zero byte', `${token}\0`],
    ['a fourth part', `${token}.`],
    ['an empty payload', token.replace(/\.[^.]*\./, '..')],
    ['no signature', token.slice(0, token.lastIndexOf('.') + 1)],
    ['two parts', token.slice(0, token.lastIndexOf('.'))],
    ['no dot', token.replaceAll('.', '')],
    ['nothing', ''],
  ])('is refused before it is verified: %s', async (_, spelling) => {
    expect(await outcomeOf(verifierOf(), spelling)).toBe('encoding');
    expect(verifierOf().handleOfToken(spelling)).toBeUndefined();
  });

  it('keeps its handle under the other ECDSA s, the one spelling that base64 cannot tell', async () => {
    const verifier = verifierOf();
    expect(flipS(token)).not.toBe(token);
    expect(await tokHandle(verifier, token)).toBe(digest);
    expect(await tokHandle(verifier, flipS(token))).toBe(digest);
    expect(verifier.handleOfToken(flipS(token))?.digest).toBe(digest);
  });

  it('is refused or keeps its handle, whatever is changed anywhere in it', async () => {
    const verifier = verifierOf();
    const character = fc.oneof(
      fc.constantFrom(...'A Q g w - _ + / = . \n \t \r \0 " { }'.split(' '), ' '),
      fc.string({ minLength: 1, maxLength: 2, unit: 'binary' }),
    );
    const edit = fc.record({
      at: fc.nat(token.length),
      take: fc.nat(2),
      put: fc.array(character, { maxLength: 2 }),
    });
    const spelling = fc
      .tuple(fc.boolean(), fc.array(edit, { maxLength: 2 }))
      .map(([isFlipped, edits]) =>
        edits.reduce(
          (text, { at, take, put }) => text.slice(0, at) + put.join('') + text.slice(at + take),
          isFlipped ? flipS(token) : token,
        ),
      );
    await fc.assert(
      fc.asyncProperty(spelling, async (text) => {
        const verification = await verifier.verify(bearer(text), NOW_MS);
        if (verification.ok) expect(await tokHandle(verifier, text)).toBe(digest);
        else expect(text).not.toBe(token);
      }),
      { numRuns: 500 },
    );
  });

  it('is one credential whatever the scheme is spelled like, and none with another space', () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR'])
      expect(parseAuthorization(['Authorization', `${scheme} ${token}`])).toEqual(bearer(token));
    for (const value of [`Bearer  ${token}`, `Bearer\t${token}`, ` Bearer ${token}`, `Bearer ${token} `])
      expect(isUnreadable(parseAuthorization(['authorization', value]))).toBe(true);
  });
});

describe('a token that chooses its own algorithm', () => {
  const both = issuerOf({ algorithms: ['RS256', 'ES256'], keys: new MemoryKeys([rsa, ec]) });
  const claims = accessClaims();

  it.each([
    'none',
    'None',
    'NONE',
    'nOnE',
    'none ',
    ' none',
    'none\0',
    'nоne',
    '',
    'null',
    'es256',
    'ES256 ',
  ])('is refused: alg %j, signed, unsigned and with an empty signature', async (alg) => {
    const header = { alg, typ: 'at+jwt', kid: ec.kid };
    const signed = signCompact(header, claims, ec);
    expect(await outcomeOf(verifierOf([both]), signed)).toBe('algorithm');
    const unsigned = signed.slice(0, signed.lastIndexOf('.') + 1);
    expect(await outcomeOf(verifierOf([both]), unsigned)).toBe('encoding');
  });

  it.each([[null], [5], [['ES256']], [{}], [undefined], [true]])('is refused: alg %j', async (alg) => {
    const token = signCompact({ alg, typ: 'at+jwt', kid: ec.kid }, claims, ec);
    expect(await outcomeOf(verifierOf([both]), token)).toBe('algorithm');
  });

  it('cannot use a public key as an HMAC secret, in any of its forms', async () => {
    const spki = rsa.publicKey.export({ format: 'pem', type: 'spki' });
    const secrets = [
      spki,
      spki.trim(),
      `\n ${spki}`,
      rsa.publicKey.export({ format: 'der', type: 'spki' }),
      rsa.publicKey.export({ format: 'pem', type: 'pkcs1' }),
      JSON.stringify(rsa.jwk),
      Buffer.from(String(rsa.jwk.n), 'base64url'),
      '',
    ];
    for (const alg of ['HS256', 'HS384', 'HS512', 'RS256'])
      for (const secret of secrets) {
        const token = signHmac({ alg, typ: 'at+jwt', kid: rsa.kid }, claims, secret);
        expect(await outcomeOf(verifierOf([both]), token)).toBe(alg === 'RS256' ? 'signature' : 'algorithm');
      }
  });

  it('cannot use a key for an algorithm that is not the key’s own, allowed or not', async () => {
    const all = issuerOf({ algorithms: ALGORITHMS, keys: new MemoryKeys([rsa, ec]) });
    const pss = { ...rsa, algorithm: 'PS256' } as const;
    const token = mintToken({ key: pss });
    expect(await outcomeOf(verifierOf([all]), token)).toBe('algorithm');
    expect(await outcomeOf(verifierOf([both]), token)).toBe('algorithm');
    const es384 = mintToken({ key: ec, header: { alg: 'ES384' } });
    expect(await outcomeOf(verifierOf([all]), es384)).toBe('algorithm');
    const crossed = mintToken({ key: ec, header: { alg: 'RS256' } });
    expect(await outcomeOf(verifierOf([both]), crossed)).toBe('algorithm');
  });

  it('cannot use an algorithm that its issuer is not configured for, though the key is published', async () => {
    const narrow = issuerOf({ algorithms: ['RS256'], keys: new MemoryKeys([rsa, ec]) });
    expect(await outcomeOf(verifierOf([narrow]), mintToken({ key: ec }))).toBe('algorithm');
    expect(await outcomeOf(verifierOf([narrow]), mintToken({ key: rsa }))).toBe('ok');
  });
});

describe('a token that brings its own key', () => {
  let connections = 0;
  const canary = createServer((_request, response) => {
    response.end(JSON.stringify({ keys: [mallory.jwk] }));
  });
  const mallory = makeKey('ES256', 'mallory');
  let url = '';

  beforeAll(async () => {
    canary.on('connection', () => (connections += 1));
    await new Promise<void>((resolve) => canary.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(canary.address() as AddressInfo).port}/jwks`;
  });

  afterAll(() => {
    canary.close();
  });

  it.each<[string, (at: string) => unknown]>([
    ['jwk', () => mallory.jwk],
    ['jku', (at) => at],
    ['x5u', (at) => at],
    ['x5c', () => ['MIIB']],
  ])('is refused for its %s, and nothing is fetched', async (member, valueOf) => {
    const keys = new MemoryKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys })]);
    for (const kid of ['mallory', ec.kid, undefined]) {
      const token = mintToken({ key: mallory, header: { kid, [member]: valueOf(url) } });
      expect(await outcomeOf(verifier, token)).toBe('header');
      // Even with the right key behind it: the member says that somebody is meant to use it.
      expect(await outcomeOf(verifier, mintToken({ header: { [member]: valueOf(url) } }))).toBe('header');
    }
    expect(keys.refreshes).toBe(0);
    expect(connections).toBe(0);
  });
});

describe('a kid that is more than a name', () => {
  it.each([
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '../../../../dev/null',
    "' OR 1=1 --",
    '$(id)',
    'ES256-key\0',
    'ES256-KEY',
    ' ES256-key',
    'x'.repeat(LIMITS.keyIdCharsMax),
  ])('finds no key: %j', async (kid) => {
    expect(await outcomeOf(verifierOf(), mintToken({ header: { kid } }))).toBe('key_unknown');
  });

  it.each([[''], ['x'.repeat(LIMITS.keyIdCharsMax + 1)], [null], [7], [['ES256-key']], [{ kid: 1 }]])(
    'is refused as none: %j',
    async (kid) => {
      expect(await outcomeOf(verifierOf(), mintToken({ header: { kid } }))).toBe('key_id');
    },
  );

  it('is missing: only the one key that fits is taken, never one of several', async () => {
    const token = mintToken({ header: { kid: undefined } });
    expect(await outcomeOf(verifierOf(), token)).toBe('ok');
    const two = new MemoryKeys([ec, makeKey('ES256', 'second'), rsa]);
    expect(await outcomeOf(verifierOf([issuerOf({ keys: two })]), token)).toBe('key_id');
    const mixed = issuerOf({ algorithms: ['RS256', 'ES256'], keys: new MemoryKeys([ec, rsa]) });
    expect(await outcomeOf(verifierOf([mixed]), token)).toBe('ok');
  });

  it('is random, 10,000 times: the issuer is asked once in a cool-down', async () => {
    let fetches = 0;
    let wallMs = NOW_MS;
    const load = async (): Promise<string> => {
      fetches += 1;
      return JSON.stringify({ keys: [ec.jwk] });
    };
    const clock = { now: () => ({ monoMs: wallMs, wallMs }) };
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const keys = new RefreshedKeys(load, { issuer: ISSUER, use: 'sig', clock, log });
    await keys.refresh();
    const verifier = verifierOf([issuerOf({ keys })]);
    const flood = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i += 50) {
        const outcomes = Array.from({ length: 50 }, () =>
          outcomeOf(verifier, mintUnsigned({ kid: randomBytes(8).toString('hex') })),
        );
        expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['key_unknown']));
      }
    };
    await flood(5_000);
    expect(fetches).toBe(1);
    wallMs += LIMITS.jwksCoolDownMs;
    await flood(5_000);
    expect(fetches).toBe(2);
    expect(await outcomeOf(verifier, mintToken())).toBe('ok');
  });
});

/** Well formed up to the signature, which is 64 bytes of nothing: cheap to make by the thousand. */
function mintUnsigned(header: object): string {
  const input = `${base64url({ alg: 'ES256', typ: 'at+jwt', ...header })}.${base64url(accessClaims())}`;
  return `${input}.${base64url(new Uint8Array(64))}`;
}

describe('a key set that leaves a choice', () => {
  const jwks = (...keys: object[]): string => JSON.stringify({ keys });

  it('is refused whole when it names two keys alike, of one kind or of two', () => {
    const twin = { ...makeKey('ES256').jwk, kid: ec.kid };
    expect(() => parseKeySet(jwks(ec.jwk, twin), 'sig')).toThrow('names a key twice');
    expect(() => parseKeySet(jwks(ec.jwk, { ...rsa.jwk, kid: ec.kid }), 'sig')).toThrow('names a key twice');
    expect(() => parseKeySet(jwks(ec.jwk, ec.jwk), 'sig')).toThrow('names a key twice');
  });

  it('is refused whole when a private or symmetric key lies in it', () => {
    const secrets = [
      { kty: 'oct', k: base64url('secret'), kid: 'hmac', alg: 'HS256' },
      { ...ec.privateKey.export({ format: 'jwk' }), kid: 'private' },
      { ...rsa.privateKey.export({ format: 'jwk' }), kid: 'private' },
      { ...rsa.jwk, k: '' },
    ];
    for (const secret of secrets)
      expect(() => parseKeySet(jwks(ec.jwk, secret), 'sig')).toThrow('holds a secret key');
  });

  it('leaves out keys that are for something else', () => {
    const others = [
      { ...rsa.jwk, kid: 'a', use: 'enc' },
      { ...rsa.jwk, kid: 'b', alg: 'RSA-OAEP-256' },
      { ...rsa.jwk, kid: 'c', alg: 'HS256' },
      { ...rsa.jwk, kid: 'd', alg: 7 },
      { ...rsa.jwk, kid: 'e', key_ops: ['encrypt'] },
      { ...ec.jwk, kid: 'f', crv: 'P-384' },
      { ...ec.jwk, kid: 'g', crv: 'secp256k1' },
    ];
    const set = parseKeySet(jwks(ec.jwk, ...others), 'sig');
    expect(set.size).toBe(1);
    for (const { kid } of others) expect(set.lookup(kid, 'RS256').state).toBe('unknown');
  });

  it('leaves out RSA keys that are short, without exponent, or of the ROCA kind', async () => {
    const short = makeKey('RS256', 'short', { rsaBits: 1024 });
    const n = Buffer.from(String(rsa.jwk.n), 'base64url');
    const weak: [string, object][] = [
      ['1024 bits', short.jwk],
      ['e = 1', { ...rsa.jwk, e: base64url(Uint8Array.of(1)) }],
      ['e = 0', { ...rsa.jwk, e: base64url(Uint8Array.of(0)) }],
      ['e = 2', { ...rsa.jwk, e: base64url(Uint8Array.of(2)) }],
      ['e even', { ...rsa.jwk, e: base64url(Uint8Array.of(1, 0, 0)) }],
      ['e of five bytes', { ...rsa.jwk, e: base64url(Uint8Array.of(1, 0, 0, 0, 1)) }],
      ['e with a leading zero', { ...rsa.jwk, e: base64url(Uint8Array.of(0, 1, 0, 1)) }],
      ['n even', { ...rsa.jwk, n: base64url(Buffer.concat([n.subarray(0, -1), Uint8Array.of(2)])) }],
      [
        'n padded to size',
        { ...short.jwk, n: base64url(Buffer.concat([Buffer.alloc(128), n.subarray(128)])) },
      ],
      [
        'n of 8,193 bits',
        { ...rsa.jwk, n: base64url(Buffer.concat([Uint8Array.of(1), Buffer.alloc(1024, 1)])) },
      ],
      ['ROCA', { ...rsa.jwk, n: base64url(Buffer.from(rocaModulus().toString(16), 'hex')) }],
    ];
    for (const [name, jwk] of weak) expect(parseKeySet(jwks(jwk), 'sig').size, name).toBe(0);
    expect(parseKeySet(jwks(rsa.jwk), 'sig').size).toBe(1);
    const keys = new MemoryKeys([short]);
    const verifier = verifierOf([issuerOf({ algorithms: ['RS256'], keys })]);
    expect(await outcomeOf(verifier, mintToken({ key: short }))).toBe('key_unknown');
  });
});

/** 2,048 bits that are a power of 65537 modulo the product of the first primes, as the chips of ROCA made them. */
function rocaModulus(): bigint {
  const primes = [2n, 3n, 5n, 7n, 11n, 13n, 17n, 19n, 23n, 29n, 31n, 37n, 41n, 43n, 47n, 53n, 59n, 61n, 67n]
    .concat([71n, 73n, 79n, 83n, 89n, 97n, 101n, 103n, 107n, 109n, 113n, 127n, 131n, 137n, 139n, 149n, 151n])
    .concat([157n, 163n, 167n]);
  const product = primes.reduce((left, right) => left * right);
  const power = 65_537n ** 12n % product;
  const top = (1n << 2047n) / product + 1n;
  return top * product + power;
}

describe('a signature that is none', () => {
  const token = mintToken();
  const [r, s] = [1, 2].map((i) => Buffer.alloc(32, i));

  it.each<[string, bigint, bigint]>([
    ['(0, 0)', 0n, 0n],
    ['(0, 1)', 0n, 1n],
    ['(1, 0)', 1n, 0n],
    ['(n, n)', N, N],
    ['(n, 0)', N, 0n],
    ['(n + 1, 1)', N + 1n, 1n],
    ['(1, n - 1)', 1n, N - 1n],
  ])('is refused: %s', async (_, left, right) => {
    const signature = Buffer.from(hexOf(left) + hexOf(right), 'hex');
    expect(await outcomeOf(verifierOf(), withSignature(token, signature))).toBe('signature');
  });

  it.each<[string, Uint8Array]>([
    ['DER', Buffer.concat([Buffer.from('30440220', 'hex'), r!, Buffer.from('0220', 'hex'), s!])],
    ['63 bytes', Buffer.alloc(63, 1)],
    ['65 bytes', Buffer.alloc(65, 1)],
    ['one byte', Buffer.alloc(1)],
    ['r and s of another length', Buffer.alloc(96, 1)],
  ])('is refused: %s', async (_, signature) => {
    expect(await outcomeOf(verifierOf(), withSignature(token, signature))).toBe('signature');
  });

  it('is of another key, of another token, or has one bit changed', async () => {
    const other = mintToken({ key: makeKey('ES256', ec.kid) });
    expect(await outcomeOf(verifierOf(), other)).toBe('signature');
    const signature = signatureOf('something.else', ec);
    expect(await outcomeOf(verifierOf(), withSignature(token, signature))).toBe('signature');
    const good = signatureOf(token.slice(0, token.lastIndexOf('.')), ec);
    for (let bit = 0; bit < 512; bit += 37) {
      const bad = Uint8Array.from(good, (byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      expect(await outcomeOf(verifierOf(), withSignature(token, bad))).toBe('signature');
    }
  });
});

describe('a token that is not a compact JWS', () => {
  const token = mintToken();
  const [header = '', payload = '', signature = ''] = token.split('.');

  it.each<[string, string]>([
    ['JWE of five parts', `${token}.${header}.${signature}`],
    ['JWE with zip', `${base64url({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' })}..aXY.Y2lwaGVy.dGFn`],
    ['JWE with PBES2', `${base64url({ alg: 'PBES2-HS512+A256KW', p2c: 2e9, enc: 'A256GCM' })}.a.a.a.a`],
    ['flattened JSON', JSON.stringify({ protected: header, payload, signature })],
    ['general JSON', JSON.stringify({ payload, signatures: [{ protected: header, signature }] })],
    ['JSON inside a part', `${header}.${payload}.${JSON.stringify({ signature })}`],
    ['polyglot of both', `{"a":"${token}"}`],
    ['four parts', `${token}.${signature}`],
  ])('is refused before anything of it is parsed: %s', async (_, text) => {
    expect(await outcomeOf(verifierOf(), text)).toBe('encoding');
  });

  it('is refused when its algorithm is one of JWE', async () => {
    const jwe = { alg: 'RSA-OAEP', enc: 'A256GCM', kid: ec.kid, typ: 'at+jwt' };
    expect(await outcomeOf(verifierOf(), signCompact(jwe, accessClaims(), ec))).toBe('algorithm');
  });
});

describe('a header that changes the rules', () => {
  it.each([
    [{ crit: ['exp'], exp: NOW_S }],
    [{ crit: ['b64'], b64: false }],
    [{ crit: ['b64'], b64: true }],
    [{ crit: [] }],
    [{ crit: null }],
    [{ b64: false }],
    [{ b64: true }],
    [{ crit: ['http://example.invalid/UNDEFINED'], 'http://example.invalid/UNDEFINED': true }],
  ])('is refused: %j', async (header) => {
    expect(await outcomeOf(verifierOf(), mintToken({ header }))).toBe('header');
  });

  it('is refused when the payload was signed without being encoded', async () => {
    const header = base64url({ alg: 'ES256', typ: 'at+jwt', kid: ec.kid, b64: false, crit: ['b64'] });
    const payload = JSON.stringify(accessClaims());
    const signature = base64url(signatureOf(`${header}.${payload}`, ec));
    expect(await outcomeOf(verifierOf(), `${header}.${payload}.${signature}`)).toBe('encoding');
  });

  it.each(['null', '[]', '"header"', '7', '{', '', '{"alg":"ES256"}x', '\ufeff{}'])(
    'is refused when it is no JSON object: %j',
    async (text) => {
      const token = signCompact(text === '' ? ' ' : text, accessClaims(), ec);
      expect(await outcomeOf(verifierOf(), token)).toBe('header');
    },
  );
});

describe('claims that two parsers read differently', () => {
  const good = JSON.stringify(accessClaims());
  const inserted = (text: string): string => `{${text},${good.slice(1)}`;

  it.each<[string, string]>([
    ['a claim twice', inserted('"sub":"admin"')],
    ['a claim twice, once escaped', inserted('"s\\u0075b":"admin"')],
    ['a claim twice, deep inside', inserted('"a":{"b":{"c":1,"c":2}}')],
    ['__proto__', inserted('"__proto__":{"admin":true}')],
    ['__proto__, escaped', inserted('"__pr\\u006fto__":{"admin":true}')],
    ['__proto__, deep inside', inserted('"a":[{"__proto__":{"admin":true}}]')],
    ['constructor', inserted('"constructor":{"prototype":{"admin":true}}')],
    ['prototype', inserted('"prototype":{}')],
    ['deeper than 32', inserted(`"a":${'['.repeat(33)}${']'.repeat(33)}`)],
    ['an array', `[${good}]`],
    ['null', 'null'],
    ['a string', '"claims"'],
    ['a byte order mark', `\ufeff${good}`],
    ['two objects', `${good}${good}`],
    ['a comment', `/**/${good}`],
    ['a trailing comma', `${good.slice(0, -1)},}`],
    ['NaN', inserted('"nbf":NaN')],
    ['half a surrogate pair', inserted('"sid":"\\ud800"')],
  ])('are refused: %s', async (_, text) => {
    const before = Object.getOwnPropertyNames(Object.prototype).toString();
    const token = signCompact({ alg: 'ES256', typ: 'at+jwt', kid: ec.kid }, text, ec);
    expect(await outcomeOf(verifierOf(), token)).toBe('claims');
    expect(Object.getOwnPropertyNames(Object.prototype).toString()).toBe(before);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it('are refused when they are not UTF-8', async () => {
    const bytes = Buffer.concat([Buffer.from(good.slice(0, -1)), Buffer.from(',"x":"\xff"}', 'latin1')]);
    const input = `${base64url({ alg: 'ES256', typ: 'at+jwt', kid: ec.kid })}.${base64url(bytes)}`;
    expect(await outcomeOf(verifierOf(), `${input}.${base64url(signatureOf(input, ec))}`)).toBe('claims');
  });

  it('are refused in the header too', async () => {
    const header = '{"alg":"none","typ":"at+jwt","kid":"ES256-key","alg":"ES256"}';
    expect(await outcomeOf(verifierOf(), signCompact(header, accessClaims(), ec))).toBe('header');
  });
});

describe('a token of another kind', () => {
  const TYPES: readonly unknown[] = [
    'at+jwt',
    'AT+JWT',
    'application/at+jwt',
    'JWT',
    'jwt',
    undefined,
    'JOSE',
    'logout+jwt',
    'secevent+jwt',
    'dpop+jwt',
    'token-introspection+jwt',
    'wit+jwt',
    'txntoken+jwt',
    'application/jwt',
    'at+jwt ',
    '',
    null,
    ['at+jwt'],
  ];

  const ACCEPTED = {
    'at+jwt': ['at+jwt', 'AT+JWT', 'application/at+jwt'],
    jwt: ['at+jwt', 'AT+JWT', 'application/at+jwt', 'JWT', 'jwt', undefined],
    'jwt-svid': ['JWT', undefined, 'JOSE'],
  } as const;

  it.each(Object.keys(ACCEPTED) as (keyof typeof ACCEPTED)[])(
    'is refused by its typ wherever %s is asked for',
    async (tokenType) => {
      const use = tokenType === 'jwt-svid' ? 'jwt-svid' : 'sig';
      const key: TestKey = { ...ec, jwk: { ...ec.jwk, use } };
      const verifier = verifierOf([issuerOf({ tokenType, keys: new MemoryKeys([key], use) })]);
      for (const typ of TYPES) {
        const token = mintToken({ header: { typ }, claims: { sub: 'spiffe://example.org/billing' } });
        const isGood = (ACCEPTED[tokenType] as readonly unknown[]).includes(typ);
        expect(await outcomeOf(verifier, token), JSON.stringify(typ)).toBe(isGood ? 'ok' : 'type');
      }
    },
  );

  it.each([
    ['ID token', { nonce: 'n-0S6' }],
    ['ID token', { at_hash: 'MTIz' }],
    ['logout token', { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }],
    ['SET', { events: {} }],
    ['null nonce', { nonce: null }],
  ])('is refused by its claims where plain JWTs are taken: %s', async (_, claims) => {
    const verifier = verifierOf([issuerOf({ tokenType: 'jwt' })]);
    expect(await outcomeOf(verifier, mintToken({ header: { typ: 'JWT' }, claims }))).toBe('type');
  });

  it.each(['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'])(
    'is no RFC 9068 token without %s',
    async (claim) => {
      const outcome = await outcomeOf(verifierOf(), mintToken({ claims: { [claim]: undefined } }));
      expect(outcome).toBe({ iss: 'issuer', aud: 'audience', sub: 'subject' }[claim] ?? 'claims');
    },
  );
});

describe('a token for somebody else, or by somebody else', () => {
  it.each<[string, unknown, string]>([
    ['a slash more', `${ISSUER}/`, 'issuer'],
    ['a prefix', ISSUER.slice(0, -1), 'issuer'],
    ['more behind', `${ISSUER}.evil.example`, 'issuer'],
    ['other case', ISSUER.toUpperCase(), 'issuer'],
    ['an array', [ISSUER], 'issuer'],
    ['an object', { iss: ISSUER }, 'issuer'],
    ['null', null, 'issuer'],
    ['a number', 7, 'issuer'],
    ['nothing', '', 'issuer'],
    ['absent', undefined, 'issuer'],
    ['a space', ` ${ISSUER}`, 'issuer'],
    ['a prototype member', 'toString', 'issuer'],
    ['itself', ISSUER, 'ok'],
  ])('is judged by iss as an exact string: %s', async (_, iss, expected) => {
    // One issuer only: there is no fallback to it.
    expect(await outcomeOf(verifierOf(), mintToken({ claims: { iss } }))).toBe(expected);
  });

  it.each<[unknown, string]>([
    [AUDIENCE, 'ok'],
    [[AUDIENCE], 'ok'],
    [['other', AUDIENCE], 'ok'],
    ['other', 'audience'],
    [['other'], 'audience'],
    [[], 'audience'],
    ['', 'audience'],
    [[''], 'audience'],
    [`${AUDIENCE}/`, 'audience'],
    [`${AUDIENCE} other`, 'audience'],
    [AUDIENCE.toUpperCase(), 'audience'],
    [AUDIENCE.slice(0, -1), 'audience'],
    [[AUDIENCE, 7], 'audience'],
    [[[AUDIENCE]], 'audience'],
    [{ 0: AUDIENCE, length: 1 }, 'audience'],
    [{ [AUDIENCE]: true }, 'audience'],
    [null, 'audience'],
    [undefined, 'audience'],
    [0, 'audience'],
  ])('is judged by aud as exact strings: %j', async (aud, expected) => {
    expect(await outcomeOf(verifierOf(), mintToken({ claims: { aud } }))).toBe(expected);
  });

  it('is checked with the keys and the audience of its own issuer only', async () => {
    const other = makeKey('ES256', ec.kid);
    const verifier = verifierOf([
      issuerOf(),
      issuerOf({ issuer: 'https://other.example', audiences: ['web'], keys: new MemoryKeys([other]) }),
    ]);
    const claims = { iss: 'https://other.example' };
    expect(await outcomeOf(verifier, mintToken({ claims: { ...claims, aud: 'web' } }))).toBe('signature');
    expect(await outcomeOf(verifier, mintToken({ key: other, claims }))).toBe('audience');
    expect(await outcomeOf(verifier, mintToken({ key: other }))).toBe('signature');
    expect(await outcomeOf(verifier, mintToken({ key: other, claims: { ...claims, aud: 'web' } }))).toBe(
      'ok',
    );
  });

  it.each([[''], [7], [null], [['billing']], [{ sub: 'billing' }]])(
    'is judged by sub as a name: %j',
    async (sub) => {
      expect(await outcomeOf(verifierOf(), mintToken({ claims: { sub } }))).toBe('subject');
    },
  );
});

describe('a token out of its time', () => {
  const absurd: readonly unknown[] = [
    '1800000300',
    NOW_S + 0.5,
    -1,
    -0.1,
    1e300,
    Number.MAX_SAFE_INTEGER,
    0xffff_ffff,
    null,
    true,
    [],
    {},
    [NOW_S],
  ];

  it.each(['exp', 'nbf', 'iat'])('is refused when %s is no whole number of seconds', async (claim) => {
    for (const value of absurd) {
      const outcome = await outcomeOf(verifierOf(), mintToken({ claims: { [claim]: value } }));
      expect(outcome, JSON.stringify(value)).toBe('claims');
    }
    const infinite = JSON.stringify(accessClaims({ [claim]: 'HERE' })).replace('"HERE"', '1e400');
    const token = signCompact({ alg: 'ES256', typ: 'at+jwt', kid: ec.kid }, infinite, ec);
    expect(await outcomeOf(verifierOf(), token)).toBe('claims');
  });

  it.each<[string, object, string]>([
    ['no exp', { exp: undefined }, 'claims'],
    ['over before the skew', { exp: NOW_S - 5 }, 'expired'],
    ['over inside the skew', { exp: NOW_S - 4 }, 'ok'],
    ['not yet, beyond the skew', { nbf: NOW_S + 6 }, 'not_yet_valid'],
    ['not yet, inside the skew', { nbf: NOW_S + 5 }, 'ok'],
    ['issued in the future, beyond the skew', { iat: NOW_S + 6, exp: NOW_S + 60 }, 'issued_in_future'],
    ['issued in the future, inside the skew', { iat: NOW_S + 5, exp: NOW_S + 60 }, 'ok'],
    ['issued far in the future', { iat: 0xffff_fffe, exp: 0xffff_fffe }, 'issued_in_future'],
    ['a life of exactly a day', { iat: NOW_S, exp: NOW_S + 86_400 }, 'ok'],
    ['a life of a day and a second', { iat: NOW_S, exp: NOW_S + 86_401 }, 'lifetime'],
    ['an old one with a long life', { iat: 1, exp: NOW_S + 60 }, 'lifetime'],
    ['over before it was issued', { iat: NOW_S, exp: NOW_S - 3 }, 'lifetime'],
    ['zero', { iat: 0, exp: 0 }, 'expired'],
  ])('%s: %j is %s', async (_, claims, expected) => {
    expect(await outcomeOf(verifierOf(), mintToken({ claims: claims as Record<string, unknown> }))).toBe(
      expected,
    );
  });

  it('is refused without iat, whatever its profile: nobody could tell when its cutoff may be retired', async () => {
    const token = mintToken({ claims: { iat: undefined, exp: NOW_S + 60 } });
    for (const tokenType of ['at+jwt', 'jwt'] as const) {
      expect(await outcomeOf(verifierOf([issuerOf({ tokenType })]), token)).toBe('claims');
    }
  });
});

describe('a token that is too large', () => {
  it('is refused before any split, a megabyte of dots within a millisecond', async () => {
    const verifier = verifierOf();
    const dots = '.'.repeat(1024 * 1024);
    expect(await outcomeOf(verifier, dots)).toBe('size');
    expect(verifier.handleOfToken(dots)).toBeUndefined();
    const startedNs = process.hrtime.bigint();
    for (let i = 0; i < 1_000; i++) void verifier.verify(bearer(dots), NOW_MS);
    expect(Number(process.hrtime.bigint() - startedNs) / 1_000).toBeLessThan(1_000_000);
  });

  it('is refused at the first character beyond 8 KiB', async () => {
    const padded = (chars: number): string => mintToken({ claims: { pad: 'x'.repeat(chars) } });
    const fits = padded(5_800);
    expect(fits.length).toBeLessThanOrEqual(LIMITS.tokenBytesMax);
    expect(await outcomeOf(verifierOf(), fits)).toBe('ok');
    expect(await outcomeOf(verifierOf(), padded(6_200))).toBe('size');
    const dots = '.'.repeat(LIMITS.tokenBytesMax);
    expect(await outcomeOf(verifierOf(), dots)).toBe('encoding');
  });
});

describe('an API key, guessed by the time its refusal takes', () => {
  it('is refused by its scheme alone, before it is looked at', async () => {
    for (const token of ['', 'writ_guess', mintToken(), 'x'.repeat(1024 * 1024)])
      for (const scheme of ['ApiKey', 'mTLS'] as const)
        expect(await outcomeOf(verifierOf(), presented(scheme, token, {}))).toBe('scheme_unsupported');
  });
});
