import { describe, expect, it } from 'vitest';
import { noteKeyOf, parseNoteKey, renderNoteKey, signNote, verifyNote } from '../../src/evidence/note.ts';
import { sha256, toBase64 } from '../../src/kernel/digest.ts';
import { seededKey } from '../support/fleet-fixture.ts';

/** The example of the specification, c2sp.org/signed-note. */
const SPEC_KEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
const SPEC_NOTE =
  'This is an example message.\n\n' +
  '— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n';

const key = seededKey('note');
const known = noteKeyOf('writ/payments', key.public);
const text = 'first\n\nthird, after an empty line\n';
const note = signNote(text, known.name, key);
const [line = ''] = note.split('\n').slice(-2);

/** A signature line that is well formed, of a key that nobody here knows. */
function strangersLine(i: number): string {
  return `— stranger${i} ${toBase64(Buffer.from(`key${i % 10}and something`))}`;
}

describe('a verifier key', () => {
  it('is written and read as the specification says', () => {
    const parsed = parseNoteKey(SPEC_KEY);
    expect(parsed).toMatchObject({ name: 'example.com/foo', id: '530d903a' });
    expect(renderNoteKey(parsed)).toBe(SPEC_KEY);
    expect(renderNoteKey(known)).toMatch(/^writ\/payments\+[0-9a-f]{8}\+A[A-Za-z0-9+/]{43}$/);
    expect(parseNoteKey(renderNoteKey(known)).key.x).toBe(key.public.x);
  });

  it.each([
    ['nothing', ''],
    ['no key', 'example.com/foo+530d903a'],
    ['an empty key', 'example.com/foo+530d903a+'],
    ['a name with a space', SPEC_KEY.replace('com/', 'com /')],
    ['a name with a next-line character', SPEC_KEY.replace('com/', 'com\u0085/')],
    ['a name with a control character', SPEC_KEY.replace('com/', 'com\u0001/')],
    ['an id in upper case', SPEC_KEY.replace('530d903a', '530D903A')],
    ['the id of another key', SPEC_KEY.replace('530d903a', '530d903b')],
    ['another name under the same id', SPEC_KEY.replace('foo', 'bar')],
    ['another signature type', SPEC_KEY.replace('+Aeky', '+BOky')],
    ['a key that is too short', 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4'],
    ['base64 with a bit too many', SPEC_KEY.replace(/k$/, 'l')],
    ['white space after it', `${SPEC_KEY} `],
  ])('is refused with %s', (_, vkey) => {
    expect(() => parseNoteKey(vkey)).toThrow(expect.objectContaining({ code: 'PROOF_INVALID' }));
  });

  it('is refused with a name that no note can carry, though its id fits', () => {
    const material = Buffer.concat([Buffer.of(1), Buffer.from(key.public.x, 'base64url')]);
    for (const name of ['writ', 'a b', 'a\u2003b']) {
      const id = Buffer.from(sha256(Buffer.concat([Buffer.from(`${name}\n`), material]))).toString(
        'hex',
        0,
        4,
      );
      const vkey = `${name}+${id}+${toBase64(material)}`;
      if (name === 'writ') expect(parseNoteKey(vkey).name).toBe('writ');
      else expect(() => parseNoteKey(vkey)).toThrow(/no Ed25519 vkey/);
    }
  });

  it('is not made for a name that no note can carry', () => {
    for (const name of ['', 'a b', 'a+b', 'a\nb', 'a\u2003b', 'a\ud800b']) {
      expect(() => noteKeyOf(name, key.public)).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
    }
  });
});

describe('a signed note', () => {
  it('verifies as in the specification', () => {
    const spec = parseNoteKey(SPEC_KEY);
    expect(verifyNote(SPEC_NOTE, [known, spec])).toEqual({
      text: 'This is an example message.\n',
      signers: [spec],
      signatureLines: 1,
    });
  });

  it('gives back the text that was signed, empty lines and all', () => {
    expect(verifyNote(note, [known])).toEqual({ text, signers: [known], signatureLines: 1 });
  });

  it('may carry many signatures, and those of unknown keys are ignored', () => {
    const lines = Array.from({ length: 20 }, (_, i) => strangersLine(i));
    const crowded = `${note}${lines.join('\n')}\n`;
    expect(verifyNote(crowded, [known])).toMatchObject({ signers: [known], signatureLines: 21 });
    // The same name or the same id alone is an unknown key too.
    const other = noteKeyOf(known.name, seededKey('other').public);
    expect(
      verifyNote(`${note}${line.replace('writ/payments', 'writ/other')}\n`, [known, other]),
    ).toMatchObject({ signers: [known], signatureLines: 2 });
  });

  it('counts a key that signed twice once, and names each key that signed', () => {
    const second = seededKey('second');
    const both = `${note}${signNote(text, 'second', second).split('\n').at(-2) ?? ''}\n${line}\n`;
    const secondKey = noteKeyOf('second', second.public);
    expect(verifyNote(both, [secondKey, known])).toMatchObject({
      signers: [known, secondKey],
      signatureLines: 3,
    });
  });

  it('is refused whole when a known key has a bad signature beside a good one', () => {
    const bad = signNote('another text\n', known.name, key).split('\n').at(-2) ?? '';
    expect(() => verifyNote(`${note}${bad}\n`, [known])).toThrow(/bad signature of a known key/);
  });

  it('is refused when no known key signed it', () => {
    expect(() => verifyNote(note, [parseNoteKey(SPEC_KEY)])).toThrow(/not signed by a known key/);
    expect(() => verifyNote(note, [])).toThrow(/not signed by a known key/);
  });

  it('is refused whole when any signature line is malformed, whoever it is of', () => {
    for (const malformed of ['— a+b AAAAAAAAAA==', '— stranger AAAAAA==', '— stranger', '']) {
      expect(() => verifyNote(`${note}${malformed}\n`, [known])).toThrow(/malformed signature|no signatures/);
    }
  });

  it('is refused with a control character, though its text is signed', () => {
    const wrong = 'fir\tst\n';
    const signature = Buffer.concat([Buffer.from(known.id, 'hex'), key.sign(wrong)]);
    expect(() => verifyNote(`${wrong}\n— ${known.name} ${toBase64(signature)}\n`, [known])).toThrow(
      /character that no note may have/,
    );
  });

  it('may have an empty line as its text', () => {
    expect(verifyNote(signNote('\n', known.name, key), [known]).text).toBe('\n');
  });

  it('is refused with more signatures than anybody needs', () => {
    const lines = Array.from({ length: 100 }, (_, i) => strangersLine(i));
    expect(() => verifyNote(`${note}${lines.join('\n')}\n`, [known])).toThrow(/too many signatures/);
  });

  it.each([
    ['nothing at all', ''],
    ['no signatures', text],
    ['an empty line where signatures should be', `${text}\n`],
    ['no text', `\n\n${line}\n`],
    ['no newline at the end', note.slice(0, -1)],
    ['another character for the newline at the end', `${note.slice(0, -1)}x`],
    ['an empty line after the signatures', `${note}\n`],
    ['a hyphen for the dash', note.replace('— ', '- ')],
    ['two spaces', note.replace('— ', '—  ')],
    ['something after the signature', note.replace(/\n$/, ' x\n')],
    ['a plus sign in the name', note.replace('— writ/payments', '— writ/pay+ments')],
    ['a signature without a key id', `${text}\n— writ/payments AAAA\n`],
    ['base64 that is not canonical', note.replace(/=\n$/, '\n')],
    ['a tab', note.replace('first', 'fir\tst')],
    ['a carriage return', note.replace('first', 'first\r')],
    ['a nul character', note.replace('first', 'first\0')],
    ['half a character', note.replace('first', 'first\ud800')],
  ])('is refused with %s', (_, malformed) => {
    expect(() => verifyNote(malformed, [known])).toThrow(expect.objectContaining({ code: 'PROOF_INVALID' }));
  });

  it('is not made of a text that no note can carry', () => {
    for (const wrong of ['no newline', 'tab\t\n', 'half \ud800\n']) {
      expect(() => signNote(wrong, 'writ/payments', key)).toThrow(
        expect.objectContaining({ code: 'INTERNAL' }),
      );
    }
  });
});
