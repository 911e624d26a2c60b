/**
 * The functions that functions.lua puts into the server. Its library is called by the version of what replicas and store
 * say to each other; another text under that name is another build's, or somebody's, and is never called.
 */
import { readFile } from 'node:fs/promises';
import { WritError } from '../../kernel/error.ts';
import type { Connection, Reply } from './connection.ts';
import { CommandFailure } from './failure.ts';

export const LIBRARY = 'writ1';

/** What the server had when it was asked: nothing under that name, this text, or another one. */
export type LibraryState = 'missing' | 'equal' | 'other';

/** Loads the library where the server has not this very text. CONFIG_INVALID, saying what to do, for a user who may not. */
export async function ensureFunctions(connection: Connection): Promise<LibraryState> {
  const text = await readFile(new URL('./functions.lua', import.meta.url), 'utf8');
  const state = stateOf(
    await connection.call(['FUNCTION', 'LIST', 'LIBRARYNAME', LIBRARY, 'WITHCODE']),
    text,
  );
  if (state === 'equal') return state;
  try {
    await connection.call(['FUNCTION', 'LOAD', 'REPLACE', text]);
  } catch (cause) {
    if (!(cause instanceof CommandFailure) || !cause.message.startsWith('NOPERM')) throw cause;
    const what = state === 'missing' ? 'has no' : 'has, of another build, the';
    const detail = `the Redis ${what} functions ${LIBRARY}, and this user may not load them: \`writ store init\` of this version does, as one who may`;
    throw new WritError('CONFIG_INVALID', detail, { cause, field: 'store.url' });
  }
  return state;
}

/** A reply that is no list of libraries names none. */
function stateOf(reply: Reply, text: string): LibraryState {
  const [library] = Array.isArray(reply) ? (reply as readonly Reply[]) : [];
  if (!Array.isArray(library)) return 'missing';
  const members = library as readonly Reply[];
  return members[members.indexOf('library_code') + 1] === text ? 'equal' : 'other';
}
