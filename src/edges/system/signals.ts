/** What the process is told by signals. main.ts calls it; nothing here ends the process itself. */

export type StopSignal = 'SIGTERM' | 'SIGINT';

/** What process is to this file: tests pass an EventEmitter. */
export interface SignalSource {
  on(signal: StopSignal | 'SIGHUP', listener: (signal: StopSignal) => void): unknown;
  off(signal: StopSignal | 'SIGHUP', listener: (signal: StopSignal) => void): unknown;
}

/** Calls `onSignal` at each SIGTERM and SIGINT, which end the process no longer, until what it returns is called. */
export function onStop(onSignal: (signal: StopSignal) => void, source: SignalSource = process): () => void {
  source.on('SIGTERM', onSignal);
  source.on('SIGINT', onSignal);
  return () => {
    source.off('SIGTERM', onSignal);
    source.off('SIGINT', onSignal);
  };
}

const SAME_REQUEST_MS = 1_000;

/**
 * The first SIGTERM or SIGINT. Another one within a second is the same request: who stops a process group tells the
 * wrapper in it too (npx, timeout), which passes it on. A later one finds no listener and ends the process at once, as
 * people expect of ^C.
 */
export function waitForStop(
  source: SignalSource = process,
  later: (then: () => void) => void = (then) => setTimeout(then, SAME_REQUEST_MS).unref(),
): Promise<StopSignal> {
  return new Promise((resolve) => {
    const leave = onStop((signal) => {
      later(leave);
      resolve(signal);
    }, source);
  });
}

/** Calls `onReload` at each SIGHUP, which ends the process no longer, until what it returns is called. */
export function onHangup(onReload: () => void, source: SignalSource = process): () => void {
  source.on('SIGHUP', onReload);
  return () => source.off('SIGHUP', onReload);
}
