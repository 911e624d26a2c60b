/** Waits for the request to stop. main.ts calls it once; it never ends the process itself. */

export type StopSignal = 'SIGTERM' | 'SIGINT';

/** What process is to this file: tests pass an EventEmitter. */
export interface SignalSource {
  once(signal: StopSignal, listener: () => void): unknown;
  off(signal: StopSignal, listener: () => void): unknown;
}

/** The first SIGTERM or SIGINT. A second one finds no listener and ends the process at once, as people expect of ^C. */
export function waitForStop(source: SignalSource = process): Promise<StopSignal> {
  return new Promise((resolve) => {
    const onTerm = () => stop('SIGTERM');
    const onInt = () => stop('SIGINT');
    const stop = (signal: StopSignal) => {
      source.off('SIGTERM', onTerm);
      source.off('SIGINT', onInt);
      resolve(signal);
    };
    source.once('SIGTERM', onTerm);
    source.once('SIGINT', onInt);
  });
}
