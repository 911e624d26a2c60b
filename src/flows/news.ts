/** How flows wait: for news, and for no longer than somebody's patience. Nothing here knows what is waited for. */
import type { Timer } from '../kernel/clock.ts';

/** "Something changed, look again": what a waiting flow sleeps on. Carries no facts, so a missed one is harmless. */
export class News {
  #next = Promise.withResolvers<void>();

  /** Wakes everyone who waits. */
  notify(): void {
    const waiting = this.#next;
    this.#next = Promise.withResolvers();
    waiting.resolve();
  }

  /** Resolves at the next notify. Take it before looking, then look, then wait: no change is missed. */
  next(): Promise<void> {
    return this.#next.promise;
  }
}

/**
 * Waits for the first of what `begin` starts, which is handed the signal that ends the rest of it: then, or when `outer`
 * aborts. Not AbortSignal.any, nor an abort without a reason: what they make for nobody costs as much as a signature.
 */
export async function firstOf<T>(
  outer: AbortSignal,
  begin: (over: AbortSignal) => readonly Promise<T>[],
): Promise<T> {
  const over = new AbortController();
  const end = (): void => over.abort('over');
  outer.addEventListener('abort', end);
  if (outer.aborted) end();
  try {
    return await Promise.race(begin(over.signal));
  } finally {
    outer.removeEventListener('abort', end);
    end();
  }
}

export interface Patience {
  readonly news: News;
  readonly timer: Timer;
  readonly waitMs: number;
  /** Aborted when the process closes: then waiting is over. */
  readonly closing: AbortSignal;
}

/**
 * Waits until `isReached`, which is asked now and after every piece of news. True once it said so; false when
 * `waitMs` is over or the process closes. Leaves no timer behind.
 */
export async function waitUntil(
  isReached: () => boolean,
  { news, timer, waitMs, closing }: Patience,
): Promise<boolean> {
  let isOver = false;
  const waiting = async (over: AbortSignal): Promise<boolean> => {
    const patience = timer.sleep(waitMs, over).then(() => (isOver = true));
    for (;;) {
      const next = news.next();
      if (isReached()) return true;
      if (isOver) return false;
      await Promise.race([next, patience]);
    }
  };
  return firstOf(closing, (over) => [waiting(over)]);
}
