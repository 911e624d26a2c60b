import { describe, expect, it } from 'vitest';
import { isOrdered, refusalByFloor } from '../../src/decision/revision.ts';

describe('a revision', () => {
  it.each(['0', '7', '9223372036854775807', '2026-11-24T10:00:00Z', '2026-11-24T10:00:00.123+01:00'])(
    'has an order: %s',
    (revision) => expect(isOrdered(revision)).toBe(true),
  );

  it.each(['', '07', '-1', '1.5', '1e3', 'v1', 'main', '4f2a9c', '2026-11-24', '99999999999999999999'])(
    'has none: %j',
    (revision) => expect(isOrdered(revision)).toBe(false),
  );
});

describe('a floor', () => {
  it.each([
    ['10', undefined],
    ['10', '9'],
    ['10', '10'],
    ['9007199254740993', '9007199254740992'],
    ['2026-11-24T10:00:00Z', '2026-11-24T09:59:59Z'],
    ['2026-11-24T10:00:00Z', '2026-11-24T11:00:00+01:00'],
    [undefined, undefined],
    ['main', undefined],
  ])('lets %s run after %s', (revision, floor) => {
    expect(refusalByFloor(revision, floor)).toBeUndefined();
  });

  it.each([
    ['9', '10', 'the bundle is older than the one that ran last: revision "9" after 10'],
    ['9007199254740992', '9007199254740993', 'the bundle is older than'],
    ['2026-11-24T09:59:59Z', '2026-11-24T10:00:00Z', 'the bundle is older than'],
    ['2026-11-24T09:59:59Z', '10', 'the bundle cannot be compared with the one that ran last'],
    ['11', '2026-11-24T10:00:00Z', 'the bundle cannot be compared with'],
    ['ma\u001bin', '10', 'revision "ma\\u001bin" after 10'],
    [undefined, '10', 'the bundle has no revision, and the one that ran last had 10'],
  ])('refuses %s after %s', (revision, floor, sentence) => {
    expect(refusalByFloor(revision, floor)).toContain(sentence);
  });
});
