import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Mac } from '../../src/kernel/mac.ts';

function hex(mac: string): string {
  return Buffer.from(mac, 'latin1').toString('hex');
}

describe('a MAC', () => {
  // RFC 4231 sections 4.2, 4.3 and 4.7: a short key, one that is text, and one that is longer than a block.
  const vectors: [string, Uint8Array, string, string][] = [
    [
      'a short key',
      new Uint8Array(20).fill(0x0b),
      'Hi There',
      'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
    ],
    [
      'a key of text',
      Buffer.from('Jefe'),
      'what do ya want for nothing?',
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    ],
    [
      'a key longer than a block',
      new Uint8Array(131).fill(0xaa),
      'Test Using Larger Than Block-Size Key - Hash Key First',
      '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
    ],
  ];

  it.each(vectors)('under %s is that of RFC 4231', (_name, key, text, expected) => {
    expect(hex(new Mac(key).sign(text))).toBe(expected);
  });

  it('is HMAC-SHA256 for any text after any other, short or long', () => {
    const key = new Uint8Array(32).fill(7);
    const mac = new Mac(key);
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.integer({ min: 1_000, max: 9_000 }).map((times) => 'é'.repeat(times)),
    );
    fc.assert(
      fc.property(text, (one) => {
        expect(hex(mac.sign(one))).toBe(createHmac('sha256', key).update(one).digest('hex'));
      }),
    );
  });
});
