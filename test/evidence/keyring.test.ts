import { describe, expect, it } from 'vitest';
import { keyringOf, logName, parseKeyring } from '../../src/evidence/keyring.ts';
import { renderNoteKey } from '../../src/evidence/note.ts';
import { seededKey } from '../support/fleet-fixture.ts';

const [payments, orders] = ['payments', 'orders'].map((fleet) => {
  const [key] = keyringOf(fleet, seededKey(fleet).public);
  return renderNoteKey(key!);
}) as [string, string];

describe('a keyring', () => {
  it('holds the verifier keys of a file, and ignores comments and blank lines', () => {
    const keys = parseKeyring(`# the log\n${payments}\r\n\n  ${orders}\n# gw-eu-1 inc_1 AAAA\n`);
    expect(keys.map(({ name }) => name)).toEqual(['writ/payments', 'writ/orders']);
    expect(keys.map(renderNoteKey)).toEqual([payments, orders]);
  });

  it('is made of a fleet and its log key', () => {
    expect(keyringOf('payments', seededKey('payments').public)).toMatchObject([
      { name: logName('payments'), key: { x: seededKey('payments').public.x } },
    ]);
  });

  it('is refused without a key, with a key twice, and with a line that is none; the line is named', () => {
    expect(() => parseKeyring('# nothing\n\n')).toThrow(/holds no verifier key/);
    expect(() => parseKeyring(`${payments}\n${payments}\n`)).toThrow(/names a key twice/);
    expect(() => parseKeyring(`${payments}\nnot a key\n`)).toThrow(/keyring line 2 is no verifier key/);
    expect(() => parseKeyring('x')).toThrow(expect.objectContaining({ code: 'PROOF_INVALID' }));
  });
});
