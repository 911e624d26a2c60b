import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TableLayout, TableRecord } from '../../src/revocation/table.ts';
import { FingerprintTable, NEVER_S, SHARDS } from '../../src/revocation/table.ts';

interface Merge {
  readonly hi: number;
  readonly lo: number;
  readonly record: TableRecord;
}

/** What the table must say, in the plainest way: the strictest record for each fingerprint. */
class Model {
  readonly records = new Map<string, TableRecord>();
  readonly #layout: TableLayout;

  constructor(layout: TableLayout) {
    this.#layout = layout;
  }

  merge({ hi, lo, record }: Merge): void {
    const came = { ...record, cutoffS: this.#layout === 'plain' ? NEVER_S : record.cutoffS };
    const held = this.records.get(`${hi},${lo}`) ?? came;
    const more = this.#layout === 'plain' ? came.untilS - held.untilS : came.cutoffS - held.cutoffS;
    this.records.set(`${hi},${lo}`, {
      untilS: Math.max(held.untilS, came.untilS),
      cutoffS: Math.max(held.cutoffS, came.cutoffS),
      ref: more > 0 ? came.ref : more < 0 ? held.ref : Math.min(came.ref, held.ref),
    });
  }

  sweep(nowS: number, shard: number): void {
    for (const [key, { untilS }] of this.records) {
      if (Number(key.split(',')[0]) >>> 22 === shard && untilS < nowS) this.records.delete(key);
    }
  }
}

/** References are in the order of their numbers. */
function tableOf(layout: TableLayout): FingerprintTable {
  return new FingerprintTable(layout, (ref, other) => ref < other);
}

function expectSame(table: FingerprintTable, model: Model): void {
  expect(table.size).toBe(model.records.size);
  for (const [key, record] of model.records) {
    const [hi = 0, lo = 0] = key.split(',').map(Number);
    expect(table.lookup(hi, lo)).toEqual(record);
  }
}

function record(ref: number, { untilS = NEVER_S, cutoffS = 0 }: Partial<TableRecord> = {}): TableRecord {
  return { untilS, ref, cutoffS };
}

/** A generator of 32-bit numbers that needs no seed from outside. */
function mix(i: number, salt: number): number {
  let z = (Math.imul(i, 0x9e3779b1) + salt) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

describe.each(['plain', 'cutoff'] as const)('a table of %s records', (layout) => {
  it('says what a Map says, whatever is merged and swept, and where slots collide', () => {
    // Few shards and few low words, those at both ends of the range among them: nearly every merge collides.
    const hi = fc.constantFrom(0, 1, 2, 3, 0x003f_ffff, 0x0040_0000, 0xffff_fffe, 0xffff_ffff);
    const lo = fc.oneof(
      fc.constantFrom(0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_fffe),
      fc.integer({ min: 0, max: 0xffff_fffe }),
    );
    const small = fc.integer({ min: 0, max: 6 });
    const merge = fc.record({
      hi,
      lo,
      record: fc.record({ untilS: fc.oneof(small, fc.constant(NEVER_S)), ref: small, cutoffS: small }),
    });
    const sweep = fc.record({ nowS: small, shard: fc.constantFrom(0, 1, SHARDS - 1) });
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 30, arbitrary: merge }, sweep), { maxLength: 400 }),
        (steps) => {
          const table = tableOf(layout);
          const model = new Model(layout);
          for (const step of steps) {
            if ('record' in step) {
              table.merge(step.hi, step.lo, step.record);
              model.merge(step);
            } else {
              table.sweep(step.nowS, step.shard, () => undefined);
              model.sweep(step.nowS, step.shard);
            }
          }
          expectSame(table, model);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('loses nothing while it grows through all its shards', () => {
    const table = tableOf(layout);
    const count = 200_000;
    for (let i = 0; i < count; i++) table.merge(mix(i, 1), mix(i, 2), record(i, { untilS: i, cutoffS: i }));
    expect(table.size).toBe(count);
    let wrong = 0;
    for (let i = 0; i < count; i++) if (table.lookup(mix(i, 1), mix(i, 2))?.ref !== i) wrong++;
    expect(wrong).toBe(0);
    let found = 0;
    for (let i = 0; i < count; i++) if (table.lookup(mix(i, 3), mix(i, 4)) !== undefined) found++;
    expect(found).toBe(0);
  });

  it('holds any number of fingerprints with one low word, at the very end of a shard too', () => {
    for (const lo of [0, 0x8000_0000, 0xffff_fffe]) {
      const table = tableOf(layout);
      for (let i = 0; i < 1_500; i++) table.merge(i, lo, record(i));
      for (let i = 0; i < 1_500; i++) expect(table.lookup(i, lo)?.ref).toBe(i);
      expect(table.lookup(1_500, lo)).toBeUndefined();
      expect(table.size).toBe(1_500);
    }
  });

  it('keeps what has not ended and lets go the rest, also where many share a low word', () => {
    const table = tableOf(layout);
    for (let i = 0; i < 1_500; i++) table.merge(i, 0xffff_fffe, record(i, { untilS: i % 3 === 0 ? 9 : 10 }));
    const kept: number[] = [];
    expect(table.sweep(10, 0, (ref) => kept.push(ref))).toBe(500);
    expect(table.size).toBe(1_000);
    expect(new Set(kept)).toEqual(
      new Set(Array.from({ length: 1_500 }, (_, i) => i).filter((i) => i % 3 !== 0)),
    );
    for (let i = 0; i < 1_500; i++) {
      expect(table.lookup(i, 0xffff_fffe)?.ref).toBe(i % 3 === 0 ? undefined : i);
    }
  });

  it('can be emptied and filled again in the same memory', () => {
    const table = tableOf(layout);
    const fill = (): void => {
      for (let i = 0; i < 2_000; i++) table.merge(i, mix(i, 2), record(i, { untilS: 5 }));
    };
    fill();
    const { bytes } = table;
    expect(table.sweep(6, 0, () => undefined)).toBe(2_000);
    expect(table.lookup(1, mix(1, 2))).toBeUndefined();
    fill();
    expect(table.lookup(1, mix(1, 2))?.ref).toBe(1);
    expect(table.bytes).toBe(bytes);
  });
});

describe('a fingerprint of nothing but zeros', () => {
  it('is like any other: not there before, there afterwards', () => {
    const table = tableOf('plain');
    expect(table.lookup(0, 0)).toBeUndefined();
    table.merge(0, 0, record(7, { untilS: 8 }));
    expect(table.lookup(0, 0)).toEqual({ untilS: 8, ref: 7, cutoffS: NEVER_S });
    expect(table.lookup(0, 1)).toBeUndefined();
    expect(table.lookup(1, 0)).toBeUndefined();
  });

  it('and one of nothing but ones is too, although free slots look like it', () => {
    const table = tableOf('plain');
    expect(table.lookup(0xffff_ffff, 0xffff_ffff)).toBeUndefined();
    table.merge(0xffff_ffff, 0xffff_ffff, record(7));
    expect(table.lookup(0xffff_ffff, 0xffff_ffff)?.ref).toBe(7);
  });
});

describe('the strictest wins', () => {
  it('a weaker cutoff that comes later does not shadow a stronger one, nor takes its name', () => {
    const table = tableOf('cutoff');
    table.merge(1, 1, record(0, { cutoffS: 200, untilS: 10 }));
    table.merge(1, 1, record(1, { cutoffS: 100, untilS: 20 }));
    expect(table.lookup(1, 1)).toEqual({ cutoffS: 200, ref: 0, untilS: 20 });
  });

  it.each([
    [3, 4],
    [4, 3],
  ])('of two that are equally strict the same one is named, whichever comes first', (...refs) => {
    const plain = tableOf('plain');
    const cutoff = tableOf('cutoff');
    for (const ref of refs) {
      plain.merge(1, 1, record(ref, { untilS: 5 }));
      cutoff.merge(1, 1, record(ref, { cutoffS: 5 }));
    }
    expect(plain.lookup(1, 1)?.ref).toBe(3);
    expect(cutoff.lookup(1, 1)?.ref).toBe(3);
  });

  it('of two without a cutoff the one that ends later', () => {
    const table = tableOf('plain');
    table.merge(1, 1, record(0, { untilS: 5 }));
    table.merge(1, 1, record(1, { untilS: NEVER_S }));
    table.merge(1, 1, record(2, { untilS: 6 }));
    expect(table.lookup(1, 1)).toMatchObject({ untilS: NEVER_S, ref: 1 });
  });
});

describe('a packed table', () => {
  it.each<TableLayout>(['plain', 'cutoff'])(
    'is the same whatever the order in which it was made: %s',
    (layout) => {
      // Few low words, so that many share one.
      const merges = fc.array(
        fc.record({
          hi: fc.nat(0xffff_ffff),
          lo: fc.constantFrom(1, 2, 0xffff_ffff),
          untilS: fc.nat(99),
          cutoffS: fc.nat(99),
        }),
        { maxLength: 60 },
      );
      const packed = (table: FingerprintTable): string[] =>
        Array.from({ length: SHARDS }, (_, shard) =>
          Buffer.from(table.pack(shard, (ref) => ref)).toString('hex'),
        );
      fc.assert(
        fc.property(merges, (all) => {
          const [one, other, loaded] = [0, 1, 2].map(() => tableOf(layout)) as [
            FingerprintTable,
            FingerprintTable,
            FingerprintTable,
          ];
          const merge =
            (table: FingerprintTable) =>
            ({ hi, lo, ...said }: (typeof all)[number]) =>
              // The reference follows the record, so that the order of equals does not show.
              table.merge(hi, lo, { ...said, ref: 7 });
          all.forEach(merge(one));
          all.toReversed().forEach(merge(other));
          expect(packed(other)).toEqual(packed(one));
          for (let shard = 0; shard < SHARDS; shard++)
            for (const _ of loaded.unpack(
              one.pack(shard, () => 3),
              (ref) => ref + 4,
            ));
          expect(packed(loaded)).toEqual(packed(one));
          expect(loaded.size).toBe(one.size);
        }),
        { numRuns: 50 },
      );
    },
  );
});

describe('memory', () => {
  it('is small while there is nothing', () => {
    expect(tableOf('plain').bytes + tableOf('cutoff').bytes).toBeLessThan(100_000);
  });

  it('that a shard leaves behind when it grows is used again', () => {
    const table = tableOf('plain');
    const before = table.bytes;
    for (let i = 0; i < 20_000; i++) table.merge(i, mix(i, 2), record(i));
    // The shard, the one it was copied from, and the directory; without reuse every size it ever had adds up to 16.
    expect(table.bytes - before).toBeLessThan(4 * 20_000 * 16);
  });

  it('is at most 20 bytes for each record without a cutoff', () => {
    const table = tableOf('plain');
    const count = 1_060_000;
    for (let i = 0; i < count; i++) table.merge(mix(i, 1), mix(i, 2), record(i));
    expect(table.bytes / count).toBeLessThan(20);
  });
});

describe('the version of a shard', () => {
  it('is even at rest, has moved after every change, and only in the shard that changed', () => {
    const table = tableOf('plain');
    const versions = (): number[] => [...table.versions].filter((version) => version !== 0);
    table.merge(0x0040_0000, 1, record(0, { untilS: 5 }));
    expect(versions()).toEqual([2]);
    table.merge(0x0040_0000, 1, record(0, { untilS: 6 }));
    expect(table.versions[1]).toBe(4);
    table.sweep(6, 1, () => undefined);
    expect(table.versions[1]).toBe(4);
    table.sweep(7, 1, () => undefined);
    expect(versions()).toEqual([6]);
    expect(table.versions.buffer).toBeInstanceOf(SharedArrayBuffer);
  });
});
