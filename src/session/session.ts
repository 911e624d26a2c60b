/**
 * A live session: something a holder (gateway, relay, service) keeps open on the strength of one decision, and
 * that must end when that decision does. Its id is the holder's capability; only the id's digest is kept here.
 */
import type { HandleSet } from '../credential/handle.ts';
import type { Instant } from '../kernel/clock.ts';
import { sha256, toBase64Url } from '../kernel/digest.ts';
import type { Brand } from '../kernel/brand.ts';

/** SHA-256 of the session id, base64url: what the registry, the disk and a person see instead of the capability. */
export type SessionRef = Brand<string, 'SessionRef'>;

export function sessionRefOf(id: string): SessionRef {
  return toBase64Url(sha256(id)) as SessionRef;
}

/** Why a session is told to end: a closed list, because it is a label. */
export const KILL_REASONS = ['revoked', 'cutoff', 'locked', 'expired', 'fenced', 'policy_denied'] as const;

export interface KillEvent {
  readonly reason: (typeof KILL_REASONS)[number];
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
}

/** The port to where records are kept; a record is on disk before its session is answered. `ended` never throws. */
export interface SessionStore {
  opened(record: SessionRecord): void;
  ended(ref: SessionRef): void;
}

export interface Session extends SessionRecord {
  /** Present once it was told to end. */
  readonly kill: (KillEvent & { readonly at: Instant }) | undefined;
  /** When the holder's own lease is surely over, by our monotonic clock: only for `selfEnds`. */
  readonly holderLeaseEndsMs: number;
}
