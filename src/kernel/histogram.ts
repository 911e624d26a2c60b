/**
 * Durations counted in fixed buckets: what a Prometheus histogram is made of. Flows and doors record into one; only a
 * scrape reads it. Recording allocates nothing, so that it may stand on the hot path.
 */
export class Histogram {
  /** Upper bounds in seconds, ascending; the last bucket has none. */
  readonly boundsS: readonly number[];
  readonly #counts: Float64Array;
  #sumS = 0;

  constructor(boundsS: readonly number[]) {
    this.boundsS = boundsS;
    this.#counts = new Float64Array(boundsS.length + 1);
  }

  /** What is negative, or no number, is counted as nothing: a clock that was set says nothing about a duration. */
  record(seconds: number): void {
    const value = seconds > 0 ? seconds : 0;
    let bucket = 0;
    while (bucket < this.boundsS.length && value > (this.boundsS[bucket] as number)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#sumS += value;
  }

  get sumS(): number {
    return this.#sumS;
  }

  get count(): number {
    return this.#counts.reduce((total, one) => total + one, 0);
  }

  /** How many in each bucket, the unbounded one last; not cumulative. */
  get counts(): readonly number[] {
    return [...this.#counts];
  }
}

/** For what takes microseconds to milliseconds: a decision. */
export const FAST_BOUNDS_S: readonly number[] = [
  0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
  0.1, 1,
];

/** OpenTelemetry's advice for `http.server.request.duration`. */
export const REQUEST_BOUNDS_S: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];

/** For what takes a disk, a store or a lease: a revocation on its way. */
export const FEED_BOUNDS_S: readonly number[] = [
  0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];
