import { describe, expect, it } from 'vitest';
import { assertAllGood, latenciesOf, parseLog } from './h2load.ts';
import { cpuSecondsOf, medianOf, quantileOf, rssMbOf } from './machine.ts';
import type { Sample } from './soak-verdict.ts';
import { judge } from './soak-verdict.ts';
import type { Row } from './table.ts';
import { isReached, renderTable } from './table.ts';
import { revokedId } from './workload.ts';
import { parseResult } from './wrk.ts';

const row = (over: Partial<Row>): Row => ({
  id: 'G9',
  what: 'stall',
  measured: '1 ms',
  baseline: '0 ms',
  value: 1,
  unit: ' ms',
  goal: { atMost: 1 },
  ...over,
});

describe('a row of the table', () => {
  it('is reached by the value itself, not by what is shown of it', () => {
    expect(isReached(row({}))).toBe(true);
    expect(isReached(row({ value: 1.0001 }))).toBe(false);
    expect(isReached(row({ value: 0.7499, goal: { atLeast: 0.75 } }))).toBe(false);
    const [, shown = ''] = renderTable([row({ value: 0.7499, goal: { atLeast: 0.75 } })]);
    expect(shown).toContain('0.750 ms  >= 0.75 ms  NO');
  });

  it('says that it was not measured, and why, and a comparison without a goal says neither yes nor no', () => {
    const lines = renderTable([
      { id: 'G4', what: 'p99', problem: 'no h2load' },
      row({ goal: {}, note: 'so' }),
    ]);
    expect(lines[1]).toMatch(/^G4 +p99 +not measured: no h2load +NO$/);
    expect(lines[2]).toMatch(/1\.00 ms$/);
    expect(lines.at(-1)).toBe('G9: so');
  });
});

describe('what h2load says', () => {
  const good = 'requests: 3 total, 3 started, 3 done, 3 succeeded, 0 failed, 0 errored, 0 timeout\n';
  const codes = 'status codes: 3 2xx, 0 3xx, 0 4xx, 0 5xx\n';

  it('is believed only when everything was answered with 200', () => {
    expect(() => assertAllGood('a', good + codes)).not.toThrow();
    expect(() => assertAllGood('a', good + codes.replace('0 5xx', '1 5xx'))).toThrow('did not answer');
    expect(() => assertAllGood('a', good.replace('0 timeout', '2 timeout') + codes)).toThrow(
      'did not answer',
    );
    expect(() => assertAllGood('a', good.replace('3 succeeded', '0 succeeded') + codes)).toThrow();
    expect(() => assertAllGood('a', 'something else')).toThrow('no result');
    expect(() => parseLog('10\t200\t5\n20\t503\t5\n')).toThrow('status 503');
  });

  it('is put in the order of sending, and a late request is counted from its turn', () => {
    const lines = Array.from({ length: 100 }, (_, k) => `${1_000 * k}\t200\t100`);
    expect(latenciesOf(parseLog(lines.toReversed().join('\n')))).toMatchObject({
      p50Ms: 0.1,
      p99Ms: 0.1,
      scheduledP99Ms: 0.1,
    });
    // Those of 11 to 49 ms were sent all at once at 50 ms: each took 100 us, and the first has waited 39 ms.
    const late = lines.map((line, k) => (k > 10 && k < 50 ? `50000\t200\t100` : line));
    const { p99Ms, scheduledP99Ms } = latenciesOf(parseLog(late.join('\n')));
    expect(p99Ms).toBe(0.1);
    expect(scheduledP99Ms).toBeCloseTo(38.1, 6);
  });
});

describe('what wrk says', () => {
  it('is refused when its script printed nothing or nothing was sent', () => {
    expect(parseResult('x\nRESULT 10 2000000 1 3 4\n')).toEqual({
      requests: 10,
      durationS: 2,
      errors: 1,
      p50Us: 3,
      p99Us: 4,
    });
    expect(() => parseResult('10 requests in 2s')).toThrow('no result');
    expect(() => parseResult('RESULT 0 2000000 0 0 0')).toThrow('sent nothing');
  });
});

describe('a measurement', () => {
  it('takes quantiles by nearest rank', () => {
    expect(quantileOf([1, 2, 3, 4], 0.5)).toBe(2);
    expect(quantileOf([1, 2, 3, 4], 0.99)).toBe(4);
    expect(quantileOf([7], 0)).toBe(7);
    expect(medianOf([9, 1, 5])).toBe(5);
    expect(quantileOf([], 0.5)).toBeNaN();
  });

  it('reads this process from the kernel, its threads and children included', () => {
    const before = cpuSecondsOf(process.pid);
    const untilMs = performance.now() + 100;
    while (performance.now() < untilMs);
    expect(cpuSecondsOf(process.pid) - before).toBeGreaterThan(0.02);
    expect(rssMbOf(process.pid)).toBeGreaterThan(10);
  });

  it('revokes ids that are 22 characters long and never the same twice', () => {
    const ids = Array.from({ length: 10_000 }, (_, i) => revokedId(i));
    expect(new Set(ids.map((id) => id.length))).toEqual(new Set([22]));
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('the verdict of a soak', () => {
  /** Twelve steps in which a revocation leaves what `bytesEach` says and an evaluation `perEvaluation` bytes. */
  const samplesOf = (bytesEach: (step: number) => number, perEvaluation = 0): Sample[] => {
    const samples: Sample[] = [];
    let heap = 30_000_000;
    const note = (after: Sample['after'], evaluations: number, revocations: number): void =>
      void samples.push({ after, evaluations, revocations, sessions: 0, heap, buffers: 0, rss: 0 });
    note('start', 0, 0);
    for (let step = 1; step <= 12; step++) {
      // What is in flight is given back while the memory settles, and counts for nobody.
      heap += 1_000 * bytesEach(step) + 500_000;
      note('revocations', 10_000 * (step - 1), 1_000 * step);
      heap += 5_000 * perEvaluation - 500_000;
      note('settled', 10_000 * (step - 0.5), 1_000 * step);
      heap += 5_000 * perEvaluation;
      note('evaluations', 10_000 * step, 1_000 * step);
    }
    return samples;
  };

  it('is flat when evaluations leave nothing and each revocation what the one before it left', () => {
    const { isFlat, says } = judge(samplesOf(() => 2_000, 1));
    expect(isFlat).toBe(true);
    expect(says[0]).toContain('leaves 1.00 bytes');
    expect(says[1]).toContain('2010 bytes in the first third, 2010 in the last');
  });

  it('is not flat when evaluations leave something, or revocations ever more, or too much', () => {
    expect(judge(samplesOf(() => 2_000, 3))).toMatchObject({
      isFlat: false,
      says: [expect.stringContaining('NOT FLAT'), expect.any(String)],
    });
    expect(judge(samplesOf((step) => 500 * step)).says[1]).toContain('NOT BOUNDED');
    expect(judge(samplesOf(() => 5_000)).isFlat).toBe(false);
  });
});
