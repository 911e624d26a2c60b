/** Time that a test moves by hand: a clock, and a timer whose sleeps end when the clock passes them. */
import type { Clock, Instant, Timer } from '../../src/kernel/clock.ts';

interface Sleep {
  readonly endsMs: number;
  readonly wake: () => void;
}

export class FakeClock implements Clock, Timer {
  #monoMs = 1_000_000;
  #wallMs: number;
  #sleeps: Sleep[] = [];

  constructor(wallMs = 1_800_000_000_000) {
    this.#wallMs = wallMs;
  }

  now(): Instant {
    return { monoMs: this.#monoMs, wallMs: this.#wallMs };
  }

  /** How many sleeps have not ended. */
  get sleeping(): number {
    return this.#sleeps.length;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    const slept = Promise.withResolvers<void>();
    const sleep = { endsMs: this.#monoMs + ms, wake: slept.resolve };
    this.#sleeps.push(sleep);
    signal.addEventListener('abort', () => {
      this.#sleeps = this.#sleeps.filter((other) => other !== sleep);
      slept.resolve();
    });
    return slept.promise;
  }

  /** A real turn of the loop: no time passes by it. */
  async yield(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Nobody asks anything of this loop. */
  async breathe(): Promise<void> {}

  /** Both clocks go on; what slept until then wakes. */
  advance(ms: number): void {
    this.#wallMs += ms;
    this.advanceMono(ms);
  }

  /** Somebody has set the wall clock back: it stands still at its floor. */
  advanceMono(ms: number): void {
    this.#monoMs += ms;
    const due = this.#sleeps.filter(({ endsMs }) => endsMs <= this.#monoMs);
    this.#sleeps = this.#sleeps.filter(({ endsMs }) => endsMs > this.#monoMs);
    for (const { wake } of due) wake();
  }

  /** Somebody sets the wall clock. */
  setForward(ms: number): void {
    this.#wallMs += ms;
  }
}

/** Lets everything run that can run without time passing. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 12; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** The same time by a machine whose wall clock is behind by `backMs`. */
export function clockBehind(clock: FakeClock, backMs: number): FakeClock {
  return Object.assign(new FakeClock(), {
    now: (): Instant => {
      const { wallMs, monoMs } = clock.now();
      return { monoMs, wallMs: wallMs - backMs };
    },
    sleep: (ms: number, signal: AbortSignal) => clock.sleep(ms, signal),
  });
}
