/**
 * Long work in short pieces, so that no request waits for all of it: what a follower applies, kills, re-evaluates.
 * Whoever calls must be right between any two pieces: requests are answered there.
 */
import type { Clock, Instant, Timer } from './clock.ts';
import type { Haste } from './turns.ts';

/** Work that can stop after each piece. It is told the time as it goes on; what it returns is its result. */
export type Steps<T> = Generator<void, T, Instant>;

export interface PacePorts {
  readonly clock: Clock;
  readonly timer: Timer;
  /** How long the loop may be held in one go. */
  readonly sliceMs?: number;
  readonly haste?: Haste;
}

/** What else happens in the same turn of the loop comes to several of these. */
const SLICE_MS = 0.25;
/** What is urgent goes on for as long as it was kept waiting, within these: it has its half of a loop that is full. */
const URGENT_MS_FIRST = 1;
const URGENT_MS_MAX = 2;

export class Pace {
  readonly #clock: Clock;
  readonly #timer: Timer;
  readonly #haste: Haste | undefined;
  readonly #isAdapting: boolean;
  #sliceMs: number;
  #beganMs: number;

  /** Counts from here. Make one for each piece of work: time that passed between two is nobody's. */
  constructor({ clock, timer, sliceMs, haste }: PacePorts) {
    this.#clock = clock;
    this.#timer = timer;
    this.#haste = haste;
    this.#isAdapting = haste === 'urgent' && sliceMs === undefined;
    this.#sliceMs = this.#isAdapting ? URGENT_MS_FIRST : (sliceMs ?? SLICE_MS);
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
    const restedMs = this.#clock.now().monoMs;
    await this.#timer.yield(this.#haste);
    this.#beganMs = this.#clock.now().monoMs;
    if (this.#isAdapting)
      this.#sliceMs = Math.min(Math.max(this.#beganMs - restedMs, SLICE_MS), URGENT_MS_MAX);
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
