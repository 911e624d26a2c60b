/** The control plane's bodies about grants: orders in, grants out (API.md, `POST /v1/grants`). */
import * as z from 'zod';
import type { GrantRecord } from '../decision/grants.ts';
import { renderPosition } from '../feed/position.ts';
import type { GrantFacts, GrantStatus, UngrantStatus } from '../flows/grant.ts';
import { renderInstant } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { instantOf } from './lock-body.ts';
import { badRequest } from './revocation-body.ts';

const word = z.string().min(1).max(LIMITS.grantWordCharsMax);
const name = z.string().min(1).max(LIMITS.nameCharsMax);

export const grantBody = z.strictObject({
  subject: z.strictObject({ type: word.exactOptional(), id: name }),
  issuer: name.exactOptional(),
  action: word,
  resource: z.strictObject({ type: word, id: name.exactOptional() }),
  /** RFC 3339. */
  until: z.string().meta({ format: 'date-time' }).exactOptional(),
});

/** BAD_REQUEST or TIME_INVALID with the field at fault; what was sent is not quoted. */
export function parseGrantBody(body: JsonObject): GrantFacts {
  const parsed = grantBody.safeParse(body);
  if (!parsed.success) throw badRequest(parsed.error);
  const { until, ...facts } = parsed.data;
  return until === undefined ? facts : { ...facts, untilS: endOf(until) };
}

/** What fits 32 bits, as entries count: until 2106. */
const UNTIL_S_MAX = 0xffff_fffe;

/** Whole seconds, rounded down: a grant never goes on after it was to end. */
function endOf(until: string): number {
  const atS = Math.floor(instantOf(until, 'until') / 1000);
  if (atS >= 0 && atS <= UNTIL_S_MAX) return atS;
  throw new WritError('TIME_INVALID', 'until is past, or too far ahead', { field: 'until' });
}

/** What was asked for, as answers, lists and the control policy show it. */
export function renderGrantFacts(facts: GrantFacts): { readonly [member: string]: Json } {
  const { subject, issuer, action, resource, untilS } = facts;
  return {
    subject: { ...subject } as JsonObject,
    ...(issuer === undefined ? {} : { issuer }),
    action,
    resource: { ...resource } as JsonObject,
    ...(untilS === undefined ? {} : { until: renderInstant(untilS * 1000) }),
  };
}

export function renderGrantStatus({ id, position, facts, isInForce }: GrantStatus): Record<string, unknown> {
  return {
    id,
    position: renderPosition(position),
    state: 'durable',
    inForce: isInForce,
    ...renderGrantFacts(facts),
  };
}

/** One of a list. */
export function renderGrant(grant: GrantRecord): Record<string, unknown> {
  const { id, position, at, caller } = grant;
  return { id, position: renderPosition(position), at, caller, ...renderGrantFacts(grant) };
}

export function renderUngrant({
  grant,
  isApplied,
  wasOver,
  boundMs,
}: UngrantStatus): Record<string, unknown> {
  const { ungrant } = grant;
  return {
    id: grant.id,
    state: 'durable',
    inForce: !isApplied,
    ...(wasOver ? { wasOver } : { boundMs }),
    ...(ungrant === undefined ? {} : { ungrant: { ...ungrant, position: renderPosition(ungrant.position) } }),
  };
}
