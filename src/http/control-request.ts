/** What every route of the control plane reads of a request: the caller, the body, the query, the Idempotency-Key. */
import type { Request, RequestHandler } from 'express';
import { parseAuthorization } from '../credential/parse-credential.ts';
import type { Authoriser, Caller } from '../flows/authorise.ts';
import { WritError } from '../kernel/error.ts';
import type { JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Steps } from '../kernel/pace.ts';
import { runAtOnce } from '../kernel/pace.ts';
import { parsingObject, readBody, requireJson } from './body.ts';

export type Method = 'get' | 'post' | 'delete';
export type ControlRoute = { readonly path: string } & Partial<Record<Method, RequestHandler>>;

/** UNAUTHENTICATED without a good credential; FENCED when that cannot be known. */
export async function callerOf(req: Request, authoriser: Authoriser): Promise<Caller> {
  const parsed = parseAuthorization(req.rawHeaders);
  if ('reason' in parsed) {
    const isAbsent = parsed.reason === 'no_credential';
    throw new WritError(
      'UNAUTHENTICATED',
      isAbsent ? 'a credential is needed' : 'the credential is malformed',
    );
  }
  return authoriser.authenticate(parsed);
}

/** `run`: for one that may be long, as it is parsed in pieces. */
export async function bodyOf(req: Request, run = runInOne): Promise<JsonObject> {
  requireJson(req);
  return run(parsingObject(await readBody(req, LIMITS.controlBodyBytesMax), true));
}

function runInOne<T>(steps: Steps<T>): Promise<T> | T {
  return runAtOnce(steps);
}

export function idOf(req: Request): string {
  const { id } = req.params;
  return typeof id === 'string' ? id : '';
}

/** One value for each name: a parameter that is there twice is refused. */
export function queryOf(req: Request): ReadonlyMap<string, string> {
  const [, text = ''] = /\?(.*)$/s.exec(req.url) ?? [];
  const query = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (query.has(name)) throw new WritError('BAD_REQUEST', 'a query parameter is there twice');
    query.set(name, value);
  }
  return query;
}

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

export function idempotencyKeyOf(req: Request): string | undefined {
  const { 'idempotency-key': keys } = req.headersDistinct;
  if (keys === undefined) return undefined;
  const [key = ''] = keys;
  if (keys.length === 1 && IDEMPOTENCY_KEY.test(key)) return key;
  throw new WritError('BAD_REQUEST', 'Idempotency-Key is one header of 1 to 255 visible characters', {
    field: 'Idempotency-Key',
  });
}
