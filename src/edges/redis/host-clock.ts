/** Milliseconds by the clock that all threads and processes of this host share and nobody sets. Imports nothing: benchmarks use it too. */
export function hostMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
