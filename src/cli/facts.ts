/** `writ lock | unlock | grant | ungrant`: what can be taken back. A token only from standard input. */
import type { Command } from 'commander';
import { Argument, InvalidArgumentError, Option } from 'commander';
import { SELECTOR_KINDS } from '../feed/entry.ts';
import { parseInstant } from '../kernel/clock.ts';
import { call } from './client.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { order, parseWaitMs, showReached } from './order.ts';
import type { CliPorts } from './ports.ts';
import type { ServerOptions } from './server-options.ts';
import { controlEndpoint, withServerOptions } from './server-options.ts';
import { explain } from './show.ts';
import { cell } from './terminal.ts';

interface EndOptions {
  readonly expiresIn?: number;
  readonly expiresAt?: string;
}

interface LockOptions extends ServerOptions, EndOptions {
  readonly issuer?: string;
  readonly name?: string;
  readonly reason?: string;
  readonly wait: string;
  readonly waitMs?: number;
  readonly idempotencyKey?: string;
}

interface GrantOptions extends ServerOptions {
  readonly subject: string;
  readonly action: string;
  readonly resource: string;
  readonly issuer?: string;
  readonly until?: string;
  readonly for?: number;
  readonly idempotencyKey?: string;
}

export function addFacts(program: Command, ports: CliPorts): void {
  addLock(program, ports);
  addGrant(program, ports);
  addTakingBack(program, ports);
}

function addLock(program: Command, ports: CliPorts): void {
  const command = program
    .command('lock')
    .description('stop what a selector names, everywhere, for a while; unlock lifts it')
    .addArgument(new Argument('<kind>', 'what the value is').choices(SELECTOR_KINDS))
    .argument('[value]', 'what it names; a token is read from standard input with -')
    .option('--issuer <issuer>', 'the issuer, where the kind has one')
    .option('--name <claim>', 'the claim, for kind claim')
    .addOption(
      new Option('--expires-in <time>', 'such as 90s, 30m, 2h, 7d; at most 31d').argParser(parseDurationMs),
    )
    .addOption(new Option('--expires-at <time>', 'RFC 3339').argParser(parseTime).conflicts('expiresIn'))
    .option('--reason <text>')
    .addOption(new Option('--wait <word>').choices(['accepted', 'durable', 'enforced']).default('enforced'))
    .option('--wait-ms <ms>', 'how long to wait for it (default: as long as it may take)', parseWaitMs)
    .option('--idempotency-key <key>', 'repeat safely under the same key (default: a new one)')
    .allowUnknownOption();
  withServerOptions(command).action((kind: string, value: string | undefined, options: LockOptions) =>
    ports.run(() => lock(kind, value, options, ports)),
  );
}

async function lock(
  kind: string,
  value: string | undefined,
  options: LockOptions,
  ports: CliPorts,
): Promise<ExitCode> {
  const problem = problemOf(kind, value, options);
  if (problem !== undefined) return misused(problem, ports);
  const named = value === '-' ? (await ports.terminal.read()).trim() : value;
  const { issuer, name, reason, wait, waitMs } = options;
  const selector = { kind, value: named, issuer, name };
  const expiresAt = endOf(options.expiresIn, options.expiresAt);
  return order('/v1/locks', { selector, reason, expiresAt, wait, waitMs }, options, ports);
}

function problemOf(kind: string, value: string | undefined, options: LockOptions): string | undefined {
  if (value?.startsWith('--') === true) return `unknown option ${cell(value)}`;
  if (kind === 'token' && value !== '-')
    return 'a token is read from standard input, never from the arguments: writ lock token -';
  if (options.expiresIn === undefined && options.expiresAt === undefined)
    return 'a lock ends by itself: --expires-in 2h, or --expires-at with a time';
  return undefined;
}

function addGrant(program: Command, ports: CliPorts): void {
  const command = program
    .command('grant')
    .description('entitle a subject to an action on a type of resource, or on one resource')
    .requiredOption(
      '--subject <[type:]id>',
      "who; without a type, of any; ':id' for an id that has a colon itself",
    )
    .requiredOption('--action <name>')
    .requiredOption('--resource <type[:id]>', 'on what; without an id, on all of the type')
    .option('--issuer <issuer>', 'of whose credentials the subject must be (default: of any)')
    .addOption(new Option('--for <time>', 'such as 90s, 30m, 2h, 7d').argParser(parseDurationMs))
    .addOption(
      new Option('--until <time>', 'RFC 3339 (default: until it is taken away)')
        .argParser(parseTime)
        .conflicts('for'),
    )
    .option('--idempotency-key <key>', 'repeat safely under the same key (default: a new one)');
  withServerOptions(command).action((options: GrantOptions) => ports.run(() => grant(options, ports)));
}

async function grant(options: GrantOptions, ports: CliPorts): Promise<ExitCode> {
  const { action, issuer } = options;
  const [resourceType, resourceId] = splitAt(options.resource);
  const body = {
    subject: subjectOf(options.subject),
    action,
    resource: { type: resourceType, id: resourceId },
    issuer,
    until: endOf(options.for, options.until),
  };
  return order('/v1/grants', body, options, ports);
}

/** The words that take back. */
function addTakingBack(program: Command, ports: CliPorts): void {
  const words = [
    { name: 'unlock', path: '/v1/locks/', description: 'lift a lock; a revocation cannot be lifted' },
    { name: 'ungrant', path: '/v1/grants/', description: 'take a grant away' },
  ] as const;
  for (const { name, path, description } of words) {
    const command = program.command(name).description(description).argument('<id>');
    withServerOptions(command).action((id: string, options: ServerOptions) =>
      ports.run(async () => {
        const endpoint = await controlEndpoint(options, ports.around);
        const reply = await call(endpoint, 'DELETE', `${path}${encodeURIComponent(id)}`);
        if (reply.status >= 400) return explain(ports, reply);
        return showReached(reply, options, ports);
      }),
    );
  }
}

function misused(problem: string, ports: CliPorts): ExitCode {
  ports.terminal.problem(problem);
  return EXIT.usage;
}

/** RFC 3339; a length of time counts from this machine's clock. */
function endOf(afterMs: number | undefined, at: string | undefined): string | undefined {
  return afterMs === undefined ? at : new Date(Date.now() + afterMs).toISOString();
}

/** `billing`, `service:billing`; what begins with a colon is an id without a type, whatever else is in it. */
function subjectOf(text: string): { readonly type?: string; readonly id: string } {
  const [type, id] = splitAt(text);
  if (id === undefined) return { id: type };
  return type === '' ? { id } : { type, id };
}

/** `invoice:42` -> type and id; the id may hold colons of its own. */
function splitAt(text: string): [string, string | undefined] {
  const at = text.indexOf(':');
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function parseDurationMs(text: string): number {
  const [, count = '', unit = ''] = /^([1-9]\d{0,5})([smhd])$/.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  if (unitMs === undefined)
    throw new InvalidArgumentError('a whole number of at most six digits and s, m, h or d, such as 2h.');
  return Number(count) * unitMs;
}

function parseTime(text: string): string {
  if (parseInstant(text) === undefined)
    throw new InvalidArgumentError('an RFC 3339 time, such as 2030-01-31T08:00:00Z.');
  return text;
}
