/**
 * Takes checks out of a copy of the tree and runs the tests that should notice. The checkout itself is never
 * touched. A test that does not fail by an assertion has noticed nothing: a file that no longer loads, a test that
 * is not found or a run that hangs is an error, not a catch.
 */
import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Removal } from './removals.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const COPIED = ['src', 'test', 'policies', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
const RUN_MS = 120_000;

export type Outcome = 'caught' | 'survived' | 'error';

export interface RemovalResult {
  readonly removal: Removal;
  readonly outcome: Outcome;
  /** For an outcome that is not `caught`: what happened instead. */
  readonly detail: string;
}

interface TestCase {
  readonly fullName: string;
  readonly status: string;
  readonly failureMessages: readonly string[];
}

interface Report {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly TestCase[];
  }[];
}

/** Results in the order of `removals`, `lanes` of them at a time. Each is reported as it comes. */
export async function runRemovals(
  removals: readonly Removal[],
  lanes: number,
  onResult: (result: RemovalResult) => void = () => undefined,
): Promise<RemovalResult[]> {
  const results: RemovalResult[] = [];
  const queue = removals.entries();
  const work = async (): Promise<void> => {
    const tree = await copyTree();
    try {
      // The lanes share the iterator, so each removal is taken by one of them.
      for (const [at, removal] of queue) {
        const result = await tryRemoval(tree, removal);
        results[at] = result;
        onResult(result);
      }
    } finally {
      await rm(tree, { recursive: true });
    }
  };
  await Promise.all(Array.from({ length: lanes }, work));
  return results;
}

/** A copy that is the caller's to change and to remove. */
export async function copyTree(): Promise<string> {
  const tree = await mkdtemp(join(tmpdir(), 'writ-removal-'));
  for (const entry of COPIED) await cp(join(ROOT, entry), join(tree, entry), { recursive: true });
  for (const linked of ['node_modules', '.cache']) await symlink(join(ROOT, linked), join(tree, linked));
  return tree;
}

async function tryRemoval(tree: string, removal: Removal): Promise<RemovalResult> {
  const file = join(tree, removal.file);
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
    return { removal, ...judge(await runVitest(tree, removal.test)) };
  } finally {
    await writeFile(file, text);
  }
}

/** vitest's own, its `poll` and `rejects`, and fast-check's, which wraps the assertion that a property made. */
const ASSERTED = /^(AssertionError|Error: (expected .+ to |promise resolved|Property failed))/;

function judge(report: Report | undefined): { outcome: Outcome; detail: string } {
  if (report === undefined) return { outcome: 'error', detail: 'the test run did not end by itself' };
  const cases = report.testResults.flatMap((file) => file.assertionResults);
  const ran = cases.filter(({ status }) => status === 'passed' || status === 'failed');
  if (ran.length === 0) {
    const why = report.testResults.map(({ message }) => message).join(' ');
    return { outcome: 'error', detail: `no test ran ${why}`.trim() };
  }
  const messages = ran.flatMap(({ failureMessages }) => failureMessages);
  if (messages.some((message) => ASSERTED.test(message))) return { outcome: 'caught', detail: '' };
  return messages.length === 0
    ? { outcome: 'survived', detail: `${ran.length} passed` }
    : { outcome: 'error', detail: `failed without an assertion: ${messages[0]?.split('\n')[0] ?? ''}` };
}

/** One test, without coverage; undefined when there was no report in time. */
async function runVitest(tree: string, { file, name }: Removal['test']): Promise<Report | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-report-'));
  const output = join(folder, 'report.json');
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const options = ['--coverage.enabled=false', '--reporter=json', `--outputFile=${output}`, '--maxWorkers=1'];
  try {
    await ended(
      spawn(process.execPath, [vitest, 'run', file, ...options, '-t', RegExp.escape(name)], {
        cwd: tree,
        env: cleanEnvironment(),
        stdio: 'ignore',
        timeout: RUN_MS,
        killSignal: 'SIGKILL',
      }),
    );
    return JSON.parse(await readFile(output, 'utf8')) as Report;
  } catch {
    return undefined;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function ended(child: ReturnType<typeof spawn>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  child.on('error', reject);
  child.on('close', () => resolve(undefined));
  return promise;
}

/** Without what a surrounding vitest or coverage run has put there for its own workers. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const isForeign = (name: string): boolean => /^(VITEST|NODE_OPTIONS$|NODE_V8_COVERAGE$|TEST$)/.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isForeign(name)));
}
