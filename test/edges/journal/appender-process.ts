/** Starts appender.ts in a process of its own, by itself or under a tracer, and reads what it says. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { AppenderOrder } from './appender.ts';

const SCRIPT = fileURLToPath(new URL('appender.ts', import.meta.url));

export interface AppenderProcess {
  readonly child: ChildProcess;
  /** Everything it has said, line by line. */
  readonly said: readonly string[];
  /** Resolves when it has said a line that begins with `words`; rejects when it ends before. */
  says(words: string): Promise<void>;
  /** How it ended: the signal, or its exit code. All it said has then been read. */
  readonly ended: Promise<NodeJS.Signals | number | null>;
}

/** `tracer` is a command and its arguments that the process is started under. */
export function startAppender(order: AppenderOrder, tracer: readonly string[] = []): AppenderProcess {
  const own = [SCRIPT, JSON.stringify(order)];
  const [command = process.execPath] = tracer;
  const args = tracer.length === 0 ? own : [...tracer.slice(1), process.execPath, ...own];
  // One thread makes the disk calls, so that a tracer that counts per thread counts all of them.
  const env = { PATH: process.env['PATH'] ?? '', UV_THREADPOOL_SIZE: '1' };
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const said: string[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => said.push(line));
  const ended = Promise.all([once(child, 'exit'), once(lines, 'close')]).then(
    ([[code, signal]]) => (signal ?? code) as NodeJS.Signals | number | null,
  );
  const says = async (words: string): Promise<void> => {
    while (!said.some((line) => line.startsWith(words))) {
      const outcome = await Promise.race([once(lines, 'line'), ended.then(() => 'ended')]);
      if (outcome === 'ended' && !said.some((line) => line.startsWith(words)))
        throw new Error(`it ended without saying ${words}: ${said.join('; ')}`);
    }
  };
  return { child, said, says, ended };
}

/** id -> position, of everything it was told is durable. */
export function answeredIn(said: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    said.flatMap((line) => {
      const [what, id = '', position = ''] = line.split(' ');
      return what === 'answered' ? [[id, position] as const] : [];
    }),
  );
}
