/**
 * The child process of a lane of runner.ts: one vitest in a copy of the tree, its working directory, that stays and
 * runs the one test it is asked for, each time in a worker of its own. Starting vitest costs more than most tests do.
 */
import { resolve } from 'node:path';
import { createVitest } from 'vitest/node';
import type { Removal } from './removals.ts';

export interface Order {
  /** The file that is another one until the report comes. */
  readonly changed: string;
  readonly test: Removal['test'];
}

export interface Report {
  /** How many tests passed or failed. */
  readonly ran: number;
  /** The stack of each error that a test failed by. */
  readonly failures: readonly string[];
  /** Why there is no test to run. */
  readonly loadErrors: readonly string[];
}

const opening = createVitest({
  watch: false,
  coverage: { enabled: false },
  pool: 'threads',
  maxWorkers: 1,
  reporters: [{}],
});
process.on('message', (order: Order) => void run(order).then((report) => process.send?.(report)));

async function run({ changed, test: { file, name } }: Order): Promise<Report> {
  const vitest = await opening;
  vitest.invalidateFile(resolve(changed));
  const testNamePattern = new RegExp(RegExp.escape(name));
  const specification = vitest.getRootProject().createSpecification(resolve(file), { testNamePattern });
  const { testModules } = await vitest.runTestSpecifications([specification]);
  vitest.invalidateFile(resolve(changed));
  const results = testModules
    .flatMap(({ children }) => [...children.allTests()])
    .map((test) => test.result())
    .filter(({ state }) => state === 'passed' || state === 'failed');
  return {
    ran: results.length,
    failures: results.flatMap(({ errors = [] }) => errors).map(({ stack, message }) => stack ?? message),
    loadErrors: testModules.flatMap((module) => module.errors()).map(({ message }) => message),
  };
}
