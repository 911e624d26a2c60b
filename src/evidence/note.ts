/**
 * Signed notes and verifier keys of C2SP (c2sp.org/signed-note), Ed25519 only. Called by checkpoint.ts; the text
 * of a note means nothing before `verifyNote` has returned it.
 */
import { parseBase64, sha256, toBase64, toBase64Url } from '../kernel/digest.ts';
import type { PublicKey, SigningKey } from '../kernel/key.ts';
import { parsePublicKey } from '../kernel/key.ts';
import { WritError } from '../kernel/error.ts';
import { demand } from './demand.ts';

/** Ed25519 over the note's text; of the other types cosignature.ts knows one, and the rest are unknown keys, and ignored. */
const TYPE_ED25519 = 0x01;
const KEY_ID_BYTES = 4;
/** The specification asks for at least 16. */
const SIGNATURES_MAX = 100;

/** Who may sign a note: a name and a key. `id` tells two keys of one name apart; it is no digest to rely on. */
export interface NoteKey {
  readonly name: string;
  /** Eight digits of lower-case hex. */
  readonly id: string;
  readonly key: PublicKey;
}

export interface VerifiedNote {
  /** Ends in a newline. */
  readonly text: string;
  /** The known keys that signed it, one at least. */
  readonly signers: readonly NoteKey[];
  /** How many signature lines there are, those of unknown keys included. */
  readonly signatureLines: number;
}

// Unicode spaces (U+0085 is one, and not in \s) and the plus sign may not be in a name.
const NAME = /^[^\s\u0085+]+$/;
// ASCII control characters other than newline may be nowhere in a note.
const CONTROL = /[\0-\t\v-\x1f]/;

/** The verifier key for `key` under `name`. INTERNAL when no note can carry that name. */
export function noteKeyOf(name: string, key: PublicKey): NoteKey {
  if (!isName(name)) throw new WritError('INTERNAL', 'no key can have this name');
  return { name, id: keyIdOf(name, TYPE_ED25519, key), key };
}

/** The vkey of a key that signs notes as they are. */
export function renderNoteKey({ name, key }: NoteKey): string {
  return renderVerifierKey(name, TYPE_ED25519, key);
}

/** `<name>+<id>+<base64(type ‖ public key)>`, a vkey. */
export function renderVerifierKey(name: string, type: number, key: PublicKey): string {
  return `${name}+${keyIdOf(name, type, key)}+${toBase64(keyMaterial(type, key))}`;
}

const VKEY = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/;

/** Parses a vkey; PROOF_INVALID unless it is an Ed25519 one and its id is the one of its name and key. */
export function parseNoteKey(text: string): NoteKey {
  const [, name = '', id = '', base64 = ''] = VKEY.exec(text) ?? [];
  const material = parseBase64(base64);
  demand(isName(name) && material?.[0] === TYPE_ED25519, 'verifier key is no Ed25519 vkey');
  const key = parsePublicKey(toBase64Url(material.subarray(1)));
  demand(key !== undefined, 'verifier key is no Ed25519 vkey');
  demand(keyIdOf(name, TYPE_ED25519, key) === id, 'verifier key has the id of another key');
  return { name, id, key };
}

/** The note over `text` with one signature. INTERNAL for a text that no note can carry. */
export function signNote(text: string, name: string, key: SigningKey): string {
  const { id } = noteKeyOf(name, key.public);
  return renderNote(text, { name, id, signature: key.sign(text) });
}

/** The note over `text` with that signature. INTERNAL for a text that no note can carry. */
export function renderNote(text: string, signature: NoteSignature): string {
  if (!text.endsWith('\n') || !isNoteText(text))
    throw new WritError('INTERNAL', 'no note can carry this text');
  return `${text}\n${renderSignature(signature)}\n`;
}

/** One signature line, without its newline. */
export function renderSignature({ name, id, signature }: NoteSignature): string {
  return `— ${name} ${toBase64(Buffer.concat([Buffer.from(id, 'hex'), signature]))}`;
}

/**
 * The text of `note` and who signed it. Signatures of unknown keys are ignored. PROOF_INVALID when the note is
 * malformed, when a known key's signature is bad, and when no known key signed.
 */
export function verifyNote(note: string, keys: readonly NoteKey[]): VerifiedNote {
  const { text, signatures } = parseNote(note);
  const signers = new Set<NoteKey>();
  for (const { name, id, signature } of signatures) {
    const known = keys.find((key) => key.name === name && key.id === id);
    if (known === undefined) continue;
    demand(known.key.verify(text, signature), 'note has a bad signature of a known key');
    signers.add(known);
  }
  demand(signers.size > 0, 'note is not signed by a known key');
  return { text, signers: [...signers], signatureLines: signatures.length };
}

export interface NoteSignature {
  readonly name: string;
  /** As `NoteKey` has it. */
  readonly id: string;
  /** What follows the key id. */
  readonly signature: Uint8Array;
}

/** What stands in a note, unverified; PROOF_INVALID when it is malformed. */
export function parseNote(note: string): { text: string; signatures: NoteSignature[] } {
  demand(isNoteText(note), 'note has a character that no note may have');
  const end = note.lastIndexOf('\n\n');
  demand(end >= 0 && note.endsWith('\n'), 'note has no signatures');
  const lines = note.slice(end + 2, -1).split('\n');
  demand(lines.length <= SIGNATURES_MAX, 'note has too many signatures');
  return { text: note.slice(0, end + 1), signatures: lines.map(parseSignature) };
}

const SIGNATURE_LINE = /^— (\S+) (\S+)$/;

function parseSignature(line: string): NoteSignature {
  const [, name = '', base64 = ''] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = parseBase64(base64);
  demand(
    isName(name) && bytes !== undefined && bytes.length > KEY_ID_BYTES,
    'note has a malformed signature',
  );
  const id = Buffer.from(bytes.subarray(0, KEY_ID_BYTES)).toString('hex');
  return { name, id, signature: bytes.subarray(KEY_ID_BYTES) };
}

function isName(name: string): boolean {
  return NAME.test(name) && isNoteText(name);
}

function isNoteText(text: string): boolean {
  return text.isWellFormed() && !CONTROL.test(text);
}

/** SHA-256(name ‖ 0x0A ‖ type ‖ public key)[:4], in hex. */
export function keyIdOf(name: string, type: number, key: PublicKey): string {
  const hash = sha256(Buffer.concat([Buffer.from(`${name}\n`), keyMaterial(type, key)]));
  return Buffer.from(hash.subarray(0, KEY_ID_BYTES)).toString('hex');
}

function keyMaterial(type: number, key: PublicKey): Uint8Array {
  return Buffer.concat([Buffer.of(type), Buffer.from(key.x, 'base64url')]);
}
