import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { firstOf } from '../../src/flows/news.ts';

describe('the first of several', () => {
  const never = (): Promise<never> => new Promise(() => undefined);

  it('is what it resolves to, and ends the others', async () => {
    let ended: AbortSignal | undefined;
    const first = firstOf(new AbortController().signal, (over) => {
      ended = over;
      return [never(), Promise.resolve('second')];
    });
    expect(ended?.aborted).toBe(false);
    expect(await first).toBe('second');
    expect(ended?.aborted).toBe(true);
  });

  it('is ended from outside, also when that was before', async () => {
    const outer = new AbortController();
    const untilOver = (over: AbortSignal): readonly Promise<boolean>[] => [
      new Promise((resolve) => {
        if (over.aborted) resolve(true);
        over.addEventListener('abort', () => resolve(true));
      }),
    ];
    const waiting = firstOf(outer.signal, untilOver);
    outer.abort();
    expect(await waiting).toBe(true);
    expect(await firstOf(outer.signal, untilOver)).toBe(true);
  });

  it('rejects as it does, and leaves no listener', async () => {
    const outer = new AbortController();
    const failing = firstOf(outer.signal, () => [Promise.reject(new Error('broken')), never()]);
    await expect(failing).rejects.toThrow('broken');
    expect(getEventListeners(outer.signal, 'abort')).toEqual([]);
  });
});
