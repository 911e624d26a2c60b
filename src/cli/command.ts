/** The command `writ`: one table of commands. Each returns an exit code; none of them exits. */
import { Command, CommanderError } from 'commander';
import { isWritError } from '../kernel/error.ts';
import { ClientError } from './client.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { addDrill } from './drill.ts';
import { addFacts } from './facts.ts';
import { addInspect } from './inspect.ts';
import { addKeys } from './keys.ts';
import { addLivePolicy } from './live-policy.ts';
import { addOverview } from './overview.ts';
import type { PolicyPorts } from './policy.ts';
import { policyCommand } from './policy.ts';
import type { CliPorts } from './ports.ts';
import { addReplicas } from './replicas.ts';
import { addRevoke } from './revoke.ts';
import { addServe } from './serve.ts';
import type { ServePorts } from './serve.ts';
import type { Surroundings } from './server-options.ts';
import type { StorePorts } from './store.ts';
import { addStore } from './store.ts';
import type { Terminal } from './terminal.ts';
import { addVerify } from './verify.ts';

export interface CliOptions {
  readonly terminal: Terminal;
  readonly around: Surroundings;
  readonly version: string;
  readonly serve: ServePorts;
  readonly policy: PolicyPorts;
  readonly store: StorePorts;
  readonly onInterrupt: CliPorts['onInterrupt'];
}

/** Runs `argv` (without node and script) and returns what the process should exit with. Never rejects. */
export async function runCommand(argv: readonly string[], options: CliOptions): Promise<ExitCode> {
  let code: ExitCode = EXIT.done;
  const ports: CliPorts = {
    terminal: options.terminal,
    around: options.around,
    onInterrupt: options.onInterrupt,
    run: async (body) => {
      code = await body();
    },
  };
  const program = createProgram(ports, options);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    return exitFor(error, options.terminal);
  }
}

function createProgram(ports: CliPorts, options: CliOptions): Command {
  const program = new Command('writ')
    .description('The execution layer for identity decisions: decide, revoke, kill, prove.')
    .version(options.version)
    .showHelpAfterError('(writ --help lists the commands)');
  addServe(program, ports, options.serve);
  addRevoke(program, ports);
  addFacts(program, ports);
  addInspect(program, ports);
  addReplicas(program, ports);
  addDrill(program, ports);
  addOverview(program, ports);
  addKeys(program, ports);
  addVerify(program, ports);
  addStore(program, ports, options.version, options.store);
  const policy = policyCommand(options.policy);
  addLivePolicy(policy, ports);
  program.addCommand(policy);
  for (const command of [program, ...descendants(program)]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => ports.terminal.out(text.trimEnd()),
      writeErr: (text) => ports.terminal.problem(text.trimEnd()),
    });
  }
  return program;
}

function descendants(command: Command): Command[] {
  return command.commands.flatMap((child) => [child, ...descendants(child)]);
}

function exitFor(error: unknown, terminal: Terminal): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (isWritError(error)) terminal.problem([error.code, error.field ?? [], error.message].flat().join(': '));
  else if (error instanceof ClientError) {
    terminal.problem(error.message);
    return error.isUncertain ? EXIT.unknown : EXIT.error;
  } else
    terminal.problem(`INTERNAL: ${error instanceof Error ? error.message : 'something unforeseen happened'}`);
  return EXIT.error;
}
