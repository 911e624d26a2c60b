/**
 * The one function that makes a decision. It takes a verdict, so nobody can decide without having looked, and it
 * awaits nothing, so nothing can land in between.
 */
import type { VerifiedCredential } from '../credential/credential.ts';
import type { RevocationVerdict } from '../revocation/verdict.ts';
import type { PolicyAnswer } from './policy-engine.ts';

/** The closed list of API.md. A test compares it with README. */
export const REASONS = [
  'permitted',
  'policy_denied',
  'policy_undefined',
  'policy_error',
  'revoked',
  'locked',
  'cutoff',
  'expired',
  'not_yet_valid',
  'invalid_credential',
  'unknown_issuer',
  'inactive',
  'introspection_unavailable',
  'subject_mismatch',
  'no_credential',
  'fenced',
] as const;

export type Reason = (typeof REASONS)[number];

export interface Decision {
  readonly effect: 'allow' | 'deny' | 'indeterminate';
  readonly reason: Reason;
  readonly detail?: string;
  readonly revocation?: string;
  readonly policyReason?: string;
  readonly obligations?: unknown;
  /** Whose decision it is: the credential it was made on, where there was one. */
  readonly credential?: VerifiedCredential;
}

/** What a decision was made on, taken in the same turn: what an answer says of it is never of a later moment. */
export interface DecisionEvidence {
  /** How far the feed was applied, `epoch-sequence`. */
  readonly position: string;
  /** Digest of the policy that was in force. */
  readonly policy: string;
  /** Whole milliseconds for which the answer may be relied on; 0 when fenced. */
  readonly freshForMs: number;
}

/** A decision together with its evidence: what doors are given to answer with. */
export type Judgement = Decision & { readonly evidence: DecisionEvidence };

/** What `verdict` alone settles: everything but `clear` does. */
export function decideByVerdict(verdict: RevocationVerdict): Decision | undefined {
  switch (verdict.state) {
    case 'clear':
      return undefined;
    case 'revoked':
      return { effect: 'deny', reason: verdict.by.reason, revocation: verdict.by.id };
    case 'unknown':
      return { effect: 'indeterminate', reason: 'fenced' };
  }
}

/** Verdict and policy answer -> decision. Only a clear verdict and an explicit `true` allow. */
export function decide(verdict: RevocationVerdict, answer: PolicyAnswer): Decision {
  const settled = decideByVerdict(verdict);
  if (settled !== undefined) return settled;
  switch (answer.kind) {
    case 'undefined':
      return { effect: 'deny', reason: 'policy_undefined' };
    case 'error':
      return { effect: 'deny', reason: 'policy_error', detail: answer.detail };
    case 'answer': {
      const said = {
        ...(answer.reason === undefined ? {} : { policyReason: answer.reason }),
        ...(answer.obligations === undefined ? {} : { obligations: answer.obligations }),
      };
      return answer.allow
        ? { effect: 'allow', reason: 'permitted', ...said }
        : { effect: 'deny', reason: 'policy_denied', ...said };
    }
  }
}

/** True for a policy value that a caller could take for a yes: anything but false, null and `{allow: not true}`. */
export function isPermissive(value: unknown): boolean {
  if (typeof value === 'object' && value !== null && 'allow' in value) return value.allow === true;
  return value !== false && value !== null;
}
