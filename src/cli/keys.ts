/** `writ keys`, `writ key fleet`, `writ receipt`, `writ ledger`, `writ checkpoint`: what a stranger is handed to check. */
import type { Command } from 'commander';
import { toBase64Url } from '../kernel/digest.ts';
import { isJsonObject } from '../kernel/json.ts';
import type { CliPorts } from './ports.ts';
import { callOrUnknown, objectOf } from './client.ts';
import { EXIT } from './exit.ts';
import type { ServerOptions } from './server-options.ts';
import { controlEndpoint, withServerOptions } from './server-options.ts';
import { explain } from './show.ts';
import { cell } from './terminal.ts';

export function addKeys(program: Command, ports: CliPorts): void {
  addText(
    program,
    ports,
    'receipt',
    'print the receipt of a revocation',
    (id) => `/v1/receipts/${encodeURIComponent(id)}`,
    '<id>',
  );
  addText(program, ports, 'ledger', 'export the ledger as JSON lines', (_, { from }) =>
    from === undefined ? '/v1/ledger' : `/v1/ledger?from=${encodeURIComponent(from)}`,
  ).option('--from <position>', 'from this position on (default: the first one held)');
  addText(program, ports, 'checkpoint', 'print the signed checkpoint', () => '/v1/checkpoint');
  const keys = program
    .command('keys')
    .description('print the public keys that receipts and ledgers are checked with');
  withServerOptions(keys).action((options: ServerOptions) =>
    ports.run(async () => {
      const reply = await callOrUnknown(await controlEndpoint(options, ports.around), 'GET', '/v1/keys');
      const body = objectOf(reply);
      if (reply.status !== 200) return explain(ports, reply);
      if (options.json === true) ports.terminal.out(cell(body));
      else ports.terminal.out([cell(body['log']), ...replicaLines(body['replicas'])].join('\n'));
      return EXIT.done;
    }),
  );
  program
    .command('key')
    .description('make keys')
    .command('fleet')
    .description('print a new fleet key: one line for fleetKeyFile, the same on every replica')
    .action(() =>
      ports.run(async () => {
        ports.terminal.out(toBase64Url(crypto.getRandomValues(new Uint8Array(32))));
        return EXIT.done;
      }),
    );
}

interface TextOptions extends ServerOptions {
  readonly from?: string;
}

function addText(
  program: Command,
  ports: CliPorts,
  name: string,
  description: string,
  path: (id: string, options: TextOptions) => string,
  argument?: string,
): Command {
  const command = program.command(name).description(description);
  if (argument !== undefined) command.argument(argument);
  return withServerOptions(command).action(async (...given: unknown[]) =>
    ports.run(async () => {
      const [id, options] = (argument === undefined ? ['', given[0]] : given) as [string, TextOptions];
      const endpoint = await controlEndpoint(options, ports.around);
      const reply = await callOrUnknown(endpoint, 'GET', path(id, options));
      if (reply.status !== 200) return explain(ports, reply);
      const text = reply.text.replace(/\n$/, '');
      // A file gets the very bytes, because they are verified; a terminal gets what cannot act on it.
      ports.terminal.out(ports.terminal.isTerminal ? text.split('\n').map(cell).join('\n') : text);
      return EXIT.done;
    }),
  );
}

/** Comments in the key file: a receipt carries the replicas' certificates itself. */
function replicaLines(replicas: unknown): string[] {
  if (!Array.isArray(replicas)) return [];
  return replicas
    .filter(isJsonObject)
    .map((one) =>
      ['#', ...[one['replica'], one['incarnation'], one['key'], one['cosigner']].map(cell)].join(' '),
    );
}
