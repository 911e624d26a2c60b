import { describe, expect, it } from 'vitest';
import { parseAnswer, parseValue } from '../../../src/edges/opa/answer.ts';

const bytes = (value: unknown): string => Buffer.from(JSON.stringify([{ result: value }])).toString('latin1');
const malformed = { kind: 'error', detail: 'answer is neither a boolean nor an object with a boolean allow' };

describe('an answer', () => {
  it('is a boolean, or an object that says allow', () => {
    expect(parseAnswer(bytes(true))).toEqual({ kind: 'answer', allow: true });
    expect(parseAnswer(bytes(false))).toEqual({ kind: 'answer', allow: false });
    expect(parseAnswer(bytes({ allow: true }))).toEqual({ kind: 'answer', allow: true });
    expect(parseAnswer(bytes({ allow: false, reason: 'Zoë', obligations: [{ a: 1 }], more: 1 }))).toEqual({
      kind: 'answer',
      allow: false,
      reason: 'Zoë',
      obligations: [{ a: 1 }],
    });
  });

  it('is undefined when no rule spoke', () => {
    expect(parseAnswer('[]')).toEqual({ kind: 'undefined' });
  });

  it('is an error when it is anything else, however much it looks like yes', () => {
    const odd = [
      null,
      0,
      1,
      '',
      'true',
      [],
      [true],
      {},
      { allow: 'true' },
      { allow: 1 },
      { allow: null },
      { Allow: true },
    ];
    for (const value of odd) expect(parseAnswer(bytes(value))).toEqual(malformed);
  });

  it('is an error when its reason is no text', () => {
    for (const reason of [null, 1, {}, ['x'], true])
      expect(parseAnswer(bytes({ allow: true, reason }))).toEqual({
        kind: 'error',
        detail: 'the reason in the answer is not a string',
      });
  });

  it('cannot be changed by who gets it', () => {
    expect(Object.isFrozen(parseAnswer(bytes(true)))).toBe(true);
    expect(Object.isFrozen(parseAnswer(bytes({ allow: true, reason: 'r' })))).toBe(true);
  });
});

describe('a value', () => {
  it('is whatever the entrypoint said, or undefined', () => {
    for (const value of [null, false, 0, 'ä😀', [1], { a: {} }])
      expect(parseValue(bytes(value))).toEqual({ kind: 'value', value });
    expect(parseValue('[]')).toEqual({ kind: 'undefined' });
  });

  it('is an error when OPA wrote a number that JSON has not', () => {
    expect(parseValue('[{"result":1.}]')).toEqual({ kind: 'error', detail: 'result is not JSON' });
    expect(parseAnswer('[{"result":1.}]')).toEqual({ kind: 'error', detail: 'result is not JSON' });
  });
});
