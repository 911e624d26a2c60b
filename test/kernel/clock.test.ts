import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ageMs, epochS, instantOf, parseInstant, renderInstant } from '../../src/kernel/clock.ts';

describe('ageMs', () => {
  it('is the larger of what the two clocks say: a suspend or a step shows on one of them only', () => {
    const from = { monoMs: 100, wallMs: 1_000_000 };
    expect(ageMs(from, { monoMs: 350, wallMs: 1_000_250 })).toBe(250);
    expect(ageMs(from, { monoMs: 101, wallMs: 1_060_000 })).toBe(60_000);
    expect(ageMs(from, { monoMs: 5_100, wallMs: 1_000_000 })).toBe(5_000);
  });
});

describe('instantOf', () => {
  const earlier = { monoMs: 100, wallMs: 1_000_000, uncountedMs: 7 };

  it('is when a reading was made, by both clocks', () => {
    const reading = { monoMs: 150, wallMs: 1_000_050 };
    expect(instantOf(reading, earlier)).toEqual({ ...reading, uncountedMs: 7 });
  });

  it('is never before what it came after, whatever a clock that was set back says', () => {
    expect(instantOf({ monoMs: 99, wallMs: 400_000 }, earlier)).toEqual(earlier);
  });

  it('is early rather than late: what a suspend before it was counts as after it', () => {
    const now = { monoMs: 150, wallMs: 1_060_050, uncountedMs: 60_007 };
    expect(ageMs(instantOf({ monoMs: 150, wallMs: 1_060_050 }, earlier), now)).toBe(60_000);
  });
});

describe('epochS', () => {
  it('rounds down to whole seconds, as iat and exp count them', () => {
    expect(epochS({ monoMs: 0, wallMs: 1_999 })).toBe(1);
    expect(epochS({ monoMs: 0, wallMs: 2_000 })).toBe(2);
  });
});

describe('instants', () => {
  it('come back as they were written, to the millisecond', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799_999 }), (wallMs) => {
        expect(parseInstant(renderInstant(wallMs))).toBe(wallMs);
      }),
    );
    expect(renderInstant(0)).toBe('1970-01-01T00:00:00.000Z');
  });

  it.each([
    ['2026-02-28T12:00:00Z', '2026-02-28T12:00:00.000Z'],
    ['2024-02-29t12:00:00.5z', '2024-02-29T12:00:00.500Z'],
    ['2026-01-01T00:30:00+01:00', '2025-12-31T23:30:00.000Z'],
    ['2026-01-01T00:00:00-00:00', '2026-01-01T00:00:00.000Z'],
    ['2026-01-01T00:00:00.123999999Z', '2026-01-01T00:00:00.123Z'],
  ])('takes %s', (text, rendered) => {
    expect(renderInstant(parseInstant(text) ?? 0)).toBe(rendered);
  });

  it.each([
    '',
    'now',
    '2026-01-01',
    '2026-01-01T00:00:00',
    '2026-01-01 00:00:00Z',
    '2026-1-01T00:00:00Z',
    '+002026-01-01T00:00:00Z',
    '2026-01-01T00:00:00.1234567890Z',
    '2026-01-01T00:00:00+0100',
    '2026-01-01T00:00:00+24:00',
    ' 2026-01-01T00:00:00Z',
    '2026-01-01T00:00:00Z\n',
  ])('refuses %j: it is not spelled as RFC 3339 wants', (text) => {
    expect(parseInstant(text)).toBeUndefined();
  });

  it.each([
    '2026-02-29T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T25:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T23:59:60Z',
  ])('refuses %s: there is no such moment', (text) => {
    expect(parseInstant(text)).toBeUndefined();
  });
});
