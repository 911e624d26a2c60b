/**
 * Requests that are here whole in one turn of the loop are decided together and answered together at its end. A caller
 * that sleeps is woken by what is written to it, which costs the writer more than a decision: written back to back, it
 * is woken once (ARCHITECTURE D-033). router.ts makes one for each listener.
 */
import { turns } from '../kernel/turns.ts';

export interface Asked<T> {
  /** Undefined: it is answered in some other way, or later. Never throws. */
  readonly decide: () => T | undefined;
  /** It may take long: whoever was decided before it is answered before it, and it alone after that. */
  readonly isLong?: boolean;
  /** Never throws. */
  readonly answer: (given: T) => void;
}

/** Decided before the first of them is answered, at most. */
const TOGETHER = 16;
/** And no longer than this and one decision more: an answer that waits grows old, and its lease with it. */
const TOGETHER_MS = 1;

/** All of them, and one decision more: then a renewal of the lease comes first. */
const TURN_MS = 1;

export class Turn<T> {
  #asked: Asked<T>[] = [];

  add(asked: Asked<T>): void {
    if (this.#asked.push(asked) === 1) turns.answer(() => this.#end());
  }

  /** Nothing else runs between a decision and its answer: no revocation is applied, acknowledged or called enforced. */
  #end(): void {
    const asked = this.#asked;
    this.#asked = [];
    const endMs = performance.now() + TURN_MS;
    for (let from = 0; from < asked.length;) {
      if (performance.now() >= endMs) {
        this.#asked = [...asked.slice(from), ...this.#asked];
        turns.answer(() => this.#end());
        return;
      }
      const given: (T | undefined)[] = [];
      const untilMs = performance.now() + TOGETHER_MS;
      for (const { decide, isLong } of asked.slice(from, from + TOGETHER)) {
        if (isLong && given.length > 0) break;
        given.push(decide());
        if (isLong || performance.now() >= untilMs) break;
      }
      for (const one of given) {
        const { answer } = asked[from++] as Asked<T>;
        if (one !== undefined) answer(one);
      }
    }
  }
}
