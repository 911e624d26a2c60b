/**
 * Which DPoP proofs were used (RFC 9449 section 11.1): each at most once while it could be accepted. Bounded; when
 * it is full it says so, because forgetting a proof would let it be replayed.
 */
import { hash } from 'node:crypto';
import { lengthPrefixed } from '../kernel/digest.ts';
import { LIMITS } from '../kernel/limits.ts';

/** A proof is good from `iat` - age to `iat` + age, so one that was seen matters for at most twice the age. */
const SPAN_MS = 2 * LIMITS.proofAgeMs;

export class ProofLog {
  readonly #proofsMax: number;
  #current = new Set<string>();
  #previous = new Set<string>();
  #sinceMs = 0;

  constructor(proofsMax: number) {
    this.#proofsMax = proofsMax;
  }

  /** Notes the proof `jti` of key `jkt`. `replayed`: it was noted before. `full`: it cannot be known; refuse it. */
  use(jkt: string, jti: string, wallMs: number): 'first' | 'replayed' | 'full' {
    this.#turn(wallMs);
    const id = hash('sha256', lengthPrefixed([jkt, jti]), 'base64url');
    if (this.#current.has(id) || this.#previous.has(id)) return 'replayed';
    if (this.#current.size + this.#previous.size >= this.#proofsMax) return 'full';
    this.#current.add(id);
    return 'first';
  }

  /** What was noted more than one span before the current set began can no longer be accepted. */
  #turn(wallMs: number): void {
    const sinceMs = wallMs - this.#sinceMs;
    if (sinceMs < SPAN_MS) return;
    this.#previous = sinceMs < 2 * SPAN_MS ? this.#current : new Set();
    this.#current = new Set();
    this.#sinceMs = wallMs;
  }
}
