/**
 * What a session was decided on, so that it can be decided again: the request, and what policy saw of the credential.
 * Kept as JSON text, which costs its length and nothing to the garbage collector; the text of a credential is shared by
 * all of its sessions. Never a token: a VerifiedCredential has none.
 */
import type { Actor, VerifiedCredential } from '../credential/credential.ts';
import { credentialInput } from '../decision/policy-input.ts';
import type { AccessRequest } from '../decision/request.ts';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';

export interface Grounds {
  readonly request: string;
  readonly credential: string;
}

/** Parsed again: what a decision takes besides the handles. */
export interface Standing {
  readonly request: AccessRequest;
  /** As policy sees it. */
  readonly credential: JsonObject;
  readonly issuer: string;
  /** Who acts for the subject now. */
  readonly actor: Actor | undefined;
}

const texts = new WeakMap<VerifiedCredential, string>();

export function groundsOf(request: AccessRequest, credential: VerifiedCredential): Grounds {
  const { subject, action, resource, context } = request;
  let text = texts.get(credential);
  if (text === undefined) {
    text = JSON.stringify(credentialInput(credential));
    texts.set(credential, text);
  }
  return { request: JSON.stringify({ subject, action, resource, context }), credential: text };
}

/** Undefined for a record that does not say it (of a version before this one), or whose text is damaged. */
export function standingOf(grounds: Grounds | undefined): Standing | undefined {
  if (grounds === undefined) return undefined;
  const request = objectIn(grounds.request, ['subject', 'action', 'resource', 'context']);
  const credential = objectIn(grounds.credential, ['claims']);
  if (request === undefined || credential === undefined) return undefined;
  const { issuer, actors } = credential;
  if (typeof issuer !== 'string' || !Array.isArray(actors)) return undefined;
  const asked = { ...(request as unknown as AccessRequest), credential: undefined };
  return { request: asked, credential, issuer, actor: (actors as readonly Actor[])[0] };
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
