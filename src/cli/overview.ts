/** Commands of an operator's day: `writ status`, `writ config show`, and one revocation followed to its end. */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { isWritError } from '../kernel/error.ts';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import type { CliPorts } from './ports.ts';
import type { Endpoint } from './client.ts';
import { ClientError, call, callOrUnknown, objectOf } from './client.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { isAtLeast } from './order.ts';
import type { ServerOptions } from './server-options.ts';
import {
  CA_FILE,
  controlEndpoint,
  diagnosticsEndpoint,
  withConfigOptions,
  withServerOptions,
} from './server-options.ts';
import { explain, showList, showObject } from './show.ts';
import { cell, table } from './terminal.ts';

export function addOverview(program: Command, ports: CliPorts): void {
  addStatus(program, ports);
  addHealth(program, ports);
  addRevocation(program, ports);
}

/** For the health check of a container, which has no curl and takes no exit code but 0 and 1. */
function addHealth(program: Command, ports: CliPorts): void {
  const command = program
    .command('health')
    .description('does the process answer? 0 or 1')
    .option('--diagnostics-url <url>', 'diagnostics of the server (default: from the configuration)')
    .option(...CA_FILE);
  withConfigOptions(command).action((options: StatusOptions) =>
    ports.run(async () => {
      try {
        const { status } = await call(diagnosticsEndpoint(options, ports.around), 'GET', '/livez');
        return status === 200 ? EXIT.done : EXIT.error;
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        ports.terminal.problem(error.message);
        return EXIT.error;
      }
    }),
  );
}

interface StatusOptions extends ServerOptions {
  readonly diagnosticsUrl?: string;
}

function addStatus(program: Command, ports: CliPorts): void {
  const command = program
    .command('status')
    .description('is all well? 0 when it is, 3 with loose ends, 4 when it is not or cannot be known')
    .option('--url <url>', 'control plane of the server (default: from the configuration)')
    .option('--token-file <file>', 'file with the admin token or an OAuth token')
    .option(...CA_FILE)
    .option('--diagnostics-url <url>', 'ask the probe of this address only: no token is needed')
    .option('--json', 'answer as JSON, for programs');
  withConfigOptions(command).action((options: StatusOptions) =>
    ports.run(() =>
      orUnknown(() =>
        options.diagnosticsUrl === undefined ? status(options, ports) : probe(options, ports),
      ),
    ),
  );
}

/** Whatever keeps it from being known. */
async function orUnknown(ask: () => Promise<ExitCode>): Promise<ExitCode> {
  try {
    return await ask();
  } catch (error) {
    if (isWritError(error)) throw new ClientError(`${error.code}: ${error.message}`, true);
    throw error instanceof ClientError ? new ClientError(error.message, true) : error;
  }
}

async function status(options: StatusOptions, ports: CliPorts): Promise<ExitCode> {
  const reply = await call(await controlEndpoint(options, ports.around), 'GET', '/v1/status');
  const body = objectOf(reply);
  if (reply.status !== 200) {
    explain(ports, reply);
    return EXIT.unknown;
  }
  if (options.json === true || !ports.terminal.isTerminal) ports.terminal.out(cell(body));
  else ports.terminal.out(linesOf(body));
  return exitOfVerdict(body['verdict']);
}

function exitOfVerdict(verdict: unknown): ExitCode {
  if (verdict === 'well') return EXIT.done;
  return verdict === 'ready, with loose ends' ? EXIT.partial : EXIT.unknown;
}

/** Some ten lines: the verdict, the server, its loose ends, and one for each check. */
function linesOf(body: JsonObject): string {
  const word = (name: string): string => cell(body[name]);
  const checks = Array.isArray(body['checks']) ? body['checks'].filter(isJsonObject) : [];
  return [
    word('verdict'),
    `${word('replica')} of fleet ${word('fleet')}, writ ${word('version')}, ${word('incarnation')}, data plane ${word('dataUrl')}`,
    `${word('replicasLive')} replicas live, ${word('replicasFenced')} fenced, ${word('replicasOutstanding')} not known; ${word('sessions')} sessions here, ${word('sessionsEnding')} told to end and not proven to have`,
    `${word('revocationsOpen')} revocations not enforced yet, ${word('lateAccepts')} late accepts, ${word('ledgersForked')} ledgers forked, ${word('bundlesRefused')} bundles refused, ${word('decisionLogLinesLost')} lines of the decision log lost${body['reviewsOwed'] === 0 ? '' : ', sessions still to be decided again'}`,
    ...(Array.isArray(body['looseEnds']) ? body['looseEnds'].map(cell) : []),
    ...checks.map(
      ({ name, ok, detail }) => `${ok === true ? 'ok ' : 'NOT'} ${cell(name).padEnd(6)} ${cell(detail)}`,
    ),
  ].join('\n');
}

/** `/readyz` alone, for who has no token. */
async function probe(options: StatusOptions, ports: CliPorts): Promise<ExitCode> {
  const reply = await call(diagnosticsEndpoint(options, ports.around), 'GET', '/readyz');
  const body = objectOf(reply);
  if (options.json === true || !ports.terminal.isTerminal) ports.terminal.out(cell(body));
  else {
    ports.terminal.out(cell(body['status']));
    showList(ports, options, body, 'checks', ['name', 'ok', 'detail']);
  }
  return reply.status === 200 && body['status'] === 'ready' ? EXIT.done : EXIT.unknown;
}

/** `writ config show`: the configuration that the server runs with, which need not be the one that lies here. */
export function addConfigShow(config: Command, ports: CliPorts): void {
  const command = config
    .command('show')
    .description('the configuration the server runs with: every value, and where it came from');
  withServerOptions(command).action((options: ServerOptions) =>
    ports.run(async () => {
      const reply = await callOrUnknown(await controlEndpoint(options, ports.around), 'GET', '/v1/config');
      const body = objectOf(reply);
      if (reply.status !== 200) return explain(ports, reply);
      if (options.json === true || !ports.terminal.isTerminal) ports.terminal.out(cell(body));
      else ports.terminal.out(settingsTable(body['settings']));
      return EXIT.done;
    }),
  );
}

function settingsTable(settings: unknown): string {
  const rows = Array.isArray(settings) ? settings.filter(isJsonObject) : [];
  return table(
    ['key', 'from', 'value'],
    rows.map(({ key, from, value }) => [key, from, value]),
  );
}

interface RevocationOptions extends ServerOptions {
  readonly wait?: string;
  readonly waitMs: number;
}

const ASK_AGAIN_MS = 200;

function addRevocation(program: Command, ports: CliPorts): void {
  const command = program
    .command('revocation')
    .description('one revocation, as it stands now or once it got there')
    .argument('<id>')
    .addOption(new Option('--wait <word>', 'until it is this').choices(['accepted', 'durable', 'enforced']))
    .option('--wait-ms <ms>', 'how long to wait for it', parseMs, 30_000)
    .allowUnknownOption();
  withServerOptions(command).action((id: string, options: RevocationOptions) =>
    ports.run(() => follow(id, options, ports)),
  );
}

async function follow(id: string, options: RevocationOptions, ports: CliPorts): Promise<ExitCode> {
  const endpoint = await controlEndpoint(options, ports.around);
  const untilMs = performance.now() + options.waitMs;
  for (;;) {
    const body = await revocationOf(endpoint, id, ports);
    if (body === undefined) return EXIT.error;
    const isReached = options.wait === undefined || isAtLeast(body['state'], options.wait);
    if (isReached || performance.now() >= untilMs) {
      showObject(ports, options, body);
      return exitOf(body['state'], isReached && options.wait !== undefined);
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

async function revocationOf(
  endpoint: Endpoint,
  id: string,
  ports: CliPorts,
): Promise<JsonObject | undefined> {
  const reply = await callOrUnknown(endpoint, 'GET', `/v1/revocations/${encodeURIComponent(id)}`);
  const body = objectOf(reply);
  if (reply.status === 200) return body;
  explain(ports, reply);
  if (reply.status >= 500) throw new ClientError('what became of it cannot be known now', true);
  return undefined;
}

/** As `writ revoke` exits: 0 once the word asked for was reached (enforced, when none was asked for). */
function exitOf(state: unknown, isReached: boolean): ExitCode {
  if (isReached || state === 'enforced') return EXIT.done;
  return state === 'partial' ? EXIT.partial : EXIT.unknown;
}

function parseMs(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('milliseconds, a whole number.');
}
