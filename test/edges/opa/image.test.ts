import { beforeAll, describe, expect, it } from 'vitest';
import { hostBuiltins } from '../../../src/edges/opa/builtin.ts';
import { readBundle } from '../../../src/edges/opa/bundle.ts';
import { PolicyHost } from '../../../src/edges/opa/host.ts';
import { buildImage } from '../../../src/edges/opa/image.ts';
import { POLICY_LIMITS } from '../../../src/edges/opa/limits.ts';
import { compileModule } from '../../../src/edges/opa/module.ts';
import { compile } from './bundles.ts';

const LIMITS = { ...POLICY_LIMITS, heapBytes: 1024 * 1024, inputBytesMax: 64 * 1024 };
const NONE = hostBuiltins(undefined);

let wasm: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  const rego = 'package t\nn := count(data.list)\nlast := data.list[count(data.list) - 1]';
  wasm = (await readBundle(await compile({ rego, entrypoints: ['t/n', 't/last'] }))).wasm;
});

/** The answer of one entrypoint over `data`, and the size of the image. */
async function ask(
  data: unknown,
  entrypoint: string,
): Promise<{ answer: unknown; bytes: number; pages: number }> {
  const module = compileModule(wasm);
  const { image, memory } = buildImage(module, Buffer.from(JSON.stringify(data)), NONE, LIMITS);
  const host = await PolicyHost.open({ module, image, builtins: NONE, limits: LIMITS }, memory);
  const answer = host.evaluate(image.entrypoints.get(entrypoint) ?? -1, '{}');
  return { answer, bytes: image.bytes.length, pages: image.pages };
}

describe('the image of a policy', () => {
  it('holds the data, and every evaluation sees it', async () => {
    const { answer } = await ask({ list: [1, { a: 'b' }] }, 't/last');
    expect(answer).toBe('[{"result":{"a":"b"}}]');
    expect((await ask({ list: [] }, 't/n')).answer).toBe('[{"result":0}]');
    expect((await ask({}, 't/n')).answer).toBe('[]');
  });

  it('has room for data that grows to many times its text', async () => {
    for (const value of [1, {}, [], 1.5]) {
      const list = Array.from({ length: 50_000 }, () => value);
      const { answer, bytes } = await ask({ list }, 't/n');
      expect(answer).toBe('[{"result":50000}]');
      expect(bytes).toBeGreaterThan(16 * JSON.stringify(list).length * 0.5);
    }
  });

  it('has room for ten megabytes of it', async () => {
    const list = Array.from({ length: 250_000 }, (_, i) => `user-${i}@department-${i % 100}.example.com`);
    const text = JSON.stringify({ list });
    expect(text.length).toBeGreaterThan(9_000_000);
    const { answer, pages } = await ask({ list }, 't/last');
    expect(answer).toBe(`[{"result":"${list.at(-1)}"}]`);
    expect(pages * 65_536).toBeLessThan(text.length * 20 + 4 * 1024 * 1024);
  });

  it('does not keep the text of the data', async () => {
    const module = compileModule(wasm);
    const marker = 'm'.repeat(10_000);
    const { image } = buildImage(module, Buffer.from(`{"list":["${marker}"]}`), NONE, LIMITS);
    const text = Buffer.from(image.bytes).toString('latin1');
    expect(text.split(marker).length - 1).toBe(1);
  });

  it('is refused when the data does not fit into the largest memory', () => {
    const data = Buffer.from(JSON.stringify({ list: Array.from({ length: 20_000 }, () => 1) }));
    const limits = { ...LIMITS, memoryBytesMax: 2 * 1024 * 1024 };
    expect(() => buildImage(compileModule(wasm), data, NONE, limits)).toThrow(
      "the bundle's data is too large for a policy's memory",
    );
  });
});

describe('a policy that calls the host', () => {
  async function refusal(expression: string): Promise<string> {
    const rego = `package t\nx := ${expression}`;
    const bundle = await readBundle(await compile({ rego, entrypoints: ['t/x'] }));
    try {
      buildImage(compileModule(bundle.wasm), bundle.data, NONE, LIMITS);
      return 'not refused';
    } catch (error) {
      expect(error).toMatchObject({ name: 'WritError', code: 'POLICY_INVALID' });
      return (error as Error).message;
    }
  }

  it.each([
    ['sprintf', 'sprintf("%d", [1])'],
    ['time.now_ns', 'time.now_ns()'],
    ['http.send', 'http.send({"method": "get", "url": "http://127.0.0.1"})'],
    ['rand.intn', 'rand.intn("x", 10)'],
    ['opa.runtime', 'opa.runtime()'],
    ['regex.split', 'regex.split("(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!")'],
    ['yaml.unmarshal', 'yaml.unmarshal("a: 1")'],
  ])('is refused by name for %s', async (name, expression) => {
    expect(await refusal(expression)).toBe(`builtin ${name} is not supported by Writ's policy host`);
  });

  it('may use what OPA compiles in, templates and patterns too', async () => {
    expect(await refusal('[$"{1 + 1}", split("a b", " "), regex.match("a", "a"), object.keys({})]')).toBe(
      'not refused',
    );
  });
});
