/**
 * Orders that append: sent under an Idempotency-Key always, so that whoever is left without an answer can ask again and
 * get one entry.
 */
import { randomUUID } from 'node:crypto';
import { InvalidArgumentError } from 'commander';
import type { JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Reply } from './client.ts';
import { ClientError, call, objectOf } from './client.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import type { CliPorts } from './ports.ts';
import type { ServerOptions } from './server-options.ts';
import { controlEndpoint } from './server-options.ts';
import { explain, showObject } from './show.ts';

interface OrderOptions extends ServerOptions {
  readonly idempotencyKey?: string;
}

/** POSTs `body` and shows what became of it: 0 when what was asked for is reached, 3 when part of it, 4 when unknown. */
export async function order(
  path: string,
  body: object,
  options: OrderOptions,
  ports: CliPorts,
): Promise<ExitCode> {
  const { idempotencyKey = randomUUID() } = options;
  const sayHowToRepeat = (): void =>
    ports.terminal.problem(
      `whether it was done is unknown; repeat it with --idempotency-key ${idempotencyKey}`,
    );
  const sent = JSON.parse(JSON.stringify(body)) as JsonObject;
  const endpoint = await controlEndpoint(options, ports.around);
  try {
    const reply = await call(endpoint, 'POST', path, sent, { 'idempotency-key': idempotencyKey });
    if (reply.status < 400) return showReached(reply, options, ports);
    const code = explain(ports, objectOf(reply), reply.status);
    if (code === EXIT.unknown) sayHowToRepeat();
    return code;
  } catch (error) {
    if (error instanceof ClientError && error.isUncertain) sayHowToRepeat();
    throw error;
  }
}

export function showReached(reply: Reply, options: ServerOptions, ports: CliPorts): ExitCode {
  const body = objectOf(reply);
  showObject(ports, options, body);
  if (reply.status === 200 || reply.status === 201) return EXIT.done;
  return body['state'] === 'partial' ? EXIT.partial : EXIT.unknown;
}

/** For `--wait-ms`. */
export function parseWaitMs(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= LIMITS.waitMsMax) return Number(text);
  throw new InvalidArgumentError(`milliseconds, a whole number of at most ${LIMITS.waitMsMax}.`);
}
