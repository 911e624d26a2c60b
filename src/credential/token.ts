/**
 * A token in two steps: read (nothing is believed, only what is needed to find the key) and accepted (the signature
 * held, now every claim is judged). Between the two stands the signature, in verifier.ts; nothing else calls this.
 */
import type { JsonObject } from '../kernel/json.ts';
import { readActors } from './actor.ts';
import type { TimeRules, TokenTimes, UseSpan } from './claim.ts';
import { checkLife, readTimes, useSpanOf } from './claim.ts';
import type { Binding } from './confirmation.ts';
import { readBinding } from './confirmation.ts';
import { handlesOfToken } from './handles.ts';
import type { Actor, VerifiedCredential } from './credential.ts';
import type { Fingerprinter } from './handle.ts';
import type { Issuer, VerificationKey } from './issuer.ts';
import type { TokenHeader } from './profile.ts';
import { checkProfile, findIssuer, readHeader, readSubject } from './profile.ts';
import type { Refusal } from './refusal.ts';
import { invalid, isRefusal } from './refusal.ts';
import type { CompactJws } from './spelling.ts';
import { digestOf, parseCompactJws, parseTokenObject } from './spelling.ts';

/** Spelling, issuer and header are as they must be; the signature has not been looked at. */
export interface ReadToken {
  readonly ok: true;
  readonly jws: CompactJws;
  readonly header: TokenHeader;
  readonly claims: JsonObject;
  readonly issuer: Issuer;
}

/** The caller has asked isTooLarge. */
export function readToken(text: string, issuers: ReadonlyMap<string, Issuer>): ReadToken | Refusal {
  const jws = parseCompactJws(text);
  if (jws === undefined) return invalid('encoding');
  const raw = parseTokenObject(jws.header);
  if (raw === undefined) return invalid('header');
  const claims = parseTokenObject(jws.payload);
  if (claims === undefined) return invalid('claims');
  const issuer = findIssuer(claims, issuers);
  if (isRefusal(issuer)) return issuer;
  const header = readHeader(raw, issuer);
  return isRefusal(header) ? header : { ok: true, jws, header, claims, issuer };
}

export interface AcceptRules extends TimeRules {
  readonly fingerprinter: Fingerprinter;
  /** Claims that can be revoked by, as configured. */
  readonly revocationClaims: readonly string[];
}

/** A token whose signature held and whose claims are good: what is kept of it. The token itself is not. */
export interface AcceptedToken {
  readonly ok: true;
  readonly credential: VerifiedCredential;
  readonly binding: Binding;
  readonly span: UseSpan;
}

/** Judges the claims of a token that `key` signed. `exp` and `nbf` are left to the caller, who asks at every use. */
export function acceptToken(
  token: ReadToken,
  key: VerificationKey,
  rules: AcceptRules,
  wallMs: number,
): AcceptedToken | Refusal {
  const facts = readFacts(token, rules, wallMs);
  if (isRefusal(facts)) return facts;
  const { subject, times, actors, binding } = facts;
  const { claims, issuer } = token;
  const identity = { issuer: issuer.issuer, subject, claims, actors };
  const ids = { keyId: key.kid ?? key.thumbprint, digest: digestOf(token.jws) };
  const handles = handlesOfToken({ ...identity, ...ids, binding }, rules.revocationClaims);
  if (isRefusal(handles)) return handles;
  const credential: VerifiedCredential = {
    kind: 'jwt',
    // A bound token can be presented by one scheme only, so this is a fact of the token.
    scheme: binding.jkt === undefined ? 'Bearer' : 'DPoP',
    ...identity,
    confirmation: binding.confirmation,
    ...times,
    handles: rules.fingerprinter.print(handles),
  };
  return { ok: true, credential, binding, span: useSpanOf(times, rules) };
}

interface Facts {
  readonly subject: string;
  readonly times: TokenTimes;
  readonly actors: readonly Actor[];
  readonly binding: Binding;
}

function readFacts({ claims, issuer }: ReadToken, rules: TimeRules, wallMs: number): Facts | Refusal {
  const foreign = checkProfile(claims, issuer);
  if (foreign !== undefined) return foreign;
  const subject = readSubject(claims, issuer);
  if (isRefusal(subject)) return subject;
  const times = readTimes(claims);
  if (isRefusal(times)) return times;
  const life = checkLife(times, rules, wallMs);
  if (life !== undefined) return life;
  const actors = readActors(claims, issuer.issuer);
  if (isRefusal(actors)) return actors;
  const binding = readBinding(claims);
  return isRefusal(binding) ? binding : { subject, times, actors, binding };
}
