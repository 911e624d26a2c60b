/** Decide, record, decide again: no yes without its line, and none that was revoked while the line was written. */
import { describe, expect, it } from 'vitest';
import type { Decision } from '../../src/decision/decision.ts';
import type { Observed } from '../../src/decision/observer.ts';
import type { Recording } from '../../src/flows/record.ts';
import { RecordedAnswer } from '../../src/flows/record.ts';

const ALLOW: Decision = { effect: 'allow', reason: 'permitted' };
const REVOKED: Decision = { effect: 'deny', reason: 'revoked', revocation: 'rev_1' };

const evidenceOf = (policy: string) => ({ position: '1-1', policy, freshForMs: 1_000 });

/** As doors do it: until it is ready. */
async function recorded<T extends Observed>(look: () => T, recording: Recording<T>): Promise<T | undefined> {
  const answer = new RecordedAnswer(recording);
  for (;;) {
    const { isReady, decision } = answer.look(look);
    if (isReady) return decision;
    await answer.write(decision);
  }
}

/** Looks give `decisions` in turn, the last one for good; lines are written, or not, as `writes` says. */
function run(decisions: readonly Decision[], writes: readonly boolean[] = [], linesWanted = Infinity) {
  let looks = 0;
  const lines: string[] = [];
  const look = (): Decision => decisions[Math.min(looks++, decisions.length - 1)] as Decision;
  const answer = recorded(look, {
    record: async ({ reason }) => {
      lines.push(reason);
      return writes[lines.length - 1] ?? true;
    },
    isWanted: () => lines.length < linesWanted,
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

  it('has its line with the very value it answers, and the policy it was decided by', async () => {
    const looks: Observed[] = [
      { ...ALLOW, value: { kind: 'value', value: { tenants: ['a', 'b'] } }, evidence: evidenceOf('1') },
      { ...ALLOW, value: { kind: 'value', value: { tenants: ['c'] } }, evidence: evidenceOf('1') },
      { ...ALLOW, value: { kind: 'value', value: { tenants: ['c'] } }, evidence: evidenceOf('2') },
    ];
    const written: Observed[] = [];
    const look = (): Observed => (looks.length > 1 ? looks.shift() : looks[0]) as Observed;
    const answer = await recorded(look, { record: async (line) => written.push(line) > 0 });
    expect(written).toHaveLength(3);
    expect(written.at(-1)).toEqual(answer);
    expect(answer).toMatchObject({ value: { value: { tenants: ['c'] } }, evidence: { policy: '2' } });
  });

  it('is none after three lines of a yes that is another one each time, and a no at any time', async () => {
    const yes = Array.from({ length: 9 }, (_, at): Decision => ({ ...ALLOW, obligations: { at } }));
    const lines = ['permitted', 'permitted', 'permitted'];
    expect(await run(yes)).toEqual({ reason: undefined, looks: 4, lines });
    expect(await run([...yes.slice(0, 3), REVOKED])).toEqual({
      reason: 'revoked',
      looks: 4,
      lines: [...lines, 'revoked'],
    });
  });

  it('has no line once nobody waits for it', async () => {
    const yes = Array.from({ length: 9 }, (_, at): Decision => ({ ...ALLOW, obligations: { at } }));
    expect(await run(yes, [], 1)).toEqual({ reason: undefined, looks: 2, lines: ['permitted'] });
  });
});
