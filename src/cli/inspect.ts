/** Commands that ask a running server: check, sessions, replicas, revocations, locks, grants, epoch, token. */
import type { Command } from 'commander';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import type { CliPorts } from './ports.ts';
import type { Endpoint } from './client.ts';
import { call, callOrUnknown, objectOf } from './client.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import type { ServerOptions } from './server-options.ts';
import { controlEndpoint, dataEndpoint, withServerOptions } from './server-options.ts';
import { explain, showList, showObject } from './show.ts';
import { cell } from './terminal.ts';

interface CheckOptions extends ServerOptions {
  readonly token?: string;
  readonly subject?: string;
  readonly action: string;
  readonly resource: string;
}

export function addInspect(program: Command, ports: CliPorts): void {
  addLists(program, ports);
  addCheck(program, ports);
  addEpoch(program, ports);
  addToken(program, ports);
}

function addLists(program: Command, ports: CliPorts): void {
  const lists = [
    {
      name: 'sessions',
      path: '/v1/sessions',
      columns: ['session', 'kind', 'subject', 'openedAt', 'expiresAt', 'kill'],
    },
    {
      name: 'revocations',
      path: '/v1/revocations',
      columns: ['id', 'position', 'at', 'targets', 'caller', 'reason', 'ticket'],
    },
    {
      name: 'locks',
      path: '/v1/locks',
      columns: ['id', 'expiresAt', 'selectors', 'caller', 'reason', 'at'],
    },
    {
      name: 'grants',
      path: '/v1/grants',
      columns: ['id', 'subject', 'issuer', 'action', 'resource', 'until', 'caller'],
    },
  ] as const;
  for (const { name, path, columns } of lists) {
    const command = program.command(name).description(`list the ${name}`);
    withServerOptions(command).action((options: ServerOptions) =>
      ports.run(async () => {
        const reply = await callOrUnknown(await controlEndpoint(options, ports.around), 'GET', path);
        if (reply.status !== 200) return explain(ports, reply);
        showList(ports, options, objectOf(reply), name, columns);
        return EXIT.done;
      }),
    );
  }
}

function addCheck(program: Command, ports: CliPorts): void {
  const command = program
    .command('check')
    .description('ask for one decision')
    .option('--token <->', 'the credential, from standard input (-)')
    .option('--subject <type:id>', 'the subject (default: the one the token names)')
    .requiredOption('--action <name>')
    .requiredOption('--resource <type:id>');
  withServerOptions(command).action((options: CheckOptions) => ports.run(() => check(options, ports)));
}

async function check(options: CheckOptions, ports: CliPorts): Promise<ExitCode> {
  if (options.token !== undefined && options.token !== '-') {
    ports.terminal.problem('a token is read from standard input, never from the arguments: --token -');
    return EXIT.usage;
  }
  const token = options.token === undefined ? undefined : (await ports.terminal.read()).trim();
  const subject = options.subject === undefined ? subjectOf(token) : entityOf(options.subject);
  const resource = entityOf(options.resource);
  if (subject === undefined || resource === undefined) {
    ports.terminal.problem(usageOf(options, token));
    return EXIT.usage;
  }
  const context: JsonObject = token === undefined ? {} : { credential: { scheme: 'Bearer', token } };
  const body = { subject, action: { name: options.action }, resource, context };
  const endpoint = await dataEndpoint(options, ports.around);
  const reply = await callOrUnknown(endpoint, 'POST', '/access/v1/evaluation', body);
  if (reply.status !== 200) {
    ports.terminal.problem(`${reply.status}: ${cell(reply.text)}`);
    return EXIT.error;
  }
  const answer = objectOf(reply);
  showObject(ports, options, answer);
  if (answer['decision'] === true) return EXIT.done;
  const reason = isJsonObject(answer['context']) ? answer['context']['reason'] : undefined;
  return reason === 'fenced' || reason === 'introspection_unavailable' ? EXIT.unknown : EXIT.denied;
}

function usageOf({ subject, resource }: CheckOptions, token: string | undefined): string {
  if (entityOf(resource) === undefined) return '--resource is type:id';
  if (subject !== undefined) return '--subject is type:id';
  if (token === undefined) return '--subject is needed without a token';
  return token === ''
    ? 'standard input held no token'
    : 'the token is no JWT: name its subject with --subject type:id';
}

/** `type:id`. */
export function entityOf(text: string): JsonObject | undefined {
  const colon = text.indexOf(':');
  return colon < 1 || colon === text.length - 1
    ? undefined
    : { type: text.slice(0, colon), id: text.slice(colon + 1) };
}

/** The subject a JWT names, unverified: the server verifies, and refuses what does not fit. */
export function subjectOf(token: string | undefined): JsonObject | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return isJsonObject(claims) && typeof claims['sub'] === 'string'
      ? { type: 'identity', id: claims['sub'] }
      : undefined;
  } catch {
    return undefined;
  }
}

interface EpochOptions extends ServerOptions {
  readonly newFleet?: boolean;
  readonly acceptAmnesia?: boolean;
  readonly reason?: string;
}

function addEpoch(program: Command, ports: CliPorts): void {
  const epoch = program
    .command('epoch')
    .description('the feed as a whole; which epoch is open, `writ status` says');
  const command = epoch
    .command('open')
    .description(
      "open an epoch on an operator's word: the first of a store, or the next one, over an open one too",
    )
    .option('--new-fleet', 'this store has never held anything')
    .option('--accept-amnesia', 'what it held is lost, and that is accepted')
    .option('--reason <text>', 'stands in every receipt since');
  withServerOptions(command).action((options: EpochOptions) =>
    ports.run(async () => {
      if ((options.newFleet === true) === (options.acceptAmnesia === true)) {
        ports.terminal.problem('one of --new-fleet and --accept-amnesia');
        return EXIT.usage;
      }
      if (options.acceptAmnesia === true && (options.reason ?? '') === '') {
        ports.terminal.problem('--accept-amnesia needs --reason <text>: it stands in every receipt since');
        return EXIT.usage;
      }
      const rule = options.newFleet === true ? 'new-fleet' : 'accept-amnesia';
      const body = options.reason === undefined ? { rule } : { rule, reason: options.reason };
      return show(await controlEndpoint(options, ports.around), '/v1/epoch', body, options, ports);
    }),
  );
}

interface TokenOptions extends ServerOptions {
  readonly sub: string;
  readonly scope?: string;
  readonly ttl?: string;
}

function addToken(program: Command, ports: CliPorts): void {
  const command = program
    .command('token')
    .description('mint a token from the dev issuer (servers started with --dev only)')
    .requiredOption('--sub <subject>')
    .option('--scope <scope>')
    .option('--ttl <seconds>', 'how long it lives', '3600');
  withServerOptions(command).action((options: TokenOptions) =>
    ports.run(async () => {
      const { sub, scope, ttl = '3600' } = options;
      const body = { sub, ttlS: Number(ttl), ...(scope === undefined ? {} : { scope }) };
      const reply = await call(await controlEndpoint(options, ports.around), 'POST', '/v1/dev/tokens', body);
      if (reply.status === 404)
        ports.terminal.problem('only a server that was started with --dev mints tokens');
      if (reply.status !== 201) return explain(ports, reply);
      const minted = objectOf(reply);
      ports.terminal.out(options.json === true ? JSON.stringify(minted) : cell(minted['token']));
      return EXIT.done;
    }),
  );
}

async function show(
  endpoint: Endpoint,
  path: string,
  body: JsonObject,
  options: ServerOptions,
  ports: CliPorts,
): Promise<ExitCode> {
  const reply = await call(endpoint, 'POST', path, body);
  if (reply.status >= 400) return explain(ports, reply);
  showObject(ports, options, objectOf(reply));
  return EXIT.done;
}
