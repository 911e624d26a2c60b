/** Decisions -> wire: AuthZEN's 200 with `decision`, and the status that tells as well (API.md, Decide and Gateways). */
import { hash } from 'node:crypto';
import type { Decision, Reason } from '../decision/decision.ts';
import { unreachable } from '../kernel/unreachable.ts';
import type { Answer } from './answer.ts';

/** What every decision carries besides itself. */
export interface DecisionFacts {
  readonly position: string;
  readonly policy: string;
  readonly freshForMs: number;
}

/** Decision ids: unguessable prefix of this process, and a counter. Unique, and cheap on the hot path. */
export class DecisionIds {
  readonly #prefix: string;
  #count = 0;

  constructor(seed: Uint8Array) {
    this.#prefix = `dec_${hash('sha256', seed, 'base64url').slice(0, 16)}`;
  }

  next(): string {
    this.#count += 1;
    return `${this.#prefix}${this.#count.toString(36)}`;
  }
}

/** The body of AuthZEN 1.0 section 5.5. Only `allow` is `true`. */
export function renderDecision(
  decision: Decision,
  id: string,
  facts: DecisionFacts,
): Record<string, unknown> {
  const { reason, detail, revocation, policyReason, obligations } = decision;
  return {
    decision: decision.effect === 'allow',
    context: { reason, id, ...facts, detail, revocation, policyReason, obligations },
  };
}

/** `/v1/check`: 200 only for allow; 401 and 403 as on gateway routes; 503 where asking again makes sense. */
export function statusAnswer(decision: Decision, body: unknown): Answer {
  const status = statusOf(decision.reason);
  if (status === 401) return { status, body, headers: { 'www-authenticate': challengeFor(decision.reason) } };
  return status === 503 ? { status, body, headers: { 'retry-after': '1' } } : { status, body };
}

function statusOf(reason: Reason): 200 | 401 | 403 | 503 {
  switch (reason) {
    case 'permitted':
      return 200;
    case 'no_credential':
    case 'invalid_credential':
    case 'unknown_issuer':
    case 'expired':
    case 'not_yet_valid':
    case 'inactive':
    case 'revoked':
    case 'cutoff':
      return 401;
    case 'policy_denied':
    case 'policy_undefined':
    case 'policy_error':
    case 'subject_mismatch':
    case 'locked':
      return 403;
    case 'fenced':
    case 'introspection_unavailable':
      return 503;
    /* v8 ignore next 2 -- exhaustive */
    default:
      return unreachable(reason);
  }
}

/** RFC 6750 section 3: no error code when nothing was presented, `invalid_token` otherwise. */
export function challengeFor(reason: Reason): string {
  if (reason === 'no_credential') return 'Bearer realm="writ"';
  return `Bearer realm="writ", error="invalid_token", error_description="${reason}"`;
}
