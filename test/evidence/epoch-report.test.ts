/** A report is believed when its own data directory has signed it, in its own form, and not else. */
import { describe, expect, it } from 'vitest';
import type { EpochReportStatement } from '../../src/evidence/epoch-report.ts';
import { readEpochReport, signEpochReport } from '../../src/evidence/epoch-report.ts';
import { signStatement } from '../../src/evidence/statement.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';

const KEY = signingKeyOf(new Uint8Array(32).fill(3));
const OTHER = signingKeyOf(new Uint8Array(32).fill(4));
const SAID: EpochReportStatement = {
  v: 1,
  closedEpochId: 'ep_1',
  runId: 'run-1',
  incarnation: 'inc_a',
  epochId: 'ep_1',
  position: '100-7',
  chain: 'c'.repeat(40),
};
const TYP = 'writ-epoch-report+jws';
const keyOf = (incarnation: string) => (incarnation === 'inc_a' ? KEY.public : undefined);

describe('a report of a closed epoch', () => {
  it('says what was signed', () => {
    expect(readEpochReport(signEpochReport(SAID, KEY), keyOf)).toEqual(SAID);
  });

  it.each([
    ['signed by another key', () => signEpochReport(SAID, OTHER)],
    ['of somebody who was never admitted', () => signEpochReport({ ...SAID, incarnation: 'inc_x' }, KEY)],
    ['about somebody else', () => signStatement(TYP, 'inc_a', { ...SAID, incarnation: 'inc_b' }, KEY)],
    ['of another shape', () => signStatement(TYP, 'inc_a', { ...SAID, more: 1 }, KEY)],
    ['of another type', () => signStatement('writ-acknowledgement+jws', 'inc_a', SAID, KEY)],
    ['altered', () => signEpochReport(SAID, KEY).replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))],
    ['empty', () => ''],
  ])('is none when it is %s', (_, make) => {
    expect(() => readEpochReport(make(), keyOf)).toThrow(
      expect.objectContaining({ code: 'PROOF_INVALID' }) as Error,
    );
  });
});
