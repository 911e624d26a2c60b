/**
 * The simulation's time: a queue of what happens when. Nothing else moves a clock, and nothing waits for a real one. After
 * each step all promises that can settle have settled, so a run depends on the order in this queue alone. Not to be called by
 * what a promise runs: then nothing settles before that ends.
 */
interface Step {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

export class Agenda {
  /** A heap: the earliest first, of equal ones the one that was put in first. */
  readonly #steps: Step[] = [];
  #nowMs = 0;
  #order = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Returns what takes it out again. */
  after(ms: number, run: () => void): () => void {
    const step: Step = { atMs: this.#nowMs + ms, order: this.#order++, run };
    this.#push(step);
    return () => (step.run = undefined);
  }

  runUntil(endMs: number): void {
    for (;;) {
      const step = this.#steps[0];
      if (step === undefined || step.atMs > endMs) break;
      this.#pop();
      if (step.run === undefined) continue;
      this.#nowMs = step.atMs;
      step.run();
      settle();
    }
    this.#nowMs = endMs;
  }

  #push(step: Step): void {
    const steps = this.#steps;
    let at = steps.push(step) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(step, steps[parent] as Step)) break;
      steps[at] = steps[parent] as Step;
      at = parent;
    }
    steps[at] = step;
  }

  #pop(): void {
    const steps = this.#steps;
    const last = steps.pop() as Step;
    if (steps.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= steps.length) break;
      if (child + 1 < steps.length && isBefore(steps[child + 1] as Step, steps[child] as Step)) child += 1;
      if (!isBefore(steps[child] as Step, last)) break;
      steps[at] = steps[child] as Step;
      at = child;
    }
    steps[at] = last;
  }
}

function isBefore(a: Step, b: Step): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** What Node calls after each callback: runs what promises wait for until there is none, here and now. A turn of the loop costs ten times as much. */
const settle = (process as unknown as { _tickCallback: () => void })._tickCallback;
