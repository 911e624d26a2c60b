/** Decisions -> wire: AuthZEN's 200 with `decision`, and the status that tells as well (API.md, Decide and Gateways). */
import { hash } from 'node:crypto';
import type { Judgement, Reason } from '../decision/decision.ts';
import { unreachable } from '../kernel/unreachable.ts';
import type { Answer } from './answer.ts';

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

/**
 * The body of AuthZEN 1.0 section 5.5, as JSON. Only `allow` is `true`. Written by hand, because it is written for every
 * request: reason, id, position and digest hold nothing that JSON escapes.
 */
export function renderDecision(judgement: Judgement, id: string): string {
  const { effect, reason, detail, revocation, policyReason, obligations, evidence } = judgement;
  return (
    `{"decision":${effect === 'allow'},"context":{"reason":"${reason}","id":"${id}","position":"${evidence.position}",` +
    `"policy":"${evidence.policy}","freshForMs":${evidence.freshForMs}` +
    `${member('detail', detail)}${member('revocation', revocation)}${member('policyReason', policyReason)}${member('obligations', obligations)}}}`
  );
}

function member(name: string, value: unknown): string {
  const json = value === undefined ? undefined : JSON.stringify(value);
  return json === undefined ? '' : `,"${name}":${json}`;
}

/** `/v1/check`: 200 only for allow; 401 and 403 as on gateway routes; 503 where asking again makes sense. */
export function withStatus(status: 200 | 401 | 403 | 503, reason: Reason, text: string): Answer {
  if (status === 401) return { status, text, headers: { 'www-authenticate': challengeFor(reason) } };
  return status === 503 ? { status, text, headers: { 'retry-after': '1' } } : { status, text };
}

export function statusOf(reason: Reason): 200 | 401 | 403 | 503 {
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
