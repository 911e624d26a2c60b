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
