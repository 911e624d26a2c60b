/**
 * Checkpoints (c2sp.org/tlog-checkpoint): the tree's size and root in a note signed by the log key. There is one
 * tree for each epoch, and its origin names it, so that no two histories ever share an origin.
 */
import { parseBase64, toBase64 } from '../kernel/digest.ts';
import type { SigningKey } from '../kernel/key.ts';
import { demand } from './demand.ts';
import type { Keyring } from './keyring.ts';
import { logName } from './keyring.ts';
import { HASH_BYTES } from './merkle.ts';
import type { NoteKey } from './note.ts';
import { signNote, verifyNote } from './note.ts';

export interface Checkpoint {
  /** `writ/<fleet>/<epoch>`. */
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

export interface VerifiedCheckpoint extends Checkpoint {
  /** The log key: the one whose name the origin begins with. */
  readonly log: NoteKey;
  readonly signatureLines: number;
}

/** The origin of the tree of one epoch, by the number in its positions. */
export function checkpointOrigin(fleet: string, epoch: number): string {
  return `${logName(fleet)}/${epoch}`;
}

/** The signed note, `name` being that of the log key. */
export function signCheckpoint(checkpoint: Checkpoint, name: string, key: SigningKey): string {
  return signNote(renderCheckpoint(checkpoint), name, key);
}

/** The text of the note. */
export function renderCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${toBase64(root)}\n`;
}

/** Verifies a checkpoint; PROOF_INVALID unless it is one, and the key its origin belongs to signed it. */
export function verifyCheckpoint(note: string, keyring: Keyring): VerifiedCheckpoint {
  const { text, signers, signatureLines } = verifyNote(note, keyring);
  const checkpoint = parseCheckpoint(text);
  const log = signers.find(({ name }) => checkpoint.origin.startsWith(`${name}/`));
  demand(log !== undefined, 'checkpoint is not signed by the key of its origin');
  return { ...checkpoint, log, signatureLines };
}

// Sizes are sequences (feed/position.ts): 15 digits at most. Extension lines are not ours: nobody can audit them.
const CHECKPOINT = /^([^\n]+)\n(0|[1-9]\d{0,14})\n([^\n]+)\n$/;

/** The checkpoint in the text of a note; PROOF_INVALID when there is none. */
export function parseCheckpoint(text: string): Checkpoint {
  const [, origin = '', size = '', base64 = ''] = CHECKPOINT.exec(text) ?? [];
  const root = parseBase64(base64);
  demand(root?.length === HASH_BYTES, 'checkpoint is not origin, size and root');
  return { origin, size: Number(size), root };
}
