import { describe, expect, it } from 'vitest';
import { checkpointOrigin, signCheckpoint, verifyCheckpoint } from '../../src/evidence/checkpoint.ts';
import { keyringOf } from '../../src/evidence/keyring.ts';
import { leafHash } from '../../src/evidence/merkle.ts';
import { noteKeyOf, signNote } from '../../src/evidence/note.ts';
import { toBase64 } from '../../src/kernel/digest.ts';
import { seededKey } from '../support/fleet-fixture.ts';

const key = seededKey('log');
const keyring = keyringOf('payments', key.public);
const root = leafHash('x');
const origin = checkpointOrigin('payments', 812);

function signText(text: string): string {
  return signNote(text, 'writ/payments', key);
}

describe('a checkpoint', () => {
  it('is origin, size and root, signed by the log key', () => {
    const note = signCheckpoint({ origin, size: 7, root }, 'writ/payments', key);
    expect(note.startsWith(`writ/payments/812\n7\n${toBase64(root)}\n\n— writ/payments `)).toBe(true);
    expect(verifyCheckpoint(note, keyring)).toEqual({
      origin,
      size: 7,
      root: new Uint8Array(root),
      log: keyring[0],
      signatureLines: 1,
    });
  });

  it('may be of an empty tree', () => {
    expect(verifyCheckpoint(signText(`${origin}\n0\n${toBase64(root)}\n`), keyring).size).toBe(0);
  });

  it.each([
    ['a size with a zero before it', `${origin}\n07\n${toBase64(root)}\n`],
    ['a negative size', `${origin}\n-7\n${toBase64(root)}\n`],
    ['a size that no position reaches', `${origin}\n1000000000000000\n${toBase64(root)}\n`],
    ['no origin', `\n7\n${toBase64(root)}\n`],
    ['no root', `${origin}\n7\n`],
    ['a root that is too short', `${origin}\n7\n${toBase64(root.subarray(1))}\n`],
    ['a root without padding', `${origin}\n7\n${toBase64(root).slice(0, -1)}\n`],
    ['an extension line', `${origin}\n7\n${toBase64(root)}\nextension\n`],
  ])('is refused with %s', (_, text) => {
    expect(() => verifyCheckpoint(signText(text), keyring)).toThrow(/not origin, size and root/);
  });

  it('is refused when the origin is not one of the key that signed', () => {
    for (const other of ['writ/payments', 'writ/payments2/812', 'writ/orders/812', 'x/writ/payments/812']) {
      const note = signText(`${other}\n7\n${toBase64(root)}\n`);
      expect(() => verifyCheckpoint(note, keyring)).toThrow(/not signed by the key of its origin/);
    }
  });

  it('names the key of its origin when another known key has signed too', () => {
    const witness = seededKey('witness');
    const text = `${origin}\n7\n${toBase64(root)}\n`;
    const both = `${signNote(text, 'witness', witness)}${signText(text).split('\n').at(-2) ?? ''}\n`;
    const keys = [noteKeyOf('witness', witness.public), ...keyring];
    expect(verifyCheckpoint(both, keys)).toMatchObject({
      log: { name: 'writ/payments' },
      signatureLines: 2,
    });
  });
});
