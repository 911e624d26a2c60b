/**
 * Why a credential was refused: a closed list of words. They name the rule that failed and quote nothing of what
 * was presented, so they may be logged and sent to whoever asked.
 */
import type { CredentialReason } from './credential.ts';

/** `context.detail` of API.md. */
export const DETAILS = [
  'absent',
  'actor',
  'algorithm',
  'audience',
  'certificate',
  'claims',
  'confirmation',
  'encoding',
  'expired',
  'header',
  'issued_in_future',
  'issuer',
  'key_id',
  'key_unknown',
  'keys_unavailable',
  'lifetime',
  'malformed',
  'not_bound',
  'not_yet_valid',
  'proof',
  'proof_key',
  'proof_method',
  'proof_replayed',
  'proof_required',
  'proof_signature',
  'proof_time',
  'proof_token',
  'proof_uri',
  'scheme_unsupported',
  'several_credentials',
  'several_proofs',
  'signature',
  'size',
  'subject',
  'type',
  'verifications',
] as const;

export type CredentialDetail = (typeof DETAILS)[number];

export interface Refusal {
  readonly ok: false;
  readonly reason: CredentialReason;
  readonly detail: CredentialDetail;
}

export function refuse(reason: CredentialReason, detail: CredentialDetail): Refusal {
  return { ok: false, reason, detail };
}

/** `invalid_credential` with `detail`: what most rules answer. */
export function invalid(detail: CredentialDetail): Refusal {
  return refuse('invalid_credential', detail);
}

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'ok' in value && value.ok === false;
}
