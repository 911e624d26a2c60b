/** `writ store init`: makes a Redis ready for a fleet, as a user of its own who may load functions. Needs no server. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { StoreConfig } from '../config/config.ts';
import { parseStore, renderProblems } from '../config/config.ts';
import { WritError, isWritError } from '../kernel/error.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import type { CliPorts } from './ports.ts';
import type { ConfigOptions, Surroundings } from './server-options.ts';
import { configSources, withConfigOptions } from './server-options.ts';
import { showObject } from './show.ts';

type RedisConfig = Extract<StoreConfig, { kind: 'redis' }>;

export interface StorePorts {
  /** Loads the functions where they are not there already (edges/redis/init-store.ts). */
  readonly init: (
    store: RedisConfig,
  ) => Promise<{ readonly library: string; readonly before: 'missing' | 'equal' | 'other' }>;
}

interface InitOptions extends ConfigOptions {
  readonly user?: string;
  readonly passwordFile?: string;
  readonly json?: boolean;
}

const OUTCOME = { missing: 'loaded', equal: 'there already', other: 'replaced another build' } as const;

export function addStore(program: Command, ports: CliPorts, version: string, { init }: StorePorts): void {
  const command = program
    .command('store')
    .description('the store that a fleet shares')
    .command('init')
    .description('load the functions of this version into store.url, as a user who may')
    .option('--user <name>', 'that user (default: the one in store.url, with store.passwordFile)')
    .option('--password-file <file>', 'file with the password of --user')
    .option('--json', 'answer as JSON, for programs');
  withConfigOptions(command).action((options: InitOptions) =>
    ports.run(async () => {
      const store = storeOf(options, ports.around);
      try {
        const { library, before } = await init(store);
        showObject(ports, options, { library, version, outcome: OUTCOME[before] });
        return EXIT.done;
      } catch (error) {
        return explainUncertain(ports, error);
      }
    }),
  );
}

/** The store of the configuration, whatever else is wrong with it: no replica has to run where this is called. */
function storeOf(options: InitOptions, around: Surroundings): RedisConfig {
  const result = parseStore(configSources(options, around));
  if (!result.ok)
    throw new WritError('CONFIG_INVALID', `the store has problems:\n${renderProblems(result.problems)}`);
  const { store } = result;
  if (store.kind !== 'redis')
    throw new WritError('CONFIG_INVALID', 'store.kind must be redis: a journal needs no functions');
  const { user, passwordFile } = options;
  if (user === undefined && passwordFile === undefined) return store;
  const { passwordFile: _configured, url, ...rest } = store;
  const file = passwordFile === undefined ? undefined : resolve(around.cwd, passwordFile);
  return {
    ...rest,
    url: user === undefined ? url : { ...url, username: user },
    // Another user's password is never sent in place of one that was not given.
    ...(file === undefined ? {} : { passwordFile: file }),
  };
}

function explainUncertain(ports: CliPorts, error: unknown): ExitCode {
  if (!isWritError(error, 'APPEND_UNCERTAIN')) throw error;
  ports.terminal.problem(`${error.code}: ${error.message}; it may have been loaded: repeat it`);
  return EXIT.unknown;
}
