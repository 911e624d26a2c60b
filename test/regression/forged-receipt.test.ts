/**
 * Found by attack: who had an old data directory, but not the fleet key, made a receipt that says `enforced` of any order in
 * an export, because an incarnation's own key signed a receipt's statement, and `writ verify` asked for no more (D-182).
 */
import { expect, it } from 'vitest';
import { signAcknowledgement } from '../../src/evidence/acknowledgement.ts';
import { verifyLedger } from '../../src/evidence/ledger-export.ts';
import { MerkleTree, leafHash } from '../../src/evidence/merkle.ts';
import { buildReceipt, verifyReceipt } from '../../src/evidence/receipt.ts';
import { leafText, parseLine } from '../../src/feed/entry.ts';
import { renderPosition } from '../../src/feed/position.ts';
import { sha256Hex } from '../../src/kernel/digest.ts';
import { FleetFixture, seededKey } from '../support/fleet-fixture.ts';

it('no receipt that was made without the fleet key verifies', async () => {
  const fleet = new FleetFixture({ replicas: ['gw-eu-1', 'gw-us-1', 'gw-old-1'] });
  const old = fleet.replica(2);
  // It was taken out of service long ago, and an order was taken that nobody has acknowledged.
  fleet.append(
    {
      id: 'ent_gone',
      kind: 'replica',
      event: 'forgotten',
      replica: 'gw-old-1',
      incarnation: old.incarnation,
      key: old.key.public.x,
    },
    'inc_gw-eu-1',
  );
  fleet.revoke();
  const published = fleet.export();

  // All that the thief has: an export, and the key on the old disk.
  const stolen = seededKey('replica gw-old-1');
  await verifyLedger(published, fleet.keyring);
  const lines = published.slice(0, -1).map(parseLine);
  const { checkpoint } = JSON.parse(published.at(-1)!) as { checkpoint: string };
  const line = lines.at(-1)!;
  const tree = new MerkleTree();
  for (const one of lines) tree.append(leafHash(leafText(one)));
  const index = line.position.sequence - 1;
  const leaf = sha256Hex(`\0${leafText(line)}`);
  const [incarnation, replica, position] = ['inc_gw-old-1', 'gw-old-1', renderPosition(line.position)];
  const at = '2026-10-01T09:00:00.000Z';
  const acknowledgement = signAcknowledgement(
    {
      v: 1,
      replica,
      incarnation,
      epochId: 'ep_812',
      position,
      chain: line.chain,
      leaf,
      at,
      cachesPurged: true,
      outcomes: [],
    },
    stolen,
  );
  const forged = buildReceipt({
    proof: { index, hashes: tree.inclusionProof(index, lines.length) },
    checkpoint,
    entry: leafText(line),
    statement: {
      v: 2,
      fleet: 'payments',
      revocation: line.sealed.entry.id,
      position,
      epochId: 'ep_812',
      leaf,
      state: 'enforced',
      closure: 'CLOSED',
      rule: 'acknowledged',
      boundMs: 3_252,
      appendedAt: at,
      enforcedAt: at,
      replicas: [
        { replica, incarnation, state: 'acknowledged', at },
        { replica: 'gw-eu-1', incarnation: 'inc_gw-eu-1', state: 'left' },
        { replica: 'gw-us-1', incarnation: 'inc_gw-us-1', state: 'left' },
      ],
      sessions: { matched: 0, killed: 0, unconfirmed: 0 },
      revocationWindowMs: 0,
      lateAccepts: 0,
      seen: false,
      weakened: [],
      notCovered: [],
    },
    signer: { incarnation, key: stolen },
    acknowledgements: [acknowledgement],
    certificates: lines
      .filter(({ sealed: { entry } }) => entry.kind === 'replica' && entry.event === 'joined')
      .filter(({ sealed: { entry } }) => [line.sealed.entry.by, incarnation].includes(entry.by))
      .map(({ sealed }) => sealed.text),
  });
  expect(() => verifyReceipt(forged, fleet.keyring)).toThrow(/bad signature/);
});
