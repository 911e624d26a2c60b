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
  const patience = new AbortController();
  const over = timer.sleep(waitMs, AbortSignal.any([patience.signal, closing]));
  let isOver = false;
  void over.then(() => (isOver = true));
  for (;;) {
    const next = news.next();
    const reached = isReached();
    if (reached || isOver) {
      patience.abort();
      return reached;
    }
    await Promise.race([next, over]);
  }
}
