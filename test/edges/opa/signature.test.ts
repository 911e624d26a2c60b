/** Signatures that the real opa makes are believed; everything that is another bundle than the signed one is not. */
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { readBundleFiles } from '../../../src/edges/opa/bundle.ts';
import { openPolicy } from '../../../src/edges/opa/engine.ts';
import { verifySignature } from '../../../src/edges/opa/signature.ts';
import type { SigningRule } from '../../../src/edges/opa/signature.ts';
import { loadSigningKeys } from '../../../src/edges/opa/signing-keys.ts';
import { peerPath } from '../../support/peers.ts';
import { compile, withDirectory, withFile, writeFiles } from './bundles.ts';

const run = promisify(execFile);
const REGO = 'package t\nd := data.x\n';
const DATA = { x: true, 'a"\\<&>\u2028': [1, 'é\u0001\b', null], '😀': 1, '\uffff': {}, list: [] };

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const publicPem = (pair: { publicKey: typeof rsa.publicKey }): string =>
  pair.publicKey.export({ type: 'spki', format: 'pem' });
const RULE: SigningRule = { keys: [{ algorithm: 'RS256', pem: publicPem(rsa) }] };

/** What `opa build --signing-key` makes of the sources. */
async function signed(
  data: string,
  flags: readonly string[] = [],
  { pair = rsa, claims = {} }: { pair?: typeof rsa; claims?: Record<string, unknown> } = {},
): Promise<Uint8Array> {
  return withDirectory(async (dir) => {
    const type = pair.privateKey.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'sec1';
    await writeFiles(dir, {
      'src/policy.rego': REGO,
      'src/data.json': data,
      'key.pem': pair.privateKey.export({ type: type as 'pkcs1', format: 'pem' }),
      'claims.json': JSON.stringify(claims),
    });
    const signing = ['--signing-key', '../key.pem', '--claims-file', '../claims.json', ...flags];
    const args = ['build', '-t', 'wasm', '-e', 't/d', '-b', ...signing, '-o', '../out.tar.gz', '.'];
    await run(peerPath('opa'), args, { cwd: join(dir, 'src') });
    return await readFile(join(dir, 'out.tar.gz'));
  });
}

async function refusalOf(bundle: Uint8Array, rule: SigningRule = RULE): Promise<string | undefined> {
  return verifySignature(await readBundleFiles(bundle), rule).then(
    () => undefined,
    (error: unknown) => {
      expect(error).toMatchObject({ code: 'POLICY_INVALID' });
      return (error as Error).message;
    },
  );
}

let bundle: Uint8Array;
beforeAll(async () => {
  bundle = await signed(JSON.stringify(DATA));
});

/** The bundle with another payload under a good signature. */
async function resigned(payload: Record<string, unknown>): Promise<Uint8Array> {
  const token = await new SignJWT(payload).setProtectedHeader({ alg: 'RS256' }).sign(rsa.privateKey);
  return withFile(bundle, '/.signatures.json', JSON.stringify({ signatures: [token] }));
}

describe('a bundle that opa signed', () => {
  it('is opened', async () => {
    expect(await refusalOf(bundle)).toBeUndefined();
    const opening = await openPolicy({ bundle, entrypoint: 't/d', signing: RULE });
    expect(opening.state).toBe('opened');
  });

  it.each(['RS384', 'PS256', 'ES256'])('may be signed by %s', async (algorithm) => {
    const pair = algorithm === 'ES256' ? (ec as unknown as typeof rsa) : rsa;
    const one = await signed('{"x":1}', ['--signing-alg', algorithm], { pair });
    expect(await refusalOf(one, { keys: [{ algorithm, pem: publicPem(pair) }] })).toBeUndefined();
  });

  it('may be signed by any of the keys: one can be replaced by another', async () => {
    const keys = [{ algorithm: 'RS256', pem: publicPem(other) }, ...RULE.keys];
    expect(await refusalOf(bundle, { keys })).toBeUndefined();
  });

  it('has a scope where one is asked for', async () => {
    const scoped = await signed('{"x":1}', [], { claims: { scope: 'write' } });
    expect(await refusalOf(scoped, { ...RULE, scope: 'write' })).toBeUndefined();
    expect(await refusalOf(scoped)).toBeUndefined();
    const sentence = "the bundle's signature is for another scope";
    expect(await refusalOf(scoped, { ...RULE, scope: 'read' })).toBe(sentence);
    expect(await refusalOf(bundle, { ...RULE, scope: 'write' })).toBe(sentence);
  });

  it('hashes its data as opa does, however it is spelled', { timeout: 120_000 }, async () => {
    const number = fc.constantFrom('1.0', '-0', '1e3', '1E+2', '12345678901234567890123', '0.10');
    const text = fc.string({ unit: 'grapheme', maxLength: 8 });
    const value = fc.letrec<{ value: string }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        number,
        text.map((it) => JSON.stringify(it)),
        fc.constantFrom('true', 'false', 'null', '"\\ud800"', '"\\u2028\\u007f"'),
        fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(' , ')}]`),
        fc
          .uniqueArray(fc.tuple(text, tie('value')), { maxLength: 4, selector: ([name]) => name })
          .map((members) => `{${members.map(([name, it]) => `${JSON.stringify(name)}: ${it}`).join(',')}}`),
      ),
    })).value;
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 20, maxLength: 30 }), async (values) => {
        const one = await signed(`{"x":true,"values":[${values.join(',')}]}`);
        expect(await refusalOf(one)).toBeUndefined();
      }),
      { numRuns: 8 },
    );
  });
});

describe('a bundle is refused', () => {
  it('unsigned, where it must be signed', async () => {
    const plain = await compile({ rego: REGO, entrypoints: ['t/d'], data: DATA });
    expect(await refusalOf(plain)).toBe('the bundle is not signed, and policy.signing says that it must be');
    expect(await openPolicy({ bundle: plain, entrypoint: 't/d', signing: RULE })).toMatchObject({
      state: 'refused',
      detail: 'the bundle is not signed, and policy.signing says that it must be',
    });
  });

  it.each([
    ['another key', [{ algorithm: 'RS256', pem: publicPem(other) }]],
    ['another algorithm', [{ algorithm: 'PS256', pem: publicPem(rsa) }]],
    ['a key of another kind', [{ algorithm: 'ES256', pem: publicPem(ec as unknown as typeof rsa) }]],
    ['no key', []],
  ])('signed by %s', async (_name, keys) => {
    expect(await refusalOf(bundle, { keys })).toBe(
      "the bundle's signature is by none of the keys of policy.signing",
    );
  });

  it.each([
    ['data.json', JSON.stringify({ ...DATA, x: false }), "the bundle's data.json is not what was signed"],
    ['policy.wasm', Buffer.from('\0asm'), "the bundle's policy.wasm is not what was signed"],
    ['.manifest', '{"revision":"99"}', "the bundle's .manifest is not what was signed"],
    ['data.json', 'nothing', 'the bundle holds a JSON file that is not JSON'],
    ['policy.rego', undefined, 'the bundle lacks policy.rego, which was signed'],
    ['extra.rego', 'package extra', "the bundle's signature does not cover extra.rego"],
    ['sub/.signatures.json', '{}', "the bundle's signature does not cover sub/.signatures.json"],
  ])('with another %s than was signed', async (name, content, sentence) => {
    expect(await refusalOf(await withFile(bundle, `/${name}`, content))).toBe(sentence);
  });

  it('not for other spaces in its data, which mean nothing', async () => {
    const spaced = await withFile(bundle, '/data.json', JSON.stringify(DATA, null, 2));
    expect(await refusalOf(spaced)).toBeUndefined();
  });

  it.each(['nonsense', '[]', '{}', '{"signatures":[]}', '{"signatures":["a","b"]}', '{"signatures":[1]}'])(
    'with a signature file that holds %s',
    async (text) => {
      expect(await refusalOf(await withFile(bundle, '/.signatures.json', text))).toBe(
        "the bundle's .signatures.json does not hold exactly one signature",
      );
    },
  );

  it('with a token that is none, or whose claims are none', async () => {
    const none = { signatures: [`${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`] };
    expect(await refusalOf(await withFile(bundle, '/.signatures.json', JSON.stringify(none)))).toBe(
      "the bundle's signature is by none of the keys of policy.signing",
    );
  });

  it.each([
    [{}, "the bundle's signature does not cover"],
    [{ files: 'all' }, "the bundle's signature does not cover"],
    [{ files: [1] }, 'lists a file in a way that is not known'],
    [
      { files: [{ name: 'data.json', hash: 'aa', algorithm: 'MD5' }] },
      'lists a file in a way that is not known',
    ],
    [{ files: [{ name: 'data.json', hash: 'aa' }] }, 'lists a file in a way that is not known'],
  ])('with a signature that lists %j', async (payload, sentence) => {
    expect(await refusalOf(await resigned(payload))).toContain(sentence);
  });
});

describe('the keys of policy.signing', () => {
  it('are read from their files, and a file that holds no public key is named', async () => {
    await withDirectory(async (dir) => {
      const publicKeyFile = join(dir, 'public.pem');
      const keys = [{ publicKeyFile, algorithm: 'RS256' }];
      const fault = (message: string) =>
        expect(loadSigningKeys({ keys })).rejects.toMatchObject({
          code: 'CONFIG_INVALID',
          field: 'policy.signing.keys[0].publicKeyFile',
          message: expect.stringContaining(message) as string,
        });
      await fault('cannot be read');
      await writeFile(publicKeyFile, publicPem(rsa));
      expect(await loadSigningKeys({ keys, scope: 's' })).toEqual({ ...RULE, scope: 's' });
      await writeFile(publicKeyFile, 'nothing');
      await fault('is no public key in PEM');
      await writeFile(publicKeyFile, rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }));
      await fault('must not be able to sign');
    });
  });
});
