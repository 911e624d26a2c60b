/** Why a command failed, and what that is in our words: whether it may have been carried out is the question. */
import { WritError } from '../../kernel/error.ts';

/** `refused`: the server said no and did nothing. `unsent`: it never left. `lost`: it may have been carried out. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly kind: 'refused' | 'unsent' | 'lost';

  constructor(kind: CommandFailure['kind'], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

export type StoreCode = 'STORE_UNREACHABLE' | 'APPEND_UNCERTAIN';

/** What a server says before it runs a function at all. */
const BEFORE =
  /^(NOREPLICAS|OOM|READONLY|NOPERM|NOAUTH|WRONGPASS|LOADING|BUSY|MISCONF|MASTERDOWN|WRIT|ERR Function not found)/;

const FOLLOWS = '; it follows another one: name the master, or make this one it (REPLICAOF NO ONE)';

/** `lost`: what it is when nobody knows whether it was carried out. */
export function explain({ kind, message, cause }: CommandFailure, lost: StoreCode): WritError {
  const isUndone = kind === 'unsent' || (kind === 'refused' && BEFORE.test(message));
  const advice = message.startsWith('READONLY') ? FOLLOWS : '';
  const said = kind === 'refused' ? `Redis refuses: ${message.slice(0, 200)}${advice}` : message;
  return new WritError(isUndone ? 'STORE_UNREACHABLE' : lost, said, { cause });
}
