/**
 * The policy that everybody holds: it passes every question to the engine that is current, and swapping is one
 * assignment, so a decision is made by the old one or by the new one and never by both. flows/reload.ts swaps.
 */
import type { JsonObject } from '../kernel/json.ts';
import type { PolicyAnswer, PolicyEngine, PolicyRevision, PolicyValue } from './policy-engine.ts';

export class LivePolicy implements PolicyEngine {
  #current: PolicyEngine;
  #generation = 0;
  readonly #listeners: (() => void)[] = [];

  constructor(first: PolicyEngine) {
    this.#current = first;
  }

  get revision(): PolicyRevision {
    return this.#current.revision;
  }

  /** Moves at each swap, also at one to a policy that ran before: whoever keeps answers drops them when it moved. */
  get generation(): number {
    return this.#generation;
  }

  hasEntrypoint(name: string): boolean {
    return this.#current.hasEntrypoint(name);
  }

  decide(input: JsonObject): PolicyAnswer {
    return this.#current.decide(input);
  }

  evaluate(entrypoint: string, input: JsonObject): PolicyValue {
    return this.#current.evaluate(entrypoint, input);
  }

  /** From this call's return on `next` decides. Listeners are called in it, after the swap. */
  swap(next: PolicyEngine): void {
    this.#current = next;
    this.#generation += 1;
    for (const listener of this.#listeners) listener();
  }

  /** Listeners are few, live as long as the process, and must not throw. */
  onSwap(listener: () => void): void {
    this.#listeners.push(listener);
  }
}
