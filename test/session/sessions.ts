/** Sessions by hand for tests of the registry: a store in memory, holders that note what they hear. */
import type { HandleSet } from '../../src/credential/handle.ts';
import { Fingerprinter } from '../../src/credential/handle.ts';
import type { Instant } from '../../src/kernel/clock.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import type { DeadHandle } from '../../src/revocation/cutoff.ts';
import type { SessionRegistry } from '../../src/session/registry.ts';
import type {
  KillEvent,
  SessionHandle,
  SessionRecord,
  SessionRef,
  SessionStore,
} from '../../src/session/session.ts';
import { sessionRefOf } from '../../src/session/session.ts';

/** No run after this one knows of any. */
export const NOT_KEPT: SessionStore = {
  opened: () => undefined,
  told: () => undefined,
  ended: () => undefined,
  lost: () => undefined,
  forgotten: () => undefined,
  sync: () => Promise.resolve(),
};

export const ISSUER = 'https://issuer.example';
export const FINGERPRINTER = new Fingerprinter(new Uint8Array(32).fill(7));
export const REVOKED: KillEvent = { reason: 'revoked', revocation: 'rev_1', position: '1-2' };

export function printsOf(...jtis: string[]): HandleSet {
  return FINGERPRINTER.print(jtis.map((jti) => ({ kind: 'jti', parts: [ISSUER, jti] })));
}

export function recordOf(id: string, over: Partial<SessionRecord> = {}): SessionRecord {
  return {
    ref: sessionRefOf(id),
    kind: 'sse',
    subject: 'alice',
    handles: printsOf(`jti-${id}`),
    issuedAtS: 100,
    expiresAtS: 2_000_000_000,
    selfEnds: false,
    openedAtMs: 1_800_000_000_000,
    ...over,
  };
}

/** A kill in one go. */
export function killNow(
  sessions: SessionRegistry,
  claim: string,
  handles: readonly DeadHandle[],
  { event = REVOKED, at }: { event?: KillEvent; at: Instant },
): number {
  return runAtOnce(sessions.killing(claim, handles, event), at);
}

/** The handle of `jti`, dead: whole, or for what was issued until `cutoffS`. */
export function dead(jti: string, cutoffS?: number): DeadHandle {
  const [hi = 0, lo = 0] = printsOf(jti).prints;
  return { hi, lo, cutoffS };
}

export class MemorySessions implements SessionStore {
  readonly open = new Map<SessionRef, SessionRecord>();
  readonly endings: SessionRef[] = [];
  readonly losses: string[] = [];

  forgotten(claim: string): void {
    this.losses.splice(0, Infinity, ...this.losses.filter((one) => one !== claim));
  }

  isFull = false;

  sync(): Promise<void> {
    return Promise.resolve();
  }

  opened(record: SessionRecord): void {
    if (this.isFull) throw new Error('disk full');
    this.open.set(record.ref, record);
  }

  told(ref: SessionRef, told: KillEvent): void {
    const record = this.open.get(ref);
    if (record !== undefined) this.open.set(ref, { ...record, told });
  }

  lost(ref: SessionRef, claims: readonly string[]): void {
    this.losses.push(...claims);
    this.ended(ref);
  }

  ended(ref: SessionRef): void {
    this.endings.push(ref);
    this.open.delete(ref);
  }
}

export class Holder implements SessionHandle {
  readonly heard: KillEvent[] = [];
  readonly #onKill: () => void;

  constructor(onKill: () => void = () => undefined) {
    this.#onKill = onKill;
  }

  kill(event: KillEvent): void {
    this.heard.push(event);
    this.#onKill();
  }
}
