/**
 * One directory for everything that a benchmark writes, and the end of everything that it started: also when it is
 * interrupted, because a server that is left running spoils whatever is measured next.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childrenOf } from './machine.ts';

/** Makes the directory, where from now on all temporary files of this process go, and returns it. */
export function openWorkspace(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `writ-${name}-`));
  process.env['TMPDIR'] = dir;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  process.once('exit', () => {
    for (const pid of childrenOf(process.pid)) end(pid);
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
