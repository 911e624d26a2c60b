import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Buckets } from '../../src/session/buckets.ts';
import { Heap } from '../../src/session/heap.ts';
import { Timetable } from '../../src/session/timetable.ts';

const at = (monoMs: number, wallMs = 1_000_000 + monoMs) => ({ monoMs, wallMs });

describe('a heap', () => {
  it('always has the smallest first, whatever was added and taken away', () => {
    const step = fc.record({ key: fc.nat(20), takes: fc.option(fc.nat(30), { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const heap = new Heap<{ key: number }>(({ key }) => key);
        const there: { key: number }[] = [];
        for (const { key, takes } of steps) {
          const [taken] = takes === undefined ? [] : there.splice(takes, 1);
          if (taken !== undefined) {
            heap.delete(taken);
            // Once more changes nothing.
            heap.delete(taken);
          }
          const item = { key };
          there.push(item);
          heap.add(item);
          expect(heap.size).toBe(there.length);
          expect(heap.first?.key).toBe(Math.min(...there.map((one) => one.key)));
        }
        for (const item of there) heap.delete(item);
        expect(heap.first).toBeUndefined();
      }),
    );
  });
});

describe('buckets', () => {
  it('hold none, one or several under a key, each once', () => {
    const buckets = new Buckets<string, object>();
    const [a, b] = [{}, {}];
    expect([...buckets.of('k')]).toEqual([]);
    buckets.delete('k', a);
    buckets.add('k', a);
    buckets.add('k', a);
    buckets.delete('k', b);
    expect([...buckets.of('k')]).toEqual([a]);
    buckets.add('k', b);
    buckets.add('k', b);
    expect([...buckets.of('k')]).toHaveLength(2);
    buckets.delete('k', a);
    buckets.delete('k', a);
    expect([...buckets.of('k')][0]).toBe(b);
    buckets.delete('k', b);
    expect([...buckets.of('k')]).toEqual([]);
  });
});

describe('a timetable', () => {
  it('says who is due, and when the next one is', () => {
    const table = new Timetable<string>();
    expect(table.due(at(0))).toBeUndefined();
    expect(table.untilNextMs(at(0))).toBe(Infinity);
    table.set('late', 1_000_500, at(0));
    table.set('early', 1_000_100, at(0));
    table.set('never', Infinity, at(0));
    expect(table.size).toBe(2);
    expect(table.untilNextMs(at(40))).toBe(60);
    expect(table.due(at(99))).toBeUndefined();
    expect(table.due(at(100))).toBe('early');
    expect(table.leftMs('early', at(100))).toBe(0);
    expect(table.leftMs('never', at(100))).toBe(Infinity);
    expect(table.leftMs('nobody', at(100))).toBe(Infinity);
    table.delete('early');
    table.delete('early');
    expect(table.due(at(499))).toBeUndefined();
    expect(table.due(at(900))).toBe('late');
    expect(table.untilNextMs(at(900))).toBe(0);
  });

  it('makes nobody younger when the wall clock stands still, and finds all due after a suspend', () => {
    const table = new Timetable<string>();
    table.set('a', 1_000_100, at(0));
    expect(table.due(at(99, 1_000_000))).toBeUndefined();
    expect(table.due(at(100, 1_000_000))).toBe('a');
    expect(table.timeMs('a', at(100, 1_000_000))).toBe(1_000_100);
    // The monotonic clock stood still.
    expect(table.due(at(0, 1_000_100))).toBe('a');
    expect(table.timeMs('a', at(0, 1_000_100))).toBe(1_000_100);
    expect(table.timeMs('nobody', at(0, 5))).toBe(5);
  });

  it('goes on counting from where it began when an end is set anew', () => {
    const table = new Timetable<string>();
    table.set('a', 1_000_500, at(0));
    table.set('a', 1_000_100, at(90, 1_000_000));
    expect(table.due(at(100, 1_000_000))).toBe('a');
    table.delete('a');
    table.set('a', 1_000_100, at(90, 1_000_000));
    expect(table.due(at(100, 1_000_000))).toBeUndefined();
  });
});
