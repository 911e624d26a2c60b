import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Target } from '../../src/feed/entry.ts';
import { SELECTOR_KINDS } from '../../src/feed/entry.ts';
import { canonicalJson } from '../../src/kernel/json.ts';
import { WritError } from '../../src/kernel/error.ts';
import type { SelectorBody, SelectorContext } from '../../src/revocation/selector.ts';
import { parseSelectors } from '../../src/revocation/selector.ts';

const NOW_S = 1_796_000_000;
const LIFE_S = 86_400;
const CONTEXT: SelectorContext = {
  nowMs: NOW_S * 1000 + 789,
  clockSkewS: 5,
  credentialLifeMaxS: LIFE_S,
  leaseS: 3,
  revocationClaims: ['tenant'],
  handleOfToken: (token) =>
    token === 'good-token'
      ? { digest: 'd1', issuer: 'https://idp.example', expiresAtS: NOW_S + 600 }
      : undefined,
};
const issuer = 'https://idp.example';
const THUMB = 'A'.repeat(43);

function parseOne(selector: unknown): Target {
  const [target, ...rest] = parseSelectors({ selector }, CONTEXT);
  expect(rest).toEqual([]);
  return target!;
}

function refused(body: SelectorBody): { code: string; field: string | undefined; message: string } {
  try {
    parseSelectors(body, CONTEXT);
  } catch (error) {
    if (error instanceof WritError) return { code: error.code, field: error.field, message: error.message };
    throw error;
  }
  return { code: 'none', field: undefined, message: 'it was taken' };
}

const ofCutoff = { cutoffS: NOW_S, untilS: NOW_S + 1 + LIFE_S + 63 };

describe('a selector becomes a target', () => {
  const cases: [Record<string, unknown>, Target][] = [
    [
      { kind: 'token', value: 'good-token' },
      { kind: 'token', value: 'd1', untilS: NOW_S + 663 },
    ],
    [
      { kind: 'jti', issuer, value: 'j' },
      { kind: 'jti', issuer, value: 'j', untilS: NOW_S + 1 + LIFE_S + 123 },
    ],
    [
      { kind: 'session', issuer, value: 's' },
      { kind: 'session', issuer, value: 's' },
    ],
    [
      { kind: 'key', issuer, value: 'k' },
      { kind: 'key', issuer, value: 'k' },
    ],
    [
      { kind: 'jkt', value: THUMB },
      { kind: 'jkt', value: THUMB },
    ],
    [
      { kind: 'certificate', value: THUMB },
      { kind: 'certificate', value: THUMB },
    ],
    [
      { kind: 'apikey', value: 'a' },
      { kind: 'apikey', value: 'a' },
    ],
    [
      { kind: 'subject', issuer, value: 'u' },
      { kind: 'subject', issuer, value: 'u', ...ofCutoff },
    ],
    [
      { kind: 'subject', value: 'u' },
      { kind: 'subject', value: 'u', ...ofCutoff },
    ],
    [
      { kind: 'client', issuer, value: 'c' },
      { kind: 'client', issuer, value: 'c', ...ofCutoff },
    ],
    [
      { kind: 'actor', issuer, value: 'b' },
      { kind: 'actor', issuer, value: 'b', ...ofCutoff },
    ],
    [
      { kind: 'actor', value: 'b' },
      { kind: 'actor', value: 'b', ...ofCutoff },
    ],
    [
      { kind: 'issuer', value: issuer },
      { kind: 'issuer', value: issuer, ...ofCutoff },
    ],
    [
      { kind: 'spiffe', value: 'spiffe://d.example/w' },
      { kind: 'spiffe', value: 'spiffe://d.example/w', cutoffS: NOW_S },
    ],
    [
      { kind: 'claim', name: 'tenant', issuer, value: '7' },
      { kind: 'claim', name: 'tenant', issuer, value: '7', ...ofCutoff },
    ],
    [{ kind: 'all' }, { kind: 'all', cutoffS: NOW_S }],
  ];

  it.each(cases)('%o', (selector, expected) => {
    expect(parseOne(selector)).toEqual(expected);
  });

  it('of every kind there is', () => {
    expect(new Set(cases.map(([, { kind }]) => kind))).toEqual(new Set(SELECTOR_KINDS));
  });

  it('and nothing of the token but its digest is in it', () => {
    expect(JSON.stringify(parseOne({ kind: 'token', value: 'good-token' }))).not.toContain('good-token');
  });
});

describe('before', () => {
  const at = (ms: number): string => new Date(ms).toISOString();
  const cutoffOf = (before: string): number | undefined => parseOne({ kind: 'all', before }).cutoffS;

  it('is rounded down to the whole second', () => {
    expect(cutoffOf(at(NOW_S * 1000 - 1))).toBe(NOW_S - 1);
    expect(cutoffOf(at(NOW_S * 1000 - 1_000))).toBe(NOW_S - 1);
    expect(cutoffOf('1970-01-01T00:00:00.999Z')).toBe(0);
  });

  it('may be any RFC 3339 spelling', () => {
    expect(cutoffOf('2026-11-24T06:00:00+01:00')).toBe(Date.parse('2026-11-24T05:00:00Z') / 1000);
  });

  it('long ago leaves the entry in force for the longest life from now', () => {
    expect(parseOne({ kind: 'issuer', value: issuer, before: '1999-01-01T00:00:00Z' }).untilS).toBe(
      ofCutoff.untilS,
    );
  });

  it('may be as far in the future as the skew, and no further', () => {
    expect(cutoffOf(at(CONTEXT.nowMs + 5_000))).toBe(NOW_S + 5);
    expect(refused({ selector: { kind: 'all', before: at(CONTEXT.nowMs + 5_001) } })).toMatchObject({
      code: 'SELECTOR_INVALID',
      field: 'selector.before',
    });
  });

  it.each(['token', 'jti', 'session', 'key', 'jkt', 'certificate', 'apikey'])('is refused for %s', (kind) => {
    const members = {
      ...(['jti', 'session', 'key'].includes(kind) ? { issuer } : {}),
      value: ['jkt', 'certificate'].includes(kind) ? THUMB : 'good-token',
    };
    const selector = { kind, ...members, before: at(0) };
    expect(refused({ selector })).toMatchObject({ code: 'SELECTOR_INVALID', field: 'selector.before' });
    expect(parseSelectors({ selector: { kind, ...members } }, CONTEXT)).toHaveLength(1);
  });
});

describe('several selectors', () => {
  const jti = (value: string): Record<string, string> => ({ kind: 'jti', issuer, value });

  it('become as many targets, in their order, and repeats become one', () => {
    const selectors = [jti('b'), jti('a'), jti('b'), { value: 'a', issuer, kind: 'jti' }];
    expect(parseSelectors({ selectors }, CONTEXT).map(({ value }) => value)).toEqual(['b', 'a']);
  });

  it('of one handle with two cutoffs stay two', () => {
    const selectors = [{ kind: 'all' }, { kind: 'all', before: '2020-01-01T00:00:00Z' }];
    expect(parseSelectors({ selectors }, CONTEXT)).toHaveLength(2);
  });

  it('are at most a thousand', () => {
    const many = (count: number): unknown[] => Array.from({ length: count }, (_, i) => jti(`${i}`));
    expect(parseSelectors({ selectors: many(1_000) }, CONTEXT)).toHaveLength(1_000);
    expect(refused({ selectors: many(1_001) })).toMatchObject({
      code: 'SELECTOR_INVALID',
      field: 'selectors',
    });
  });

  it('name the one at fault', () => {
    const selectors = [jti('a'), jti('b'), jti('c'), { kind: 'client', value: 'x' }];
    expect(refused({ selectors })).toEqual({
      code: 'SELECTOR_INVALID',
      field: 'selectors[3].issuer',
      message: 'selectors[3].issuer is missing',
    });
  });
});

describe('what is refused', () => {
  const long = 'x'.repeat(2_049);
  const cases: [string, SelectorBody, string, string][] = [
    ['neither of the two', {}, 'SELECTOR_INVALID', 'selector is missing'],
    [
      'both',
      { selector: { kind: 'all' }, selectors: [] },
      'SELECTOR_INVALID',
      'selectors is refused beside selector: one of them says it all',
    ],
    ['an empty list', { selectors: [] }, 'SELECTOR_INVALID', 'selectors must be 1 to 1000 selectors'],
    ['no list', { selectors: { kind: 'all' } }, 'BAD_REQUEST', 'selectors must be an array'],
    ['null', { selector: null }, 'BAD_REQUEST', 'selector must be an object'],
    ['a string', { selector: 'all' }, 'BAD_REQUEST', 'selector must be an object'],
    ['a list as one', { selector: [] }, 'BAD_REQUEST', 'selector must be an object'],
    ['a hole in the list', { selectors: [null] }, 'BAD_REQUEST', 'selectors[0] must be an object'],
    ['no kind', { selector: { value: 'x' } }, 'SELECTOR_INVALID', 'selector.kind is missing'],
    ['a kind that is no string', { selector: { kind: 7 } }, 'BAD_REQUEST', 'selector.kind must be a string'],
    [
      'an unknown kind',
      { selector: { kind: 'sub' } },
      'SELECTOR_INVALID',
      `selector.kind must be one of ${SELECTOR_KINDS.join(', ')}`,
    ],
    ['no value', { selector: { kind: 'jti', issuer } }, 'SELECTOR_INVALID', 'selector.value is missing'],
    [
      'an empty value',
      { selector: { kind: 'jti', issuer, value: '' } },
      'SELECTOR_INVALID',
      'selector.value is empty',
    ],
    [
      'a number',
      { selector: { kind: 'jti', issuer, value: 7 } },
      'BAD_REQUEST',
      'selector.value must be a string',
    ],
    [
      'an issuer that is null',
      { selector: { kind: 'subject', issuer: null, value: 'u' } },
      'BAD_REQUEST',
      'selector.issuer must be a string',
    ],
    [
      'a long value',
      { selector: { kind: 'jti', issuer, value: long } },
      'SELECTOR_INVALID',
      'selector.value is longer than 2048 characters',
    ],
    [
      'a long key id',
      { selector: { kind: 'key', issuer, value: 'k'.repeat(257) } },
      'SELECTOR_INVALID',
      'selector.value is longer than 256 characters',
    ],
    [
      'half a character',
      { selector: { kind: 'jti', issuer, value: '\ud800' } },
      'SELECTOR_INVALID',
      'selector.value is not well-formed Unicode',
    ],
    [
      'a value for all',
      { selector: { kind: 'all', value: 'x' } },
      'SELECTOR_INVALID',
      'selector.value is no member of a selector of this kind',
    ],
    [
      'an issuer for a thumbprint',
      { selector: { kind: 'jkt', issuer, value: THUMB } },
      'SELECTOR_INVALID',
      'selector.issuer is no member of a selector of this kind',
    ],
    [
      'an unknown member',
      { selector: { kind: 'all', until: 1 } },
      'SELECTOR_INVALID',
      'selector.until is no member of a selector of this kind',
    ],
    [
      'an unknown member that is no name',
      { selector: { kind: 'all', 'eyJhbGciOi.x': 1 } },
      'SELECTOR_INVALID',
      'selector is no member of a selector of this kind',
    ],
    [
      'a claim nobody configured',
      { selector: { kind: 'claim', name: 'role', issuer, value: 'x' } },
      'SELECTOR_INVALID',
      'selector.name is not a claim that the configuration names in revocationClaims',
    ],
    [
      'a claim without a name',
      { selector: { kind: 'claim', issuer, value: 'x' } },
      'SELECTOR_INVALID',
      'selector.name is missing',
    ],
    [
      'what is no token',
      { selector: { kind: 'token', value: 'bad' } },
      'SELECTOR_INVALID',
      'selector.value is not a token',
    ],
    [
      'a token with the word that is sent before it',
      { selector: { kind: 'token', value: 'Bearer good-token' } },
      'SELECTOR_INVALID',
      'selector.value is not a token: leave out "Bearer", which is before it',
    ],
    [
      'a time that is none',
      { selector: { kind: 'all', before: 'yesterday' } },
      'SELECTOR_INVALID',
      'selector.before is not an RFC 3339 time',
    ],
    [
      'a time as a number',
      { selector: { kind: 'all', before: 5 } },
      'BAD_REQUEST',
      'selector.before must be a string',
    ],
    [
      'a time before all times',
      { selector: { kind: 'all', before: '1969-12-31T23:59:59Z' } },
      'SELECTOR_INVALID',
      'selector.before is before 1970',
    ],
    [
      'a short thumbprint',
      { selector: { kind: 'jkt', value: 'A'.repeat(42) } },
      'SELECTOR_INVALID',
      'selector.value is not the base64url of a SHA-256',
    ],
    [
      'a thumbprint with unused bits',
      { selector: { kind: 'jkt', value: `${'A'.repeat(42)}B` } },
      'SELECTOR_INVALID',
      'selector.value is not the base64url of a SHA-256',
    ],
    [
      'a padded thumbprint',
      { selector: { kind: 'certificate', value: `${THUMB}=` } },
      'SELECTOR_INVALID',
      'selector.value is not the base64url of a SHA-256',
    ],
    ...[
      'SPIFFE://d/w',
      'spiffe://D/w',
      'spiffe://d:1/w',
      'spiffe://u@d/w',
      'spiffe://d/w/',
      'spiffe://d//w',
      'spiffe://d/../w',
      'spiffe://d/w?q',
      'spiffe://d/%77',
      'd/w',
    ].map((value): [string, SelectorBody, string, string] => [
      value,
      { selector: { kind: 'spiffe', value } },
      'SELECTOR_INVALID',
      'selector.value is not a SPIFFE ID',
    ]),
  ];

  it.each(cases)('%s', (_name, body, code, message) => {
    expect(refused(body)).toEqual({ code, message, field: message.split(' ')[0] });
  });

  it('is never quoted', () => {
    const secret = 's3cr3t.T0k3n';
    for (const kind of [...SELECTOR_KINDS, secret]) {
      for (const selector of [
        { kind, value: secret, issuer: [secret], name: secret, before: secret },
        { kind, value: secret, issuer: secret, name: secret, before: secret, [secret]: secret },
        { kind, value: { [secret]: secret } },
      ]) {
        const { code, message, field } = refused({ selector });
        expect(code).toMatch(/^(SELECTOR_INVALID|BAD_REQUEST)$/);
        expect(message + (field ?? '')).not.toContain(secret);
      }
    }
  });

  it('or taken, but never anything else: whatever is sent', () => {
    const member = fc.constantFrom('kind', 'value', 'issuer', 'name', 'before', 'other');
    const value = fc.oneof(
      fc.constantFrom<unknown>(...SELECTOR_KINDS, issuer, THUMB, 'tenant', 'good-token'),
      fc.anything(),
    );
    fc.assert(
      fc.property(fc.oneof(fc.dictionary(member, value), fc.anything()), (selector) => {
        try {
          for (const target of parseSelectors({ selector }, CONTEXT)) canonicalJson(target);
        } catch (error) {
          expect(error).toBeInstanceOf(WritError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
