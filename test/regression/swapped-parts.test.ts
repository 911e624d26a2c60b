/**
 * Found by attack: whole parts of a receipt could be put in the place of others that are signed as well, and stand in any
 * export: a later checkpoint with its path, another `joined` entry of the same incarnation. It said the same, with another
 * digest than the one that the ledger names.
 */
import { expect, it } from 'vitest';
import { buildReceipt, receiptDigest, verifyReceipt } from '../../src/evidence/receipt.ts';
import { parseReceipt, renderReceipt } from '../../src/evidence/receipt-text.ts';
import { FleetFixture } from '../support/fleet-fixture.ts';

function made(): { fleet: FleetFixture; receipt: string } {
  const fleet = new FleetFixture();
  const receipt = fleet.receipt(fleet.revoke());
  return { fleet, receipt };
}

it('a receipt that was led to a later checkpoint does not verify', () => {
  const { fleet, receipt } = made();
  fleet.revoke();
  const { proof, ...said } = parseReceipt(receipt);
  const hashes = fleet.tree.inclusionProof(proof.index, fleet.tree.size);
  const other = renderReceipt({ ...said, proof: { ...proof, hashes, checkpoint: fleet.checkpoint() } });
  expect(receiptDigest(other)).not.toBe(receiptDigest(receipt));
  expect(() => verifyReceipt(other, fleet.keyring)).toThrow(/about another receipt/);
});

it('a receipt with another certificate of the same incarnation does not verify', () => {
  const { fleet, receipt } = made();
  // As each incarnation says in every epoch that it comes into.
  const again = fleet.join('gw-us-1');
  const said = parseReceipt(receipt);
  const certificates = [fleet.replica(0).certificate, again.certificate];
  const other = renderReceipt({ ...said, certificates });
  expect(receiptDigest(other)).not.toBe(receiptDigest(receipt));
  expect(() => verifyReceipt(other, fleet.keyring)).toThrow(/about another receipt/);
});

it('is what it was', () => {
  const { fleet, receipt } = made();
  expect(buildReceipt(fleet.receiptParts(fleet.lines.at(-1)!))).toBe(receipt);
});
