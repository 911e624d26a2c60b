import { describe, expect, it } from 'vitest';
import { Rounds } from '../../src/kernel/rounds.ts';

const slice = (rounds: Rounds<number>, count: number): number[] => {
  const visited: number[] = [];
  rounds.slice(count, (item) => visited.push(item));
  return visited;
};

describe('rounds over a collection', () => {
  it('go on where the last slice stopped, and begin again where one has ended', () => {
    const rounds = new Rounds(() => [1, 2, 3].values());
    expect(slice(rounds, 2)).toEqual([1, 2]);
    expect(slice(rounds, 2)).toEqual([3]);
    expect(slice(rounds, 3)).toEqual([1, 2, 3]);
    expect(slice(rounds, 3)).toEqual([]);
  });

  it('meet what was added meanwhile, and never what has left', () => {
    const kept = new Set([1, 2, 3]);
    const rounds = new Rounds(() => kept.values());
    expect(slice(rounds, 1)).toEqual([1]);
    kept.delete(2);
    kept.add(4);
    expect(slice(rounds, 3)).toEqual([3, 4]);
  });

  it('find nothing in what is empty', () => {
    expect(slice(new Rounds(() => new Set<number>().values()), 5)).toEqual([]);
  });
});
