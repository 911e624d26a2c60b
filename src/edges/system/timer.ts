/** Real waiting. Pure code and flows get it as an argument. */
import type { Timer } from '../../kernel/clock.ts';

/**
 * Whose turn it is. However many have long work, each turn of the loop has one piece of it, and the urgent ones: were
 * all of them woken at once, a request that arrives would wait for a piece of each.
 */
export class Turns {
  readonly #urgent: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];
  #isSet = false;

  next(isUrgent: boolean): Promise<void> {
    const turn = Promise.withResolvers<void>();
    (isUrgent ? this.#urgent : this.#waiting).push(turn.resolve);
    this.#set();
    return turn.promise;
  }

  #set(): void {
    if (this.#isSet) return;
    this.#isSet = true;
    setImmediate(() => this.#wake());
  }

  #wake(): void {
    this.#isSet = false;
    const woken = [...this.#urgent.splice(0), ...this.#waiting.splice(0, 1)];
    if (this.#waiting.length > 0) this.#set();
    for (const wake of woken) wake();
  }
}

const turns = new Turns();

export const systemTimer: Timer = {
  // An abort ends the wait early, and is no error: one that is made for nobody costs as much as a small answer.
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, signal.aborted ? 0 : ms);
      signal.addEventListener('abort', end);
    }),
  yield: (isUrgent = false) => turns.next(isUrgent),
};
