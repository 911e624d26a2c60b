import { describe, expect, it } from 'vitest';
import { signCheckpoint } from '../../src/evidence/checkpoint.ts';
import { leafHash, verifyInclusion } from '../../src/evidence/merkle.ts';
import { keyringOf } from '../../src/evidence/keyring.ts';
import { noteKeyOf, signNote } from '../../src/evidence/note.ts';
import type { ReceiptParts } from '../../src/evidence/receipt.ts';
import { buildReceipt, receiptDigest, verifyReceipt } from '../../src/evidence/receipt.ts';
import { renderReceipt, splitReceipt } from '../../src/evidence/receipt-text.ts';
import { signStatement } from '../../src/evidence/statement.ts';
import { parseTlogProof } from '../../src/evidence/tlog-proof.ts';
import { leafText, sealEntry } from '../../src/feed/entry.ts';
import { renderInstant } from '../../src/kernel/clock.ts';
import { sha256Hex } from '../../src/kernel/digest.ts';
import { FIXTURE_START_MS, FleetFixture, killedTwo, seededKey } from '../support/fleet-fixture.ts';

const fleet = new FleetFixture();
const line = fleet.revoke({ reason: 'naïve \u2028 “leaked”', ticket: 'INC-4711' });
const later = fleet.revoke();
const parts = fleet.receiptParts(line);
const receipt = buildReceipt(parts);

const alone = new FleetFixture({ replicas: ['gw-eu-1'] });
/** A short one, for tests that alter it everywhere. */
const short = alone.receipt(alone.revoke({ reason: 'naïve \u2028 “leaked”' }));

function refused(text: string | Uint8Array, keyring = fleet.keyring): string {
  try {
    verifyReceipt(text, keyring);
  } catch (error) {
    expect(error).toMatchObject({ code: 'PROOF_INVALID' });
    return (error as Error).message;
  }
  throw new Error('the receipt was believed');
}

function without(changed: Partial<ReceiptParts>): string {
  return refused(buildReceipt({ ...parts, ...changed }));
}

describe('a receipt', () => {
  it('proves what it says, offline, to anyone with the log key', () => {
    expect(verifyReceipt(Buffer.from(receipt), fleet.keyring)).toMatchObject({
      id: 'rev_4',
      fleet: 'payments',
      targets: [{ kind: 'jti', issuer: 'https://idp.example', value: '8f2c-4' }],
      reason: 'naïve \u2028 “leaked”',
      ticket: 'INC-4711',
      caller: 'admin',
      position: '812-4',
      epochId: 'ep_812',
      state: 'enforced',
      closure: 'CLOSED',
      rule: 'acknowledged',
      boundMs: 3_252,
      replicas: [
        { replica: 'gw-eu-1', state: 'acknowledged' },
        { replica: 'gw-us-1', state: 'acknowledged' },
      ],
      sessions: { matched: 2, killed: 2, unconfirmed: 0 },
      revocationWindowMs: 4,
      lateAccepts: 0,
      seen: true,
      weakened: [],
      notCovered: ['systems that accept the credential without asking Writ'],
      coordinator: { replica: 'gw-eu-1', incarnation: 'inc_gw-eu-1' },
      origin: 'writ/payments/812',
      treeSize: 5,
      cosignedBy: [],
      digest: sha256Hex(receipt),
    });
    expect(receiptDigest(receipt)).toBe(sha256Hex(receipt));
  });

  it('is the same whatever the order in which its parts came', () => {
    const { acknowledgements, certificates } = parts;
    const turned = {
      ...parts,
      acknowledgements: acknowledgements.toReversed(),
      certificates: certificates.toReversed(),
    };
    expect(buildReceipt(turned)).toBe(receipt);
  });

  it('begins with a tlog-proof that stands by itself', () => {
    const { proof, body } = splitReceipt(receipt);
    expect(`${proof}\n${body}`).toBe(receipt);
    const { index, hashes, checkpoint } = parseTlogProof(proof);
    expect(checkpoint).toBe(fleet.checkpoint());
    expect(
      verifyInclusion({ leaf: leafHash(leafText(line)), index, size: 5, hashes }, fleet.tree.root()),
    ).toBe(true);
    expect(body.startsWith(`writ-receipt@v1\nentry ${leafText(line)}\nstatement ey`)).toBe(true);
  });

  it('is refused when one byte of it is altered, whichever it is', () => {
    const bytes = Buffer.from(short);
    expect(verifyReceipt(bytes, alone.keyring).state).toBe('enforced');
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [0x01, 0x20, 0x80]) {
        const altered = Buffer.from(bytes);
        altered[at]! ^= mask;
        refused(altered, alone.keyring);
      }
    }
  }, 120_000);

  it('is refused when one byte of it is missing or doubled, whichever it is', () => {
    const bytes = Buffer.from(short);
    for (let at = 0; at < bytes.length; at += 3) {
      refused(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]), alone.keyring);
      refused(Buffer.concat([bytes.subarray(0, at + 1), bytes.subarray(at)]), alone.keyring);
    }
  }, 120_000);

  it('is refused when a line of it is missing, doubled or moved', () => {
    const lines = receipt.split('\n');
    for (let at = 0; at < lines.length - 1; at++) {
      refused(lines.toSpliced(at, 1).join('\n'));
      refused(lines.toSpliced(at, 0, lines[at]!).join('\n'));
      if (lines[at] !== lines[at + 1])
        refused(
          lines
            .with(at, lines[at + 1]!)
            .with(at + 1, lines[at]!)
            .join('\n'),
        );
    }
  });

  it('is refused as anything but a receipt', () => {
    expect(refused('')).toMatch(/no receipt/);
    expect(refused(splitReceipt(receipt).proof)).toMatch(/no receipt/);
    expect(refused(receipt.replaceAll('\n', '\r\n'))).toMatch(/no receipt/);
    expect(refused(`${receipt}note to self\n`)).toMatch(/not canonical/);
    expect(refused(Buffer.concat([Buffer.from(receipt), Buffer.of(0xff)]))).toMatch(/not UTF-8/);
  });
});

describe('the log of a receipt', () => {
  it('is believed by its key alone', () => {
    expect(refused(receipt, keyringOf('payments', seededKey('other').public))).toMatch(
      /not signed by a known/,
    );
    expect(refused(receipt, keyringOf('orders', fleet.logKey.public))).toMatch(/not signed by a known/);
    expect(refused(receipt, [])).toMatch(/not signed by a known/);
  });

  it('has signed the tree with one signature: what nobody here can check has no place in a receipt', () => {
    const stranger = signNote(fleet.checkpoint().replace(/\n—.*\n$/, ''), 'stranger', seededKey('stranger'));
    const checkpoint = `${fleet.checkpoint()}${stranger.split('\n').at(-2) ?? ''}\n`;
    expect(without({ checkpoint })).toMatch(/one signature/);
  });

  it('holds the entry, at its position, in its epoch', () => {
    expect(without({ checkpoint: fleet.checkpoint(4) })).toMatch(/not in the tree/);
    expect(without({ proof: { ...parts.proof, hashes: parts.proof.hashes.slice(1) } })).toMatch(
      /not in the tree/,
    );
    expect(without({ entry: leafText({ ...line, position: { epoch: 812, sequence: 5 } }) })).toMatch(
      /another position than the proof/,
    );
    expect(without({ proof: { ...parts.proof, index: 4 } })).toMatch(/another position than the proof/);
    expect(without({ entry: leafText({ ...line, position: { epoch: 813, sequence: 4 } }) })).toMatch(
      /another epoch than the checkpoint/,
    );
    const checkpoint = signCheckpoint(
      { origin: 'writ/payments/812/4', size: 5, root: fleet.tree.root() },
      'writ/payments',
      fleet.logKey,
    );
    expect(without({ checkpoint })).toMatch(/another epoch than the checkpoint/);
  });

  it('holds an entry that is canonical and has a position', () => {
    expect(without({ entry: '{}' })).toMatch(/entry is not canonical/);
    expect(without({ entry: leafText(line).replace('812-4', '0812-4') })).toMatch(/has no position/);
  });

  it('holds a revocation, signed by one whom the log admitted', () => {
    const outcome = fleet.lines[1]!;
    const index = outcome.position.sequence - 1;
    const proof = { index, hashes: fleet.tree.inclusionProof(index, fleet.tree.size) };
    expect(without({ entry: leafText(outcome), proof })).toMatch(/no revocation/);

    const forging = new FleetFixture();
    const forged = forging.append(
      { id: 'rev_x', kind: 'revocation', targets: [{ kind: 'all' }], caller: 'admin', body: 'b' },
      'inc_gw-eu-1',
      seededKey('stranger'),
    );
    expect(refused(forging.receipt(forged))).toMatch(/not signed by one who was admitted/);
  });
});

describe('the certificates of a receipt', () => {
  const [eu, us] = parts.certificates as [string, string];

  it('are of everyone who signed anything in it', () => {
    expect(without({ certificates: [us] })).toMatch(/entry is not signed by one who was admitted/);
    expect(without({ certificates: [eu] })).toMatch(/acknowledgement does not verify/);
    const byUs = fleet.revoke({}, 'inc_gw-us-1');
    const other = fleet.receiptParts(byUs);
    expect(verifyReceipt(buildReceipt(other), fleet.keyring).id).toBe(byUs.sealed.entry.id);
    const silent = { ...other, acknowledgements: [], certificates: [us] };
    expect(refused(buildReceipt(silent))).toMatch(/signed by nobody who was admitted/);
  });

  it('are of nobody else, and of nobody twice', () => {
    const idle = fleet.join('gw-idle');
    const fresh = fleet.receiptParts(line);
    const idler = { ...fresh, certificates: [...fresh.certificates, idle.certificate] };
    expect(refused(buildReceipt(idler))).toMatch(/signed nothing here/);
    const again = fleet.join('gw-eu-1');
    const twice = { ...fresh, certificates: [...fresh.certificates, again.certificate] };
    expect(refused(buildReceipt(twice))).toMatch(/certifies an incarnation twice/);
  });

  it('are of no earlier run of one who signed, though it is known whose it is, where nothing is counted by it', () => {
    const { replica: name, key } = fleet.replica(1);
    const certify = (incarnation: string, succeeds: string): string => {
      const said = { v: 1, id: `ent_${incarnation}`, at: renderInstant(FIXTURE_START_MS) } as const;
      const facts = { kind: 'replica', event: 'joined', replica: name, incarnation, succeeds } as const;
      return sealEntry({ ...said, ...facts, by: incarnation, key: key.public.x }, fleet.logKey).text;
    };
    const fresh = fleet.receiptParts(line);
    const certificates = [fresh.certificates[0]!, certify('inc_gw-us-1', 'inc_before')];
    expect(verifyReceipt(buildReceipt({ ...fresh, certificates }), fleet.keyring).state).toBe('enforced');
    const more = [...certificates, certify('inc_before', 'inc_first')];
    expect(refused(buildReceipt({ ...fresh, certificates: more }))).toMatch(/signed nothing here/);
  });

  it('are signed by the key that signed the checkpoint, not by any other one that is known', () => {
    const other = new FleetFixture({ fleet: 'orders' });
    const both = [...fleet.keyring, ...other.keyring];
    const text = buildReceipt({
      ...parts,
      certificates: other.replicas.map(({ certificate }) => certificate),
    });
    expect(refused(text, both)).toMatch(/not signed by the log key/);
  });
});

describe('the statement of a receipt', () => {
  it('is of a known shape', () => {
    expect(() => buildReceipt({ ...parts, statement: { ...parts.statement, boundMs: 1 } })).toThrow(
      expect.objectContaining({ code: 'INTERNAL' }),
    );
    const { incarnation, key } = parts.signer;
    const statement = signStatement(
      'writ-receipt+jws',
      incarnation,
      { ...parts.statement, verdict: 'green' },
      key,
    );
    const { proof, checkpoint, entry, acknowledgements, certificates } = parts;
    const text = renderReceipt({
      proof: { ...proof, checkpoint },
      entry,
      statement,
      acknowledgements,
      certificates,
    });
    expect(refused(text)).toMatch(/statement is of no known shape/);
  });

  it('is about the fleet whose log it is', () => {
    expect(without({ statement: { ...parts.statement, fleet: 'orders' } })).toMatch(/another fleet/);
  });

  it('cannot be replayed for another entry', () => {
    const other = fleet.receiptParts(later);
    expect(refused(buildReceipt({ ...other, statement: parts.statement }))).toMatch(/about another entry/);
  });

  it('is not an acknowledgement, nor the other way round', () => {
    const { proof, checkpoint, entry, acknowledgements, certificates } = parts;
    const [acknowledgement = ''] = acknowledgements;
    const text = renderReceipt({
      proof: { ...proof, checkpoint },
      entry,
      statement: acknowledgement,
      acknowledgements,
      certificates,
    });
    expect(refused(text)).toMatch(/another header/);
  });

  it('says what was acknowledged about this revocation and no other', () => {
    const [first, second] = fleet.replicas.map((who) =>
      fleet.acknowledgement(who, later, [killedTwo(later.sealed.entry.id)]),
    );
    const acknowledged = [first!, second!];
    const about = fleet.statement(line, acknowledged);
    expect(about.sessions.matched).toBe(0);
    const facts = verifyReceipt(buildReceipt(fleet.partsOf(line, about, acknowledged)), fleet.keyring);
    expect(facts).toMatchObject({
      sessions: { matched: 0, killed: 0 },
      seen: false,
      revocationWindowMs: 0,
    });
  });
});

describe('the keyring of a receipt', () => {
  it('may know several logs', () => {
    const other = new FleetFixture({ fleet: 'orders' });
    const witness = noteKeyOf('witness', seededKey('witness').public);
    const keyring = [witness, ...other.keyring, ...fleet.keyring];
    expect(verifyReceipt(receipt, keyring).fleet).toBe('payments');
    expect(verifyReceipt(other.receipt(other.revoke()), keyring).fleet).toBe('orders');
  });
});

describe('cosignatures in a receipt', () => {
  const fleet = new FleetFixture();
  const [first, second] = [fleet.replica(0), fleet.replica(1)];
  const [line, later] = [fleet.revoke(), fleet.revoke()];

  /** Both acknowledged everything, with what each has cosigned. */
  function cosigned(...notes: [string?, string?]): string {
    const acknowledged = [first, second].map((who, i) => ({
      ...fleet.acknowledgement(who, later, i === 0 ? [killedTwo(line.sealed.entry.id)] : []),
      ...(notes[i] === undefined ? {} : { cosigned: notes[i] }),
    }));
    return buildReceipt(fleet.partsOf(line, fleet.statement(line, acknowledged), acknowledged));
  }

  it('name who has cosigned the very tree that holds the entry', () => {
    const both = cosigned(fleet.cosignature(first), fleet.cosignature(second));
    expect(verifyReceipt(both, fleet.keyring).cosignedBy).toEqual(['gw-eu-1', 'gw-us-1']);
    const earlier = cosigned(fleet.cosignature(first, 4), fleet.cosignature(second));
    expect(verifyReceipt(earlier, fleet.keyring).cosignedBy).toEqual(['gw-us-1']);
  });

  it('refute it where they show that the ledger was forked', () => {
    const forked = (size: number) => fleet.cosignature(second, size, leafHash('another'));
    expect(refused(cosigned(fleet.cosignature(first), forked(5)))).toBe(
      'the ledger is forked: gw-us-1 has cosigned another one of 5 entries',
    );
    // Neither is of the tree of this checkpoint, and yet one of them is false.
    const [one, other] = [fleet.cosignature(first, 4), forked(4)];
    expect(refused(cosigned(one, other))).toMatch(/the ledger is forked: .* of 4 entries/);
  });

  it('are of this fleet', () => {
    const other = new FleetFixture({ fleet: 'orders' });
    expect(refused(cosigned(other.cosignature(first, 3)))).toMatch(/of another log/);
  });
});
