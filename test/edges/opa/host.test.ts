import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { readBundle } from '../../../src/edges/opa/bundle.ts';
import { hostBuiltins } from '../../../src/edges/opa/builtin.ts';
import { FAILURE, PolicyHost } from '../../../src/edges/opa/host.ts';
import { buildImage } from '../../../src/edges/opa/image.ts';
import type { PolicyFailure } from '../../../src/edges/opa/host.ts';
import type { PolicyImage } from '../../../src/edges/opa/image.ts';
import { decodeUtf8 } from '../../../src/edges/opa/instance.ts';
import { POLICY_LIMITS } from '../../../src/edges/opa/limits.ts';
import { compileModule } from '../../../src/edges/opa/module.ts';
import type { Clock } from '../../../src/kernel/clock.ts';
import { compile } from './bundles.ts';

const REGO = `
package t

echo := input.value

kind := "undefined" if not input
kind := type_name(input)

looked_up := data.names[input.key]

range := count(numbers.range(1, input.upto))

conflict := 1 if input.one
conflict := 2 if input.two

now := [time.now_ns(), time.now_ns(), input.n]

printed if print("to the console:", input.value)

matches if regex.match(input.pattern, "invoice:read")

text := concat("", [x | some i in numbers.range(1, input.upto); x := "0123456789"; i > 0])
`;

const LIMITS = {
  ...POLICY_LIMITS,
  heapBytes: 2 * 1024 * 1024,
  inputBytesMax: 64 * 1024,
  resultBytesMax: 4096,
};

interface Policy {
  readonly host: PolicyHost;
  readonly image: PolicyImage;
  readonly evaluate: (entrypoint: string, json: string) => unknown;
  readonly number: (entrypoint: string) => number;
}

let nowMs = 1_800_000_000_123;
const clock: Clock = { now: () => ({ monoMs: 0, wallMs: nowMs++ }) };

let bundle: Uint8Array;

beforeAll(async () => {
  const rules = ['echo', 'kind', 'looked_up', 'range', 'conflict', 'now', 'printed', 'matches', 'text'];
  const entrypoints = rules.map((rule) => `t/${rule}`);
  const data = { names: { ä: 'Zoë', '😀': 'grin', '': 'none' } };
  bundle = await compile({ rego: REGO, entrypoints, data });
});

async function openPolicy(limits: typeof LIMITS = LIMITS): Promise<Policy> {
  const { wasm, data } = await readBundle(bundle);
  const module = compileModule(wasm);
  const builtins = hostBuiltins(clock);
  const { image, memory } = buildImage(module, data, builtins, limits);
  const host = await PolicyHost.open({ module, image, builtins, limits }, memory);
  const number = (entrypoint: string): number => image.entrypoints.get(`t/${entrypoint}`) ?? -1;
  const evaluate = (entrypoint: string, json: string): unknown => {
    const outcome = host.evaluate(number(entrypoint), json);
    return typeof outcome === 'string' ? (JSON.parse(decodeUtf8(outcome)) as unknown) : outcome;
  };
  return { host, image, evaluate, number };
}

const result = (value: unknown): unknown => [{ result: value }];

afterEach(() => {
  vi.restoreAllMocks();
});

describe('an evaluation', () => {
  it('answers with the value of the entrypoint that was asked, and nothing when it is undefined', async () => {
    const { evaluate } = await openPolicy();
    expect(evaluate('echo', '{"value":{"a":[1,"x",null]}}')).toEqual(result({ a: [1, 'x', null] }));
    expect(evaluate('kind', '{}')).toEqual(result('object'));
    expect(evaluate('echo', '{}')).toEqual([]);
  });

  it('reads and writes every character', async () => {
    const { evaluate } = await openPolicy();
    const text =
      'ä € 😀 \u0000\u0001\b\f\n\r\t"\\/\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff\u{10000}\u{10ffff}';
    expect(evaluate('echo', JSON.stringify({ value: text }))).toEqual(result(text));
    expect(evaluate('looked_up', '{"key":"ä"}')).toEqual(result('Zoë'));
    expect(evaluate('looked_up', '{"key":"😀"}')).toEqual(result('grin'));
    expect(evaluate('looked_up', '{"key":""}')).toEqual(result('none'));
  });

  it('reads every number that JavaScript writes', async () => {
    const { evaluate } = await openPolicy();
    const numbers = [0, -1, 1.5, 1e21, -1e-7, Number.MAX_SAFE_INTEGER, Number.MAX_VALUE, Number.MIN_VALUE];
    expect(evaluate('echo', JSON.stringify({ value: numbers }))).toEqual(result(numbers));
  });

  it('takes input of exactly the limit, and not one byte more', async () => {
    const { evaluate } = await openPolicy();
    const fill = (bytes: number): string => `{"value":"${'x'.repeat(bytes - 12)}"}`;
    expect(evaluate('kind', fill(LIMITS.inputBytesMax))).toEqual(result('object'));
    expect(evaluate('kind', fill(LIMITS.inputBytesMax + 1))).toBe(FAILURE.inputTooLarge);
    const wide = `{"value":"${'€'.repeat(LIMITS.inputBytesMax / 3)}"}`;
    expect(wide.length).toBeLessThan(LIMITS.inputBytesMax);
    expect(evaluate('kind', wide)).toBe(FAILURE.inputTooLarge);
    expect(evaluate('kind', '{}')).toEqual(result('object'));
  });

  it('is refused for input that is no JSON, rather than made with undefined input', async () => {
    const { evaluate } = await openPolicy();
    for (const json of [
      '',
      '{',
      '{"value":1',
      '{"value":}',
      '{"a" 1}',
      'undefined',
      '{1,2}',
      'set()',
      '"\u0001"',
    ])
      expect(evaluate('kind', json)).toBe(FAILURE.inputNotJson);
    expect(evaluate('kind', 'null')).toEqual(result('null'));
  });

  it('is refused for a result that is larger than its limit', async () => {
    const { evaluate } = await openPolicy();
    const value = 'x'.repeat(LIMITS.resultBytesMax - '[{"result":""}]'.length);
    expect(evaluate('echo', JSON.stringify({ value }))).toEqual(result(value));
    expect(evaluate('echo', JSON.stringify({ value: `${value}x` }))).toBe(FAILURE.resultTooLarge);
  });

  it('leaves nothing behind: a hundred thousand of them fit where one does', async () => {
    const { evaluate, host, number } = await openPolicy();
    const echo = number('echo');
    const matches = number('matches');
    const json = JSON.stringify({ value: 'x'.repeat(3_000), pattern: '^inv(oice)+:r.*d$' });
    const first = host.evaluate(echo, json);
    for (let i = 0; i < 100_000; i++) host.evaluate(i % 100 === 0 ? matches : echo, json);
    expect(host.evaluate(echo, json)).toBe(first);
    expect(host.evaluate(matches, json)).toBe('[{"result":true}]');
    expect(evaluate('range', '{"upto":5000}')).toEqual(result(5000));
  });
});

describe('an evaluation that traps', () => {
  const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;

  it.each<[string, string, string, PolicyFailure]>([
    ['runs out of memory', 'range', '{"upto":10000000}', FAILURE.outOfMemory],
    ['recurses too deep', 'kind', nested(30_000), FAILURE.trapped],
    ['contradicts itself', 'conflict', '{"one":1,"two":2}', FAILURE.conflict],
    ['is given half a surrogate pair', 'echo', '{"value":"\\ud800"}', FAILURE.trapped],
    ['is asked for an entrypoint that is not there', 'nowhere', '{}', FAILURE.trapped],
  ])(
    'because it %s is answered with an error, and the next one is as if it had not been',
    async (_, entrypoint, json, failure) => {
      const { evaluate } = await openPolicy();
      for (let i = 0; i < 3; i++) {
        expect(evaluate(entrypoint, json)).toBe(failure);
        expect(evaluate('looked_up', '{"key":"ä"}')).toEqual(result('Zoë'));
        expect(evaluate('range', '{"upto":5000}')).toEqual(result(5000));
        expect(evaluate('conflict', '{"one":1}')).toEqual(result(1));
      }
    },
  );

  it('may do so again and again: every instance has the whole memory', async () => {
    const { evaluate } = await openPolicy();
    for (let i = 0; i < 200; i++) expect(evaluate('conflict', '{"one":1,"two":2}')).toBe(FAILURE.conflict);
    for (let i = 0; i < 5; i++) expect(evaluate('range', '{"upto":10000000}')).toBe(FAILURE.outOfMemory);
    expect(evaluate('text', '{"upto":300}')).toEqual(result('0123456789'.repeat(300)));
  });
});

describe('the host', () => {
  it('prints nothing, whatever the policy does', async () => {
    const methods = ['log', 'error', 'warn', 'info', 'debug'] as const;
    const consoles = methods.map((method) => vi.spyOn(console, method));
    const streams = [vi.spyOn(process.stdout, 'write'), vi.spyOn(process.stderr, 'write')];
    const { evaluate } = await openPolicy();
    expect(evaluate('printed', '{"value":"secret"}')).toEqual(result(true));
    expect(evaluate('conflict', '{"one":1,"two":2}')).toBe(FAILURE.conflict);
    expect(evaluate('range', '{"upto":10000000}')).toBe(FAILURE.outOfMemory);
    for (const spy of [...consoles, ...streams]) expect(spy).not.toHaveBeenCalled();
  });

  it('gives one evaluation one time, and the next one the next', async () => {
    const { evaluate } = await openPolicy();
    nowMs = 1_800_000_000_123;
    const { host, number } = await openPolicy();
    expect(host.evaluate(number('now'), '{"n":1}')).toBe(
      '[{"result":[1800000000123000000,1800000000123000000,1]}]',
    );
    expect(host.evaluate(number('now'), '{"n":2}')).toBe(
      '[{"result":[1800000000124000000,1800000000124000000,2]}]',
    );
    expect(evaluate('kind', '{}')).toEqual(result('object'));
  });

  it('does not run on memory that it has not filled', async () => {
    const { wasm, data } = await readBundle(bundle);
    const module = compileModule(wasm);
    const builtins = hostBuiltins(clock);
    const { image, memory } = buildImage(module, data, builtins, LIMITS);
    Buffer.from(memory.buffer).fill(0xa5);
    const host = new PolicyHost({ module, image, builtins, limits: LIMITS }, memory);
    const outcome = host.evaluate(image.entrypoints.get('t/looked_up') ?? -1, '{"key":"ä"}');
    expect(typeof outcome === 'string' ? decodeUtf8(outcome) : outcome).toBe('[{"result":"Zoë"}]');
  });
});
