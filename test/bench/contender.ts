/**
 * A server of the benchmark in a process of its own: where it is, how it is asked the one question of workload.ts,
 * and what an allow of it looks like. Owned by whoever started it, and stopped by it.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Reply } from '../support/client.ts';
import { call } from '../support/client.ts';
import { evaluationOf, HEADERS } from './workload.ts';
import type { Workload } from './workload.ts';

export interface Contender {
  readonly name: string;
  readonly pid: number;
  /** Where the question is posted. */
  readonly url: string;
  /** The body that asks with `token`. */
  readonly bodyOf: (token: string) => string;
  /** What every allow of it contains and no deny does. */
  readonly allow: string;
  /** False for the one that answers without looking. */
  readonly decides: boolean;
  stop(): Promise<void>;
}

export function askAuthzen(token: string): string {
  return JSON.stringify(evaluationOf(token));
}

/** Starts a script of this folder that prints `{"port":…}` once it listens. */
export async function startScript(
  name: string,
  script: string,
  args: readonly string[] = [],
): Promise<Contender> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production' },
  });
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`${name} ended with ${String(code)} before it listened`);
  });
  ended.catch(() => undefined);
  const line = once(createInterface({ input: child.stdout }), 'line');
  const [first] = (await Promise.race([line, ended])) as [string];
  const { port } = JSON.parse(first) as { port: number };
  return {
    name,
    pid: child.pid ?? 0,
    url: `http://127.0.0.1:${port}/access/v1/evaluation`,
    bodyOf: askAuthzen,
    allow: '"decision":true',
    decides: name !== HELLO,
    stop: () => stopChild(child),
  };
}

export const HELLO = 'node:http hello';

export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** Every good token is allowed and the revoked one is not; throws for a contender that answers something else. */
export async function assertAnswers(contender: Contender, { good, dead }: Workload): Promise<void> {
  for (const token of good) await assertAnswer(contender, token, true);
  if (contender.decides) await assertAnswer(contender, dead.token, false);
}

export async function assertAnswer(contender: Contender, token: string, isGood: boolean): Promise<void> {
  const { status, text } = await ask(contender, token);
  if (status === 200 && text.includes(contender.allow) === isGood) return;
  const what = isGood ? 'good' : 'revoked';
  throw new Error(`${contender.name} answered a ${what} token with ${status}: ${text.slice(0, 300)}`);
}

export function ask({ url, bodyOf }: Contender, token: string): Promise<Reply> {
  return call(url, { headers: HEADERS, body: bodyOf(token) });
}
