/** What commands print on a standard stream. A pipe takes 64 KiB at once: who ends the process waits for the rest of it. */
import type { Writable } from 'node:stream';

export interface Printer {
  readonly print: (line: string) => void;
  /** Resolves when every line is out, or cannot be: with why, in that case. As late as the reader makes it. */
  readonly flushed: () => Promise<NodeJS.ErrnoException | undefined>;
}

export function createPrinter(stream: Writable): Printer {
  let failure: NodeJS.ErrnoException | undefined;
  let last = Promise.resolve();
  // The callback of the write says it too; without a listener the event would end the process.
  stream.on('error', () => undefined);
  return {
    print: (line) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      stream.write(`${line}\n`, (error) => {
        failure ??= error ?? undefined;
        resolve();
      });
      last = promise;
    },
    flushed: () => last.then(() => failure),
  };
}
