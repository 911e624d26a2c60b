import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Handle, HandleKind, HandleSet } from '../../src/credential/handle.ts';
import { Fingerprinter, handlesOfTarget, hasCutoff, renderHandle } from '../../src/credential/handle.ts';
import { SELECTOR_KINDS } from '../../src/feed/entry.ts';
import { hmacSha256 } from '../../src/kernel/digest.ts';

const KEY = new Uint8Array(32).fill(7);
const fingerprinter = new Fingerprinter(KEY);

function printOf(handle: Handle): [number, number] {
  const { prints } = fingerprinter.print([handle]);
  return [prints[0]!, prints[1]!];
}

function spelled({ handles }: HandleSet): string[] {
  return handles.map(renderHandle);
}

describe('a fingerprint', () => {
  it('is the first 64 bits of HMAC-SHA256 over the kind and the parts, each with its length', () => {
    const mac = Buffer.from(hmacSha256(KEY, '3:jti19:https://idp.example4:8f2c'));
    expect(printOf({ kind: 'jti', parts: ['https://idp.example', '8f2c'] })).toEqual([
      mac.readUInt32BE(0),
      mac.readUInt32BE(4),
    ]);
  });

  it('is another one under another key', () => {
    const handle: Handle = { kind: 'sub-bare', parts: ['billing'] };
    const other = new Fingerprinter(new Uint8Array(32).fill(8)).print([handle]);
    expect([...other.prints]).not.toEqual([...fingerprinter.print([handle]).prints]);
  });

  it('tells apart parts that look the same when they are joined', () => {
    const pairs: [Handle, Handle][] = [
      [
        { kind: 'jti', parts: ['a', 'bc'] },
        { kind: 'jti', parts: ['ab', 'c'] },
      ],
      [
        { kind: 'sub', parts: ['a', 'b'] },
        { kind: 'act', parts: ['a', 'b'] },
      ],
      [
        { kind: 'sub-any', parts: ['x'] },
        { kind: 'sub', parts: ['', 'x'] },
      ],
      [
        { kind: 'claim', parts: ['tenant', 'i', '1:a'] },
        { kind: 'claim', parts: ['tenant', 'i1', ':a'] },
      ],
    ];
    for (const [left, right] of pairs) expect(printOf(left)).not.toEqual(printOf(right));
  });

  it('differs for any two different handles', () => {
    const kinds: HandleKind[] = ['tok', 'jti', 'sub', 'claim', 'all'];
    const handle = fc.record({
      kind: fc.constantFrom(...kinds),
      parts: fc.array(fc.string(), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(handle, handle, (left, right) => {
        fc.pre(JSON.stringify(left) !== JSON.stringify(right));
        expect(printOf(left)).not.toEqual(printOf(right));
      }),
    );
  });
});

describe('the handles of a credential', () => {
  it('stand with the kinds without a cutoff first, each group in its order', () => {
    const set = fingerprinter.print([
      { kind: 'iss', parts: ['i'] },
      { kind: 'tok', parts: ['t'] },
      { kind: 'all', parts: [] },
      { kind: 'kid', parts: ['i', 'k'] },
    ]);
    expect(spelled(set)).toEqual(['tok:t', 'kid:i|k', 'iss:i', 'all:']);
    expect(set.cutoffFrom).toBe(2);
    expect(set.prints).toHaveLength(8);
  });

  it('are named once each', () => {
    const twice: Handle = { kind: 'cli', parts: ['i', 'app'] };
    const set = fingerprinter.print([twice, { kind: 'jti', parts: ['i', 'j'] }, { ...twice }]);
    expect(spelled(set)).toEqual(['jti:i|j', 'cli:i|app']);
  });

  it('may all be of one group, or none at all', () => {
    expect(fingerprinter.print([{ kind: 'tok', parts: ['t'] }]).cutoffFrom).toBe(1);
    expect(fingerprinter.print([{ kind: 'all', parts: [] }]).cutoffFrom).toBe(0);
    expect(fingerprinter.print([])).toEqual({ handles: [], prints: new Uint32Array(0), cutoffFrom: 0 });
  });
});

describe('the handles that a target writes', () => {
  const issuer = 'https://idp.example';
  const cases: [Parameters<typeof handlesOfTarget>[0], string[]][] = [
    [{ kind: 'token', value: 'd1' }, ['tok:d1']],
    [{ kind: 'jti', issuer, value: 'j' }, [`jti:${issuer}|j`]],
    [{ kind: 'session', issuer, value: 's' }, [`sid:${issuer}|s`]],
    [{ kind: 'key', issuer, value: 'k' }, [`kid:${issuer}|k`]],
    [{ kind: 'jkt', value: 't' }, ['jkt:t']],
    [{ kind: 'certificate', value: 'x' }, ['x5t:x']],
    [{ kind: 'apikey', value: 'a' }, ['apikey:a']],
    [{ kind: 'subject', issuer, value: 'u' }, [`sub:${issuer}|u`, 'sub-bare:u']],
    [{ kind: 'subject', value: 'u' }, ['sub-any:u', 'sub-bare:u']],
    [{ kind: 'client', issuer, value: 'c' }, [`cli:${issuer}|c`]],
    [{ kind: 'actor', issuer, value: 'b' }, [`act:${issuer}|b`]],
    [{ kind: 'actor', value: 'b' }, ['act-any:b']],
    [{ kind: 'issuer', value: issuer }, [`iss:${issuer}`]],
    [{ kind: 'spiffe', value: 'spiffe://d/w' }, ['spiffe:spiffe://d/w']],
    [{ kind: 'claim', issuer, name: 'tenant', value: '7' }, [`claim:tenant|${issuer}|7`]],
    [{ kind: 'claim', issuer, value: '7' }, [`claim:|${issuer}|7`]],
    [{ kind: 'all' }, ['all:']],
  ];

  it.each(cases)('%o', (target, expected) => {
    expect(handlesOfTarget(target).map(renderHandle)).toEqual(expected);
  });

  it('exist for every kind of selector, and all of one target have a cutoff or none has', () => {
    for (const kind of SELECTOR_KINDS) {
      const withCutoff = handlesOfTarget({ kind, value: 'v' }).map(hasCutoff);
      expect(withCutoff.length).toBeGreaterThan(0);
      expect(new Set(withCutoff).size).toBe(1);
    }
  });
});
