/**
 * The values that keys take: each parser here is a zod leaf that says what would be right, and quotes nothing of
 * what was given, because a value may have been a secret in the wrong place. No I/O: whether a file exists is the
 * edge's business.
 */
import { isIP } from 'node:net';
import * as z from 'zod';
import type { Address } from './address.ts';
import { isLoopbackHost, parseAddress } from './address.ts';
import { parseDuration } from './duration.ts';

/** Text that `parse` turns into something; `what` completes "must be …". */
function parsed<T>(what: string, parse: (text: string) => T | undefined) {
  return z.string({ error: mistyped(what) }).transform((text, context) => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `must be ${what}`, input: text });
    return z.NEVER;
  });
}

/** What would be right comes first, whatever was given: `lease: 3` is told of durations, not of text. */
function mistyped(what: string) {
  return ({ input }: { input?: unknown }): string | undefined => {
    if (input === null) return undefined;
    return input === undefined ? `is missing; it must be ${what}` : `must be ${what}`;
  };
}

/** Text of a form; `what` completes "must be …". */
export function word(what: string, pattern: RegExp) {
  return z
    .string({ error: mistyped(`${what} (a number, true and false need quotes)`) })
    .regex(pattern, { error: `must be ${what}` });
}

/** Words of issues to come get a sentence of their own: they are right, only not here yet. */
const LATER_WORDS: ReadonlyMap<unknown, string> = new Map([
  ['opaque', ': this release takes no opaque tokens'],
]);

/** One of a closed list. */
export function oneOf<const T extends readonly [string, ...string[]]>(words: T) {
  const right = words.length === 1 ? `must be ${words[0]}` : `must be one of ${words.join(', ')}`;
  return z.enum(words, {
    error: ({ input }) => (typeof input === 'string' ? right + (LATER_WORDS.get(input) ?? '') : undefined),
  });
}

/** A list of at most 100, and of at least `min`. */
export function listOf<T extends z.ZodType>(entry: T, min = 0) {
  return z
    .array(entry)
    .min(min, { error: `must have at least ${min} entry` })
    .max(100, { error: 'must have at most 100 entries' });
}

/** A duration within `min` and `max`, both included; the value is in milliseconds. */
export function duration(min: string, max: string) {
  // A limit that is misspelt lets nothing through.
  const [minMs, maxMs] = [parseDuration(min) ?? Infinity, parseDuration(max) ?? 0];
  return parsed(`a duration from ${min} to ${max}, such as 500ms, 3s, 10m or 24h`, (text) => {
    const ms = parseDuration(text);
    return ms === undefined || ms < minMs || ms > maxMs ? undefined : ms;
  });
}

const ADDRESS_SPELLING =
  'an IP address (or localhost) and a port, 127.0.0.1:8181 or [::1]:8181, or unix:/absolute/path';

export const address = parsed<Address>(ADDRESS_SPELLING, parseAddress);

/** A path of a file or folder; config.ts makes it absolute. */
export const path = parsed('a path', (text) =>
  text === '' || text.length > 4_096 || text.includes('\0') ? undefined : text,
);

/** `https:`, or `http:` where only this machine answers; without user, password or fragment. */
export const fetchedUrl = parsed(
  'an https: URL without user and fragment (http: only on loopback)',
  (text) => (isOwnUrl(parseUrl(text)) ? text : undefined),
);

/** The outside URL of this service, without a trailing slash: metadata appends paths to it. */
export const publicUrl = parsed(
  'an https: URL without user, query and fragment (http: only on loopback)',
  (text) => {
    const url = parseUrl(text);
    return isOwnUrl(url) && url?.search === '' && !text.includes('?') ? text.replace(/\/+$/, '') : undefined;
  },
);

function parseUrl(text: string): URL | undefined {
  return /^\S+$/.test(text) && URL.canParse(text) ? new URL(text) : undefined;
}

function isOwnUrl(url: URL | undefined): boolean {
  if (url === undefined || url.username !== '' || url.password !== '' || url.href.includes('#')) return false;
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && isLoopbackHost(url.hostname.replace(/^\[|\]$/g, ''));
}

/** `10.0.0.0/8`, `::1/128`, or a bare address, which stands for itself alone. */
export const addressRange = parsed('an address range such as 10.0.0.0/8 or ::1/128', (text) => {
  const [host = '', bits, ...rest] = text.split('/');
  const family = isIP(host);
  if (rest.length > 0 || host.includes('%') || family === 0) return undefined;
  const bitsMax = family === 4 ? 32 : 128;
  if (bits === undefined) return `${host}/${bitsMax}`;
  return /^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= bitsMax ? text : undefined;
});

const RATIO = { error: 'must be a number from 0 to 1' };

/** A share, 0 to 1, as a number or as text from outside the file. */
export const ratio = z.preprocess(
  (given) => (typeof given === 'string' && /^(0|1|0\.\d{1,9})$/.test(given) ? Number(given) : given),
  z.number({ error: 'must be a number from 0 to 1' }).min(0, RATIO).max(1, RATIO),
);

/** A JSON pointer (RFC 6901) to what a line of the decision log shall not say. */
export const maskPointer = word(
  'a JSON pointer such as /input/context/ip, below /input, /result or /requested_by; `*` for every member',
  /^\/(requested_by|(input|result)(\/([^/~]|~[01])+)*)$/,
);

/** `http:` too, off this machine as well: what goes there names nobody. Without user, query and fragment. */
export const collectorUrl = parsed('an http: or https: URL without user, query and fragment', (text) => {
  const url = parseUrl(text);
  const isPlain = url?.username === '' && url.password === '' && !/[?#]/.test(text);
  return isPlain && /^https?:$/.test(url.protocol) ? text : undefined;
});

/** Where a Redis is: how to reach it, and as which user. The password is in a file of its own. */
export interface RedisAddress {
  /** With Sentinels the name by which they know the master. */
  readonly host: string;
  readonly port?: number;
  /** A Unix socket, in place of host and port. */
  readonly path?: string;
  readonly username?: string;
  readonly isTls: boolean;
}

/** `redis://`, `rediss://` (TLS) or `unix:/path`, without password, database and query. */
export const redisUrl = parsed(
  'redis://user@host:6379, rediss://… (TLS) or unix:/path, without password and path',
  (text): RedisAddress | undefined => {
    if (/^unix:\/[^\0]{1,100}$/.test(text)) return { host: '', path: text.slice(5), isTls: false };
    const url = parseUrl(text);
    if (url === undefined || !/^rediss?:$/.test(url.protocol) || url.hostname === '') return undefined;
    if (url.password !== '' || !/^\/?$/.test(url.pathname) || /[?#]/.test(text)) return undefined;
    return {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      ...(url.port === '' ? {} : { port: Number(url.port) }),
      ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
      isTls: url.protocol === 'rediss:',
    };
  },
);

export function bytes(min: number, max: number) {
  return count('bytes', min, max);
}

/** A whole number of `what`; from the environment and `--set` it is text, so digits are taken too. */
export function count(what: string, min: number, max: number) {
  const right = { error: `must be a whole number of ${what}, ${min} to ${max}` };
  return z.preprocess(
    (given) => (typeof given === 'string' && /^\d{1,12}$/.test(given) ? Number(given) : given),
    z.int(right).min(min, right).max(max, right),
  );
}
