/**
 * JSON in and out. Out: RFC 8785, the only form that is signed or hashed. In: text from outside is measured
 * before it is parsed, so that depth, duplicate members and prototype names are refused while they are bytes.
 */
import canonicalize from 'canonicalize';
import { WritError } from './error.ts';
import { LIMITS } from './limits.ts';
import type { Steps } from './pace.ts';

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

/** JSON.stringify writes numbers and strings as RFC 8785 does (both follow ECMA-262): only the order is to be made. */
function canonicalText(value: unknown): string | undefined {
  const ordered = orderedCopy(value);
  if (ordered !== undefined) return JSON.stringify(ordered);
  try {
    return canonicalize(value);
  } catch (cause) {
    throw new WritError('INTERNAL', 'value has no canonical JSON', { cause });
  }
}

/**
 * The value with its members in order, or undefined where that is not as simple: members whose names objects put in an
 * order of their own or take for something else, and whatever JSON holds in no such form.
 */
function orderedCopy(value: unknown): unknown {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'object') return undefined;
  return Array.isArray(value) ? orderedArray(value) : orderedObject(value);
}

function orderedArray(values: readonly unknown[]): unknown[] | undefined {
  const copy: unknown[] = [];
  for (const value of values) {
    const ordered = orderedCopy(value);
    if (ordered === undefined) return undefined;
    copy.push(ordered);
  }
  return copy;
}

function orderedObject(value: object): Record<string, unknown> | undefined {
  if (Object.getPrototypeOf(value) !== Object.prototype) return undefined;
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value).sort()) {
    if (OWN_ORDER.test(name)) return undefined;
    const ordered = orderedCopy((value as Record<string, unknown>)[name]);
    if (ordered === undefined) return undefined;
    copy[name] = ordered;
  }
  return copy;
}

/**
 * True when `text`, from which `value` was parsed, is its canonical text. With its members in order that needs no copy of
 * it: JSON.stringify writes what was read. Half a surrogate pair has no canonical text.
 */
export function isCanonical(value: Json, text: string): boolean {
  if (text.includes('\\ud') && LONE_SURROGATE.test(text)) return false;
  return (isInOrder(value) ? JSON.stringify(value) : canonicalText(value)) === text;
}

function isInOrder(value: Json): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return (value as readonly Json[]).every(isInOrder);
  const members = value as JsonObject;
  let before = '';
  // What was parsed inherits no member. Object.entries would make as much again as was parsed.
  for (const name in members) {
    if (name < before || !isInOrder(members[name] as Json)) return false;
    before = name;
  }
  return true;
}

/** Array indices come first in every object, `__proto__` is no member, and `toJSON` speaks for its object. */
const OWN_ORDER = /^(?:\d+|__proto__|toJSON)$/;

/** A member's name, as it is, and its value as canonical text. */
export type MemberText = readonly [name: string, value: string];

/** The members of an object as canonical text, in their order; a long array is taken in pieces. */
export function* memberTexts(value: object): Steps<readonly MemberText[]> {
  const members: MemberText[] = [];
  for (const [name, inner] of Object.entries(value).filter(isThere).sort(byName)) {
    members.push([name, Array.isArray(inner) ? yield* arrayText(inner) : canonicalJson(inner)]);
  }
  return members;
}

function isThere([, inner]: [string, unknown]): boolean {
  return inner !== undefined;
}

function byName([left]: [string, unknown], [right]: [string, unknown]): number {
  return left < right ? -1 : 1;
}

function* arrayText(values: readonly unknown[]): Steps<string> {
  const pieces: string[] = [];
  for (let at = 0; at < values.length; at += LIMITS.piecesMax) {
    if (at > 0) yield;
    pieces.push(canonicalJson(values.slice(at, at + LIMITS.piecesMax)).slice(1, -1));
  }
  return `[${pieces.join(',')}]`;
}

/** The canonical text of an object of which these are the members, in whichever order. */
export function joinMembers(members: readonly MemberText[]): string {
  const ordered = members.toSorted(([left], [right]) => (left < right ? -1 : 1));
  return `{${ordered.map(([name, value]) => `${canonicalJson(name)}:${value}`).join(',')}}`;
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
  return assertExact(valueOf(text), text);
}

/** `parseJson`, in pieces: a thousand targets take two milliseconds. */
export function* parsingJson(text: string, limits: JsonLimits): Steps<Json> {
  measureJson(text, limits);
  yield;
  const value = valueOf(text);
  yield;
  return assertExact(value, text);
}

function valueOf(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw new WritError('BAD_REQUEST', 'body is not JSON');
  }
}

function assertExact(value: Json, text: string): Json {
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
  const name = quoted.includes('\\') ? unquoted(quoted) : quoted.slice(1, -1);
  if (seen.has(name)) throw new WritError('BAD_REQUEST', 'JSON names a member twice');
  if (UNSAFE_MEMBERS.has(name)) throw new WritError('BAD_REQUEST', 'JSON names a member that is refused');
  seen.add(name);
}

/** What an escaped member name says. */
function unquoted(quoted: string): string {
  let name: string;
  try {
    name = JSON.parse(quoted) as string;
  } catch {
    throw new WritError('BAD_REQUEST', 'body is not JSON');
  }
  // V8 (Node 26) reads `"\""` as the name `\` once an object of that name came before it: nobody may be misled by that.
  if (/["\\]/.test(name)) throw new WritError('BAD_REQUEST', 'JSON names a member that is refused');
  return name;
}

/** Index of the closing quote of the string that opens at `at`, or the last index when it never closes. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    if (!isEscaped(text, end)) return end;
  }
  return text.length - 1;
}

/** True after an odd number of backslashes. No run of them is counted twice: each ends at a quote of its own. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === 0x5c) first--;
  return (at - first) % 2 === 1;
}

/** A string is a member's name when the next character that is not white space is a colon. */
function isMemberName(text: string, end: number): boolean {
  for (let i = end + 1; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char !== 0x20 && char !== 0x09 && char !== 0x0a && char !== 0x0d) return char === 0x3a;
  }
  return false;
}
