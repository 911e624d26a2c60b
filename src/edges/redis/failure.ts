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

/** Which setting a connection that fails may be for. */
export interface Attempted {
  readonly isTls: boolean;
  readonly sentinelIsTls: boolean | undefined;
  /** It was up before: it is not the configuration. */
  readonly wasUp: boolean;
}

/** By its message: a Sentinel's own failure is quoted, and what its TLS says is kept from us. */
export function withAdvice(reason: string, { isTls, sentinelIsTls, wasUp }: Attempted): string {
  // Node advises on itself.
  const said = reason.replace(/; if the root CA is installed locally.*/, '');
  if (said.startsWith('All sentinels'))
    return `${said}: see store.sentinel.urls${sentinelIsTls === true ? ' and store.caFile' : ''}`;
  if (said.includes('altnames'))
    return `${said}: it must be for ${sentinelIsTls === undefined ? 'the host in store.url' : 'the address that the Sentinels name'}`;
  if (/self-signed|unable to (get|verify)/.test(said))
    return `${said}: is store.caFile of the authority that signed it?`;
  const isMisfit = (isTls ? /ETIMEDOUT|in time$|wrong version/ : /ECONNRESET|EPIPE/).test(said);
  if (wasUp || !isMisfit) return said;
  return `${said}: does it speak TLS? store.url says that it does${isTls ? '' : ' not'}`;
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
