/**
 * Every name by which a verified credential can be revoked (DESIGN section 4). A handle that is missing here is a
 * revocation that misses, so what cannot be named surely is refused instead.
 */
import type { Json, JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { isName } from './claim.ts';
import type { Binding } from './confirmation.ts';
import type { Actor } from './credential.ts';
import type { Handle } from './handle.ts';
import type { Refusal } from './refusal.ts';
import { invalid, isRefusal } from './refusal.ts';
import { isSpiffeId } from './spiffe.ts';

export interface NamedToken {
  readonly issuer: string;
  readonly subject: string;
  readonly claims: JsonObject;
  readonly actors: readonly Actor[];
  readonly binding: Binding;
  /** `kid` of the key that verified, or its thumbprint when it has none. */
  readonly keyId: string;
  /** The `tok` handle: SHA-256 (hex) of the signing input. */
  readonly digest: string;
}

/** All handles of `token`; `revocationClaims` are the claims the operator named as revocation keys. */
export function handlesOfToken(token: NamedToken, revocationClaims: readonly string[]): Handle[] | Refusal {
  const claimed = claimHandles(token, revocationClaims);
  if (isRefusal(claimed)) return claimed;
  return [
    { kind: 'tok', parts: [token.digest] },
    { kind: 'kid', parts: [token.issuer, token.keyId] },
    ...named('jti', token, 'jti'),
    ...named('sid', token, 'sid'),
    ...keyHandles(token.binding),
    { kind: 'iss', parts: [token.issuer] },
    { kind: 'sub', parts: [token.issuer, token.subject] },
    { kind: 'sub-any', parts: [token.subject] },
    // Both, because revoking a client must not miss tokens that name it the other way.
    ...named('cli', token, 'client_id'),
    ...named('cli', token, 'azp'),
    ...token.actors.flatMap(actorHandles),
    ...[token.subject, ...token.actors.map((actor) => actor.subject)].flatMap(spiffeHandles),
    ...claimed,
    { kind: 'all', parts: [] },
  ];
}

/** The handles of a subject that was asserted without a credential: its issuer is not known. */
export function bareSubjectHandles(subjectId: string): Handle[] {
  return [{ kind: 'sub-bare', parts: [subjectId] }, ...spiffeHandles(subjectId), { kind: 'all', parts: [] }];
}

/** `[issuer, value]` of a claim that is there; the profile has refused what is no name. */
function named(kind: 'jti' | 'sid' | 'cli', token: NamedToken, claim: string): Handle[] {
  const value = token.claims[claim];
  return typeof value === 'string' ? [{ kind, parts: [token.issuer, value] }] : [];
}

function keyHandles({ jkt, x5t }: Binding): Handle[] {
  return [
    ...(jkt === undefined ? [] : [{ kind: 'jkt' as const, parts: [jkt] }]),
    ...(x5t === undefined ? [] : [{ kind: 'x5t' as const, parts: [x5t] }]),
  ];
}

function actorHandles(actor: Actor): Handle[] {
  return [
    { kind: 'act', parts: [actor.issuer, actor.subject] },
    { kind: 'act-any', parts: [actor.subject] },
  ];
}

function spiffeHandles(subject: string): Handle[] {
  return isSpiffeId(subject) ? [{ kind: 'spiffe', parts: [subject] }] : [];
}

/** A claim the operator revokes by must be something that can be named: else the token would slip past it. */
function claimHandles({ issuer, claims }: NamedToken, names: readonly string[]): Handle[] | Refusal {
  const handles: Handle[] = [];
  for (const name of names.filter((candidate) => Object.hasOwn(claims, candidate))) {
    const found = claims[name] as Json;
    for (const value of Array.isArray(found) ? (found as readonly Json[]) : [found]) {
      const text = nameOf(value);
      if (text === undefined || handles.length >= LIMITS.claimHandlesMax) return invalid('claims');
      handles.push({ kind: 'claim', parts: [name, issuer, text] });
    }
  }
  return handles;
}

/** A number beyond 2^53 has lost digits by now: it would be revoked, or missed, under another's name. */
function nameOf(value: Json): string | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : undefined;
  return isName(value) ? value : undefined;
}
