/** That what is asked in one turn is decided and answered in one, with nothing in between. */
import { describe, expect, it } from 'vitest';
import { Turn } from '../../src/http/turn.ts';
import { turns } from '../../src/kernel/turns.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a turn', () => {
  it('decides all that was asked in it, then answers each, and runs nothing of others in between', async () => {
    const steps: string[] = [];
    const turn = new Turn<string>();
    for (const name of ['a', 'b'])
      turn.add({
        decide: () => {
          steps.push(`decide ${name}`);
          process.nextTick(() => steps.push('another'));
          void Promise.resolve().then(() => steps.push('another'));
          return name;
        },
        answer: (given) => steps.push(`answer ${given}`),
      });
    expect(steps).toEqual([]);
    await nextTurn();
    expect(steps.slice(0, 4)).toEqual(['decide a', 'decide b', 'answer a', 'answer b']);
    expect(steps.filter((step) => step === 'another')).toHaveLength(4);
  });

  it('is answered before anything long goes on, though that has waited for longer', async () => {
    const steps: string[] = [];
    const long = turns.next('urgent').then(() => steps.push('long'));
    new Turn<string>().add({ decide: () => 'a', answer: (given) => void steps.push(given) });
    await long;
    expect(steps).toEqual(['a', 'long']);
  });

  it('leaves alone what is answered elsewhere, and takes what comes later, also during it', async () => {
    const answered: number[] = [];
    const turn = new Turn<number>();
    const add = (given: number | undefined): void =>
      turn.add({ decide: () => given, answer: (one) => void answered.push(one) });
    add(undefined);
    turn.add({
      decide: () => {
        add(2);
        return 1;
      },
      answer: (one) => void answered.push(one),
    });
    await nextTurn();
    expect(answered).toEqual([1]);
    await nextTurn();
    expect(answered).toEqual([1, 2]);
    add(3);
    await nextTurn();
    expect(answered).toEqual([1, 2, 3]);
  });

  it('lets no decision of very many grow old before it is answered', async () => {
    const turn = new Turn<number>();
    let decided = 0;
    const ages: number[] = [];
    for (let i = 0; i < 200; i++)
      turn.add({ decide: () => ++decided, answer: (given) => void ages.push(decided - given) });
    await nextTurn();
    expect(ages).toHaveLength(200);
    expect(Math.max(...ages)).toBeLessThan(64);
  });

  it('lets no decision wait for others that take long', async () => {
    const turn = new Turn<string>();
    const steps: string[] = [];
    for (const name of ['a', 'b'])
      turn.add({
        decide: () => {
          const untilMs = performance.now() + 3;
          while (performance.now() < untilMs);
          steps.push(`decide ${name}`);
          return name;
        },
        answer: (given) => void steps.push(`answer ${given}`),
      });
    await nextTurn();
    await nextTurn();
    expect(steps).toEqual(['decide a', 'answer a', 'decide b', 'answer b']);
  });
});
