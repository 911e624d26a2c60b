/**
 * Runs the command `writ` to its end inside the test's own process, for tests of what it does and says. What is the
 * process's own (argv, standard input, the exit, a terminal) is tested by run-cli.ts, which costs a start each time.
 */
import http from 'node:http';
import { Readable } from 'node:stream';
import { runCommand } from '../../src/cli/command.ts';
import { readBundleFiles } from '../../src/edges/opa/bundle.ts';
import { openPolicyEngine } from '../../src/edges/opa/engine.ts';
import { initStore } from '../../src/edges/redis/init-store.ts';
import { VERSION } from '../../src/edges/system/version.ts';
import type { CliRun, CliRunOptions } from './run-cli.ts';
import { ROOT } from './writ-process.ts';

// As with processes, no command goes on with a connection of the one before.
http.globalAgent = new http.Agent({ keepAlive: false });

export async function runCliInProcess(
  args: readonly string[],
  {
    input = '',
    cwd = ROOT,
    env = {},
    isTerminal = false,
  }: Omit<CliRunOptions, 'command'> & { readonly isTerminal?: boolean } = {},
): Promise<CliRun> {
  let out = '';
  let problems = '';
  const code = await runCommand(args, {
    version: VERSION,
    terminal: {
      isTerminal,
      out: (line) => void (out += `${line}\n`),
      problem: (line) => void (problems += `${line}\n`),
      read: async () => input,
      bytes: () => Readable.from([Buffer.from(input)]),
    },
    around: { env, cwd, hostName: 'here', suffix: 'test' },
    onInterrupt: () => () => undefined,
    serve: { serve: () => Promise.reject(new Error('a server is a process of its own')) },
    store: { init: initStore },
    policy: {
      env,
      openEngine: openPolicyEngine,
      readFiles: (bundle) => readBundleFiles(bundle),
      print: (line) => void (out += `${line}\n`),
    },
  });
  return { code, out, problems };
}
