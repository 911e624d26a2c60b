/** `writ serve` and `writ config`. Serving is compose.ts's work; it gets there through a port. */
import type { Command } from 'commander';
import type { Config, Problem } from '../config/config.ts';
import { renderProblems } from '../config/config.ts';
import type { CliPorts } from './ports.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { missingFiles, openSecrets } from './named-files.ts';
import { addConfigShow } from './overview.ts';
import type { ConfigOptions } from './server-options.ts';
import { readConfig, withConfigOptions } from './server-options.ts';

export interface ServePorts {
  /** Serves until the process is told to end; resolves when everything is closed. */
  readonly serve: (config: Config, warnings: readonly Problem[], order: ServeOrder) => Promise<void>;
}

export interface ServeOrder {
  /** An operator's word: the first policy may be older than the one that ran last. */
  readonly allowOlderPolicy: boolean;
}

interface ServeOptions extends ConfigOptions {
  readonly allowOlder?: boolean;
}

interface CheckOptions extends ConfigOptions {
  readonly json?: boolean;
}

export function addServe(program: Command, ports: CliPorts, { serve }: ServePorts): void {
  const command = program
    .command('serve')
    .description('run a replica')
    .option('--dev', 'for trying things out: a built-in issuer mints tokens, an empty store opens by itself')
    .option('--allow-older', 'start although the policy is older than the one that ran last');
  withConfigOptions(command).action((options: ServeOptions) =>
    ports.run(async () => {
      const result = readConfig(options, ports.around);
      if (!result.ok) return explainConfig(ports, result.problems);
      await serve(result.config, [...result.warnings, ...openSecrets(result.config)], {
        allowOlderPolicy: options.allowOlder === true,
      });
      return EXIT.done;
    }),
  );
  const config = program.command('config').description('the configuration');
  addConfigShow(config, ports);
  const check = config
    .command('check')
    .description('report every problem at once')
    .argument('[file]')
    .option('--json', 'answer as JSON, for programs');
  withConfigOptions(check).action((file: string | undefined, options: CheckOptions) =>
    ports.run(async () => {
      const result = readConfig(file === undefined ? options : { ...options, config: file }, ports.around);
      const warnings = result.ok
        ? [...result.warnings, ...missingFiles(result.config), ...openSecrets(result.config)]
        : [];
      if (options.json === true) {
        const { problems } = { problems: [], ...result };
        ports.terminal.out(JSON.stringify({ valid: result.ok, problems, warnings }));
        return result.ok ? EXIT.done : EXIT.error;
      }
      if (!result.ok) return explainConfig(ports, result.problems);
      if (warnings.length > 0) ports.terminal.problem(renderProblems(warnings));
      ports.terminal.out(
        `the configuration is valid${warnings.length === 0 ? '' : ', but see the warnings'}`,
      );
      return EXIT.done;
    }),
  );
}

function explainConfig(ports: CliPorts, problems: readonly Problem[]): ExitCode {
  ports.terminal.problem(renderProblems(problems));
  return EXIT.error;
}
