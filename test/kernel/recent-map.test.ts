import { describe, expect, it } from 'vitest';
import { RecentMap } from '../../src/kernel/recent-map.ts';

describe('a map of what was used recently', () => {
  it('never holds more than it may, and always the last half of what was put in', () => {
    const map = new RecentMap<number>(100);
    for (let i = 0; i < 1_000; i++) {
      map.set(`k${i}`, i);
      expect(map.size).toBeLessThanOrEqual(100);
    }
    for (let i = 950; i < 1_000; i++) expect(map.get(`k${i}`)).toBe(i);
    expect(map.get('k0')).toBeUndefined();
  });

  it('keeps what is used while others come and go', () => {
    const map = new RecentMap<number>(10);
    map.set('kept', -1);
    for (let i = 0; i < 1_000; i++) {
      map.set(`k${i}`, i);
      expect(map.get('kept')).toBe(-1);
      expect(map.size).toBeLessThanOrEqual(10);
    }
  });

  it('replaces and deletes', () => {
    const map = new RecentMap<number>(2);
    map.set('a', 1);
    map.set('a', 2);
    expect(map.size).toBe(1);
    map.set('b', 3);
    map.delete('a');
    map.delete('b');
    expect([map.get('a'), map.get('b'), map.size]).toEqual([undefined, undefined, 0]);
  });
});
