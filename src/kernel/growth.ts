/** Who waits for the feed to grow. A hint for the waiters, never safety: a missed one costs them a renewal's time. */
export class Growth {
  readonly #waiting = new Set<() => void>();

  /** Resolves at the next `tell`, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  tell(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
