/**
 * The portable proof of what a revocation, or a lock, reached: made once, when flows/enforce.ts closes it, and verified by
 * anyone with the log's public key. It must never verify unless every byte of it is vouched for.
 */
import type { LockEntry, RevocationEntry, SealedEntry, Target } from '../feed/entry.ts';
import { isSignedBy, parseEntry } from '../feed/entry.ts';
import type { Position } from '../feed/position.ts';
import { parsePosition } from '../feed/position.ts';
import { renderInstant } from '../kernel/clock.ts';
import { sha256Hex } from '../kernel/digest.ts';
import { WritError } from '../kernel/error.ts';
import type { PublicKey, SigningKey } from '../kernel/key.ts';
import type { Steps } from '../kernel/pace.ts';
import { runAtOnce } from '../kernel/pace.ts';
import type { Acknowledgement } from './acknowledgement.ts';
import { cosignedIn, verifyAcknowledgement } from './acknowledgement.ts';
import type { Certificate } from './certificate.ts';
import { verifyCertificate } from './certificate.ts';
import type { VerifiedCheckpoint } from './checkpoint.ts';
import { verifyCheckpoint } from './checkpoint.ts';
import { demand, demandReadable } from './demand.ts';
import type { Keyring } from './keyring.ts';
import { logName } from './keyring.ts';
import { leafHash, verifyInclusion } from './merkle.ts';
import { judgeTestimony } from './receipt-judgement.ts';
import type { ReceiptStatement, Testimony } from './receipt-statement.ts';
import { RECEIPT_TYP, receiptStatement } from './receipt-statement.ts';
import type { ReceiptText } from './receipt-text.ts';
import { parseReceipt, renderReceipt, restDigest } from './receipt-text.ts';
import type { KeyLookup } from './statement.ts';
import { readStatement, signStatement } from './statement.ts';
import { parseText } from './text.ts';

export type { ReceiptStatement, Testimony } from './receipt-statement.ts';

export interface ReceiptParts {
  readonly proof: { readonly index: number; readonly hashes: readonly Uint8Array[] };
  /** The log's signed note, of the tree that `proof` leads to. */
  readonly checkpoint: string;
  /** Leaf text of the entry (feed/entry.ts). */
  readonly entry: string;
  readonly statement: Testimony;
  /** The coordinator, and the log key: a replica's own calls nothing enforced. */
  readonly signer: { readonly incarnation: string; readonly key: SigningKey };
  /** Of exactly the replicas that the statement lists as acknowledged, in any order. */
  readonly acknowledgements: readonly string[];
  /** Of exactly the entry's appender, the coordinator and those who acknowledged; in any order, each once. */
  readonly certificates: readonly string[];
}

/** What a receipt proves, for people. */
export interface ReceiptFacts extends ReceiptStatement {
  readonly id: string;
  /** A lock's proof says nothing about the time after it was lifted or ended by itself. */
  readonly kind: 'revocation' | 'lock';
  readonly targets: readonly Target[];
  /** As it was ordered: why, and by whom (`admin`, or `iss|sub`). */
  readonly reason?: string;
  readonly ticket?: string;
  readonly caller: string;
  /** Of a lock: when it ends by itself. */
  readonly expiresAt?: string;
  readonly coordinator: { readonly replica: string; readonly incarnation: string };
  /** The tree that holds the entry, and its size when it was signed. */
  readonly origin: string;
  readonly treeSize: number;
  /** The replicas that cosigned this very tree. Cosignatures of other sizes are in the acknowledgements. */
  readonly cosignedBy: readonly string[];
  /** What the ledger's `outcome` entry names. */
  readonly digest: string;
}

/** Signs the statement and renders the receipt. INTERNAL when the statement is of no known shape. */
export function buildReceipt(parts: ReceiptParts): string {
  const { checkpoint, entry, signer, acknowledgements, certificates } = parts;
  const rest = { proof: { ...parts.proof, checkpoint }, entry, acknowledgements, certificates };
  const statement = { ...parts.statement, rest: restDigest(rest) };
  if (!receiptStatement.safeParse(statement).success) {
    throw new WritError('INTERNAL', 'receipt statement is of no known shape');
  }
  return renderReceipt({
    ...rest,
    statement: signStatement(RECEIPT_TYP, signer.incarnation, statement, signer.key),
  });
}

/** SHA-256 of a receipt, in hex, as the ledger's `outcome` entry names it. */
export function receiptDigest(text: string): string {
  return sha256Hex(text);
}

/**
 * Verifies all of a receipt, offline. PROOF_INVALID with what does not hold; otherwise what it proves. Bytes rather
 * than text where there are bytes: decoding them is part of the proof.
 */
export function verifyReceipt(receipt: string | Uint8Array, keyring: Keyring): ReceiptFacts {
  return runAtOnce(verifyingReceipt(receipt, keyring));
}

/** `verifyReceipt`, in pieces: that of a thousand targets takes three milliseconds. */
export function* verifyingReceipt(receipt: string | Uint8Array, keyring: Keyring): Steps<ReceiptFacts> {
  const text = parseText(receipt);
  const parts = parseReceipt(text);
  const checkpoint = verifyCheckpoint(parts.proof.checkpoint, keyring);
  // A signature that nobody here can check would be bytes that anybody may alter.
  demand(checkpoint.signatureLines === 1, 'checkpoint of a receipt has one signature, that of the log');
  yield;
  const logged = verifyLogged(parts, checkpoint);
  yield;
  const certificates = verifyCertificates(parts.certificates, checkpoint.log.key);
  const keyOf: KeyLookup = (incarnation) => certificates.get(incarnation)?.key;
  const entry = verifyEntry(logged.sealed, keyOf);
  yield;
  const { by, id, kind, targets } = entry;
  const { kid, statement } = verifyStatement(parts.statement, (one) => keyOf(one) && checkpoint.log.key);
  demand(logName(statement.fleet) === checkpoint.log.name, 'statement is about another fleet');
  demand(statement.rest === restDigest(parts), 'statement is about another receipt');
  const acknowledgements = parts.acknowledgements.map((one) => verifyAcknowledged(one, keyOf));
  const cosignedBy = judgeCosignatures(acknowledgements, checkpoint);
  const subject = { id, position: logged.position, leaf: logged.leaf };
  const own = judgeTestimony({ subject, statement, by, coordinator: kid, acknowledgements, certificates });
  return {
    ...statement,
    id,
    kind,
    targets,
    ...orderOf(entry),
    ...(kind === 'lock' ? { expiresAt: renderInstant(entry.expiresAtS * 1000) } : {}),
    coordinator: { replica: own.replica, incarnation: kid },
    origin: checkpoint.origin,
    treeSize: checkpoint.size,
    cosignedBy,
    digest: receiptDigest(text),
  };
}

function orderOf(entry: RevocationEntry | LockEntry): Pick<ReceiptFacts, 'reason' | 'ticket' | 'caller'> {
  const { reason, caller } = entry;
  const ticket = entry.kind === 'revocation' ? entry.ticket : undefined;
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(ticket === undefined ? {} : { ticket }),
    caller,
  };
}

const LEAF = /^\{"entry":(\{.*\}),"position":"(\d{1,15}-\d{1,15})"\}$/s;

interface Logged {
  readonly sealed: SealedEntry;
  readonly position: Position;
  /** Leaf hash, hex. */
  readonly leaf: string;
}

/** The entry, once the log's signed root is known to hold it at the place that it names. */
function verifyLogged({ entry, proof }: ReceiptText, checkpoint: VerifiedCheckpoint): Logged {
  const [, sealedText = '', positionText = ''] = LEAF.exec(entry) ?? [];
  const sealed = demandReadable(() => parseEntry(sealedText), 'entry is not canonical');
  const position = demandReadable(() => parsePosition(positionText), 'entry has no position');
  const { origin, size, root, log } = checkpoint;
  demand(origin === `${log.name}/${position.epoch}`, 'entry is of another epoch than the checkpoint');
  demand(proof.index === position.sequence - 1, 'entry has another position than the proof');
  const leaf = leafHash(entry);
  const { index, hashes } = proof;
  demand(verifyInclusion({ leaf, index, size, hashes }, root), 'entry is not in the tree of the checkpoint');
  return { sealed, position, leaf: Buffer.from(leaf).toString('hex') };
}

function verifyCertificates(texts: readonly string[], log: PublicKey): Map<string, Certificate> {
  const certificates = texts.map((text) => verifyCertificate(text, log));
  const byIncarnation = new Map(certificates.map((one) => [one.incarnation, one]));
  demand(byIncarnation.size === texts.length, 'receipt certifies an incarnation twice');
  return byIncarnation;
}

function verifyEntry(sealed: SealedEntry, keyOf: KeyLookup): RevocationEntry | LockEntry {
  const { entry } = sealed;
  demand(entry.kind === 'revocation' || entry.kind === 'lock', 'entry is no revocation and no lock');
  const key = keyOf(entry.by);
  demand(key !== undefined && isSignedBy(sealed, key), 'entry is not signed by one who was admitted');
  return entry;
}

function verifyStatement(text: string, keyOf: KeyLookup): { kid: string; statement: ReceiptStatement } {
  const { kid, payload } = readStatement(text, RECEIPT_TYP, keyOf);
  const { success, data } = receiptStatement.safeParse(payload);
  demand(success, 'statement is of no known shape');
  return { kid, statement: data };
}

/** Who cosigned the tree of the checkpoint. Two roots of one size in one receipt are a forked ledger, and prove nothing. */
function judgeCosignatures(
  acknowledgements: readonly Acknowledgement[],
  checkpoint: VerifiedCheckpoint,
): readonly string[] {
  const roots = new Map([[checkpoint.size, checkpoint.root]]);
  const cosigners: string[] = [];
  for (const said of acknowledgements) {
    const cosigned = cosignedIn(said);
    if (cosigned === undefined) continue;
    const { origin, size, root } = cosigned;
    demand(origin === checkpoint.origin, 'a cosignature is of another log');
    const known = roots.get(size) ?? root;
    demand(
      Buffer.compare(known, root) === 0,
      `the ledger is forked: ${said.replica} has cosigned another one of ${size} entries`,
    );
    roots.set(size, root);
    if (size === checkpoint.size) cosigners.push(said.replica);
  }
  return cosigners.sort();
}

function verifyAcknowledged(text: string, keyOf: KeyLookup): Acknowledgement {
  const acknowledgement = verifyAcknowledgement(text, keyOf);
  demand(acknowledgement !== undefined, 'an acknowledgement does not verify');
  return acknowledgement;
}
