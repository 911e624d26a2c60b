import fc from 'fast-check';
import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  deriveKey,
  hmacSha256,
  isSameSecret,
  lengthPrefixed,
  parseBase64,
  parseBase64Url,
  sha1Hex,
  sha256,
  sha256Hex,
  toBase64,
  toBase64Url,
} from '../../src/kernel/digest.ts';

const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex');

describe('hashes', () => {
  it('gives the SHA-256 and SHA-1 of "abc" (FIPS 180-4)', () => {
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    expect(sha256Hex('abc')).toBe(expected);
    expect(hex(sha256(Buffer.from('abc')))).toBe(expected);
    expect(sha1Hex('abc')).toBe('a9993e364706816aba3e25717850c26c9cd0d89d');
  });

  it('gives the HMAC-SHA256 of RFC 4231 test case 2', () => {
    expect(hex(hmacSha256(Buffer.from('Jefe'), 'what do ya want for nothing?'))).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    );
  });

  it('derives the key of RFC 5869 test case 3, and another one for each label', () => {
    const secret = new Uint8Array(22).fill(0x0b);
    expect(hex(deriveKey(secret, ''))).toBe(
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d',
    );
    expect(deriveKey(secret, 'writ a')).not.toEqual(deriveKey(secret, 'writ b'));
    // RFC 5869 section 2.3, one block: T(1) = HMAC(PRK, info | 0x01).
    const prk = createHmac('sha256', new Uint8Array(32)).update(secret).digest();
    const expected = createHmac('sha256', prk).update('writ log key\x01').digest('hex');
    expect(hex(deriveKey(secret, 'writ log key'))).toBe(expected);
  });
});

describe('lengthPrefixed', () => {
  it('prefixes each part with its length in bytes', () => {
    expect(lengthPrefixed(['abc', '', 'é'])).toBe('3:abc0:2:é');
    expect(lengthPrefixed([])).toBe('');
  });

  it('never gives two lists of parts one encoding', () => {
    const part = fc.string({ unit: fc.constantFrom('a', ':', '0', '1', '2', 'é'), maxLength: 4 });
    const parts = fc.array(part, { maxLength: 4 });
    fc.assert(
      fc.property(parts, parts, (left, right) => {
        expect(lengthPrefixed(left) === lengthPrefixed(right)).toBe(
          JSON.stringify(left) === JSON.stringify(right),
        );
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('isSameSecret', () => {
  it('is true for the same text only, whatever the lengths', () => {
    expect(isSameSecret('wat_a', 'wat_a')).toBe(true);
    expect(isSameSecret('wat_a', 'wat_b')).toBe(false);
    expect(isSameSecret('wat_a', 'wat_a ')).toBe(false);
    expect(isSameSecret('', 'a')).toBe(false);
  });
});

describe('base64url', () => {
  it('reads back whatever it wrote, also from a slice of a larger buffer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2 }), (bytes) => {
        const slice = bytes.subarray(1);
        expect(parseBase64Url(toBase64Url(slice))).toEqual(new Uint8Array(slice));
        expect(parseBase64(toBase64(slice))).toEqual(new Uint8Array(slice));
      }),
    );
  });

  it('has one spelling for each value: every other text is refused', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'ABCabc019-_+/=\n '.split('')), maxLength: 6 }),
        (text) => {
          const bytes = parseBase64Url(text);
          if (bytes !== undefined) expect(toBase64Url(bytes)).toBe(text);
          const padded = parseBase64(text);
          if (padded !== undefined) expect(toBase64(padded)).toBe(text);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['nothing', ''],
    ['one character', 'A'],
    ['unused bits that are set', 'AB'],
    ['padding', 'AA=='],
    ['the other alphabet', '+/8='],
    ['white space', 'AA\n'],
    ['five characters', 'AAAAA'],
  ])('refuses %s', (_, text) => {
    expect(parseBase64Url(text)).toBeUndefined();
  });

  it('refuses padded base64 that is not canonical', () => {
    expect(hex(parseBase64('+/8='))).toBe('fbff');
    for (const text of ['', 'AA', 'AB==', '-_8=', 'AA==\n', ' AA=='])
      expect(parseBase64(text)).toBeUndefined();
  });
});
