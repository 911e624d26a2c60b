/**
 * Takes checks out of a copy of the tree and runs the tests that should notice. The checkout itself is never
 * touched. A test that does not fail by an assertion has noticed nothing: a file that no longer loads, a test that
 * is not found or a run that hangs is an error, not a catch.
 */
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Order, Report } from './lane.ts';
import type { Removal } from './removals.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const COPIED = ['src', 'test', 'policies', 'package.json', 'tsconfig.json', 'vitest.config.ts'];

export type Outcome = 'caught' | 'survived' | 'error';

export interface RemovalResult {
  readonly removal: Removal;
  readonly outcome: Outcome;
  /** For an outcome that is not `caught`: what happened instead. */
  readonly detail: string;
}

export interface RemovalOptions {
  readonly lanes: number;
  /** How long one test may take, with the start of its lane. */
  readonly runMs?: number;
  readonly onResult?: (result: RemovalResult) => void;
}

/** Results in the order of `removals`, `lanes` of them at a time. Each is reported as it comes. */
export async function runRemovals(
  removals: readonly Removal[],
  { lanes, runMs = 120_000, onResult = () => undefined }: RemovalOptions,
): Promise<RemovalResult[]> {
  const results: RemovalResult[] = [];
  const queue = removals.entries();
  const work = async (): Promise<void> => {
    const lane = new Lane(await copyTree(), runMs);
    try {
      // The lanes share the iterator, so each removal is taken by one of them.
      for (const [at, removal] of queue) {
        const result = await tryRemoval(lane, removal);
        results[at] = result;
        onResult(result);
      }
    } finally {
      await lane.stop();
      await rm(lane.tree, { recursive: true });
    }
  };
  await Promise.all(Array.from({ length: lanes }, work));
  return results;
}

/** A copy that is the caller's to change and to remove. */
export async function copyTree(parent = tmpdir()): Promise<string> {
  const tree = await mkdtemp(join(parent, 'writ-removal-'));
  for (const entry of COPIED) await cp(join(ROOT, entry), join(tree, entry), { recursive: true });
  for (const linked of ['node_modules', '.cache']) await symlink(join(ROOT, linked), join(tree, linked));
  return tree;
}

async function tryRemoval(lane: Lane, removal: Removal): Promise<RemovalResult> {
  const file = join(lane.tree, removal.file);
  const text = await readFile(file, 'utf8');
  const parts = text.split(removal.find);
  if (parts.length !== 2)
    return {
      removal,
      outcome: 'error',
      detail: `its text occurs ${parts.length - 1} times in ${removal.file}`,
    };
  await writeFile(file, parts.join(removal.replace));
  try {
    return { removal, ...judge(await lane.run({ changed: removal.file, test: removal.test })) };
  } finally {
    await writeFile(file, text);
  }
}

/** vitest's own, its `poll` and `rejects`, and fast-check's, which wraps the assertion that a property made. */
const ASSERTED = /^(AssertionError|Error: (expected .+ to |promise resolved|Property failed))/;

function judge(report: Report | undefined): { outcome: Outcome; detail: string } {
  if (report === undefined) return { outcome: 'error', detail: 'the test run did not end by itself' };
  const { ran, failures, loadErrors } = report;
  if (ran === 0) return { outcome: 'error', detail: `no test ran ${loadErrors.join(' ')}`.trim() };
  if (failures.some((failure) => ASSERTED.test(failure))) return { outcome: 'caught', detail: '' };
  return failures.length === 0
    ? { outcome: 'survived', detail: `${ran} passed` }
    : { outcome: 'error', detail: `failed without an assertion: ${failures[0]?.split('\n')[0] ?? ''}` };
}

/** A copy of the tree and the process that runs tests in it, started when it is needed. */
class Lane {
  readonly tree: string;
  readonly #runMs: number;
  #child: ChildProcess | undefined;

  constructor(tree: string, runMs: number) {
    this.tree = tree;
    this.#runMs = runMs;
  }

  /** Undefined when there was no report in time: whatever hangs is gone then, and the next run begins anew. */
  async run(order: Order): Promise<Report | undefined> {
    const child = (this.#child ??= fork(join(import.meta.dirname, 'lane.ts'), {
      cwd: this.tree,
      env: cleanEnvironment(),
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    }));
    const over = new AbortController();
    const late = setTimeout(() => over.abort(), this.#runMs);
    const ended = once(child, 'exit', { signal: over.signal }).then(() => undefined);
    const reported = once(child, 'message', { signal: over.signal }).then(([report]) => report as Report);
    child.send(order);
    const report = await Promise.race([reported, ended]).catch(() => undefined);
    clearTimeout(late);
    over.abort();
    if (report === undefined) await this.stop();
    return report;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

/** Without what a surrounding vitest or coverage run has put there for its own workers. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const isForeign = (name: string): boolean => /^(VITEST|NODE_OPTIONS$|NODE_V8_COVERAGE$|TEST$)/.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isForeign(name)));
}
