/**
 * Goes round a collection a slice at a time, for ever: how a fold lets go of what is over without stalling anyone.
 * What is added or removed meanwhile is met in this round or the next, as the collection's own iterator has it.
 */
export class Rounds<Item> {
  readonly #begin: () => Iterator<Item>;
  #at: Iterator<Item>;

  /** `begin`: a new iterator over the collection as it then is. */
  constructor(begin: () => Iterator<Item>) {
    this.#begin = begin;
    this.#at = begin();
  }

  /** Visits up to `count` items, fewer where a round ends: the next slice begins another one. */
  slice(count: number, visit: (item: Item) => void): void {
    for (let i = 0; i < count; i++) {
      const step = this.#at.next();
      if (step.done === true) {
        this.#at = this.#begin();
        return;
      }
      visit(step.value);
    }
  }
}
