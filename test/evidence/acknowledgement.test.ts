import { describe, expect, it } from 'vitest';
import { signAcknowledgement, verifyAcknowledgement } from '../../src/evidence/acknowledgement.ts';
import { signStatement } from '../../src/evidence/statement.ts';
import { FleetFixture, killedTwo } from '../support/fleet-fixture.ts';

const fleet = new FleetFixture();
const who = fleet.replica(0);
const said = fleet.acknowledgement(who, fleet.revoke(), [
  killedTwo('rev_4'),
  {
    revocation: 'rev_3',
    matched: 3,
    killed: 1,
    pending: 1,
    unconfirmed: 1,
    lateAccepts: 2,
    silent: [{ session: 'ref', kind: 'websocket' }],
  },
]);
const keyOf = (incarnation: string) => (incarnation === who.incarnation ? who.key.public : undefined);

function signAnything(payload: unknown, typ = 'writ-acknowledgement+jws', kid = who.incarnation): string {
  return signStatement(typ, kid, payload, who.key);
}

/** Acknowledgements that no honest replica makes. */
const CONTRADICTIONS: [string, object][] = [
  ['caches that were not purged', { cachesPurged: false }],
  ['another version', { v: 2 }],
  ['a position that is none', { position: '812-04' }],
  ['a chain in upper case', { chain: said.chain.toUpperCase() }],
  ['a leaf that is too short', { leaf: said.leaf.slice(1) }],
  ['a time without milliseconds', { at: '2026-10-01T08:00:00Z' }],
  ['a time that does not exist', { at: '2026-02-30T08:00:00.000Z' }],
  ['a time of another zone', { at: '2026-10-01T08:00:00.000+02:00' }],
  ['a member more', { extra: 1 }],
  ['a revocation twice', { outcomes: [killedTwo('rev_4'), killedTwo('rev_4')] }],
  ['a session that is neither dead nor alive', { outcomes: [{ ...killedTwo('rev_4'), matched: 3 }] }],
  ['a negative count', { outcomes: [{ ...killedTwo('rev_4'), lateAccepts: -1 }] }],
  [
    'more silent sessions than unconfirmed ones',
    { outcomes: [{ ...killedTwo('rev_4'), silent: [{ session: 'ref', kind: 'sse' }] }] },
  ],
];

describe('an acknowledgement', () => {
  it('is what the replica said, once its signature has been verified', () => {
    expect(verifyAcknowledgement(signAcknowledgement(said, who.key), keyOf)).toEqual(said);
  });

  it.each(CONTRADICTIONS)('is not believed with %s, though it is signed', (_, wrong) => {
    expect(verifyAcknowledgement(signAnything({ ...said, ...wrong }), keyOf)).toBeUndefined();
  });

  it.each(CONTRADICTIONS)('is not signed with %s', (_, wrong) => {
    expect(() => signAcknowledgement({ ...said, ...wrong }, who.key)).toThrow(
      expect.objectContaining({ code: 'INTERNAL' }),
    );
  });

  it('is none when it does not verify: expected, so it is a value', () => {
    expect(verifyAcknowledgement('not even a JWS', keyOf)).toBeUndefined();
    expect(verifyAcknowledgement(signAnything(said), () => undefined)).toBeUndefined();
    expect(verifyAcknowledgement(signAnything(said, 'writ-receipt+jws'), keyOf)).toBeUndefined();
  });

  it('cannot be made in the name of another incarnation', () => {
    const other = signAnything({ ...said, incarnation: 'inc_other' });
    expect(verifyAcknowledgement(other, keyOf)).toBeUndefined();
    expect(verifyAcknowledgement(signAnything(said, undefined, 'inc_other'), keyOf)).toBeUndefined();
  });

  it('does not hide an error that is none of the replica', () => {
    const broken = () => {
      throw new TypeError('broken');
    };
    expect(() => verifyAcknowledgement(signAnything(said), broken)).toThrow(TypeError);
  });
});
