/** Decide, record, decide again: no yes without its line, and none that was revoked while the line was written. */
import { describe, expect, it } from 'vitest';
import type { Decision } from '../../src/decision/decision.ts';
import { recorded } from '../../src/flows/record.ts';

const ALLOW: Decision = { effect: 'allow', reason: 'permitted' };
const REVOKED: Decision = { effect: 'deny', reason: 'revoked', revocation: 'rev_1' };

/** Looks give `decisions` in turn, the last one for good; lines are written, or not, as `writes` says. */
function run(decisions: readonly Decision[], writes: readonly boolean[] = []) {
  let looks = 0;
  const lines: string[] = [];
  const answer = recorded({
    look: () => decisions[Math.min(looks++, decisions.length - 1)] as Decision,
    record: async ({ reason }) => {
      lines.push(reason);
      return writes[lines.length - 1] ?? true;
    },
  });
  return answer.then((decision) => ({ reason: decision?.reason, looks, lines }));
}

describe('an answer that must be recorded', () => {
  it('is a yes only after its line, and after a second look', async () => {
    expect(await run([ALLOW])).toEqual({ reason: 'permitted', looks: 2, lines: ['permitted'] });
  });

  it('is a no with one line and one look', async () => {
    expect(await run([REVOKED])).toEqual({ reason: 'revoked', looks: 1, lines: ['revoked'] });
  });

  it('is a no, with a line of its own, where the revocation landed while the line was written', async () => {
    expect(await run([ALLOW, REVOKED])).toEqual({
      reason: 'revoked',
      looks: 2,
      lines: ['permitted', 'revoked'],
    });
  });

  it('is recorded again when it says something else', async () => {
    const other: Decision = { ...ALLOW, policyReason: 'by grant' };
    expect(await run([ALLOW, other])).toEqual({
      reason: 'permitted',
      looks: 3,
      lines: ['permitted', 'permitted'],
    });
  });

  it('is none where its line cannot be written, the second one either', async () => {
    expect(await run([ALLOW], [false])).toEqual({ reason: undefined, looks: 1, lines: ['permitted'] });
    expect(await run([ALLOW, REVOKED], [true, false])).toMatchObject({ reason: undefined });
    expect(await run([REVOKED], [false])).toMatchObject({ reason: undefined });
  });

  it('may be had by waiting, and fails as looking fails', async () => {
    const look = async (): Promise<Decision> => Promise.reject(new RangeError('look'));
    await expect(recorded({ look, record: async () => true })).rejects.toThrow(RangeError);
  });
});
