/** A slice of the simulation: `npm run faults` runs as long as one likes. */
import { describe, expect, it } from 'vitest';
import { FOUND } from './seeds.ts';
import { simulate } from './simulate.ts';
import { Tally } from './tally.ts';

/** Among these, each fault has an effect. */
const FIRST = 20;
const RUNS = 36;

describe('a simulated fleet', () => {
  it(
    'never permits what is enforced, loses nothing and heals, whatever happens to it',
    { timeout: 400_000 },
    async () => {
      const tally = new Tally();
      for (let seed = FIRST; seed < FIRST + RUNS; seed++) tally.add(await simulate(seed));
      expect(tally.failed.map(({ seed, violations }) => [seed, violations])).toEqual([]);
      expect(tally.vacuities, tally.render().join('\n')).toEqual([]);
    },
  );

  it('does the same again from the same seed', async () => {
    const [once, twice] = [await simulate(7), await simulate(7)];
    expect(twice).toEqual(once);
    expect(once.log.length).toBeGreaterThan(10);
  });

  it.each(FOUND)('does not do again what seed $seed showed: $what', async ({ seed }) => {
    expect((await simulate(seed)).violations).toEqual([]);
  });
});
