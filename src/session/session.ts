/**
 * A live session: something a holder (gateway, relay, service) keeps open on the strength of one decision, and
 * that must end when that decision does. Its id is the holder's capability; only the id's digest is kept here.
 */
import type { HandleSet } from '../credential/handle.ts';
import type { Reason } from '../decision/decision.ts';
import type { Instant } from '../kernel/clock.ts';
import { sha256, toBase64Url } from '../kernel/digest.ts';
import type { Brand } from '../kernel/brand.ts';
import type { Grounds } from './grounds.ts';

/** SHA-256 of the session id, base64url: what the registry, the disk and a person see instead of the capability. */
export type SessionRef = Brand<string, 'SessionRef'>;

export function sessionRefOf(id: string): SessionRef {
  return toBase64Url(sha256(id)) as SessionRef;
}

/** Why a session is told to end: words of the closed list of reasons, and a label. */
export const KILL_REASONS = [
  'revoked',
  'cutoff',
  'locked',
  'expired',
  'fenced',
  'policy_denied',
  'policy_undefined',
  'policy_error',
] as const satisfies readonly Reason[];

export type KillReason = (typeof KILL_REASONS)[number];

export interface KillEvent {
  readonly reason: KillReason;
  readonly revocation?: string;
  readonly position: string;
}

/** How a kill reaches the holder. Must not throw; what it cannot deliver stays unconfirmed. */
export interface SessionHandle {
  kill(event: KillEvent): void;
}

/** What survives a restart of the replica, so that a session of the run before can still be killed. */
export interface SessionRecord {
  readonly ref: SessionRef;
  readonly kind: string;
  readonly subject: string;
  readonly handles: HandleSet;
  readonly issuedAtS: number | undefined;
  readonly expiresAtS: number | undefined;
  /** The holder's promise to end it when its last ping's `freshForMs` is over. */
  readonly selfEnds: boolean;
  readonly openedAtMs: number;
  /** The current actor: the first of the `act` chain. */
  readonly actor?: string | undefined;
  /** What it can be decided again on; absent in records of a version before this one. */
  readonly grounds?: Grounds | undefined;
  /** What its holder was told in an earlier run: it is to end, whatever is in force by now. */
  readonly told?: KillEvent | undefined;
}

/** What a fresher credential changes of a record. */
export type Fresh = Pick<SessionRecord, 'handles' | 'issuedAtS' | 'expiresAtS' | 'actor' | 'grounds'>;

/**
 * The port to where records are kept; a record is on disk before its session is answered. A second `opened` with the
 * same `ref` takes the place of the first. `told`, `ended` and `lost` never throw.
 */
export interface SessionStore {
  opened(record: SessionRecord): void;
  /** Its holder was told to end it: no later run may let it go on. */
  told(ref: SessionRef, event: KillEvent): void;
  /** It has ended, after these kills: every later run counts it under them. */
  ended(ref: SessionRef, claims: readonly string[]): void;
  /** Let go without proof that it ended, after these kills: they stay unconfirmed in every later run. Never throws. */
  lost(ref: SessionRef, claims: readonly string[]): void;
  /** Of that kill nothing has to be kept any more. Never throws. */
  forgotten(claim: string): void;
  /** Resolves once a machine that dies keeps what was said before. STORE_UNREACHABLE where it does not. */
  sync(): Promise<void>;
}

export interface Session extends SessionRecord {
  /** Present once it was told to end. */
  readonly kill: (KillEvent & { readonly at: Instant }) | undefined;
  /** When the holder's own lease is surely over, by our monotonic clock: only for `selfEnds`. */
  readonly holderLeaseEndsMs: number;
}
