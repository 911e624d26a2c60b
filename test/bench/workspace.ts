/**
 * One directory for everything that a benchmark writes, and the end of everything that it started: also when it is
 * interrupted, because a server that is left running spoils whatever is measured next.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childrenOf, isRunning } from './machine.ts';

const IDLE = new Int32Array(new SharedArrayBuffer(4));

/** Makes the directory, where from now on all temporary files of this process go, and returns it. */
export function openWorkspace(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `writ-${name}-`));
  process.env['TMPDIR'] = dir;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  process.once('exit', () => {
    const children = childrenOf(process.pid);
    for (const pid of children) end(pid);
    // What is still dying still writes: a directory is not removed under it.
    for (let i = 0; i < 100 && children.some(isRunning); i++) Atomics.wait(IDLE, 0, 0, 10);
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  });
  return dir;
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
