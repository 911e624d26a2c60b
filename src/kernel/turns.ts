/**
 * What one turn of the event loop does, and in which order: what has arrived is answered, then one piece of what is long goes
 * on. Each with a callback of its own, a request that arrives in a piece would wait for the next one as well.
 */
export class Turns {
  readonly #answers: (() => void)[] = [];
  readonly #urgent: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];
  #isSet = false;
  #wasUrgent = false;

  /** Calls `answer` in the next turn, before anything long goes on. It must not throw. */
  answer(answer: () => void): void {
    this.#answers.push(answer);
    this.#set();
  }

  /**
   * Resolves in a later turn. However many have long work, each turn has one piece of it, or those that are urgent: they
   * have every other one, and all while nobody else waits.
   */
  next(isUrgent: boolean): Promise<void> {
    const turn = Promise.withResolvers<void>();
    (isUrgent ? this.#urgent : this.#waiting).push(turn.resolve);
    this.#set();
    return turn.promise;
  }

  #set(): void {
    if (this.#isSet) return;
    this.#isSet = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isSet = false;
    for (const answer of this.#answers.splice(0)) answer();
    this.#wasUrgent = this.#urgent.length > 0 && !(this.#wasUrgent && this.#waiting.length > 0);
    const woken = this.#wasUrgent ? this.#urgent.splice(0) : this.#waiting.splice(0, 1);
    if (this.#urgent.length + this.#waiting.length > 0) this.#set();
    for (const wake of woken) wake();
  }
}

/** Of this thread. */
export const turns = new Turns();
