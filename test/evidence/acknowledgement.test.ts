import { describe, expect, it } from 'vitest';
import type { Acknowledgement } from '../../src/evidence/acknowledgement.ts';
import {
  cosignedIn,
  signAcknowledgement,
  verifyAcknowledgement,
} from '../../src/evidence/acknowledgement.ts';
import { signCosignature } from '../../src/evidence/cosignature.ts';
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

  it('that was verified for one key is none for another', () => {
    const text = signAnything(said);
    for (let i = 0; i < 2; i++) {
      expect(verifyAcknowledgement(text, keyOf)).toEqual(said);
      expect(verifyAcknowledgement(text, () => fleet.replica(1).key.public)).toBeUndefined();
      expect(verifyAcknowledgement(text, () => undefined)).toBeUndefined();
    }
  });

  it('does not hide an error that is none of the replica', () => {
    const broken = () => {
      throw new TypeError('broken');
    };
    const unheard = signAnything({ ...said, at: '2026-10-01T09:00:00.000Z' });
    expect(() => verifyAcknowledgement(unheard, broken)).toThrow(TypeError);
  });
});

describe('the cosignature in an acknowledgement', () => {
  const [epoch = 0, sequence = 0] = said.position.split('-').map(Number);
  const note = (over: object = {}, replica = who.replica, key = who.key): string => {
    const checkpoint = { origin: `writ/payments/${epoch}`, size: sequence, root: fleet.tree.root(sequence) };
    return signCosignature({ ...checkpoint, ...over }, { replica, key }, 1_800_000_000);
  };
  const cosigned = (text: string) => ({ ...said, cosigned: text });
  const verified = (one: Acknowledgement, before?: Acknowledgement) =>
    verifyAcknowledgement(signAcknowledgement(one, who.key), keyOf, before);

  it('is of this replica and of no place after the one that is acknowledged', () => {
    for (const text of [note(), note({ size: 1, root: fleet.tree.root(1) })]) {
      expect(verified(cosigned(text))).toEqual(cosigned(text));
      expect(cosignedIn(cosigned(text))).toMatchObject({ name: `writ/payments/${who.replica}` });
    }
    expect(cosignedIn(said)).toBeUndefined();
  });

  it.each([
    ['of another replica', note({}, 'gw-us-1')],
    ['by another key', note({}, who.replica, fleet.replica(1).key)],
    ['of another epoch', note({ origin: 'writ/payments/813' })],
    ['of a place ahead', note({ size: sequence + 1 })],
    ['nonsense', 'nonsense'],
  ])('takes the word from whoever sends one %s', (_, text) => {
    expect(verified(cosigned(text))).toBeUndefined();
  });

  it('is verified once: the same one again is the one before', () => {
    const forged = cosigned(note({}, who.replica, fleet.replica(1).key));
    expect(verified(forged, forged)).toEqual(forged);
    const elsewhere = cosigned(note({ size: sequence + 1 }));
    expect(verified(elsewhere, elsewhere)).toBeUndefined();
  });
});
