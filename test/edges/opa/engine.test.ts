import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openPolicy, openPolicyEngine } from '../../../src/edges/opa/engine.ts';
import type { OpaPolicyEngine, PolicyEngineOptions } from '../../../src/edges/opa/engine.ts';
import type { Clock } from '../../../src/kernel/clock.ts';
import { sha256Hex } from '../../../src/kernel/digest.ts';
import type { Json, JsonObject } from '../../../src/kernel/json.ts';
import { compile, withFile } from './bundles.ts';

const REGO = `
package t

decision := input.say

other := {"saw": sort([name | some name, _ in input])}

conflict := 1 if input.one
conflict := 2 if input.two

written := json.unmarshal(input.number)
`;

const ENTRYPOINTS = ['t/decision', 't/other', 't/conflict', 't/written'];

let bundle: Uint8Array;
let engine: OpaPolicyEngine;

beforeAll(async () => {
  bundle = await compile({ rego: REGO, entrypoints: ENTRYPOINTS });
  engine = await openPolicyEngine({ bundle, entrypoint: 't/decision' });
});

afterEach(() => {
  vi.restoreAllMocks();
});

const decide = (say: Json): unknown => engine.decide({ say });

const NOTHING = undefined as unknown as Uint8Array;

async function refusal(options: PolicyEngineOptions): Promise<string> {
  const error = await openPolicyEngine(options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ name: 'WritError', code: 'POLICY_INVALID' });
  return (error as Error).message;
}

describe('an engine', () => {
  it('names its revision by the bytes of the bundle', () => {
    expect(engine.revision.digest).toBe(`sha256:${sha256Hex(bundle)}`);
    expect(engine.revision.entrypoints.toSorted()).toEqual(ENTRYPOINTS.toSorted());
    expect(engine.revision.isPure).toBe(true);
    expect(engine.revision.readsNow).toBe(true);
    expect(engine.facts.builtins).toEqual([]);
    expect(engine.facts.inputPaths).toBeUndefined();
    expect(engine.facts.typicalUs).toBeGreaterThan(0);
    expect(engine.facts.worstUs).toBeGreaterThanOrEqual(engine.facts.typicalUs);
  });

  it('knows its entrypoints, and no member of Object', () => {
    for (const name of ENTRYPOINTS) expect(engine.hasEntrypoint(name)).toBe(true);
    for (const name of ['', 't', 't/nothing', 'constructor', '__proto__']) {
      expect(engine.hasEntrypoint(name)).toBe(false);
      expect(engine.evaluate(name, {})).toEqual({ kind: 'undefined' });
    }
  });

  it('decides by a boolean, or an object with one', () => {
    expect(decide(true)).toEqual({ kind: 'answer', allow: true });
    expect(decide(false)).toEqual({ kind: 'answer', allow: false });
    expect(decide({ allow: true, reason: 'role', obligations: [{ log: 1 }] })).toEqual({
      kind: 'answer',
      allow: true,
      reason: 'role',
      obligations: [{ log: 1 }],
    });
  });

  it('takes nothing else for a decision', () => {
    expect(engine.decide({})).toEqual({ kind: 'undefined' });
    for (const say of ['true', 1, null, [], [true], {}, { allow: 'yes' }, { allow: true, reason: 1 }])
      expect(decide(say)).toMatchObject({ kind: 'error' });
  });

  it('gives each input its own answer, however many there were', () => {
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 200; i++) {
        expect(decide({ allow: i % 2 === 0, reason: `r${i}` })).toEqual({
          kind: 'answer',
          allow: i % 2 === 0,
          reason: `r${i}`,
        });
        expect(decide({ allow: false, reason: `${i}${'x'.repeat(300)}` })).toMatchObject({ allow: false });
      }
    }
  });

  it('hands out obligations that nobody else holds', () => {
    const first = decide({ allow: true, obligations: { a: 1 } }) as { obligations: Record<string, number> };
    first.obligations['a'] = 2;
    expect(decide({ allow: true, obligations: { a: 1 } })).toMatchObject({ obligations: { a: 1 } });
  });

  it('evaluates any entrypoint', () => {
    expect(engine.evaluate('t/other', { b: 1, a: 2 })).toEqual({ kind: 'value', value: { saw: ['a', 'b'] } });
    expect(engine.evaluate('t/conflict', { two: true })).toEqual({ kind: 'value', value: 2 });
    expect(engine.evaluate('t/conflict', {})).toEqual({ kind: 'undefined' });
    expect(engine.evaluate('t/decision', { say: false })).toEqual({ kind: 'value', value: false });
  });

  it('answers a trap with an error, and goes on', () => {
    expect(engine.evaluate('t/conflict', { one: true, two: true })).toEqual({
      kind: 'error',
      detail: 'policy rules conflict',
    });
    expect(decide(true)).toEqual({ kind: 'answer', allow: true });
  });

  it('never throws for what an input is', () => {
    const cycle: Record<string, unknown> = {};
    cycle['say'] = cycle;
    let deep: Json = true;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    let deeper: Json = true;
    for (let i = 0; i < 1_500; i++) deeper = [deeper];
    for (const input of [cycle, { say: 1n }]) {
      const notJson = { kind: 'error', detail: 'input is not JSON' };
      expect(engine.decide(input as JsonObject)).toEqual(notJson);
      expect(engine.evaluate('t/other', input as JsonObject)).toEqual(notJson);
    }
    expect(decide(deep)).toMatchObject({ kind: 'error' });
    expect(decide(deeper)).toMatchObject({ kind: 'error' });
    expect(decide('x'.repeat(300_000))).toEqual({ kind: 'error', detail: 'input too large' });
    expect(decide(true)).toEqual({ kind: 'answer', allow: true });
  });

  it('refuses half a surrogate pair, which OPA would read as another character', () => {
    const failure = { kind: 'error', detail: 'input holds half a surrogate pair' };
    for (const text of ['\ud800', '\udc00x', '\ud800A', 'a\ud83d']) {
      expect(decide({ allow: true, reason: text })).toEqual(failure);
      expect(engine.evaluate('t/other', { [text]: 1 })).toEqual(failure);
    }
    expect(decide({ allow: true, reason: '\ud83d\ude00 \\ud800' })).toMatchObject({
      reason: '\ud83d\ude00 \\ud800',
    });
  });

  it('says so when OPA writes what is no JSON', () => {
    for (const number of ['1.', '1.e5']) {
      const value = engine.evaluate('t/written', { number });
      expect(['error', 'undefined']).toContain(value.kind);
    }
    expect(engine.evaluate('t/written', { number: '1.5' })).toEqual({ kind: 'value', value: 1.5 });
  });

  it('passes only what the bundle says that it reads', async () => {
    const told = await withFile(
      bundle,
      '/.manifest',
      JSON.stringify({
        wasm: ENTRYPOINTS.map((entrypoint) => ({ entrypoint, module: '/policy.wasm' })),
        metadata: { writ: { input: [['a'], ['b', 'c']] } },
      }),
    );
    const projecting = await openPolicyEngine({ bundle: told, entrypoint: 't/decision' });
    const input = { a: 1, b: { c: 2, d: 3 }, e: 4, say: true };
    expect(projecting.evaluate('t/other', input)).toEqual({ kind: 'value', value: { saw: ['a', 'b'] } });
    expect(projecting.decide(input)).toEqual({ kind: 'undefined' });
    expect(projecting.facts.inputPaths).toEqual([['a'], ['b', 'c']]);
  });
});

describe('a policy that reads the clock', () => {
  const clock: Clock = { now: () => ({ monoMs: 0, wallMs: 1_700_000_000_000.5 }) };

  it('is not pure, and has the time of the clock it was given', async () => {
    const timed = await compile({
      rego: 'package t\nd := time.now_ns() > 1\nn := time.now_ns()',
      entrypoints: ['t/d', 't/n'],
    });
    const opened = await openPolicyEngine({ bundle: timed, entrypoint: 't/d', clock });
    expect(opened.revision.isPure).toBe(false);
    expect(opened.facts.builtins).toEqual(['time.now_ns']);
    expect(opened.decide({})).toEqual({ kind: 'answer', allow: true });
    expect(opened.evaluate('t/n', {})).toEqual({ kind: 'value', value: 1_700_000_000_000_000_000 });
    expect(await refusal({ bundle: timed, entrypoint: 't/d' })).toBe(
      "builtin time.now_ns is not supported by Writ's policy host",
    );
  });

  it('and one that matches patterns are said to be slower than they could be', async () => {
    const rego = 'package t\nd if regex.match("^a+$", input.x)\nd if time.now_ns() > 1';
    const opening = await openPolicy({
      bundle: await compile({ rego, entrypoints: ['t/d'] }),
      entrypoint: 't/d',
      clock,
    });
    if (opening.state !== 'opened') throw new Error(opening.state);
    expect(opening.engine.facts.slowBuiltins).toEqual(['regex']);
    expect(opening.remarks).toEqual([
      expect.stringContaining('(regex)'),
      expect.stringContaining('no answer may be kept'),
    ]);
    const plain = await openPolicy({ bundle, entrypoint: 't/decision', clock });
    expect(plain).toMatchObject({ state: 'opened', remarks: [] });
  });

  it('does not make another policy impure', async () => {
    expect((await openPolicyEngine({ bundle, entrypoint: 't/decision', clock })).revision.isPure).toBe(true);
  });
});

describe('a bundle is refused', () => {
  it('without the entrypoint, and told which ones there are', async () => {
    const message = await refusal({ bundle, entrypoint: 'writ/authz/decision' });
    expect(message).toMatch(
      /^the bundle has no entrypoint writ\/authz\/decision; it has t\/\w+, t\/\w+, t\/\w+, t\/\w+$/,
    );
  });

  it('when its manifest names an entrypoint that its module has not', async () => {
    const lying = await withFile(
      bundle,
      '/.manifest',
      '{"wasm":[{"entrypoint":"t/nothing","module":"/policy.wasm"}]}',
    );
    expect(await refusal({ bundle: lying, entrypoint: 't/decision' })).toMatch(
      /^the bundle has no entrypoint t\/nothing; /,
    );
  });

  it('when it is damaged', async () => {
    expect(await refusal({ bundle: bundle.subarray(0, 5000), entrypoint: 't/decision' })).toBe(
      'the bundle is truncated or no gzip',
    );
  });

  it('when it takes too long to load', async () => {
    expect(await refusal({ bundle, entrypoint: 't/decision', limits: { loadMs: 0 } })).toBe(
      'the bundle took too long to load',
    );
  });

  it('when the thread that loads it fails in a way nobody foresaw', async () => {
    expect(await refusal({ bundle: NOTHING, entrypoint: 't/decision' })).toBe(
      'the bundle could not be loaded',
    );
  });

  it('and no refusal, and no policy, prints anything', async () => {
    const streams = [vi.spyOn(process.stdout, 'write'), vi.spyOn(process.stderr, 'write')];
    await refusal({ bundle: new Uint8Array(10), entrypoint: 't/decision' });
    await refusal({ bundle: NOTHING, entrypoint: 't/decision' });
    for (const spy of streams) expect(spy).not.toHaveBeenCalled();
  });
});
