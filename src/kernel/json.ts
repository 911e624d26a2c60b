/**
 * JSON in and out. Out: RFC 8785, the only form that is signed or hashed. In: text from outside is measured
 * before it is parsed, so that depth, duplicate members and prototype names are refused while they are bytes.
 */
import canonicalize from 'canonicalize';
import { WritError } from './error.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [member: string]: Json };
export type JsonObject = { readonly [member: string]: Json };

/** The canonical text of `value` (RFC 8785). Throws INTERNAL for what JSON cannot hold. */
export function canonicalJson(value: unknown): string {
  const text = canonicalText(value);
  if (text === undefined || (text.includes('\\ud') && LONE_SURROGATE.test(text)))
    throw new WritError('INTERNAL', 'value has no canonical JSON');
  return text;
}

/** JSON.stringify escapes only half a pair like this; RFC 8785 section 3.2.2.2 wants it refused. */
const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud/;

function canonicalText(value: unknown): string | undefined {
  try {
    return canonicalize(value);
  } catch (cause) {
    throw new WritError('INTERNAL', 'value has no canonical JSON', { cause });
  }
}

export interface JsonLimits {
  readonly depthMax: number;
  /** Refuse an object that names a member twice, or names `__proto__`, `constructor` or `prototype`. */
  readonly strictMembers: boolean;
}

/**
 * Parses `text`; BAD_REQUEST when it is no JSON, too deep, (strict) has a member twice, or holds what would not
 * come out again as it went in: half a surrogate pair, a number beyond a double (RFC 7493). Quotes nothing of it.
 */
export function parseJson(text: string, limits: JsonLimits): Json {
  measureJson(text, limits);
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    throw new WritError('BAD_REQUEST', 'body is not JSON');
  }
  if (mayBeInexact(text) && !isExact(value))
    throw new WritError('BAD_REQUEST', 'JSON holds a text or number that has no exact form');
  return value;
}

/**
 * An escaped surrogate, a long exponent, a very long number: rare, so only then is the value walked. A run of digits is
 * tried from its first only: from each of them, a body full of long numbers would take two hundred times as long.
 */
const SUSPECT = /\\u[dD][89a-fA-F]|[eE]\+?\d{3}|(?<!\d)\d{200}/;

function mayBeInexact(text: string): boolean {
  return SUSPECT.test(text) || !text.isWellFormed();
}

/** As deep as measureJson let it be. */
function isExact(value: Json): boolean {
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([member, inner]) => isExact(member) && isExact(inner));
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const UNSAFE_MEMBERS = new Set(['__proto__', 'constructor', 'prototype']);

/** One pass over the text. It only has to be right for valid JSON: JSON.parse refuses the rest. */
function measureJson(text: string, limits: JsonLimits): void {
  const members: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === 0x22) {
      const end = endOfString(text, at);
      const seen = members[members.length - 1];
      if (limits.strictMembers && seen !== undefined && isMemberName(text, end))
        noteMember(text.slice(at, end + 1), seen);
      at = end;
    } else if (char === 0x7b || char === 0x5b) {
      if (members.length >= limits.depthMax)
        throw new WritError('BAD_REQUEST', `JSON is deeper than ${limits.depthMax}`);
      members.push(char === 0x7b ? new Set() : undefined);
    } else if (char === 0x7d || char === 0x5d) {
      members.pop();
    }
  }
}

function noteMember(quoted: string, seen: Set<string>): void {
  let name: string;
  try {
    name = JSON.parse(quoted) as string;
  } catch {
    throw new WritError('BAD_REQUEST', 'body is not JSON');
  }
  if (seen.has(name)) throw new WritError('BAD_REQUEST', 'JSON names a member twice');
  if (UNSAFE_MEMBERS.has(name)) throw new WritError('BAD_REQUEST', 'JSON names a member that is refused');
  seen.add(name);
}

/** Index of the closing quote of the string that opens at `at`, or the last index when it never closes. */
function endOfString(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x5c) i++;
    else if (char === 0x22) return i;
  }
  return text.length - 1;
}

/** A string is a member's name when the next character that is not white space is a colon. */
function isMemberName(text: string, end: number): boolean {
  for (let i = end + 1; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char !== 0x20 && char !== 0x09 && char !== 0x0a && char !== 0x0d) return char === 0x3a;
  }
  return false;
}
