/**
 * Orders that append: sent under an Idempotency-Key always, so that whoever is left without an answer can ask again and
 * get one entry.
 */
import { randomUUID } from 'node:crypto';
import { InvalidArgumentError } from 'commander';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Reply } from './client.ts';
import { ClientError, call, objectOf } from './client.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import type { CliPorts } from './ports.ts';
import type { ServerOptions } from './server-options.ts';
import { controlEndpoint } from './server-options.ts';
import { explain, showObject } from './show.ts';
import { cell } from './terminal.ts';

interface OrderOptions extends ServerOptions {
  readonly idempotencyKey?: string;
  readonly dryRun?: boolean;
  /** As long as the server says that it may take, unless it is there. */
  readonly waitMs?: number;
}

/** POSTs `body` and shows what became of it: 0 when what was asked for is reached, 3 when part of it, 4 when unknown. */
export async function order(
  path: string,
  body: object,
  options: OrderOptions,
  ports: CliPorts,
): Promise<ExitCode> {
  const { idempotencyKey = randomUUID() } = options;
  const sent = JSON.parse(JSON.stringify(body)) as JsonObject;
  // A length of time would count anew, and be another order.
  const { expiresAt, until } = sent;
  const ended = [
    expiresAt === undefined ? '' : ` --expires-at ${cell(expiresAt)}`,
    until === undefined ? '' : ` --until ${cell(until)}`,
  ].join('');
  const again = `--idempotency-key ${quoted(idempotencyKey)}${ended}`;
  const sayHowToRepeat = (): void =>
    ports.terminal.problem(
      `whether it was done is unknown: writ ${path.slice('/v1/'.length)} lists what was, on a replica that is ready; repeat it with ${again}`,
    );
  const endpoint = await controlEndpoint(options, ports.around);
  let sayWhatBecame = options.dryRun === true ? () => undefined : sayHowToRepeat;
  const leave = ports.onInterrupt(() => sayWhatBecame());
  try {
    const reply = await call(endpoint, 'POST', path, sent, { 'idempotency-key': idempotencyKey });
    if (reply.status < 300) {
      const { id } = doneOf(reply);
      const waitsOn = isRevocation(id) ? followOf(id, sent['wait']) : `the same order with ${again}`;
      sayWhatBecame = () => ports.terminal.problem(`${cell(id)} was taken: ${waitsOn} waits on`);
      return showReached(await waitOn(reply, path, sent, options), options, ports, sent);
    }
    const problem = problemIn(reply);
    explain(ports, reply, problem);
    if (isUndone(reply.status, problem, options)) {
      if (UNDONE.has(problem['code'])) ports.terminal.problem(undoneBy(problem['code']));
      return EXIT.error;
    }
    sayHowToRepeat();
    return EXIT.unknown;
  } catch (error) {
    if (error instanceof ClientError && error.isUncertain) sayHowToRepeat();
    throw error;
  } finally {
    leave();
  }
}

function isRevocation(id: unknown): boolean {
  return typeof id === 'string' && id.startsWith('rev_');
}

function followOf(id: unknown, wait: unknown): string {
  return `writ revocation ${cell(id)} --wait ${cell(wait)}`;
}

const ASK_AGAIN_MS = 200;
/** What is proven by the clock is so a moment after the bound. */
const LATE_MS = 1_000;

/**
 * The last answer before the time is over that the server named in its first one: at most what it can be asked to wait
 * for. What is `partial` waits for a holder, which no clock does.
 */
async function waitOn(
  first: Reply,
  path: string,
  { wait }: JsonObject,
  options: OrderOptions,
): Promise<Reply> {
  const { id, boundMs } = doneOf(first);
  if (first.status !== 202 || wait === undefined || options.waitMs !== undefined) return first;
  if (typeof id !== 'string' || typeof boundMs !== 'number') return first;
  const untilMs = performance.now() + Math.min(boundMs + LATE_MS, LIMITS.waitMsMax) - LIMITS.waitMsDefault;
  let reply = first;
  while (performance.now() < untilMs && doneOf(reply)['state'] !== 'partial') {
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    const later = await call(first.from, 'GET', `${path}/${encodeURIComponent(id)}`).catch(() => undefined);
    if (later?.status !== 200) continue;
    if (isAtLeast(doneOf(later)['state'], wait)) return { ...later, status: 201 };
    reply = { ...later, status: 202 };
  }
  return reply;
}

const STRENGTH: Readonly<Record<string, number>> = { accepted: 0, durable: 1, partial: 1, enforced: 2 };

export function isAtLeast(state: unknown, wanted: unknown): boolean {
  return (STRENGTH[String(state)] ?? -1) >= (STRENGTH[String(wanted)] ?? Infinity);
}

/** What a server says when nothing was appended. Any other 5xx may be of whoever stands before it, or a fault half-way. */
const UNDONE: ReadonlySet<unknown> = new Set(['FENCED', 'STORE_UNREACHABLE', 'OVERLOADED', 'EPOCH_CLOSED']);

/** What keeps one replica from it need not keep the others: it has no lease, or does not reach the store. */
function undoneBy(code: unknown): string {
  const isItsOwn = code === 'FENCED' || code === 'STORE_UNREACHABLE';
  return `nothing was recorded${isItsOwn ? '; another replica, where there is one, may take it (--url)' : ''}`;
}

/** 408 and 499 are of somebody in between; under a key of the caller's own an earlier order may have been done. */
function isUndone(status: number, { code }: JsonObject, { idempotencyKey, dryRun }: OrderOptions): boolean {
  if (dryRun === true) return true;
  if (status < 400 || status === 408 || status === 499) return false;
  return status < 500 || (idempotencyKey === undefined && UNDONE.has(code));
}

function problemIn(reply: Reply): JsonObject {
  try {
    return objectOf(reply);
  } catch {
    return { detail: 'the answer is none of a Writ' };
  }
}

/** `sent`: what was asked for, where it was an order. */
export function showReached(
  reply: Reply,
  options: ServerOptions,
  ports: CliPorts,
  { selector, wait }: JsonObject = {},
): ExitCode {
  const body = doneOf(reply);
  showObject(ports, options, body);
  const { id, state, seen } = body;
  // A misspelt issuer looks like this too, and binds all the same. A token is its own spelling.
  if (seen === false && !(isJsonObject(selector) && selector['kind'] === 'token'))
    ports.terminal.problem('nothing that it names was seen here yet; is it spelt as the tokens spell it?');
  if (reply.status === 200 || reply.status === 201) return EXIT.done;
  if (isRevocation(id))
    ports.terminal.problem(
      `${cell(id)} is ${cell(state)}, not ${cell(wait)} yet: ${followOf(id, wait)} waits on`,
    );
  return state === 'partial' ? EXIT.partial : EXIT.unknown;
}

/** It was done, so an answer that makes no sense leaves it unknown how far. */
export function doneOf(reply: Reply): JsonObject {
  try {
    return objectOf(reply);
  } catch (error) {
    throw error instanceof ClientError ? new ClientError(error.message, true) : error;
  }
}

/** For a shell. */
function quoted(key: string): string {
  return /^[\w.:-]+$/.test(key) ? key : `'${cell(key).replaceAll("'", `'\\''`)}'`;
}

/** For `--wait-ms`. */
export function parseWaitMs(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= LIMITS.waitMsMax) return Number(text);
  throw new InvalidArgumentError(`milliseconds, a whole number of at most ${LIMITS.waitMsMax}.`);
}
