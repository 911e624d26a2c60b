/** The tests that should notice pass by themselves in this same run: what fails here fails because something was taken out. */
import { describe, expect, it } from 'vitest';
import { REMOVALS } from './removals.ts';
import { runRemovals } from './runner.ts';

describe('every check of a credential', () => {
  it('is noticed by its test when it is taken out', { timeout: 900_000 }, async () => {
    const results = await runRemovals(REMOVALS, { lanes: 2 });
    const missed = results.filter(({ outcome }) => outcome !== 'caught');
    expect(missed.map(({ removal, detail }) => `${removal.name}: ${detail}`)).toEqual([]);
    expect(results).toHaveLength(REMOVALS.length);
  });

  it(
    'would be missed if nothing tested it: the runner tells a catch from a miss',
    { timeout: 120_000 },
    async () => {
      const [some] = REMOVALS;
      const other = REMOVALS.find(({ file }) => file !== some?.file);
      if (some === undefined || other === undefined) throw new Error('there are no removals');
      // Of what was taken out before it, nothing is left.
      const elsewhere = { ...other, replace: other.find, test: some.test };
      const harmless = { ...some, find: some.find, replace: some.find };
      const absent = { ...some, find: 'no such text' };
      const broken = { ...some, replace: 'this is no program' };
      const unnamed = { ...some, test: { ...some.test, name: 'no such test' } };
      const results = await runRemovals([some, elsewhere, harmless, absent, broken, unnamed], { lanes: 1 });
      expect(results.map(({ outcome }) => outcome)).toEqual([
        'caught',
        'survived',
        'survived',
        'error',
        'error',
        'error',
      ]);
    },
  );

  it('counts a test that does not end as an error, and ends it', { timeout: 60_000 }, async () => {
    const [some] = REMOVALS;
    if (some === undefined) throw new Error('there are no removals');
    const endless = { ...some, replace: 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);' };
    const [result] = await runRemovals([endless], { lanes: 1, runMs: 10_000 });
    expect(result).toMatchObject({ outcome: 'error', detail: 'the test run did not end by itself' });
  });
});
