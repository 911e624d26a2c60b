/**
 * The RFC 8693 `act` chain: who acts for the subject now, and who did before. Section 4.1 keeps earlier actors out
 * of access control; here every link is a handle, because a dead agent must kill all it delegated (DESIGN section 4).
 */
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { isName } from './claim.ts';
import type { Actor } from './credential.ts';
import type { Refusal } from './refusal.ts';
import { invalid } from './refusal.ts';

/** The chain, current actor first; empty without `act`. A link that cannot be read refuses the whole token. */
export function readActors(claims: JsonObject, issuer: string): readonly Actor[] | Refusal {
  const actors: Actor[] = [];
  for (let link: Json | undefined = claims.act; link !== undefined; link = link.act) {
    if (!isJsonObject(link) || actors.length >= LIMITS.actorsMax) return invalid('actor');
    const { sub, iss } = link;
    if (!isName(sub) || (iss !== undefined && !isName(iss))) return invalid('actor');
    actors.push({ issuer: iss ?? issuer, subject: sub });
  }
  return actors;
}
