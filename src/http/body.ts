/** Reads and parses bodies within their limits: size while it arrives, depth before it is parsed. */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { WritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject, parseJson } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';

/** The whole body as text. BODY_TOO_LARGE beyond `bytesMax`; BAD_REQUEST when it is cut off or not UTF-8. */
export function readBody(req: IncomingMessage, bytesMax: number): Promise<string> {
  const read = Promise.withResolvers<string>();
  if (Number(req.headers['content-length'] ?? 0) > bytesMax) return Promise.reject(tooLarge(bytesMax));
  const chunks: Buffer[] = [];
  let bytes = 0;
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= bytesMax) chunks.push(chunk);
    else read.reject(tooLarge(bytesMax));
  });
  req.on('end', () => {
    const whole = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
    if (isUtf8(whole)) read.resolve(whole.toString('utf8'));
    else read.reject(new WritError('BAD_REQUEST', 'body is not UTF-8'));
  });
  // `aborted` and `error` come without `end`: the promise must settle all the same.
  req.on('error', () => read.reject(new WritError('BAD_REQUEST', 'body was cut off')));
  return read.promise;
}

function tooLarge(bytesMax: number): WritError {
  return new WritError('BODY_TOO_LARGE', `body is larger than ${bytesMax} bytes`);
}

const JSON_TYPE = /^application\/json\s*(;|$)/i;

/** UNSUPPORTED_MEDIA_TYPE unless the body says that it is JSON (a charset parameter is fine). */
export function requireJson(req: IncomingMessage): void {
  if (!JSON_TYPE.test(req.headers['content-type'] ?? '')) {
    throw new WritError('UNSUPPORTED_MEDIA_TYPE', 'content type must be application/json');
  }
}

/** A JSON object; BAD_REQUEST for anything else. `strict`: a member twice is refused too (control plane). */
export function parseObject(text: string, strict: boolean): JsonObject {
  const value: Json = parseJson(text, { depthMax: LIMITS.jsonDepthMax, strictMembers: strict });
  if (!isJsonObject(value)) throw new WritError('BAD_REQUEST', 'body must be a JSON object');
  return value;
}
