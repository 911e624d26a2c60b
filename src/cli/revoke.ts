/** `writ revoke`: one selector from the arguments (a token only from standard input), and what became of it. */
import type { Command } from 'commander';
import type { JsonObject } from '../kernel/json.ts';
import { SELECTOR_KINDS } from '../feed/entry.ts';
import type { CliPorts } from './ports.ts';
import { call, objectOf } from './client.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { explain, showObject } from './show.ts';
import type { ServerOptions } from './server-options.ts';
import { controlEndpoint, withServerOptions } from './server-options.ts';

interface RevokeOptions extends ServerOptions {
  readonly issuer?: string;
  readonly name?: string;
  readonly before?: string;
  readonly reason?: string;
  readonly ticket?: string;
  readonly wait?: string;
  readonly waitMs?: string;
  readonly dryRun?: boolean;
  readonly idempotencyKey?: string;
}

export function addRevoke(program: Command, ports: CliPorts): void {
  const command = program
    .command('revoke')
    .description('make what a selector names dead, everywhere, and say when it is')
    .argument('<kind>', `one of ${SELECTOR_KINDS.join(', ')}`)
    .argument('[value]', 'what it names; a token is read from standard input with -')
    .option('--issuer <issuer>', 'the issuer, where the kind has one')
    .option('--name <claim>', 'the claim, for kind claim')
    .option('--before <time>', 'RFC 3339; kills what was issued at or before it (default: now)')
    .option('--reason <text>')
    .option('--ticket <text>')
    .option('--wait <word>', 'accepted, durable or enforced', 'enforced')
    .option('--wait-ms <ms>', 'how long to wait for it', '5000')
    .option('--idempotency-key <key>', 'repeat safely under the same key')
    .option('--dry-run', 'say what would die; append nothing');
  withServerOptions(command).action((kind: string, value: string | undefined, options: RevokeOptions) =>
    ports.run(() => revoke(kind, value, options, ports)),
  );
}

async function revoke(
  kind: string,
  value: string | undefined,
  options: RevokeOptions,
  ports: CliPorts,
): Promise<ExitCode> {
  if (kind === 'token' && value !== '-') {
    ports.terminal.problem(
      'a token is read from standard input, never from the arguments: writ revoke token -',
    );
    return EXIT.usage;
  }
  const endpoint = await controlEndpoint(options, ports.around);
  const named = value === '-' ? (await ports.terminal.read()).trim() : value;
  const headers = options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey };
  const reply = await call(endpoint, 'POST', '/v1/revocations', bodyOf(kind, named, options), headers);
  const body = objectOf(reply);
  if (reply.status >= 400) return explain(ports, body, reply.status);
  showObject(ports, options, body);
  return exitOf(reply.status, body);
}

function bodyOf(kind: string, value: string | undefined, options: RevokeOptions): JsonObject {
  const { issuer, name, before, reason, ticket, wait = 'enforced', waitMs = '5000', dryRun } = options;
  const selector = { kind, value, issuer, name, before };
  const body = { selector, reason, ticket, wait, waitMs: Number(waitMs), dryRun };
  return JSON.parse(JSON.stringify(body)) as JsonObject;
}

function exitOf(status: number, body: JsonObject): ExitCode {
  if (status === 200 || status === 201) return EXIT.done;
  return body['state'] === 'partial' ? EXIT.partial : EXIT.unknown;
}
