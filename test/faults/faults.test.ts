/** A slice of the simulation: `npm run faults` runs as long as one likes. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Planted } from './planted.ts';
import { PLANTED } from './planted.ts';
import { FOUND } from './seeds.ts';
import { simulate } from './simulate.ts';

const ROOT = join(import.meta.dirname, '..', '..');

/** Its exit code, and all it said. */
function faults(...options: string[]): Promise<{ readonly code: unknown; readonly said: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['test/faults/run.ts', ...options],
      { cwd: ROOT, maxBuffer: 1e9 },
      (error, stdout, stderr) => {
        resolve({ code: error?.code ?? 0, said: stdout + stderr });
      },
    );
  });
}

describe('a simulated fleet', () => {
  it(
    'never permits what is enforced, loses nothing and heals, whatever happens to it, for a minute that counts',
    { timeout: 400_000 },
    async () => {
      const { code, said } = await faults('--minutes', '1', '--seed', '1');
      expect(code, said).toBe(0);
    },
  );

  it('does the same again from the same seed, with signatures that are verified', async () => {
    const [once, twice] = [await simulate(7), await simulate(7)];
    expect(twice).toEqual(once);
    expect(once.log.length).toBeGreaterThan(10);
    expect(once.violations).toEqual([]);
  });

  it('does not count where too little has happened', async () => {
    const { code, said } = await faults('--minutes', '0.0001', '--seed', '1');
    expect([code, said]).toEqual([2, expect.stringContaining('NOT COUNTED: no effect was seen of')]);
  });

  it.each(FOUND)('does not do again what seed $seed showed: $what', async ({ seed, bug }) => {
    const { favours } = PLANTED.find(({ name }) => name === bug) as Planted;
    expect((await simulate(seed, favours.split(', '))).violations).toEqual([]);
  });
});
