import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { HandleSet } from '../../src/credential/handle.ts';
import { Fingerprinter } from '../../src/credential/handle.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import { LastAccepts } from '../../src/revocation/last-accepts.ts';

/** A credential whose handles have these fingerprints. */
function handles(...prints: readonly (readonly [number, number])[]): HandleSet {
  return { handles: [], prints: Uint32Array.from(prints.flat()), cutoffFrom: 0 };
}

let accepts: LastAccepts;
beforeEach(() => {
  // One set of eight: everything competes for it.
  accepts = new LastAccepts(8);
});

describe('what was accepted', () => {
  it('is remembered for each handle: how often, and when last', () => {
    accepts.record(handles([1, 1], [2, 2]), 0, 1_000);
    accepts.record(handles([2, 2]), 0, 2_000);
    expect(accepts.seen(1, 1)).toEqual({ count: 1, lastMs: 1_000 });
    expect(accepts.seen(2, 2)).toEqual({ count: 2, lastMs: 2_000 });
    expect(accepts.seen(3, 3)).toBeUndefined();
    expect(accepts.seen(1, 2)).toBeUndefined();
  });

  it('is told apart from nothing when the fingerprint is all zeros', () => {
    expect(accepts.seen(0, 0)).toBeUndefined();
    accepts.record(handles([0, 0]), 0, 1_000);
    expect(accepts.seen(0, 0)).toEqual({ count: 1, lastMs: 1_000 });
  });

  it('longest ago gives way first when a set is full', () => {
    for (let i = 1; i <= 8; i++) accepts.record(handles([i, i]), 0, i);
    accepts.record(handles([1, 1]), 0, 9);
    accepts.record(handles([9, 9]), 0, 10);
    expect(accepts.seen(2, 2)).toBeUndefined();
    expect(accepts.seen(1, 1)).toEqual({ count: 2, lastMs: 9 });
    expect(accepts.seen(9, 9)).toEqual({ count: 1, lastMs: 10 });
  });

  it('of real credentials fits by the thousands in the size it has', () => {
    const fingerprinter = new Fingerprinter(new Uint8Array(32).fill(7));
    const whole = new LastAccepts();
    const sets = Array.from({ length: LIMITS.lastAcceptsMax / 16 }, (_, i) =>
      fingerprinter.print([
        { kind: 'jti', parts: ['i', `${i}`] },
        { kind: 'all', parts: [] },
      ]),
    );
    sets.forEach((set, i) => whole.record(set, 0, i));
    const remembered = sets.filter(({ prints: [hi = 0, lo = 0] }) => whole.seen(hi, lo) !== undefined);
    expect(remembered.length).toBeGreaterThan(0.99 * sets.length);
    const { prints } = fingerprinter.print([{ kind: 'all', parts: [] }]);
    expect(whole.seen(prints[0]!, prints[1]!)?.count).toBe(sets.length);
  });
});

describe('a watch', () => {
  it('says what was seen before it, and nothing is late yet', () => {
    accepts.record(handles([1, 1]), 0, 1_000);
    expect(accepts.watch(1, 1, undefined)).toEqual({ count: 1, lastMs: 1_000 });
    expect(accepts.watch(2, 2, undefined)).toBeUndefined();
    expect(accepts.late(1, 1)).toEqual({ count: 0, lastMs: 0 });
    expect(accepts.late(3, 3)).toEqual({ count: 0, lastMs: 0 });
    expect(accepts.lateTotal).toBe(0);
  });

  it('counts every accept of a handle without a cutoff', () => {
    accepts.watch(1, 1, undefined);
    accepts.record(handles([1, 1]), 0xffff_ffff, 1_000);
    accepts.record(handles([1, 1]), Number.MAX_SAFE_INTEGER, 2_000);
    accepts.record(handles([2, 2]), 0, 3_000);
    expect(accepts.late(1, 1)).toEqual({ count: 2, lastMs: 2_000 });
    expect(accepts.seen(1, 1)).toEqual({ count: 2, lastMs: 2_000 });
    expect(accepts.lateTotal).toBe(2);
  });

  it('with a cutoff counts what it kills: the same second, and what does not say its age', () => {
    accepts.watch(1, 1, 100);
    accepts.record(handles([1, 1]), 101, 1_000);
    expect(accepts.late(1, 1)).toEqual({ count: 0, lastMs: 0 });
    accepts.record(handles([1, 1]), 100, 2_000);
    accepts.record(handles([1, 1]), undefined, 3_000);
    expect(accepts.late(1, 1)).toEqual({ count: 2, lastMs: 3_000 });
    expect(accepts.seen(1, 1)?.count).toBe(3);
  });

  it('only ever gets stricter', () => {
    accepts.watch(1, 1, 100);
    accepts.watch(1, 1, 50);
    accepts.record(handles([1, 1]), 80, 1_000);
    expect(accepts.late(1, 1).count).toBe(1);
    accepts.watch(1, 1, 200);
    accepts.record(handles([1, 1]), 150, 2_000);
    expect(accepts.late(1, 1).count).toBe(2);
    expect(accepts.watch(1, 1, undefined)).toEqual({ count: 2, lastMs: 2_000 });
    accepts.watch(1, 1, 10);
    accepts.record(handles([1, 1]), 1e12, 3_000);
    expect(accepts.late(1, 1)).toEqual({ count: 3, lastMs: 3_000 });
  });

  it('is not evicted by accepts, however many', () => {
    for (let i = 1; i <= 6; i++) accepts.watch(i, i, undefined);
    for (let i = 10; i < 1_000; i++) accepts.record(handles([i, i]), 0, i);
    for (let i = 1; i <= 6; i++) accepts.record(handles([i, i]), 0, 2_000);
    for (let i = 1; i <= 6; i++) expect(accepts.late(i, i)).toEqual({ count: 1, lastMs: 2_000 });
  });

  it('of long ago gives way to a new one, and never all the room of what is seen', () => {
    for (let i = 1; i <= 7; i++) accepts.watch(i, i, undefined);
    accepts.record(handles([1, 1], [2, 2], [7, 7], [8, 8]), 0, 1_000);
    expect(accepts.late(1, 1).count).toBe(0);
    expect(accepts.late(2, 2).count).toBe(1);
    expect(accepts.late(7, 7).count).toBe(1);
    expect(accepts.seen(1, 1)).toEqual({ count: 1, lastMs: 1_000 });
    expect(accepts.seen(8, 8)).toEqual({ count: 1, lastMs: 1_000 });
  });
});

describe('with room for everything', () => {
  it('says what a Map says', () => {
    const print = fc.constantFrom<[number, number]>(
      [0, 0],
      [0, 1],
      [1, 0],
      [5, 8],
      [0xffff_ffff, 0xffff_ffff],
    );
    const iat = fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined });
    const step = fc.record({ print, iat, isWatch: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = new LastAccepts(64);
        const model = new Map<string, { count: number; lastMs: number; late: number; cutoffS: number }>();
        steps.forEach(({ print: [hi, lo], iat: issuedAtS, isWatch }, i) => {
          const held = model.get(`${hi},${lo}`) ?? { count: 0, lastMs: 0, late: 0, cutoffS: -1 };
          model.set(`${hi},${lo}`, held);
          if (isWatch) {
            const { count, lastMs } = held;
            expect(table.watch(hi, lo, issuedAtS)).toEqual(count > 0 ? { count, lastMs } : undefined);
            held.cutoffS = Math.max(held.cutoffS, issuedAtS ?? Number.POSITIVE_INFINITY);
          } else {
            table.record(handles([hi, lo]), issuedAtS, i + 1);
            held.count++;
            held.lastMs = i + 1;
            if (held.cutoffS >= 0 && (issuedAtS ?? 0) <= held.cutoffS) held.late++;
          }
        });
        for (const [key, { count, late }] of model) {
          const [hi = 0, lo = 0] = key.split(',').map(Number);
          expect(table.seen(hi, lo)?.count ?? 0).toBe(count);
          expect(table.late(hi, lo).count).toBe(late);
        }
        expect(table.lateTotal).toBe([...model.values()].reduce((sum, { late }) => sum + late, 0));
      }),
    );
  });
});
