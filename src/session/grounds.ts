/**
 * What a session was decided on, so that it can be decided again: the request, and what was verified of the credential.
 * Kept as JSON text, which costs its length and nothing to the garbage collector; the text of a credential is shared by
 * all of its sessions. Never a token: a VerifiedCredential has none.
 */
import type { VerifiedCredential } from '../credential/credential.ts';
import type { HandleSet } from '../credential/handle.ts';
import type { AccessRequest } from '../decision/request.ts';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';

export interface Grounds {
  readonly request: string;
  readonly credential: string;
}

/** Parsed again: what a decision takes. */
export interface Standing {
  readonly request: AccessRequest;
  readonly credential: VerifiedCredential;
}

/** What a record says besides: the rest of the credential. */
export interface Holding {
  readonly subject: string;
  readonly handles: HandleSet;
  readonly issuedAtS: number | undefined;
  readonly expiresAtS: number | undefined;
  readonly grounds?: Grounds | undefined;
}

const texts = new WeakMap<VerifiedCredential, string>();

export function groundsOf(request: AccessRequest, credential: VerifiedCredential): Grounds {
  const { subject, action, resource, context } = request;
  let text = texts.get(credential);
  if (text === undefined) {
    const { kind, scheme, issuer, claims, actors, confirmation, notBeforeS } = credential;
    text = JSON.stringify({ kind, scheme, issuer, claims, actors, confirmation, notBeforeS });
    texts.set(credential, text);
  }
  return { request: JSON.stringify({ subject, action, resource, context }), credential: text };
}

/** Undefined for a record that does not say it (of a version before this one), or whose text is damaged. */
export function standingOf(holding: Holding): Standing | undefined {
  const { grounds, subject, handles, issuedAtS, expiresAtS } = holding;
  if (grounds === undefined || expiresAtS === undefined) return undefined;
  const request = objectIn(grounds.request, ['subject', 'action', 'resource', 'context']);
  const credential = objectIn(grounds.credential, ['claims']);
  if (request === undefined || !Array.isArray(credential?.['actors'])) return undefined;
  return {
    request: { ...(request as unknown as AccessRequest), credential: undefined },
    credential: {
      ...(credential as unknown as VerifiedCredential),
      subject,
      handles,
      issuedAtS,
      expiresAtS,
    },
  };
}

/** The object in `text` if `members` of it are objects too. */
function objectIn(text: string, members: readonly string[]): JsonObject | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isJsonObject(value) && members.every((name) => isJsonObject(value[name])) ? value : undefined;
}
