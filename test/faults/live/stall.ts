/**
 * Loaded before the program (`node --import`): with SIGUSR2 it holds its own loop for longer than a lease, and makes garbage;
 * with SIGPWR it says what its clocks show.
 */
const STALL_MS = 1_500;

process.on('SIGUSR2', () => {
  const endMs = performance.now() + STALL_MS;
  let garbage: object[] = [];
  while (performance.now() < endMs)
    garbage = [...garbage.slice(-10_000), { at: performance.now(), garbage: [] }];
});

process.on('SIGPWR', () => {
  console.error(`clocks ${performance.now()} ${Date.now()}`);
});
