import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isWritError } from '../../src/kernel/error.ts';
import type { Json } from '../../src/kernel/json.ts';
import {
  canonicalJson,
  isCanonical,
  isJsonObject,
  joinMembers,
  memberTexts,
  parseJson,
} from '../../src/kernel/json.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';

const STRICT = { depthMax: 32, strictMembers: true };
const LAX = { depthMax: 32, strictMembers: false };

function refusalOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isWritError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

/** The double with these bits, as RFC 8785 appendix B lists them. */
function double(bits: string): number {
  return Buffer.from(bits, 'hex').readDoubleBE();
}

describe('canonicalJson', () => {
  it('writes the example of RFC 8785 section 3.2.2', () => {
    const value = {
      numbers: [333333333.33333329, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts members by UTF-16 code units, as in RFC 8785 section 3.2.3', () => {
    const value = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    expect(Object.values(JSON.parse(canonicalJson(value)) as object)).toEqual([
      'One', // JavaScript itself puts an index first; the text below shows the true order.
      'Carriage Return',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]);
    expect(canonicalJson(value).startsWith('{"\\r":"Carriage Return","1":"One","\u0080":')).toBe(true);
  });

  it.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('writes the number %s of RFC 8785 appendix B as %s', (bits, text) => {
    expect(canonicalJson(double(bits))).toBe(text);
  });

  it.each([
    ['NaN', Number.NaN],
    ['Infinity, nested', { a: [double('7ff0000000000000')] }],
    ['a bigint', { a: 1n }],
    ['undefined', undefined],
    ['half a surrogate pair in a text', { a: '\ud800' }],
    ['half a surrogate pair after a backslash', { a: '\\\udfff' }],
    ['half a surrogate pair in a name', { '\udc00': 1 }],
  ])('refuses %s: it has no canonical form', (_, value) => {
    expect(refusalOf(() => canonicalJson(value))).toBe('INTERNAL: value has no canonical JSON');
  });

  it('keeps what only looks like half a surrogate pair, and whole pairs', () => {
    expect(canonicalJson(['\\ud800', '\\\\udc00', '😀'])).toBe('["\\\\ud800","\\\\\\\\udc00","😀"]');
  });

  it('is the same text whatever the order of members, and parses back to the same value', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const reversed = Object.fromEntries(Object.entries(value).reverse());
        const text = canonicalJson(value);
        expect(canonicalJson(reversed)).toBe(text);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
  });
});

describe('the canonical text of a value', () => {
  const value = fc.jsonValue({ maxDepth: 4 });

  it('is what the library for RFC 8785 writes, for any value', () => {
    fc.assert(
      fc.property(value, (any) => {
        expect(canonicalJson(any)).toBe(canonicalize(any));
      }),
    );
    const odd = {
      10: 'a',
      9: 'b',
      toJSON: 'c',
      ['__proto__']: 1,
      date: new Date(0),
      none: undefined,
      list: [{ 2: 1, 1: 2 }],
    };
    expect(canonicalJson(odd)).toBe(canonicalize(odd));
    expect(canonicalJson([new Date(0)])).toBe(canonicalize([new Date(0)]));
  });

  it('is known when it is seen, and nothing else is taken for it', () => {
    const isSeen = (text: string): boolean => isCanonical(JSON.parse(text) as Json, text);
    fc.assert(
      fc.property(value, fc.boolean(), (any, isMade) => {
        const text = isMade ? canonicalJson(any) : JSON.stringify(any);
        expect(isSeen(text)).toBe(text === canonicalJson(JSON.parse(text)));
      }),
    );
    const texts = [
      '{"10":1,"9":2}',
      '{"1":1,"2":2}',
      '{"__proto__":1,"toJSON":2}',
      '[{"a":[{"b":1,"c":2}]}]',
    ];
    expect(texts.map(isSeen)).toEqual(texts.map(() => true));
    const others = [
      '{"9":2,"10":1}',
      '{"b":1,"a":2}',
      '[{"a":[{"c":1,"b":2}]}]',
      '{"a":1,"a":1}',
      '1.0',
      '"\\ud800"',
    ];
    expect(others.map(isSeen)).toEqual(others.map(() => false));
  });

  it('is the same when it is put together in pieces', () => {
    const members = fc.dictionary(
      fc.string(),
      fc.oneof(value, fc.array(fc.jsonValue({ maxDepth: 1 }), { minLength: 60, maxLength: 70 })),
      { maxKeys: 3 },
    );
    fc.assert(
      fc.property(members, (any) => {
        expect(joinMembers(runAtOnce(memberTexts(any)))).toBe(canonicalJson(any));
      }),
      { numRuns: 30 },
    );
    expect(joinMembers(runAtOnce(memberTexts({ b: undefined, a: [] })))).toBe('{"a":[]}');
  });
});

describe('parseJson', () => {
  it('is not misled by names that look alike to the engine: strictly, they are refused', () => {
    parseJson('{"a":1,"\\\\":1}', LAX);
    const misread = '{"a":1,"\\"":1}';
    expect(refusalOf(() => parseJson(misread, STRICT))).toContain('JSON names a member that is refused');
    expect(refusalOf(() => parseJson('{"a":1,"\\\\":1}', STRICT))).toContain(
      'JSON names a member that is refused',
    );
    expect(parseJson('{"https:\\/\\/x":1,"\\u0061":"\\""}', STRICT)).toEqual({ 'https://x': 1, a: '"' });
  });

  it('gives what JSON.parse gives for any JSON that is not too deep', () => {
    const json = fc.json({ maxDepth: 8 });
    fc.assert(
      fc.property(json, fc.constantFrom(STRICT, LAX), (text, limits) => {
        const names = /(?:"(?:__proto__|constructor|prototype)|\\["\\](?:[^"\\]|\\.)*)"\s*:/.test(text);
        if (names && limits.strictMembers) return;
        expect(parseJson(text, limits)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('refuses whatever JSON.parse refuses, and with the same code', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:\\ \n01eutrnls'.split('')) }), (text) => {
        const accepted = refusalOf(() => parseJson(text, LAX)) === 'accepted';
        expect(accepted).toBe(canParse(text));
      }),
      { numRuns: 2_000 },
    );
  });

  it('accepts JSON as deep as the limit and refuses one level more', () => {
    const nested = (depth: number) => '['.repeat(depth) + '{}' + ']'.repeat(depth);
    expect(parseJson(nested(31), STRICT)).toBeDefined();
    expect(refusalOf(() => parseJson(nested(32), STRICT))).toBe('BAD_REQUEST: JSON is deeper than 32');
  });

  it('counts depth before it parses: an array 200,000 deep is refused after 33 brackets', () => {
    // Neither text ends properly: had it been parsed first, it would have been "not JSON".
    const depth = 200_000;
    expect(refusalOf(() => parseJson('['.repeat(depth), STRICT))).toBe('BAD_REQUEST: JSON is deeper than 32');
    expect(refusalOf(() => parseJson('{"a":'.repeat(depth), LAX))).toBe(
      'BAD_REQUEST: JSON is deeper than 32',
    );
  });

  it('does not count brackets inside texts, nor those that were closed', () => {
    expect(parseJson(JSON.stringify('[{'.repeat(100)), STRICT)).toHaveLength(200);
    expect(parseJson(`[${'[],'.repeat(100)}{}]`, STRICT)).toHaveLength(101);
    expect(parseJson(String.raw`["\\", "\"[[[[", "\\\""]`, STRICT)).toEqual(['\\', '"[[[[', '\\"']);
  });

  it.each([
    ['plainly', '{"a":1,"a":2}'],
    ['with an escape', String.raw`{"a":1,"\u0061":2}`],
    ['with another escape', String.raw`{"/":1,"\/":2}`],
    ['in an inner object', '{"x":[{"a":1,"b":{"a":1},"a":2}]}'],
    ['with white space before the colon', '{"a" :1,"a"\t\r\n :2}'],
  ])('refuses a member that is named twice: %s', (_, text) => {
    expect(refusalOf(() => parseJson(text, STRICT))).toBe('BAD_REQUEST: JSON names a member twice');
    expect(refusalOf(() => parseJson(text, LAX))).toBe('accepted');
  });

  it('accepts one name in two objects, and a text that is spelled like a name', () => {
    expect(parseJson('{"a":{"a":"a"},"b":["a","a",{"a":1}]}', STRICT)).toEqual({
      a: { a: 'a' },
      b: ['a', 'a', { a: 1 }],
    });
  });

  it.each(['__proto__', 'constructor', 'prototype', String.raw`\u005f_proto__`])(
    'refuses a member called %s when strict, and pollutes nothing when not',
    (name) => {
      const text = `{"a":{"${name}":{"isAdmin":true}}}`;
      expect(refusalOf(() => parseJson(text, STRICT))).toBe(
        'BAD_REQUEST: JSON names a member that is refused',
      );
      parseJson(text, LAX);
      expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
    },
  );

  it.each([
    '',
    '{',
    '{"a"',
    '{"a',
    '{"a\\',
    String.raw`{"\x":1}`,
    '{"a":1}}',
    ']',
    '["a":1]',
    '{"a":1,}',
    '01',
    'NaN',
    "{'a':1}",
    '\ufeff{}',
    '"\u0000"',
  ])('refuses %j: it is no JSON', (text) => {
    expect(refusalOf(() => parseJson(text, STRICT))).toBe('BAD_REQUEST: body is not JSON');
  });

  it.each([
    ['half a pair', String.raw`{"a":["\ud800"]}`],
    ['the other half', String.raw`"\uDFFF"`],
    ['half a pair as a name', String.raw`{"\ud800":1}`],
    ['a raw half', '"\ud800"'],
    ['a number beyond a double', '{"a":[1,1e309]}'],
    ['a number beyond a double, written out', `-${'9'.repeat(310)}`],
  ])('refuses what would not come out again as it went in: %s', (_, text) => {
    expect(refusalOf(() => parseJson(text, LAX))).toBe(
      'BAD_REQUEST: JSON holds a text or number that has no exact form',
    );
  });

  it('accepts whole pairs, large numbers and every other kind of value beside them', () => {
    const text = String.raw`{"a":"\ud83d\ude00","b":[1e300,null,true,{}],"c":"\\ud800"}`;
    expect(parseJson(text, STRICT)).toEqual({ a: '😀', b: [1e300, null, true, {}], c: '\\ud800' });
  });

  it('quotes nothing of the text in a refusal', () => {
    fc.assert(
      fc.property(fc.string(), (secret) => {
        const canary = `canary-${secret}`;
        expect(refusalOf(() => parseJson(`{"${canary}":`, STRICT))).not.toContain('canary');
        expect(refusalOf(() => parseJson(`{"canary":1,"canary":"${secret}"}`, STRICT))).not.toContain(
          'canary',
        );
      }),
    );
  });
});

function canParse(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('isJsonObject', () => {
  it('is true for objects only', () => {
    expect([{}, [], null, 'a', 1, undefined].map(isJsonObject)).toEqual([
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });
});
