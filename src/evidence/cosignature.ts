/**
 * Cosignatures (c2sp.org/tlog-cosignature, Ed25519): a replica's own word that its ledger, at that size, has that root.
 * Two that name one size of one tree and two roots prove that the ledger was forked, whoever did it. Made by
 * flows/cosign.ts, carried in acknowledgements; each is a signed note by itself.
 */
import type { PublicKey, SigningKey } from '../kernel/key.ts';
import type { Checkpoint } from './checkpoint.ts';
import { parseCheckpoint, renderCheckpoint } from './checkpoint.ts';
import { demand } from './demand.ts';
import type { NoteSignature } from './note.ts';
import { keyIdOf, parseNote, renderNote, renderSignature, renderVerifierKey } from './note.ts';

const TYPE_COSIGNATURE = 0x04;
const TIME_BYTES = 8;

export interface Cosignature extends Checkpoint {
  /** `writ/<fleet>/<replica>`. */
  readonly name: string;
  /** As it stands under any note over this checkpoint; without the newline. */
  readonly line: string;
}

/** The verifier key of a replica's cosignatures, a vkey; `log` is the name of its fleet's log key. */
export function renderCosignerKey(log: string, replica: string, key: PublicKey): string {
  return renderVerifierKey(`${log}/${replica}`, TYPE_COSIGNATURE, key);
}

/** The note in which `replica` cosigns `checkpoint` at `atS` (unix seconds). */
export function signCosignature(
  checkpoint: Checkpoint,
  { replica, key }: { readonly replica: string; readonly key: SigningKey },
  atS: number,
): string {
  const text = renderCheckpoint(checkpoint);
  const name = cosignerName(checkpoint, replica);
  const time = Buffer.alloc(TIME_BYTES);
  time.writeBigUInt64BE(BigInt(atS));
  const signature = Buffer.concat([time, key.sign(signedText(text, BigInt(atS)))]);
  return renderNote(text, { name, id: keyIdOf(name, TYPE_COSIGNATURE, key.public), signature });
}

/** The note of one cosignature. */
export function renderCosignature(cosignature: Cosignature): string {
  return `${renderCheckpoint(cosignature)}\n${cosignature.line}\n`;
}

/** What `replica` cosigned in `note`; undefined unless it did, with `key`. PROOF_INVALID when it is no note of one signature. */
export function verifyCosignature(note: string, replica: string, key: PublicKey): Cosignature | undefined {
  const { text, one, cosignature } = parse(note);
  const { name, id, signature } = one;
  const isItsName =
    name === cosignerName(cosignature, replica) && id === keyIdOf(name, TYPE_COSIGNATURE, key);
  if (!isItsName || signature.length <= TIME_BYTES) return undefined;
  const time = Buffer.from(signature).readBigUInt64BE();
  const isSigned = key.verify(signedText(text, time), signature.subarray(TIME_BYTES));
  return isSigned ? cosignature : undefined;
}

/** The same of a note that was verified before, or is about to be. */
export function readCosignature(note: string): Cosignature {
  return parse(note).cosignature;
}

function parse(note: string): { text: string; one: NoteSignature; cosignature: Cosignature } {
  const { text, signatures } = parseNote(note);
  demand(signatures.length === 1, 'a cosignature is of one replica');
  const [one] = signatures as [NoteSignature];
  return { text, one, cosignature: { ...parseCheckpoint(text), name: one.name, line: renderSignature(one) } };
}

/** Its origin's log, and the replica. */
function cosignerName({ origin }: Checkpoint, replica: string): string {
  return `${origin.slice(0, origin.lastIndexOf('/'))}/${replica}`;
}

function signedText(text: string, time: bigint): string {
  return `cosignature/v1\ntime ${time}\n${text}`;
}
