import { describe, expect, it } from 'vitest';
import { ancestorsOf, verifyCertificate } from '../../src/evidence/certificate.ts';
import type { EntryFacts } from '../support/fleet-fixture.ts';
import { FleetFixture, seededKey } from '../support/fleet-fixture.ts';

const fleet = new FleetFixture();
const log = fleet.logKey.public;
const joined = {
  id: 'ent_x',
  kind: 'replica',
  event: 'joined',
  replica: 'gw-x',
  incarnation: 'inc_x',
  key: seededKey('x').public.x,
} as const;

function text(facts: EntryFacts): string {
  return fleet.append(facts, 'inc_x').sealed.text;
}

describe('a certificate', () => {
  it('is a joined entry, signed by the log key', () => {
    const { replica, incarnation, key } = verifyCertificate(text(joined), log);
    expect({ replica, incarnation, x: key.x }).toEqual({
      replica: 'gw-x',
      incarnation: 'inc_x',
      x: joined.key,
    });
  });

  it('is refused when it is of another kind, admits nobody, or names no key', () => {
    expect(() => verifyCertificate(fleet.revoke().sealed.text, log)).toThrow(/admits nobody/);
    expect(() => verifyCertificate(text({ ...joined, event: 'left' }), log)).toThrow(/admits nobody/);
    expect(() => verifyCertificate(text({ ...joined, key: 'AAAA' }), log)).toThrow(/no Ed25519 key/);
    expect(() => verifyCertificate('{}', log)).toThrow(/no canonical entry/);
  });

  it('is refused when another key signed it, that of the replica itself included', () => {
    expect(() => verifyCertificate(text(joined), seededKey('x').public)).toThrow(/not signed by the log key/);
  });
});

describe('whose data an incarnation goes on with', () => {
  it('is told the nearest first, for so many of them, and once where they go round', () => {
    expect(ancestorsOf('c', (one) => ({ c: 'b', b: 'a' })[one])).toEqual(['b', 'a']);
    expect(ancestorsOf('b', (one) => ({ a: 'b', b: 'a' })[one])).toEqual(['a']);
    const all = ancestorsOf('run-900', (one) => `run-${Number(one.slice(4)) - 1}`);
    expect([all.length, all.at(-1)]).toEqual([64, 'run-836']);
  });
});
