import { describe, expect, it } from 'vitest';
import { isDeadUnder } from '../../src/revocation/cutoff.ts';

describe('a credential under a cutoff', () => {
  it('of the same second is dead, of the next one alive', () => {
    expect(isDeadUnder(100, 99)).toBe(true);
    expect(isDeadUnder(100, 100)).toBe(true);
    expect(isDeadUnder(100, 101)).toBe(false);
  });

  it('that was issued within the cutoff’s second is dead', () => {
    expect(isDeadUnder(100, 100.999)).toBe(true);
  });

  it('that does not say when it was issued is dead, or says nonsense', () => {
    expect(isDeadUnder(0, undefined)).toBe(true);
    expect(isDeadUnder(0, Number.NaN)).toBe(true);
  });

  it('is dead whatever it says where there is no cutoff', () => {
    expect(isDeadUnder(undefined, Number.MAX_SAFE_INTEGER)).toBe(true);
    expect(isDeadUnder(undefined, undefined)).toBe(true);
  });
});
