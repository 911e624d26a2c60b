/** Reads and parses bodies within their limits: size while it arrives, depth before it is parsed. */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { WritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject, parseJson, parsingJson } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Steps } from '../kernel/pace.ts';

/** The whole body as text. BODY_TOO_LARGE beyond `bytesMax`; BAD_REQUEST when it is cut off or not UTF-8. */
export function readBody(req: IncomingMessage, bytesMax: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  collectBody(req, bytesMax, { resolve, reject });
  return promise;
}

export interface BodyReader {
  resolve(body: string): void;
  /** May be called more than once, and after `resolve`: only what comes first counts. */
  reject(error: WritError): void;
}

/** `readBody` for hot routes: without a promise, so that a request that is here whole is answered in one turn. */
export function collectBody(req: IncomingMessage, bytesMax: number, reader: BodyReader): void {
  if (Number(headerOf(req.rawHeaders, 'content-length') ?? 0) > bytesMax) {
    reader.reject(tooLarge(bytesMax));
    return;
  }
  let whole: Buffer | undefined;
  let bytes = 0;
  let more: Buffer[] | undefined;
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > bytesMax) reader.reject(tooLarge(bytesMax));
    else if (whole === undefined) whole = chunk;
    else (more ??= [whole]).push(chunk);
  });
  req.on('end', () => {
    if (bytes > bytesMax) return;
    const body = more === undefined ? (whole ?? EMPTY) : Buffer.concat(more);
    if (isUtf8(body)) reader.resolve(body.toString('utf8'));
    else reader.reject(new WritError('BAD_REQUEST', 'body is not UTF-8'));
  });
  // `aborted` and `error` come without `end`: whoever waits must hear of it all the same.
  req.on('error', () => reader.reject(new WritError('BAD_REQUEST', 'body was cut off')));
}

const EMPTY = Buffer.alloc(0);

function tooLarge(bytesMax: number): WritError {
  return new WritError('BODY_TOO_LARGE', `body is larger than ${bytesMax} bytes`);
}

const JSON_TYPE = /^application\/json\s*(;|$)/i;

/** UNSUPPORTED_MEDIA_TYPE unless the body says that it is JSON (a charset parameter is fine). */
export function requireJson(req: IncomingMessage): void {
  const type = headerOf(req.rawHeaders, 'content-type');
  if (type !== 'application/json' && !JSON_TYPE.test(type ?? ''))
    throw new WritError('UNSUPPORTED_MEDIA_TYPE', 'content type must be application/json');
}

/** The first header of that (lower-case) name. Node makes its own object of all headers, which costs as much as a check. */
export function headerOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at] as string;
    if (given.length === name.length && given.toLowerCase() === name) return rawHeaders[at + 1];
  }
  return undefined;
}

/** A JSON object; BAD_REQUEST for anything else. `strict`: a member twice is refused too (control plane). */
export function parseObject(text: string, strict: boolean): JsonObject {
  return objectIn(parseJson(text, { depthMax: LIMITS.jsonDepthMax, strictMembers: strict }));
}

/** `parseObject`, in pieces. */
export function* parsingObject(text: string, strict: boolean): Steps<JsonObject> {
  return objectIn(yield* parsingJson(text, { depthMax: LIMITS.jsonDepthMax, strictMembers: strict }));
}

function objectIn(value: Json): JsonObject {
  if (!isJsonObject(value)) throw new WritError('BAD_REQUEST', 'body must be a JSON object');
  return value;
}
