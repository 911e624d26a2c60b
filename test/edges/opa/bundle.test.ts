import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { readBundle, readBundleFiles } from '../../../src/edges/opa/bundle.ts';
import { POLICY_LIMITS } from '../../../src/edges/opa/limits.ts';
import { sha256Hex } from '../../../src/kernel/digest.ts';
import { compile, packBundle, unpackBundle, withFile } from './bundles.ts';

let bundle: Uint8Array;

beforeAll(async () => {
  bundle = await compile({
    rego: 'package t\nyes := input.a == data.a\nno := false',
    entrypoints: ['t/yes', 't/no'],
    data: { a: 'ä' },
  });
});

async function refusal(bytes: Uint8Array, limits: Partial<typeof POLICY_LIMITS> = {}): Promise<string> {
  const error = await readBundle(bytes, { ...POLICY_LIMITS, ...limits }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ name: 'WritError', code: 'POLICY_INVALID' });
  return (error as Error).message;
}

describe('a bundle made by opa', () => {
  it('is read whole: module, data, entrypoints, and the digest of its bytes', async () => {
    const read = await readBundle(bundle);
    expect(read.digest).toBe(`sha256:${sha256Hex(bundle)}`);
    expect(read.entrypoints.toSorted()).toEqual(['t/no', 't/yes']);
    expect(JSON.parse(Buffer.from(read.data).toString())).toEqual({ a: 'ä' });
    expect(WebAssembly.Module.exports(new WebAssembly.Module(read.wasm)).length).toBeGreaterThan(0);
  });

  it('says nothing of the input unless its metadata does', async () => {
    expect((await readBundle(bundle)).inputPaths).toBeUndefined();
    const manifest = {
      wasm: [{ entrypoint: 't/yes', module: 'policy.wasm' }],
      metadata: { writ: { input: [['a'], ['b', 'c']] } },
    };
    const told = await withFile(bundle, '/.manifest', JSON.stringify(manifest));
    expect((await readBundle(told)).inputPaths).toEqual([['a'], ['b', 'c']]);
  });

  it('has empty data when it has none', async () => {
    const read = await readBundle(await withFile(bundle, '/data.json', undefined));
    expect(Buffer.from(read.data).toString()).toBe('{}');
  });

  it('may spell its paths with or without a slash, and hold directories', async () => {
    const files = (await unpackBundle(bundle)).map((file) => ({ ...file, name: `.${file.name}` }));
    const respelled = await packBundle([
      { name: 'sub/', type: 'directory', bytes: Buffer.alloc(0) },
      ...files,
    ]);
    expect([...(await readBundleFiles(respelled)).keys()].sort()).toEqual([
      '.manifest',
      'data.json',
      'policy.rego',
      'policy.wasm',
    ]);
  });
});

describe('a bundle that is damaged', () => {
  it('is refused wherever its bytes end', async () => {
    for (const length of [0, 1, 10, 100, bundle.length - 9, bundle.length - 1])
      expect(await refusal(bundle.subarray(0, length))).toBe('the bundle is truncated or no gzip');
  });

  it('is refused when one bit of it is another', async () => {
    for (const at of [20, Math.floor(bundle.length / 2), bundle.length - 6]) {
      const bent = Uint8Array.from(bundle);
      bent[at] = (bent[at] ?? 0) ^ 1;
      expect(await refusal(bent)).toMatch(/^the bundle is truncated or no gzip$|damaged tar archive$/);
    }
  });

  it('is refused when the archive inside ends early, or is none', async () => {
    const archive = gunzipSync(bundle);
    for (const inside of [archive.subarray(0, 700), archive.subarray(0, 512), Buffer.alloc(600, 7)])
      expect(await refusal(gzipSync(inside))).toBe('the bundle is a truncated or damaged tar archive');
  });
});

describe('a bundle that is larger than its limits', () => {
  it('is refused by its packed size before it is unpacked', async () => {
    const message = await refusal(bundle, { bundleBytesMax: bundle.length - 1 });
    expect(message).toBe('the bundle is too large');
  });

  it('is refused by its unpacked size, however small it is packed', async () => {
    const bomb = gzipSync(Buffer.alloc(4 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(10_000);
    expect(await refusal(bomb, { unpackedBytesMax: 1024 * 1024 })).toBe('the unpacked bundle is too large');
  });

  it('holds more data than is allowed: fifty megabytes, or as little as is configured', async () => {
    const text = JSON.stringify({ list: Array.from({ length: 50 }, (_, i) => `${i}`.repeat(1024 * 1024)) });
    expect(text.length).toBeGreaterThan(50 * 1024 * 1024);
    const large = await withFile(bundle, '/data.json', text);
    expect(await refusal(large)).toBe(
      `the bundle's data.json is too large: ${text.length} bytes, 33554432 are allowed (policy.dataBytesMax)`,
    );
    expect(await refusal(bundle, { dataBytesMax: 4 })).toContain('4 are allowed (policy.dataBytesMax)');
  });

  it('has a revision that is no text, or a very long one', async () => {
    const wasm = [{ entrypoint: 't/yes', module: 'policy.wasm' }];
    const withRevision = (revision: unknown) =>
      withFile(bundle, '/.manifest', JSON.stringify({ wasm, revision }));
    for (const revision of [1, null, {}, 'r'.repeat(257)])
      expect(await refusal(await withRevision(revision))).toContain('the revision in the bundle');
    expect((await readBundle(await withRevision('r'))).revision).toBe('r');
    expect((await readBundle(await withRevision(''))).revision).toBeUndefined();
  });

  it('is refused by the number of its files', async () => {
    expect(await refusal(bundle, { filesMax: 3 } as never)).toBe('the bundle holds too many files');
  });
});

describe('a bundle that is not as opa makes it', () => {
  it('is refused without a module or a manifest', async () => {
    expect(await refusal(await withFile(bundle, '/policy.wasm', undefined))).toMatch(
      /^the bundle has no policy.wasm;/,
    );
    expect(await refusal(await withFile(bundle, '/.manifest', undefined))).toBe(
      'the bundle has no .manifest',
    );
    expect(await refusal(gzipSync(Buffer.alloc(1024)))).toMatch(/^the bundle has no policy.wasm;/);
  });

  it('is refused for a link or a file that is there twice', async () => {
    const files = await unpackBundle(bundle);
    const link = { name: 'x', type: 'symlink', bytes: Buffer.alloc(0) } as const;
    expect(await refusal(await packBundle([...files, link]))).toMatch(/neither file nor directory$/);
    const again = files.map((file) => ({ ...file, name: file.name.slice(1) }));
    expect(await refusal(await packBundle([...files, ...again]))).toBe('the bundle holds a file twice');
  });

  it.each([
    ['no JSON', '{"wasm":', /\.manifest is not JSON$/],
    ['no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), /\.manifest is not JSON$/],
    ['no object', '[]', /names no entrypoint/],
    ['no module list', '{}', /names no entrypoint/],
    ['an empty module list', '{"wasm":[]}', /names no entrypoint/],
    [
      'a module elsewhere',
      '{"wasm":[{"entrypoint":"t/yes","module":"/x.wasm"}]}',
      /in something else than policy.wasm$/,
    ],
    ['no module', '{"wasm":[{"entrypoint":"t/yes"}]}', /in something else than policy.wasm$/],
    ['no name', '{"wasm":[{"module":"/policy.wasm"}]}', /in something else than policy.wasm$/],
    ['text in the list', '{"wasm":["t/yes"]}', /in something else than policy.wasm$/],
  ])('is refused for a manifest with %s', async (_, manifest, message) => {
    expect(await refusal(await withFile(bundle, '/.manifest', manifest))).toMatch(message);
  });

  it('is refused for input paths that are none, rather than passed the whole input', async () => {
    for (const input of ['a', {}, ['a'], [[]], [['a', 0]], null]) {
      const manifest = {
        wasm: [{ entrypoint: 't/yes', module: '/policy.wasm' }],
        metadata: { writ: { input } },
      };
      const told = await withFile(bundle, '/.manifest', JSON.stringify(manifest));
      expect(await refusal(told)).toBe("metadata.writ.input in the bundle's .manifest is no list of paths");
    }
  });

  it('is refused for data that is no object, or lies where the policy would not see it', async () => {
    expect(await refusal(await withFile(bundle, '/data.json', '[]'))).toMatch(/data.json is no JSON object$/);
    expect(await refusal(await withFile(bundle, '/data.json', '{"a":1'))).toMatch(/data.json is not JSON$/);
    expect(await refusal(await withFile(bundle, '/roles/data.json', '{}'))).toMatch(
      /has data in roles\/data.json;/,
    );
    expect(await refusal(await withFile(bundle, '/data.yaml', ''))).toMatch(/has data in data.yaml;/);
    expect(await refusal(await withFile(bundle, '/\u001b[2J/data.yml', ''))).toMatch(
      /has data in \?\[2J\/data.yml;/,
    );
  });
});
