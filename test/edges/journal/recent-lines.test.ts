import { describe, expect, it } from 'vitest';
import { RecentLines } from '../../../src/edges/journal/recent-lines.ts';
import type { FeedLine } from '../../../src/feed/entry.ts';
import { revocation } from '../../support/feed-entries.ts';

const line = (sequence: number): FeedLine => ({
  position: { epoch: 1, sequence },
  chain: String(sequence),
  sealed: revocation(`rev_${sequence}`),
});

describe('the newest lines', () => {
  it('are kept up to so many bytes, the newest ones', () => {
    const recent = new RecentLines(100);
    for (let number = 0; number < 5; number++) recent.push(number, line(number), 40);
    expect([0, 1, 2].map((number) => recent.at(number))).toEqual([undefined, undefined, undefined]);
    expect([3, 4].map((number) => recent.at(number)?.position.sequence)).toEqual([3, 4]);
  });

  it('are given from one on, as many as are asked for and there', () => {
    const recent = new RecentLines(1_000);
    for (let number = 0; number < 5; number++) recent.push(number, line(number), 40);
    expect(recent.from(3, 10)?.map(({ chain }) => chain)).toEqual(['3', '4']);
    expect(recent.from(1, 2)?.map(({ chain }) => chain)).toEqual(['1', '2']);
    expect(recent.from(5, 2)).toBeUndefined();
  });

  it('do not include one that is larger than all of them may be', () => {
    const recent = new RecentLines(10);
    recent.push(0, line(0), 40);
    expect(recent.at(0)).toBeUndefined();
  });
});
