/** How a command finds its server: `--url` and `--token-file`, else the configuration (API.md, Start). */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { isLoopbackHost } from '../config/address.ts';
import type { Config, ConfigSources, Listener } from '../config/config.ts';
import { parseConfig, renderProblems } from '../config/config.ts';
import { WritError } from '../kernel/error.ts';
import type { Authority, Endpoint } from './client.ts';
import { ClientError, callOrUnknown, objectOf, readToken, tokenProblem } from './client.ts';

/** What the process was started with; nothing below main.ts reads it from anywhere else. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly hostName: string;
  /** Four random characters for the default replica name. */
  readonly suffix: string;
}

export interface ConfigOptions {
  readonly config?: string;
  readonly set?: readonly string[];
  readonly dev?: boolean;
}

export interface ServerOptions extends ConfigOptions {
  readonly url?: string;
  readonly dataUrl?: string;
  readonly tokenFile?: string;
  readonly caFile?: string;
  readonly json?: boolean;
}

/** Adds the options that every command which reads the configuration has. */
export function withConfigOptions(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file (default: WRIT_CONFIG, else ./writ.yaml if it is there)')
    .option('--set <key=value...>', 'set one key over file and environment');
}

/** For commands that may ask by https. */
export const CA_FILE = [
  '--ca-file <file>',
  'PEM of the authority that vouches for an https server (default: WRIT_CA_FILE, else those of Node)',
] as const;

/** Adds the options that every command which talks to a server has. */
export function withServerOptions(command: Command): Command {
  return withConfigOptions(command)
    .option('--url <url>', 'control plane of the server (default: from the configuration)')
    .option(
      '--data-url <url>',
      'data plane of the server (default: where --url says, else from the configuration)',
    )
    .option('--token-file <file>', 'file with the admin token or an OAuth token')
    .option(...CA_FILE)
    .option('--json', 'answer as JSON, for programs');
}

/** The configuration and its file's name; `problems` when it is invalid. CONFIG_INVALID when the file cannot be read. */
export function readConfig(options: ConfigOptions, around: Surroundings): ReturnType<typeof parseConfig> {
  return parseConfig(configSources(options, around));
}

/** Where the configuration comes from. CONFIG_INVALID when its file cannot be read. */
export function configSources(options: ConfigOptions, around: Surroundings): ConfigSources {
  const fileName = options.config ?? around.env['WRIT_CONFIG'] ?? defaultFile(around.cwd);
  return {
    ...(fileName === undefined ? {} : { fileName, fileText: readConfigFile(resolve(around.cwd, fileName)) }),
    env: around.env,
    sets: options.set ?? [],
    dev: options.dev ?? false,
    cwd: around.cwd,
    replicaDefault: `${around.hostName}-${around.suffix}`,
  };
}

/** The configuration; CONFIG_INVALID with every problem in its message. */
export function requireConfig(options: ConfigOptions, around: Surroundings): Config {
  const result = readConfig(options, around);
  if (result.ok) return result.config;
  throw new WritError(
    'CONFIG_INVALID',
    `the configuration has problems:\n${renderProblems(result.problems)}`,
  );
}

/** The control plane's address and a token for it. */
export async function controlEndpoint(options: ServerOptions, around: Surroundings): Promise<Endpoint> {
  const config = needsConfig(options) ? requireConfig(options, around) : undefined;
  const url = options.url ?? around.env['WRIT_URL'] ?? urlOf(config?.listen.control);
  const tokenFile =
    options.tokenFile ?? around.env['WRIT_TOKEN_FILE'] ?? join(config?.dataDir ?? '.', 'admin-token');
  const path = resolve(around.cwd, tokenFile);
  return { url, token: await readToken(path), tokenFile: path, ...trusted(options, around) };
}

/** Whom `--ca-file`, or WRIT_CA_FILE, trusts. ClientError for a file that holds no certificate. */
export function trusted(
  { caFile }: { readonly caFile?: string },
  { env, cwd }: Surroundings,
): { readonly authority?: Authority } {
  const named = caFile ?? env['WRIT_CA_FILE'];
  if (named === undefined) return {};
  const path = resolve(cwd, named);
  try {
    const ca = readFileSync(path, 'utf8');
    // What is none is passed over by TLS without a word.
    new X509Certificate(ca);
    return { authority: { ca, caFile: path } };
  } catch (error) {
    const fault =
      (error as NodeJS.ErrnoException).syscall === undefined
        ? 'holds no certificate in PEM'
        : 'cannot be read';
    throw new ClientError(`${path} ${fault}: --ca-file and WRIT_CA_FILE name a certificate authority`);
  }
}

/**
 * The data plane's address: `--data-url`, else where the server at `--url` says that it listens, else as configured. It asks for
 * no credential of the caller's own.
 */
export async function dataEndpoint(options: ServerOptions, around: Surroundings): Promise<Endpoint> {
  const { dataUrl } = options;
  const asked = { token: undefined, ...trusted(options, around) };
  if (dataUrl !== undefined) return { url: dataUrl, ...asked };
  if ((options.url ?? around.env['WRIT_URL']) === undefined)
    return { url: urlOf(requireConfig(options, around).listen.data), ...asked };
  const control = await controlEndpoint(options, around);
  const reply = await callOrUnknown(control, 'GET', '/v1/status');
  const said = reply.status === 200 ? objectOf(reply)['dataUrl'] : undefined;
  const refused = tokenProblem(reply);
  if (refused !== undefined) throw new ClientError(`${refused}: name another one with --token-file`, true);
  if (typeof said !== 'string')
    throw new ClientError(
      `${control.url} did not say where its data plane is (${reply.status}; is it a control plane?): name it with --data-url`,
      true,
    );
  return { url: asReachedFrom(control.url, said), ...asked };
}

/** For who reaches the control plane at `control`. ClientError for a data plane that only its own machine reaches. */
export function asReachedFrom(control: string, data: string): string {
  if (control.startsWith('unix:')) return data;
  const { hostname } = new URL(control);
  const at = data.startsWith('unix:') ? undefined : new URL(data);
  if (!isLoopback(hostname) && (at === undefined || isLoopback(at.hostname)))
    throw new ClientError(
      `the data plane of ${control} is at ${data} of its own machine: name one that is reached from here with --data-url`,
      true,
    );
  if (at === undefined) return data;
  if (at.hostname === '0.0.0.0' || at.hostname === '[::]') at.hostname = hostname;
  return at.origin;
}

/** As a URL spells it. */
function isLoopback(hostname: string): boolean {
  return isLoopbackHost(hostname.replaceAll(/[[\]]/g, ''));
}

export function diagnosticsEndpoint(
  options: ConfigOptions & { readonly diagnosticsUrl?: string; readonly caFile?: string },
  around: Surroundings,
): Endpoint {
  const url = options.diagnosticsUrl ?? urlOf(requireConfig(options, around).listen.diagnostics);
  return { url, token: undefined, ...trusted(options, around) };
}

function needsConfig(options: ServerOptions): boolean {
  return options.url === undefined || options.tokenFile === undefined;
}

function urlOf(listener: Listener | undefined): string {
  if (listener === undefined) throw new WritError('CONFIG_INVALID', 'no server address is known');
  const { address, tls } = listener;
  if ('path' in address) return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${tls === undefined ? 'http' : 'https'}://${host}:${address.port}`;
}

function defaultFile(cwd: string): string | undefined {
  return existsSync(join(cwd, 'writ.yaml')) ? 'writ.yaml' : undefined;
}

function readConfigFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new WritError('CONFIG_INVALID', `the configuration file ${file} cannot be read`, { cause });
  }
}
