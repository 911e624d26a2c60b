/** The keys a stranger needs: the lines of `fleet.pub`, as `writ keys` prints them. Called by `writ verify`. */
import { WritError } from '../kernel/error.ts';
import { demand } from './demand.ts';
import type { PublicKey } from '../kernel/key.ts';
import type { NoteKey } from './note.ts';
import { noteKeyOf, parseNoteKey } from './note.ts';

/** Log keys that are believed; one at least. */
export type Keyring = readonly NoteKey[];

/** The name of a fleet's log key. */
export function logName(fleet: string): string {
  return `writ/${fleet}`;
}

/** The keyring of one fleet, for those who have its log key. INTERNAL when no note can carry the fleet's name. */
export function keyringOf(fleet: string, log: PublicKey): Keyring {
  return [noteKeyOf(logName(fleet), log)];
}

/** Parses verifier keys, one a line; blank lines and those that begin with `#` are ignored. PROOF_INVALID otherwise. */
export function parseKeyring(text: string): Keyring {
  const keys = text.split('\n').flatMap((line, i) => parseLine(line.trim(), i + 1));
  demand(keys.length > 0, 'keyring holds no verifier key');
  const names = new Set(keys.map(({ name, id }) => `${name}+${id}`));
  demand(names.size === keys.length, 'keyring names a key twice');
  return keys;
}

function parseLine(line: string, number: number): NoteKey[] {
  if (line === '' || line.startsWith('#')) return [];
  try {
    return [parseNoteKey(line)];
  } catch (cause) {
    throw new WritError('PROOF_INVALID', `keyring line ${number} is no verifier key`, { cause });
  }
}
