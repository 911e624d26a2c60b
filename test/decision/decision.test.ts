import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, decideByVerdict, isPermissive, REASONS } from '../../src/decision/decision.ts';
import type { PolicyAnswer } from '../../src/decision/policy-engine.ts';
import type { RevocationVerdict } from '../../src/revocation/verdict.ts';

const CLEAR: RevocationVerdict = { state: 'clear' };
const UNKNOWN: RevocationVerdict = { state: 'unknown' };
const YES: PolicyAnswer = { kind: 'answer', allow: true };

function revokedBy(reason: 'revoked' | 'cutoff'): RevocationVerdict {
  return { state: 'revoked', by: { id: 'rev_1', reason, position: '1-2' } };
}

describe('the verdict alone', () => {
  it('settles nothing when it is clear: the policy has to speak', () => {
    expect(decideByVerdict(CLEAR)).toBeUndefined();
  });

  it.each(['revoked', 'cutoff'] as const)('denies as %s and says by which revocation', (reason) => {
    expect(decideByVerdict(revokedBy(reason))).toEqual({ effect: 'deny', reason, revocation: 'rev_1' });
  });

  it('is indeterminate when nothing can be known', () => {
    expect(decideByVerdict(UNKNOWN)).toEqual({ effect: 'indeterminate', reason: 'fenced' });
  });
});

describe('a decision', () => {
  it('allows on a clear verdict and an explicit yes', () => {
    expect(decide(CLEAR, YES)).toEqual({ effect: 'allow', reason: 'permitted' });
  });

  it('denies on an explicit no', () => {
    expect(decide(CLEAR, { kind: 'answer', allow: false })).toEqual({
      effect: 'deny',
      reason: 'policy_denied',
    });
  });

  it.each([true, false])('carries what the policy said with allow %s', (allow) => {
    const decision = decide(CLEAR, { kind: 'answer', allow, reason: 'office hours', obligations: ['log'] });
    expect(decision).toMatchObject({ policyReason: 'office hours', obligations: ['log'] });
  });

  it('takes an undefined policy for a no', () => {
    expect(decide(CLEAR, { kind: 'undefined' })).toEqual({ effect: 'deny', reason: 'policy_undefined' });
  });

  it('takes a broken policy for a no and keeps its word', () => {
    const decision = decide(CLEAR, { kind: 'error', detail: 'not a boolean' });
    expect(decision).toEqual({ effect: 'deny', reason: 'policy_error', detail: 'not a boolean' });
  });

  it.each([revokedBy('revoked'), revokedBy('cutoff'), UNKNOWN])('lets no policy overrule %j', (verdict) => {
    expect(decide(verdict, { ...YES, reason: 'please' })).toEqual(decideByVerdict(verdict));
  });

  it('allows for nothing else, whatever verdict and policy say', () => {
    fc.assert(
      fc.property(anyVerdict, anyAnswer, (verdict, answer) => {
        const { effect, reason } = decide(verdict, answer);
        const isYes = verdict.state === 'clear' && answer.kind === 'answer' && answer.allow;
        expect(effect === 'allow').toBe(isYes);
        expect(effect === 'allow').toBe(reason === 'permitted');
        expect(REASONS).toContain(reason);
      }),
    );
  });
});

const anyVerdict = fc.constantFrom(CLEAR, UNKNOWN, revokedBy('revoked'), revokedBy('cutoff'));
const anyAnswer: fc.Arbitrary<PolicyAnswer> = fc.oneof(
  fc.record({ kind: fc.constant('answer' as const), allow: fc.boolean(), obligations: fc.anything() }),
  fc.record({ kind: fc.constant('undefined' as const) }),
  fc.record({ kind: fc.constant('error' as const), detail: fc.string() }),
);

describe('the reasons', () => {
  it('are each named once', () => {
    expect(new Set(REASONS).size).toBe(REASONS.length);
  });
});

describe('a policy value that a caller could take for a yes', () => {
  it.each([true, 1, 0, '', 'no', [], {}, { allow: true }, { deny: true }].map((value) => [value]))(
    '%j',
    (value) => {
      expect(isPermissive(value)).toBe(true);
    },
  );

  it.each(
    [false, null, { allow: false }, { allow: null }, { allow: 'true' }, { allow: 1 }].map((value) => [value]),
  )('not %j', (value) => {
    expect(isPermissive(value)).toBe(false);
  });
});
