/** Limits on what a bundle, an input and an evaluation may cost. Everything in this folder reads them from here. */
export const POLICY_LIMITS = {
  bundleBytesMax: 64 * 1024 * 1024,
  unpackedBytesMax: 256 * 1024 * 1024,
  /** Until a bundle server's headers are there, and until all of the bundle is. */
  answerMs: 5_000,
  downloadMs: 60_000,
  filesMax: 10_000,
  /** Of data.json: it becomes 16 times as much memory, twice while it is loaded. */
  dataBytesMax: 32 * 1024 * 1024,
  /** A data plane body is at most 64 KiB; parsing costs about 9 µs a KiB, on the loop. */
  inputBytesMax: 256 * 1024,
  resultBytesMax: 1024 * 1024,
  /** What one evaluation may allocate beyond the data, at least. Untouched pages cost nothing. */
  heapBytes: 64 * 1024 * 1024,
  /** Below 2 GiB, so that every address is a positive i32. */
  memoryBytesMax: 2 * 1024 * 1024 * 1024 - 64 * 1024,
  /** Longest evaluation of any self-test input, the fastest of several runs. */
  evaluationMsMax: 5,
  /** Reading the bundle and its data, off the loop. */
  loadMs: 120_000,
  /** All self-tests together, off the loop and behind everything else: what is not through by then is too slow. */
  selfTestMs: 20_000,
} as const;

export type PolicyLimits = { readonly [name in keyof typeof POLICY_LIMITS]: number };
