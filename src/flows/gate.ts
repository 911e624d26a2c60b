/** Lets a few through at a time: long flows that would otherwise all wake at once. Nobody inside may wait for another. */
export class Gate {
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Runs `work` once there is room, in the order of asking. Settles as it does. */
  async through<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#max) {
      // Whoever leaves hands its place on.
      await new Promise<void>((enter) => void this.#waiting.push(enter));
    } else {
      this.#inside += 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#inside -= 1;
      else next();
    }
  }
}
