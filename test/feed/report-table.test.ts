import { describe, expect, it } from 'vitest';
import { ReportTable } from '../../src/feed/report-table.ts';

const report = {
  incarnation: 'inc_a',
  closedEpochId: 'ep_1',
  runId: 'run_2',
  position: { epoch: 100, sequence: 2 },
  chain: 'c'.repeat(40),
};

describe('the report table', () => {
  it('keeps the latest report of each incarnation about each epoch', () => {
    const table = new ReportTable();
    const other = { ...report, incarnation: 'inc_b' };
    const earlier = { ...report, closedEpochId: 'ep_0' };
    const later = { ...report, position: { epoch: 100, sequence: 3 } };
    expect(table.keep(report, 'run_2')).toEqual([report]);
    expect(table.keep(other, 'run_2')).toEqual([report, other]);
    expect(table.keep(earlier, 'run_2')).toEqual([earlier]);
    expect(table.keep(later, 'run_2')).toEqual([other, later]);
  });

  it('does not count a report that was made in another run', () => {
    const table = new ReportTable();
    expect(table.keep(report, 'run_3')).toEqual([]);
    expect(table.keep({ ...report, runId: 'run_3' }, 'run_3')).toHaveLength(1);
  });

  it('is empty once it is cleared', () => {
    const table = new ReportTable();
    table.keep(report, 'run_2');
    table.clear();
    const other = { ...report, incarnation: 'inc_b' };
    expect(table.keep(other, 'run_2')).toEqual([other]);
  });
});
