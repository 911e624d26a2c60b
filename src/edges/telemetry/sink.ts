/**
 * Where log lines end: a stream that was given, or a standard stream of the process. Node writes to a terminal and
 * a file synchronously; here nothing does, because a terminal that was stopped with ^S would stop every decision.
 */
import { constants, fstatSync, openSync, write } from 'node:fs';
import type { Writable } from 'node:stream';
import { isatty } from 'node:tty';
import type { WriteChunk } from './bounded-writer.ts';

const RETRY_MS = 50;

/** Standard output (1) or standard error (2). */
export function standardSink(descriptor: 1 | 2): WriteChunk {
  const stat = fstatSync(descriptor);
  if (stat.isFIFO() || stat.isSocket()) return streamSink(descriptor === 1 ? process.stdout : process.stderr);
  return descriptorSink(isatty(descriptor) ? reopenTerminal(descriptor) : descriptor);
}

/**
 * The same terminal by a description of its own that never blocks: a write that blocks holds a thread, and with it
 * the exit. The flag is not set on the one we were given, because the shell shares that.
 */
function reopenTerminal(descriptor: number): number {
  try {
    const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
    return openSync(`/proc/self/fd/${descriptor}`, flags);
  } catch {
    return descriptor;
  }
}

export function streamSink(stream: Writable): WriteChunk {
  // The callback of the write says it too; without a listener the event would end the process.
  stream.on('error', () => undefined);
  return (chunk, done) => {
    stream.write(chunk, done);
  };
}

/** Writes on a thread of the pool. A full disk costs the lines of that moment, not those that come later. */
export function descriptorSink(descriptor: number): WriteChunk {
  return function writeAll(chunk, done) {
    write(descriptor, chunk, (error, written) => {
      if (error?.code === 'EAGAIN') setTimeout(writeAll, RETRY_MS, chunk, done).unref();
      else if (error !== null) done(error);
      else if (written < chunk.length) writeAll(chunk.subarray(written), done);
      else done();
    });
  };
}
