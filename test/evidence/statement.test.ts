import { describe, expect, it } from 'vitest';
import { readStatement, signStatement } from '../../src/evidence/statement.ts';
import { seededKey } from '../support/fleet-fixture.ts';

const key = seededKey('replica');
const payload = { v: 1, text: 'é', list: [1, { deep: true }] };
const text = signStatement('writ-test+jws', 'inc_1', payload, key);
const keyOf = (kid: string) => (kid === 'inc_1' ? key.public : undefined);

function encode(part: string | Uint8Array): string {
  return Buffer.from(part).toString('base64url');
}

/** A JWS of any header and payload, properly signed. */
function forge(header: string, body: string | Uint8Array): string {
  const input = `${encode(header)}.${encode(body)}`;
  return `${input}.${encode(key.sign(input))}`;
}

const HEADER = '{"alg":"EdDSA","kid":"inc_1","typ":"writ-test+jws"}';

describe('a statement', () => {
  it('is a compact JWS with a header of exactly three members', () => {
    const [header = '', body = ''] = text.split('.');
    expect(Buffer.from(header, 'base64url').toString()).toBe(HEADER);
    expect(Buffer.from(body, 'base64url').toString()).toBe('{"list":[1,{"deep":true}],"text":"é","v":1}');
    expect(readStatement(text, 'writ-test+jws', keyOf)).toEqual({ kid: 'inc_1', key: key.public, payload });
  });

  it.each([
    ['another type', HEADER.replace('test', 'other')],
    ['no signature algorithm', HEADER.replace('EdDSA', 'none')],
    ['a symmetric algorithm', HEADER.replace('EdDSA', 'HS256')],
    ['a member more', HEADER.replace('}', ',"x":1}')],
    ['a member less', '{"alg":"EdDSA","kid":"inc_1"}'],
    ['no signer', '{"alg":"EdDSA","typ":"writ-test+jws"}'],
    ['a signer that is no text', HEADER.replace('"inc_1"', '1')],
    ['members in another order', '{"kid":"inc_1","alg":"EdDSA","typ":"writ-test+jws"}'],
    ['a space', HEADER.replace(':', ': ')],
    ['a member twice', HEADER.replace('{', '{"alg":"none",')],
    ['no object', '["EdDSA"]'],
    ['no JSON', 'EdDSA'],
    ['an endless nesting', '['.repeat(100_000)],
  ])('is refused with a header of %s', (_, header) => {
    expect(() => readStatement(forge(header, '{}'), 'writ-test+jws', keyOf)).toThrow(
      expect.objectContaining({ code: 'PROOF_INVALID' }),
    );
  });

  it.each([
    ['members out of order', '{"b":1,"a":2}'],
    ['a number in another spelling', '{"a":1.0}'],
    ['an escape that is not needed', '{"a":"\\u0061"}'],
    ['a member twice', '{"a":1,"a":1}'],
    ['an unsafe member', '{"__proto__":1}'],
    ['no JSON', '{'],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('is refused with a payload of %s, though it is signed', (_, body) => {
    expect(() => readStatement(forge(HEADER, body), 'writ-test+jws', keyOf)).toThrow(
      expect.objectContaining({ code: 'PROOF_INVALID' }),
    );
  });

  it.each([
    ['nothing', ''],
    ['two parts', 'a.b'],
    ['four parts', `${text}.AAAA`],
    ['padding', `${text}==`],
    ['a newline at the end', `${text}\n`],
    ['an empty signature', text.replace(/\.[^.]+$/, '.')],
    ['a signature that is too short', text.slice(0, -4)],
  ])('is refused as %s', (_, wrong) => {
    expect(() => readStatement(wrong, 'writ-test+jws', keyOf)).toThrow(
      expect.objectContaining({ code: 'PROOF_INVALID' }),
    );
  });

  it('is refused when a stranger signed it, or another key in the name of a known one', () => {
    const strangers = signStatement('writ-test+jws', 'inc_2', payload, key);
    expect(() => readStatement(strangers, 'writ-test+jws', keyOf)).toThrow(/nobody who was admitted/);
    const forged = signStatement('writ-test+jws', 'inc_1', payload, seededKey('stranger'));
    expect(() => readStatement(forged, 'writ-test+jws', keyOf)).toThrow(/bad signature/);
  });

  it('names its signer as text, even for one who would let anybody sign', () => {
    for (const header of [HEADER.replace('"inc_1"', '1'), '{"alg":"EdDSA","typ":"writ-test+jws"}']) {
      expect(() => readStatement(forge(header, '{}'), 'writ-test+jws', () => key.public)).toThrow(
        /another header/,
      );
    }
  });

  it('has one spelling: every other last character of a part is refused', () => {
    for (const part of [0, 1, 2]) {
      const parts = text.split('.');
      const last = parts[part]!.at(-1)!;
      for (const other of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
        if (other === last) continue;
        const altered = parts.with(part, `${parts[part]!.slice(0, -1)}${other}`).join('.');
        expect(() => readStatement(altered, 'writ-test+jws', keyOf)).toThrow();
      }
    }
  });
});
