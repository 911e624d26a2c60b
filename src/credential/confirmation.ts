/**
 * Which key a token is bound to (`cnf`, RFC 7800) and whether the certificate beside it is that key (RFC 8705). A
 * token bound by a method that is not known here is refused: it must not pass as a bearer token.
 */
import { parseBase64, parseBase64Url, sha256, toBase64Url } from '../kernel/digest.ts';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Refusal } from './refusal.ts';
import { invalid } from './refusal.ts';

/** What a token is bound to; both absent for a plain bearer token, both there when both must be proven. */
export interface Binding {
  readonly confirmation: JsonObject | undefined;
  /** RFC 9449 section 6.1: thumbprint of the DPoP key. */
  readonly jkt: string | undefined;
  /** RFC 8705 section 3.1: SHA-256 of the certificate's DER. */
  readonly x5t: string | undefined;
}

export function readBinding(claims: JsonObject): Binding | Refusal {
  const { cnf } = claims;
  if (cnf === undefined) return { confirmation: undefined, jkt: undefined, x5t: undefined };
  if (!isJsonObject(cnf)) return invalid('confirmation');
  const { jkt, 'x5t#S256': x5t } = cnf;
  if (jkt === undefined && x5t === undefined) return invalid('confirmation');
  if (!isDigestOrAbsent(jkt) || !isDigestOrAbsent(x5t)) return invalid('confirmation');
  return { confirmation: cnf, jkt, x5t };
}

function isDigestOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === 'string' && parseBase64Url(value)?.length === 32);
}

const PEM_HEAD = '-----BEGIN CERTIFICATE-----';
const PEM_FOOT = '-----END CERTIFICATE-----';

/** `x5t#S256` of one PEM certificate, or undefined when it is not exactly one. */
export function certificateThumbprint(pem: string): string | undefined {
  if (pem.length > LIMITS.headerBytesMax) return undefined;
  const text = pem.trim();
  if (!text.startsWith(PEM_HEAD) || !text.endsWith(PEM_FOOT)) return undefined;
  const der = parseBase64(text.slice(PEM_HEAD.length, -PEM_FOOT.length).replace(/[\r\n\t ]/g, ''));
  return der === undefined ? undefined : toBase64Url(sha256(der));
}

/** RFC 8705 section 3: the certificate of the connection must be the one the token names. */
export function checkCertificate(x5t: string, certificate: string | undefined): Refusal | undefined {
  if (certificate === undefined) return invalid('proof_required');
  return certificateThumbprint(certificate) === x5t ? undefined : invalid('certificate');
}
