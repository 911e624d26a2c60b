/**
 * The JSON of a selector (API.md, Revoke) -> feed targets. Called by the control plane's doors. What could match
 * nothing by its form is refused, so that nobody believes something dead that is not; nothing that was sent is
 * quoted, because it may be a credential, and of a token only the digest leaves here.
 */
import * as z from 'zod';
import type { TokenHandle } from '../credential/credential.ts';
import { isSpiffeId } from '../credential/spiffe.ts';
import type { Target } from '../feed/entry.ts';
import { SELECTOR_KINDS } from '../feed/entry.ts';
import { parseInstant } from '../kernel/clock.ts';
import { parseBase64Url } from '../kernel/digest.ts';
import type { ErrorCode } from '../kernel/error.ts';
import { WritError } from '../kernel/error.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Steps } from '../kernel/pace.ts';
import { runAtOnce } from '../kernel/pace.ts';
import { isCutoffKind, untilSOf } from './retention.ts';

export interface SelectorContext {
  readonly nowMs: number;
  readonly clockSkewS: number;
  readonly credentialLifeMaxS: number;
  readonly leaseS: number;
  /** Claims the operator named as revocation keys. */
  readonly revocationClaims: readonly string[];
  /** CredentialVerifier.handleOfToken. */
  readonly handleOfToken: (token: string) => TokenHandle | undefined;
}

/** What a request says it is about: exactly one of the two, as it came. */
export interface SelectorBody {
  readonly selector?: unknown;
  readonly selectors?: unknown;
}

/** A string that can be told apart from others once it is canonical JSON (no lone surrogates). */
const text = (charsMax: number) =>
  z
    .string()
    .min(1)
    .max(charsMax)
    .refine((value) => value.isWellFormed(), 'is not well-formed Unicode');

const name = text(LIMITS.nameCharsMax);
const keyId = text(LIMITS.keyIdCharsMax);
const thumbprint = z
  .string()
  .refine((value) => parseBase64Url(value)?.length === 32, 'is not the base64url of a SHA-256')
  .meta({ pattern: '^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$' });
const before = z
  .string()
  .refine((value) => parseInstant(value) !== undefined, 'is not an RFC 3339 time')
  .meta({ format: 'date-time' })
  .exactOptional();

/** Doors show it as it is; only parseSelectors parses with it. */
export const selectorSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('token'), value: text(LIMITS.tokenBytesMax) }),
  z.strictObject({ kind: z.enum(['jti', 'session']), issuer: name, value: name }),
  z.strictObject({ kind: z.literal('key'), issuer: name, value: keyId }),
  z.strictObject({ kind: z.enum(['jkt', 'certificate']), value: thumbprint }),
  z.strictObject({ kind: z.literal('apikey'), value: keyId }),
  z.strictObject({ kind: z.enum(['subject', 'actor']), issuer: name.exactOptional(), value: name, before }),
  z.strictObject({ kind: z.literal('client'), issuer: name, value: name, before }),
  z.strictObject({ kind: z.literal('issuer'), value: name, before }),
  z.strictObject({
    kind: z.literal('spiffe'),
    value: z.string().refine(isSpiffeId, 'is not a SPIFFE ID'),
    before,
  }),
  z.strictObject({ kind: z.literal('claim'), issuer: name, name, value: name, before }),
  z.strictObject({ kind: z.literal('all'), before }),
]);

type Selector = z.infer<typeof selectorSchema>;

/**
 * Targets without repeats, each with its cutoff and its end, parsed in pieces: a thousand cost more than a request may
 * wait. SELECTOR_INVALID or BAD_REQUEST with the field at fault.
 */
export function* parsingSelectors(body: SelectorBody, context: SelectorContext): Steps<readonly Target[]> {
  const { selector, selectors } = body;
  if (selector !== undefined && selectors !== undefined) {
    throw invalid('selectors', 'is refused beside selector: one of them says it all');
  }
  if (selectors === undefined) return [parseSelector(selector, 'selector', context)];
  if (!Array.isArray(selectors)) throw mistyped('selectors', 'must be an array');
  if (selectors.length < 1 || selectors.length > LIMITS.selectorsMax) {
    throw invalid('selectors', `must be 1 to ${LIMITS.selectorsMax} selectors`);
  }
  const targets = new Map<string, Target>();
  for (const [i, one] of (selectors as readonly unknown[]).entries()) {
    if (i % LIMITS.piecesMax === 0) yield;
    const target = parseSelector(one, `selectors[${i}]`, context);
    targets.set(JSON.stringify(target), target);
  }
  return [...targets.values()];
}

export function parseSelectors(body: SelectorBody, context: SelectorContext): readonly Target[] {
  return runAtOnce(parsingSelectors(body, context));
}

function parseSelector(value: unknown, field: string, context: SelectorContext): Target {
  const parsed = selectorSchema.safeParse(value);
  if (!parsed.success) throw refusalOf(parsed.error, value, field);
  return targetOf(parsed.data, field, context);
}

function targetOf(selector: Selector, field: string, context: SelectorContext): Target {
  if (selector.kind === 'token') return tokenTarget(selector.value, field, context);
  if (selector.kind === 'claim' && !context.revocationClaims.includes(selector.name)) {
    throw invalid(`${field}.name`, 'is not a claim that the configuration names in revocationClaims');
  }
  const { before: asked, ...named } = { before: undefined, ...selector };
  const cutoffS = isCutoffKind(selector.kind) ? cutoffOf(asked, field, context) : undefined;
  const ends = endOf(selector.kind, { cutoffS }, context);
  return { ...named, ...(cutoffS === undefined ? {} : { cutoffS }), ...ends };
}

function tokenTarget(token: string, field: string, context: SelectorContext): Target {
  const handle = context.handleOfToken(token);
  if (handle === undefined) {
    const isWhole = /^bearer\s/i.test(token);
    throw invalid(
      `${field}.value`,
      `is not a token${isWhole ? ': leave out "Bearer", which is before it' : ''}`,
    );
  }
  const { digest, expiresAtS } = handle;
  return { kind: 'token', value: digest, ...endOf('token', { expiresAtS }, context) };
}

/** Rounded down to the whole second, because that is what `iat` counts in; the same second dies. */
function cutoffOf(asked: string | undefined, field: string, { nowMs, clockSkewS }: SelectorContext): number {
  const cutoffMs = asked === undefined ? nowMs : Number(parseInstant(asked));
  if (cutoffMs > nowMs + clockSkewS * 1000) throw invalid(`${field}.before`, 'is in the future');
  if (cutoffMs < 0) throw invalid(`${field}.before`, 'is before 1970');
  return Math.floor(cutoffMs / 1000);
}

interface Ends {
  readonly cutoffS?: number | undefined;
  readonly expiresAtS?: number | undefined;
}

function endOf(kind: Target['kind'], ends: Ends, context: SelectorContext): { untilS?: number } {
  const { nowMs, credentialLifeMaxS, leaseS } = context;
  // Another replica may be more tolerant, or this one tomorrow: everyone's is at most that.
  const clockSkewS = LIMITS.clockSkewMs / 1000;
  const untilS = untilSOf(kind, { ...ends, nowS: nowMs / 1000, credentialLifeMaxS, clockSkewS, leaseS });
  return untilS === undefined ? {} : { untilS };
}

/** The first thing that is wrong with `value`, in our words: zod's may quote. */
function refusalOf({ issues }: z.ZodError, value: unknown, field: string): WritError {
  const [issue] = issues as [z.core.$ZodIssue];
  const [member] = issue.path;
  const at = member === undefined ? field : `${field}.${String(member)}`;
  const sent = isJsonObject(value) && member !== undefined ? value[String(member)] : value;
  if (sent === undefined) return invalid(at, 'is missing');
  switch (issue.code) {
    case 'invalid_type':
      return mistyped(at, issue.expected === 'string' ? 'must be a string' : 'must be an object');
    case 'invalid_union':
      return typeof sent === 'string'
        ? invalid(at, `must be one of ${SELECTOR_KINDS.join(', ')}`)
        : mistyped(at, 'must be a string');
    case 'too_small':
      return invalid(at, 'is empty');
    case 'too_big':
      return invalid(at, `is longer than ${issue.maximum} characters`);
    case 'unrecognized_keys':
      return invalid(memberOf(field, issue.keys), 'is no member of a selector of this kind');
    default:
      return invalid(at, issue.message);
  }
}

/** Names the member that is not known, unless what stands there looks like anything but a name. */
function memberOf(field: string, members: readonly string[]): string {
  const [member] = members as readonly [string];
  return /^[A-Za-z]\w{0,31}$/.test(member) ? `${field}.${member}` : field;
}

function invalid(field: string, said: string): WritError {
  return refusal('SELECTOR_INVALID', field, said);
}

function mistyped(field: string, said: string): WritError {
  return refusal('BAD_REQUEST', field, said);
}

function refusal(code: ErrorCode, field: string, said: string): WritError {
  return new WritError(code, `${field} ${said}`, { field });
}
