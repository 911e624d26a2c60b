/**
 * What a caller presented -> Credential: from AuthZEN's `context.credential`, or from the headers of a request.
 * Exactly one credential, in one spelling; nothing is verified here, and what is mistyped is never taken for absent,
 * because without a credential the asserted subject would be decided on.
 */
import { isJsonObject } from '../kernel/json.ts';
import type { Credential, CredentialScheme } from './credential.ts';
import type { CredentialDetail } from './refusal.ts';

/** Why there is no credential to verify: none was presented, or not exactly one that can be read. */
export interface Unreadable {
  readonly reason: 'no_credential' | 'invalid_credential';
  readonly detail: CredentialDetail;
}

export function isUnreadable(parsed: Credential | Unreadable): parsed is Unreadable {
  return 'reason' in parsed;
}

const NONE: Unreadable = { reason: 'no_credential', detail: 'absent' };

function unreadable(detail: CredentialDetail): Unreadable {
  return { reason: 'invalid_credential', detail };
}

const SCHEMES: ReadonlyMap<string, CredentialScheme> = new Map([
  ['bearer', 'Bearer'],
  ['dpop', 'DPoP'],
  ['apikey', 'ApiKey'],
  ['mtls', 'mTLS'],
]);

/** Visible ASCII: no token has a space in it, and none is two. */
const TOKEN = /^[\x21-\x7e]+$/;
const COMPANIONS = ['proof', 'method', 'uri', 'certificate'] as const;

/** `context.credential` of API.md: the bare token, or an object. Other members are ignored, as AuthZEN asks. */
export function parseCredential(input: unknown): Credential | Unreadable {
  if (input === undefined) return NONE;
  if (typeof input === 'string') return readParts('bearer', input, {});
  if (!isJsonObject(input)) return unreadable('malformed');
  const { scheme = 'bearer', token } = input;
  if (typeof scheme !== 'string' || (token !== undefined && typeof token !== 'string'))
    return unreadable('malformed');
  const present = COMPANIONS.filter((name) => input[name] !== undefined);
  if (present.some((name) => typeof input[name] !== 'string')) return unreadable('malformed');
  const companions = Object.fromEntries(present.map((name) => [name, input[name] as string]));
  return readParts(scheme, token, companions);
}

type Companions = Partial<Record<(typeof COMPANIONS)[number], string>>;

function readParts(word: string, token: string | undefined, rest: Companions): Credential | Unreadable {
  const scheme = SCHEMES.get(word.toLowerCase());
  if (scheme === undefined) return unreadable('scheme_unsupported');
  // RFC 8705 without a token: the certificate is all there is.
  if (scheme === 'mTLS')
    return token === undefined && rest.certificate !== undefined
      ? { scheme, token: '', ...rest }
      : unreadable('malformed');
  return token !== undefined && TOKEN.test(token) ? { scheme, token, ...rest } : unreadable('malformed');
}

/** RFC 6750 section 2.1 and RFC 9449 section 7.1: a scheme, one space, one b64token. */
const AUTHORIZATION = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([A-Za-z0-9\-._~+/]+=*)$/;

/**
 * The credential in the headers of one request, as Node's `rawHeaders` lists them (its other views keep one of
 * several). For DPoP the proof comes along; `method` and `uri` are for the door to add, which knows its proxies.
 */
export function parseAuthorization(rawHeaders: readonly string[]): Credential | Unreadable {
  const [value, ...others] = valuesOf(rawHeaders, 'authorization');
  if (value === undefined) return NONE;
  // A comma is in no token: it is where a proxy joined two headers into one.
  if (others.length > 0 || value.includes(',')) return unreadable('several_credentials');
  const [, word = '', token = ''] = AUTHORIZATION.exec(value) ?? [];
  if (word === '') return unreadable('malformed');
  const scheme = SCHEMES.get(word.toLowerCase());
  if (scheme === 'Bearer') return { scheme, token };
  return scheme === 'DPoP' ? readBound(token, rawHeaders) : unreadable('scheme_unsupported');
}

/** RFC 9449 section 4.3, 1: not more than one proof. That there is none is for the verifier to refuse. */
function readBound(token: string, rawHeaders: readonly string[]): Credential | Unreadable {
  const [proof, ...others] = valuesOf(rawHeaders, 'dpop');
  if (proof === undefined) return { scheme: 'DPoP', token };
  if (others.length > 0 || proof.includes(',')) return unreadable('several_proofs');
  return { scheme: 'DPoP', token, proof };
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);
}
