/**
 * `writ drill`: a fire drill. A canary is revoked for good, by the way every revocation goes, and what is shown is
 * said: how long it took, what each replica says, that the receipt verifies, and by probes of three legs (it was accepted
 * before, it is refused as revoked now, a sibling still passes) that nobody accepts it. What was not shown is never green.
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Keyring } from '../evidence/keyring.ts';
import { parseKeyring } from '../evidence/keyring.ts';
import { verifyReceipt } from '../evidence/receipt.ts';
import { isWritError } from '../kernel/error.ts';
import type { JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Canary, Question } from './canary.ts';
import { givenCanary, makeCanary } from './canary.ts';
import type { Endpoint, Reply } from './client.ts';
import { ClientError, call, callOrUnknown, objectOf } from './client.ts';
import { Probing } from './drill-probe.ts';
import type { Receipt } from './drill-report.ts';
import { EXIT_OF, renderReport, reportOf } from './drill-report.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { entityOf } from './inspect.ts';
import { doneOf, parseWaitMs } from './order.ts';
import type { CliPorts } from './ports.ts';
import type { ServerOptions } from './server-options.ts';
import { controlEndpoint, dataEndpoint, trusted, withServerOptions } from './server-options.ts';
import { explain } from './show.ts';
import { cell } from './terminal.ts';

interface DrillOptions extends ServerOptions, Question {
  readonly token?: string;
  readonly probe?: readonly string[];
  readonly keys?: string;
  readonly reason: string;
  readonly waitMs: number;
}

export function addDrill(program: Command, ports: CliPorts): void {
  const command = program
    .command('drill')
    .description('fire drill: revoke a canary, measure until nobody accepts it, and verify the receipt')
    .option(
      '--token <->',
      'standard input (-): the canary, which is revoked for good, and a sibling; one a line',
    )
    .option('--probe <url...>', 'data planes to ask (default: that of the server)')
    .option('--action <name>', 'what the probes ask for', 'read')
    .option('--resource <type:id>', 'and on what', 'drill:canary')
    .option('--keys <file>', 'what `writ keys` printed (default: what the server says now)')
    .option('--reason <text>', 'stands in the ledger', 'drill')
    .option('--wait-ms <ms>', 'how long to wait for `enforced`', parseWaitMs, LIMITS.waitMsMax);
  withServerOptions(command).action((options: DrillOptions) => ports.run(() => drill(options, ports)));
}

async function drill(options: DrillOptions, ports: CliPorts): Promise<ExitCode> {
  const endpoint = await controlEndpoint(options, ports.around);
  const keyring = await keyringFor(options, endpoint, ports);
  const canary = await canaryOf(options, endpoint, ports);
  if (canary === undefined) return EXIT.usage;
  const urls = canary.target === undefined ? [] : await probedUrls(options, ports);
  const probing = new Probing(canary, urls, { ...options, ...trusted(options, ports.around) });
  await probing.before();
  const { selector } = canary;
  const { reason, waitMs } = options;
  const startedMs = performance.now();
  const watching = probing.watch();
  let reply: Reply;
  try {
    const body = { selector, reason, wait: 'enforced', waitMs } as JsonObject;
    reply = await call(endpoint, 'POST', '/v1/revocations', body, { 'idempotency-key': randomUUID() });
  } finally {
    probing.stop();
  }
  const answeredMs = Math.round(performance.now() - startedMs);
  await watching;
  const said = doneOf(reply);
  if (reply.status >= 300) return explain(ports, reply);
  const probes = await probing.after();
  const receipt = await receiptOf(said, endpoint, keyring);
  const report = reportOf({ canary, said, answeredMs, probes, receipt });
  if (options.json === true || !ports.terminal.isTerminal) ports.terminal.out(cell(report));
  else ports.terminal.out(renderReport(report));
  return EXIT_OF[report.closure];
}

/** Undefined, and said why, when there is none. */
async function canaryOf(
  { token, resource }: DrillOptions,
  endpoint: Endpoint,
  ports: CliPorts,
): Promise<Canary | undefined> {
  const isNamed = entityOf(resource) !== undefined;
  if (isNamed && token === undefined) return makeCanary(endpoint);
  const given = isNamed && token === '-' ? givenCanary(await ports.terminal.read()) : undefined;
  if (given !== undefined) return given;
  ports.terminal.problem(
    !isNamed
      ? '--resource is type:id'
      : token === '-'
        ? 'standard input held no JWT that names its subject'
        : 'tokens are read from standard input, never from the arguments: --token -',
  );
  return undefined;
}

async function probedUrls({ probe, ...options }: DrillOptions, ports: CliPorts): Promise<readonly string[]> {
  return probe ?? [(await dataEndpoint(options, ports.around)).url];
}

/** What receipts are checked with. Had before anything is revoked. */
async function keyringFor({ keys }: DrillOptions, endpoint: Endpoint, ports: CliPorts): Promise<Keyring> {
  if (keys === undefined)
    return parseKeyring(cell(objectOf(await callOrUnknown(endpoint, 'GET', '/v1/keys'))['log']));
  const path = resolve(ports.around.cwd, keys);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) throw new ClientError(`${path} cannot be read`);
  return parseKeyring(text);
}

async function receiptOf(
  { id, receipt, state }: JsonObject,
  endpoint: Endpoint,
  keyring: Keyring,
): Promise<Receipt> {
  if (typeof receipt !== 'string') return undefined;
  const { text } = await callOrUnknown(endpoint, 'GET', receipt);
  try {
    const facts = verifyReceipt(text, keyring);
    if (facts.id !== id || facts.state !== state) return { refuted: 'it is about something else' };
    const { rule, weakened, notCovered } = facts;
    return { facts: { rule, weakened, notCovered } };
  } catch (error) {
    if (isWritError(error, 'PROOF_INVALID')) return { refuted: error.message };
    throw error;
  }
}
