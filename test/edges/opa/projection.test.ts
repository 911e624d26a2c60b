import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createInputRenderer, hasLoneSurrogate } from '../../../src/edges/opa/projection.ts';
import type { JsonObject } from '../../../src/kernel/json.ts';

describe('the input of a policy that says what it reads', () => {
  const render = createInputRenderer([
    ['subject', 'id'],
    ['credential', 'claims', 'scope'],
    ['grants'],
    ['now'],
  ]);

  it('holds the paths that are read, whole, and nothing else', () => {
    const input = {
      subject: { id: 'a', type: 'service', properties: { big: [1, 2, 3] } },
      action: { name: 'read' },
      credential: { claims: { scope: 'x y', email: 'a@b' }, issuer: 'i' },
      grants: [{ a: { b: 1 } }],
      now: 7,
    };
    expect(JSON.parse(render(input))).toEqual({
      subject: { id: 'a' },
      credential: { claims: { scope: 'x y' } },
      grants: [{ a: { b: 1 } }],
      now: 7,
    });
  });

  it('leaves out what is not there', () => {
    expect(render({})).toBe('{}');
    expect(render({ subject: {}, now: 0 })).toBe('{"subject":{},"now":0}');
    expect(render({ now: undefined } as never)).toBe('{}');
  });

  it('keeps the kind of what lies on the way to a path', () => {
    for (const odd of [null, true, false, 0, 'text', [], ['id'], [{ id: 'a' }], {}]) {
      expect(JSON.parse(render({ subject: odd, credential: { claims: odd } }))).toEqual({
        subject: odd,
        credential: { claims: odd },
      });
    }
  });

  it('reads own members only', () => {
    const named = createInputRenderer([
      ['constructor'],
      ['toString', 'name'],
      ['__proto__', 'x'],
      ['a', 'valueOf'],
    ]);
    expect(named({ a: {} })).toBe('{"a":{}}');
    const input = JSON.parse(
      '{"constructor":1,"toString":{"name":"n"},"__proto__":{"x":2,"y":3},"a":{"valueOf":4}}',
    ) as JsonObject;
    expect(named(input)).toBe(
      '{"constructor":1,"toString":{"name":"n"},"__proto__":{"x":2},"a":{"valueOf":4}}',
    );
  });

  it('is empty for a policy that reads nothing', () => {
    expect(createInputRenderer([])({ subject: { id: 'a' } })).toBe('{}');
  });

  it('takes a path and one below it for the shorter one', () => {
    for (const paths of [
      [['a'], ['a', 'b']],
      [['a', 'b'], ['a']],
    ])
      expect(createInputRenderer(paths)({ a: { b: 1, c: 2 } })).toBe('{"a":{"b":1,"c":2}}');
  });

  it('gives every path the value it has in the whole input', () => {
    // No name ends in a backslash: V8 14.6 (Node 26.10) takes "\n" for "\\" where it has seen that one before.
    const name = fc.constantFrom('a', 'b', 'c', '"', '\n', 'ä', '__proto__');
    const { node } = fc.letrec((tie) => ({
      node: fc.oneof({ maxDepth: 3 }, fc.jsonValue({ maxDepth: 1 }), members(name, tie('node'))),
    }));
    const path = fc.array(name, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(members(name, node), fc.array(path, { maxLength: 5 }), (input, paths) => {
        const whole = JSON.parse(JSON.stringify(input)) as JsonObject;
        const projected = JSON.parse(createInputRenderer(paths)(whole)) as JsonObject;
        for (const wanted of paths) expect(at(projected, wanted)).toEqual(at(whole, wanted));
      }),
    );
  });
});

describe('the input of a policy that does not say', () => {
  it('is passed whole', () => {
    const input = { b: { c: ['ä', 1e21, null] }, a: '\ud83d\ude00' };
    expect(createInputRenderer(undefined)(input)).toBe(JSON.stringify(input));
  });
});

describe('half a surrogate pair', () => {
  it('is found wherever it stands', () => {
    for (const text of [
      '\ud800',
      'a\udfff',
      '\ude00\ud83d',
      'x\\\ud9ab',
      '\\\\\udc00 y',
      '\ud83d\ude00\ud83d',
    ])
      for (const value of [text, { a: [text] }, { [text]: 1 }])
        expect(hasLoneSurrogate(JSON.stringify(value))).toBe(true);
  });

  it('is not seen in pairs, nor in text that only looks like the escape', () => {
    for (const text of [
      '',
      'plain',
      '\ud83d\ude00',
      '\\ud800',
      '\\\\ud800',
      '\\\\\\ud800',
      '\\udead beef',
      'ud800',
      '\ud7ff\ue000',
    ])
      expect(hasLoneSurrogate(JSON.stringify({ [text]: text }))).toBe(false);
  });

  it('is found exactly when the text is not well formed', () => {
    const text = fc.string({ unit: fc.constantFrom('\\', 'u', 'd', '8', '"', '\ud800', '\udc00', '0', 'a') });
    fc.assert(
      fc.property(text, (value) => hasLoneSurrogate(JSON.stringify(value)) === !value.isWellFormed()),
    );
  });
});

function members(
  name: fc.Arbitrary<string>,
  value: fc.Arbitrary<unknown>,
): fc.Arbitrary<Record<string, unknown>> {
  return fc.dictionary(name, value, { maxKeys: 3 });
}

function at(value: unknown, path: readonly string[]): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return value;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name) ? at((value as Record<string, unknown>)[name], rest) : undefined;
}
