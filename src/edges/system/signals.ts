/** What the process is told by signals. main.ts calls it; nothing here ends the process itself. */

export type StopSignal = 'SIGTERM' | 'SIGINT';

/** What process is to this file: tests pass an EventEmitter. */
export interface SignalSource {
  on(signal: 'SIGHUP', listener: () => void): unknown;
  once(signal: StopSignal, listener: () => void): unknown;
  off(signal: StopSignal | 'SIGHUP', listener: () => void): unknown;
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

/** Calls `onReload` at each SIGHUP, which ends the process no longer, until what it returns is called. */
export function onHangup(onReload: () => void, source: SignalSource = process): () => void {
  source.on('SIGHUP', onReload);
  return () => source.off('SIGHUP', onReload);
}
