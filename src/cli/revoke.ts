/** `writ revoke`: one selector from the arguments (a token only from standard input), and what became of it. */
import type { Command } from 'commander';
import { Argument, Option } from 'commander';
import { SELECTOR_KINDS } from '../feed/entry.ts';
import type { CliPorts } from './ports.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { order, parseWaitMs } from './order.ts';
import { cell } from './terminal.ts';
import type { ServerOptions } from './server-options.ts';
import { withServerOptions } from './server-options.ts';

interface RevokeOptions extends ServerOptions {
  readonly issuer?: string;
  readonly name?: string;
  readonly before?: string;
  readonly reason?: string;
  readonly ticket?: string;
  readonly wait?: string;
  readonly waitMs?: number;
  readonly dryRun?: boolean;
  readonly idempotencyKey?: string;
}

export function addRevoke(program: Command, ports: CliPorts): void {
  const command = program
    .command('revoke')
    .description('make what a selector names dead, everywhere, and say when it is')
    .addArgument(new Argument('<kind>', 'what the value is').choices(SELECTOR_KINDS))
    .argument('[value]', 'what it names; a token is read from standard input with -')
    .option('--issuer <issuer>', 'the issuer, where the kind has one')
    .option('--name <claim>', 'the claim, for kind claim')
    .option('--before <time>', 'RFC 3339; kills what was issued at or before it (default: now)')
    .option('--reason <text>')
    .option('--ticket <text>')
    .addOption(new Option('--wait <word>').choices(['accepted', 'durable', 'enforced']).default('enforced'))
    .option('--wait-ms <ms>', 'how long to wait for it (default: as long as it may take)', parseWaitMs)
    .option('--idempotency-key <key>', 'repeat safely under the same key (default: a new one)')
    .option('--dry-run', 'say what would die; append nothing')
    // One base64url id in 64 begins with a dash, and is a value all the same.
    .allowUnknownOption();
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
  if (value?.startsWith('--') === true) {
    ports.terminal.problem(`unknown option ${cell(value)}`);
    return EXIT.usage;
  }
  if (kind === 'token' && value !== '-') {
    ports.terminal.problem(
      'a token is read from standard input, never from the arguments: writ revoke token -',
    );
    return EXIT.usage;
  }
  const named = value === '-' ? (await ports.terminal.read()).trim() : value;
  return order('/v1/revocations', bodyOf(kind, named, options), options, ports);
}

function bodyOf(kind: string, value: string | undefined, options: RevokeOptions): object {
  const { issuer, name, before, reason, ticket, wait = 'enforced', waitMs, dryRun } = options;
  const selector = { kind, value, issuer, name, before };
  return { selector, reason, ticket, wait, waitMs, dryRun };
}
