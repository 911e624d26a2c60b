import { describe, expect, it } from 'vitest';
import { Gate } from '../../src/flows/gate.ts';

describe('a gate', () => {
  it('lets so many through at a time, the others in the order of asking', async () => {
    const gate = new Gate(2);
    const ends = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    const entered: number[] = [];
    const through = ends.map((end, i) =>
      gate.through(() => {
        entered.push(i);
        return end.promise;
      }),
    );
    expect(entered).toEqual([0, 1]);
    ends[1]?.resolve();
    await through[1];
    await Promise.resolve();
    expect(entered).toEqual([0, 1, 2]);
    for (const end of ends) end.resolve();
    await Promise.all(through);
    expect(entered).toEqual([0, 1, 2, 3]);
  });

  it('has room again after what failed', async () => {
    const gate = new Gate(1);
    await expect(gate.through(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(await gate.through(() => Promise.resolve('in'))).toBe('in');
  });
});
