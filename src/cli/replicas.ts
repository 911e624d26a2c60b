/** `writ replicas`: every incarnation on the roster, as one server knows it; `writ replicas forget NAME`: one that is gone. */
import type { Command } from 'commander';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { call, callOrUnknown, objectOf } from './client.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import type { CliPorts } from './ports.ts';
import type { ServerOptions } from './server-options.ts';
import { controlEndpoint, withServerOptions } from './server-options.ts';
import { explain, showObject } from './show.ts';
import { cell, table } from './terminal.ts';

interface ForgetOptions extends ServerOptions {
  readonly reason?: string;
}

export function addReplicas(program: Command, ports: CliPorts): void {
  const command = program
    .command('replicas')
    .description('every incarnation on the roster: state, position, lag, lease, clock');
  withServerOptions(command).action((options: ServerOptions) => ports.run(() => list(options, ports)));
  const forget = command
    .command('forget')
    .description('take the silent incarnations of a name off the roster; none that may hold a lease')
    .argument('<name>')
    .option('--reason <text>', 'stands in the ledger');
  // The command above takes the options that both have, wherever they stand.
  withServerOptions(forget).action((name: string, _: ForgetOptions, { parent }: Command) =>
    ports.run(() => forgetOne(name, { ...forget.opts<ForgetOptions>(), ...parent?.opts() }, ports)),
  );
}

async function list(options: ServerOptions, ports: CliPorts): Promise<ExitCode> {
  const reply = await callOrUnknown(await controlEndpoint(options, ports.around), 'GET', '/v1/replicas');
  const body = objectOf(reply);
  if (reply.status !== 200) return explain(ports, reply);
  if (options.json === true || !ports.terminal.isTerminal) ports.terminal.out(cell(body));
  else ports.terminal.out(tableOf(body['replicas']));
  return EXIT.done;
}

/** What a busy machine makes of it looks like a clock that is behind. */
const CLOCK_NOTE =
  'clock ahead: by so much at least and at most, unless an acknowledgement was on its way for longer, as at a busy start';

function tableOf(replicas: unknown): string {
  const rows = Array.isArray(replicas) ? replicas.filter(isJsonObject) : [];
  const isAnyClockKnown = rows.some(({ clock }) => isJsonObject(clock));
  const lines = table(
    ['replica', 'state', 'position', 'lag', 'lease', 'clock ahead', 'unconfirmed', 'joined', 'incarnation'],
    rows.map((row) => [
      row['self'] === true ? `${cell(row['replica'])} (asked)` : row['replica'],
      row['state'],
      row['position'],
      row['lag'],
      leaseOf(row),
      clockOf(row['clock']),
      row['sessionsUnconfirmed'],
      row['joinedAt'],
      row['incarnation'],
    ]),
  );
  return isAnyClockKnown ? `${lines}\n${CLOCK_NOTE}` : lines;
}

function leaseOf({ freshForMs, mayAllowForMs, fencedSince }: JsonObject): string {
  if (fencedSince !== undefined) return `over since ${cell(fencedSince)}`;
  if (freshForMs !== undefined) return `good for ${cell(freshForMs)} ms`;
  return mayAllowForMs === undefined ? '' : `at most ${cell(mayAllowForMs)} ms`;
}

function clockOf(clock: unknown): string {
  if (!isJsonObject(clock)) return '';
  const { aheadMs, withinMs } = clock;
  return `${cell(aheadMs)} to ${Number(aheadMs) + Number(withinMs)} ms`;
}

async function forgetOne(name: string, options: ForgetOptions, ports: CliPorts): Promise<ExitCode> {
  const { reason } = options;
  const path = `/v1/replicas/${encodeURIComponent(name)}/forget`;
  const endpoint = await controlEndpoint(options, ports.around);
  const reply = await call(endpoint, 'POST', path, reason === undefined ? {} : { reason });
  if (reply.status !== 200) return explain(ports, reply);
  showObject(ports, options, objectOf(reply));
  return EXIT.done;
}
