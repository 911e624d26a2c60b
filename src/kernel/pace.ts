/**
 * Long work in short pieces, so that no request waits for all of it: what a follower applies, kills, re-evaluates.
 * Whoever calls must be right between any two pieces: requests are answered there.
 */
import type { Clock, Instant, Timer } from './clock.ts';

/** Work that can stop after each piece. It is told the time as it goes on; what it returns is its result. */
export type Steps<T> = Generator<void, T, Instant>;

export interface PacePorts {
  readonly clock: Clock;
  readonly timer: Timer;
  /** How long the loop may be held in one go. */
  readonly sliceMs?: number;
  /** A lease depends on it: it does not wait for its turn among other long work. */
  readonly isUrgent?: boolean;
}

/** What else happens in the same turn of the loop comes to several of these. */
const SLICE_MS = 0.25;

export class Pace {
  readonly #clock: Clock;
  readonly #timer: Timer;
  readonly #sliceMs: number;
  readonly #isUrgent: boolean;
  #beganMs: number;

  /** Counts from here. Make one for each piece of work: time that passed between two is nobody's. */
  constructor({ clock, timer, sliceMs = SLICE_MS, isUrgent = false }: PacePorts) {
    this.#clock = clock;
    this.#timer = timer;
    this.#sliceMs = sliceMs;
    this.#isUrgent = isUrgent;
    this.#beganMs = clock.now().monoMs;
  }

  /** Runs `steps` to their end, letting the loop turn whenever a slice is used up. Rejects as they throw. */
  async run<T>(steps: Steps<T>): Promise<T> {
    for (;;) {
      if (this.#isDue()) await this.rest();
      const step = steps.next(this.#clock.now());
      if (step.done === true) return step.value;
    }
  }

  /** Lets the loop turn if this slice is used up. */
  async restIfDue(): Promise<void> {
    if (this.#isDue()) await this.rest();
  }

  /** Lets the loop turn: what comes next is long and cannot be cut. */
  async rest(): Promise<void> {
    await this.#timer.yield(this.#isUrgent);
    this.#beganMs = this.#clock.now().monoMs;
  }

  #isDue(): boolean {
    return this.#clock.now().monoMs - this.#beganMs >= this.#sliceMs;
  }
}

/** For steps that do not look at the time. */
const NO_TIME: Instant = { monoMs: 0, wallMs: 0 };

/** Runs `steps` in one go: at start, where nobody waits, and for what is known to be small. */
export function runAtOnce<T>(steps: Steps<T>, now: Instant = NO_TIME): T {
  for (;;) {
    const step = steps.next(now);
    if (step.done === true) return step.value;
  }
}
