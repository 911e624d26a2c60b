import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ORIGIN, byId, comparePositions, parsePosition, renderPosition } from '../../src/feed/position.ts';

const positions = fc.record({
  epoch: fc.integer({ min: 0, max: 999_999_999_999_999 }),
  sequence: fc.integer({ min: 0, max: 999_999_999_999_999 }),
});

describe('a position', () => {
  it('is written epoch-sequence and read back as the same place', () => {
    expect(renderPosition({ epoch: 812, sequence: 90213 })).toBe('812-90213');
    fc.assert(
      fc.property(positions, (position) => {
        expect(parsePosition(renderPosition(position))).toEqual(position);
      }),
    );
  });

  it.each([
    '',
    '812',
    '812-',
    '-1',
    '812-90213-1',
    '0812-1',
    '812-01',
    ' 812-1',
    '812-1\n',
    '8.1-1',
    '+8-1',
    '1e3-1',
    '1234567890123456-1',
    '1-1234567890123456',
  ])('is not %j', (text) => {
    expect(() => parsePosition(text)).toThrow(
      expect.objectContaining({ code: 'BAD_REQUEST', field: 'position' }),
    );
  });

  it('matters not to what is ordered by its ids', () => {
    const kept = new Map([
      ['c', 1],
      ['a', 2],
      ['b', 3],
    ]);
    expect(byId(kept).map(([id]) => id)).toEqual(['a', 'b', 'c']);
  });

  it('is ordered by epoch, then by sequence, and nothing comes before the origin', () => {
    fc.assert(
      fc.property(positions, positions, (left, right) => {
        const order = comparePositions(left, right);
        const isBefore =
          left.epoch < right.epoch || (left.epoch === right.epoch && left.sequence < right.sequence);
        expect(order < 0).toBe(isBefore);
        expect(order === 0).toBe(renderPosition(left) === renderPosition(right));
        expect(Math.sign(order) + Math.sign(comparePositions(right, left))).toBe(0);
        expect(comparePositions(ORIGIN, left)).toBeLessThanOrEqual(0);
      }),
    );
  });
});
