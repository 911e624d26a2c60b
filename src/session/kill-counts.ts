/** How many sessions were told to end, and how many are proven to have ended, by the reason of the kill. For metrics. */
import type { KillEvent } from './session.ts';
import { KILL_REASONS } from './session.ts';

export interface KillCount {
  readonly reason: KillEvent['reason'];
  readonly told: number;
  /** Confirmed by the holder, or over by its own promise. */
  readonly killed: number;
}

export class KillCounts {
  readonly #told = new Map<KillEvent['reason'], number>();
  readonly #killed = new Map<KillEvent['reason'], number>();

  addTold(reason: KillEvent['reason']): void {
    this.#told.set(reason, (this.#told.get(reason) ?? 0) + 1);
  }

  addKilled(reason: KillEvent['reason']): void {
    this.#killed.set(reason, (this.#killed.get(reason) ?? 0) + 1);
  }

  list(): readonly KillCount[] {
    return KILL_REASONS.map((reason) => ({
      reason,
      told: this.#told.get(reason) ?? 0,
      killed: this.#killed.get(reason) ?? 0,
    }));
  }
}
