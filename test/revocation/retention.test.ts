import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SELECTOR_KINDS } from '../../src/feed/entry.ts';
import type { RetentionFacts } from '../../src/revocation/retention.ts';
import { endOfHandleS, isCutoffKind, untilSOf } from '../../src/revocation/retention.ts';
import { NEVER_S } from '../../src/revocation/table.ts';

const FACTS: RetentionFacts = {
  nowS: 1_000_000,
  credentialLifeMaxS: 86_400,
  clockSkewS: 5,
  leaseS: 3,
};

describe('a revocation of one token', () => {
  it('stays until the token is past its end, the skew and a lease', () => {
    expect(untilSOf('token', { ...FACTS, expiresAtS: 1_000_600 })).toBe(1_000_608);
  });

  it('stays for the longest life when the end is not known, counted from a clock that may be ahead', () => {
    expect(untilSOf('token', FACTS)).toBe(1_086_413);
    expect(untilSOf('jti', FACTS)).toBe(1_086_413);
  });

  it('is never shorter than a moment from now, whatever end the token claims', () => {
    for (const expiresAtS of [0, -5, 999_999])
      expect(untilSOf('token', { ...FACTS, expiresAtS })).toBe(1_000_008);
  });

  it('is never let go when the claimed end is beyond what can be counted', () => {
    expect(untilSOf('token', { ...FACTS, expiresAtS: 1e15 })).toBeUndefined();
    expect(untilSOf('token', { ...FACTS, expiresAtS: NEVER_S - 8 })).toBeUndefined();
    expect(untilSOf('token', { ...FACTS, expiresAtS: NEVER_S - 9 })).toBe(NEVER_S - 1);
  });

  it('counts in whole seconds, rounded up', () => {
    expect(untilSOf('token', { ...FACTS, expiresAtS: 1_000_600, leaseS: 0.5 })).toBe(1_000_606);
  });
});

describe('a revocation with a cutoff', () => {
  it.each(['subject', 'client', 'actor', 'issuer', 'claim'] as const)(
    'of a %s stays until the youngest credential it kills is past its end',
    (kind) => {
      expect(untilSOf(kind, { ...FACTS, cutoffS: 1_000_004 })).toBe(1_000_004 + 86_400 + 8);
    },
  );

  it('whose cutoff is long ago, or is now, stays for the longest life from now', () => {
    expect(untilSOf('subject', { ...FACTS, cutoffS: 7 })).toBe(1_000_000 + 86_400 + 8);
    expect(untilSOf('subject', FACTS)).toBe(1_000_000 + 86_400 + 8);
  });
});

describe('a revocation that never ends', () => {
  it.each(['session', 'key', 'jkt', 'certificate', 'apikey'] as const)(
    'is one of a %s: it goes on producing credentials',
    (kind) => expect(untilSOf(kind, { ...FACTS, expiresAtS: 1_000_600 })).toBeUndefined(),
  );

  it.each(['spiffe', 'all'] as const)(
    'is one of %s: an asserted subject under it has no end of its own',
    (kind) => expect(untilSOf(kind, { ...FACTS, cutoffS: 1_000_000 })).toBeUndefined(),
  );

  it('is the bare half of a subject, though the rest of the target ends', () => {
    expect(endOfHandleS('sub-bare', 1_000_000)).toBe(NEVER_S);
    expect(endOfHandleS('spiffe', 1_000_000)).toBe(NEVER_S);
    expect(endOfHandleS('all', 1_000_000)).toBe(NEVER_S);
    expect(endOfHandleS('sub', 1_000_000)).toBe(1_000_000);
    expect(endOfHandleS('sub-any', undefined)).toBe(NEVER_S);
  });
});

describe('retention', () => {
  it('is at least a skew and a lease from now for every kind and any facts', () => {
    const time = fc.integer({ min: -5, max: 0xffff_ffff });
    fc.assert(
      fc.property(
        fc.constantFrom(...SELECTOR_KINDS),
        fc.option(time),
        fc.option(time),
        time,
        (kind, exp, cut, now) => {
          const nowS = Math.abs(now);
          const facts = { ...FACTS, nowS, expiresAtS: exp ?? undefined, cutoffS: cut ?? undefined };
          const untilS = untilSOf(kind, facts);
          if (untilS === undefined) return;
          expect(untilS).toBeGreaterThanOrEqual(nowS + FACTS.clockSkewS + FACTS.leaseS);
          expect(untilS).toBeLessThan(NEVER_S);
          expect(Number.isInteger(untilS)).toBe(true);
        },
      ),
    );
  });

  it('knows which kinds take a cutoff', () => {
    expect(SELECTOR_KINDS.filter(isCutoffKind)).toEqual([
      'subject',
      'client',
      'actor',
      'issuer',
      'spiffe',
      'claim',
      'all',
    ]);
  });
});
