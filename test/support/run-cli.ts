/** Runs the command `writ` as a shell would, to its end: exit code, standard output, standard error. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { COMPILED, ROOT } from './writ-process.ts';

export interface CliRun {
  readonly code: number | null;
  readonly out: string;
  readonly problems: string;
}

export interface CliRunOptions {
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The program; default `node src/main.ts`. */
  readonly command?: readonly [string, ...string[]];
}

const DEADLINE_MS = 60_000;

export async function runCli(args: readonly string[], options: CliRunOptions = {}): Promise<CliRun> {
  const { input = '', cwd = ROOT, env = {} } = options;
  const [program, ...before] = options.command ?? [process.execPath, join(ROOT, 'src/main.ts')];
  const child = spawn(program, [...before, ...args], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...COMPILED, ...env },
    stdio: 'pipe',
    timeout: DEADLINE_MS,
  });
  // A command that does not read its input closes it early.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [[code], out, problems] = await Promise.all([
    once(child, 'close') as Promise<[number | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, out, problems };
}
