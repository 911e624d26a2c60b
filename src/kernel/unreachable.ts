/** The default of an exhaustive switch. Reaching it is a bug: it throws, it never guesses. */
import { WritError } from './error.ts';

export function unreachable(value: never): never {
  throw new WritError('INTERNAL', `unreachable: ${typeof value}`);
}
