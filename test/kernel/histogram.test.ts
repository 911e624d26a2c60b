/** Buckets as Prometheus means them: an upper bound is inside, and what no clock can have measured counts as nothing. */
import { describe, expect, it } from 'vitest';
import { FAST_BOUNDS_S, FEED_BOUNDS_S, Histogram, REQUEST_BOUNDS_S } from '../../src/kernel/histogram.ts';

describe('a histogram', () => {
  it('puts a value into the first bucket whose bound it does not exceed', () => {
    const histogram = new Histogram([1, 2, 5]);
    for (const seconds of [0.5, 1, 1.001, 2, 4, 5, 5.1, 100]) histogram.record(seconds);
    expect(histogram.counts).toEqual([2, 2, 2, 2]);
    expect(histogram.count).toBe(8);
    expect(histogram.sumS).toBeCloseTo(118.601, 6);
  });

  it('counts a clock that went back, and no number, as nothing', () => {
    const histogram = new Histogram([1]);
    for (const seconds of [-3, Number.NaN]) histogram.record(seconds);
    expect(histogram.counts).toEqual([2, 0]);
    expect(histogram.sumS).toBe(0);
  });

  it('has bounds that ascend', () => {
    for (const bounds of [FAST_BOUNDS_S, REQUEST_BOUNDS_S, FEED_BOUNDS_S])
      expect(bounds).toEqual([...new Set(bounds)].toSorted((left, right) => left - right));
  });
});
