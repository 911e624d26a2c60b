/**
 * A real Writ in a process of its own, for demos, scenes and benchmarks: started from the sources on free ports in a
 * temporary data directory, waited for until it is ready, and gone without a trace afterwards.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'src/main.ts');
/** Environment of every child process that runs the sources: what one has compiled, the next need not. */
export const COMPILED = { NODE_COMPILE_CACHE: join(ROOT, '.cache/compiled') };

export interface WritProcess {
  readonly pid: number;
  readonly dataDir: string;
  readonly urls: { readonly data: string; readonly control: string; readonly diagnostics: string };
  readonly adminToken: string;
  /** Every line it has logged. */
  readonly log: readonly string[];
  kill(signal: NodeJS.Signals): Promise<void>;
  readonly exited: Promise<number | null>;
}

export interface WritProcessOptions {
  readonly dataDir: string;
  readonly dev?: boolean;
  readonly set?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly execArgv?: readonly string[];
  /** Default src/main.ts: scenes that crash at a named point start another entry. */
  readonly main?: string;
}

export function makeDataDir(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'writ-'));
}

export function removeDataDir(dataDir: string): Promise<void> {
  return rm(dataDir, { recursive: true, force: true });
}

/** Starts it and waits for `ready`; rejects with its output when it ends first. */
export async function startWrit(options: WritProcessOptions): Promise<WritProcess> {
  const { dataDir, dev = true, set = [], env = {}, execArgv = [], main = MAIN } = options;
  const sets = [
    'listen.data=127.0.0.1:0',
    'listen.control=127.0.0.1:0',
    'listen.diagnostics=127.0.0.1:0',
    `dataDir=${dataDir}`,
    ...set,
  ];
  const args = [
    ...execArgv,
    main,
    'serve',
    ...(dev ? ['--dev'] : []),
    ...sets.flatMap((one) => ['--set', one]),
  ];
  const child = spawn(process.execPath, args, {
    cwd: dataDir,
    env: { PATH: process.env['PATH'] ?? '', ...COMPILED, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: string[] = [];
  const urls: Record<string, string> = {};
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  await ready(child, log, urls, exited);
  const adminToken = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim();
  return {
    pid: child.pid ?? 0,
    dataDir,
    urls: urls as unknown as WritProcess['urls'],
    adminToken,
    log,
    exited,
    kill: async (signal) => {
      child.kill(signal);
      await exited;
    },
  };
}

async function ready(
  child: ChildProcess,
  log: string[],
  urls: Record<string, string>,
  exited: Promise<number | null>,
): Promise<void> {
  const isReady = Promise.withResolvers<void>();
  const note = (line: string): void => {
    log.push(line);
    const event = parse(line);
    if (event['message'] === 'listening') urls[String(event['listener'])] = String(event['address']);
    // Without an epoch it never becomes ready by itself; all its listeners are open by then.
    if (event['message'] === 'ready' || event['message'] === 'not ready yet') isReady.resolve();
  };
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', note);
  if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', note);
  const ended = exited.then((code) => {
    throw new Error(`writ ended with ${String(code)} before it was ready:\n${log.join('\n')}`);
  });
  ended.catch(() => undefined);
  await Promise.race([isReady.promise, ended]);
}

function parse(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return {};
  }
}
