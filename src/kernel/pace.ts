/**
 * Long work in short pieces, so that no request waits for all of it: what a follower applies, kills, re-evaluates.
 * Whoever calls must be right between any two pieces: requests are answered there.
 */
import type { Clock, Instant, Timer } from './clock.ts';
import { LIMITS } from './limits.ts';

/** Work that can stop after each piece. It is told the time as it goes on; what it returns is its result. */
export type Steps<T> = Generator<void, T, Instant>;

export interface PacePorts {
  readonly clock: Clock;
  readonly timer: Timer;
  /** How long the loop may be held in one go. */
  readonly sliceMs?: number;
}

export class Pace {
  readonly #clock: Clock;
  readonly #timer: Timer;
  readonly #sliceMs: number;
  #beganMs: number;

  /** Counts from here. Make one for each piece of work: time that passed between two is nobody's. */
  constructor({ clock, timer, sliceMs = LIMITS.sliceMs }: PacePorts) {
    this.#clock = clock;
    this.#timer = timer;
    this.#sliceMs = sliceMs;
    this.#beganMs = clock.now().monoMs;
  }

  /** Runs `steps` to their end, letting the loop turn whenever a slice is used up. Rejects as they throw. */
  async run<T>(steps: Steps<T>): Promise<T> {
    for (;;) {
      const now = this.#clock.now();
      if (now.monoMs - this.#beganMs >= this.#sliceMs) await this.#rest();
      const step = steps.next(this.#clock.now());
      if (step.done === true) return step.value;
    }
  }

  async #rest(): Promise<void> {
    await this.#timer.yield();
    this.#beganMs = this.#clock.now().monoMs;
  }
}

/** Runs `steps` in one go: at start, where nobody waits, and for what is known to be small. */
export function runAtOnce<T>(steps: Steps<T>, now: Instant): T {
  for (;;) {
    const step = steps.next(now);
    if (step.done === true) return step.value;
  }
}
