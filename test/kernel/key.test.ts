import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toBase64Url } from '../../src/kernel/digest.ts';
import { parsePublicKey, signingKeyOf } from '../../src/kernel/key.ts';

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

/** RFC 8032 section 7.1, TEST 1 and TEST 2. */
const VECTORS = [
  {
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
];

describe('Ed25519 keys', () => {
  it.each(VECTORS)('signs and verifies as RFC 8032 section 7.1 does: message "$message"', (vector) => {
    const key = signingKeyOf(bytes(vector.seed));
    expect(key.public.x).toBe(toBase64Url(bytes(vector.publicKey)));
    expect(key.sign(bytes(vector.message))).toEqual(bytes(vector.signature));
    const parsed = parsePublicKey(key.public.x);
    expect(parsed?.x).toBe(key.public.x);
    expect(parsed?.verify(bytes(vector.message), bytes(vector.signature))).toBe(true);
  });

  it('takes text as its UTF-8 bytes', () => {
    const key = signingKeyOf(new Uint8Array(32).fill(7));
    const signature = key.sign('é');
    expect(signature).toEqual(key.sign(new TextEncoder().encode('é')));
    expect(key.public.verify('é', signature)).toBe(true);
    expect(key.public.verify('e', signature)).toBe(false);
  });

  it('refuses a signature with a bit changed, of another key, or of another length, without throwing', () => {
    const key = signingKeyOf(new Uint8Array(32).fill(1));
    const other = signingKeyOf(new Uint8Array(32).fill(2));
    const signature = key.sign('m');
    fc.assert(
      fc.property(fc.nat({ max: 511 }), (bit) => {
        const changed = Uint8Array.from(signature);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        expect(key.public.verify('m', changed)).toBe(false);
      }),
    );
    expect(other.public.verify('m', signature)).toBe(false);
    for (const length of [0, 63, 65]) expect(key.public.verify('m', new Uint8Array(length))).toBe(false);
  });

  it('remembers that a signature was good for what it was good for, and for nothing else', () => {
    const key = signingKeyOf(new Uint8Array(32).fill(3));
    const same = parsePublicKey(key.public.x)!;
    const signature = key.sign('m');
    const other = Uint8Array.from(signature);
    other[0]! ^= 1;
    for (let times = 0; times < 3; times++) {
      expect(same.verify('m', signature)).toBe(true);
      expect(same.verify('n', signature)).toBe(false);
      expect(same.verify('m', other)).toBe(false);
      expect(signingKeyOf(new Uint8Array(32).fill(4)).public.verify('m', signature)).toBe(false);
    }
    expect(parsePublicKey(key.public.x)).toBe(same);
  });

  it('takes as a public key only 32 bytes in canonical base64url, and any such bytes verify nothing by accident', () => {
    for (const x of ['', 'AA', 'A'.repeat(44), `${'A'.repeat(42)}B`, `${'A'.repeat(43)}=`, '!'.repeat(43)]) {
      expect(parsePublicKey(x)).toBeUndefined();
    }
    const signature = signingKeyOf(new Uint8Array(32).fill(3)).sign('m');
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (raw) => {
        expect(parsePublicKey(toBase64Url(raw))?.verify('m', signature)).toBe(false);
      }),
    );
  });
});
