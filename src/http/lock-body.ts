/** The control plane's bodies about locks: orders in, locks out (API.md, `POST /v1/locks`). */
import * as z from 'zod';
import type { Target } from '../feed/entry.ts';
import { renderPosition } from '../feed/position.ts';
import type { LiftStatus } from '../flows/lift.ts';
import type { RevocationStatus, WaitFor } from '../flows/revoke.ts';
import { parseInstant, renderInstant } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { LockRecord } from '../revocation/locks.ts';
import { stateOf } from '../revocation/locks.ts';
import { selectorSchema } from '../revocation/selector.ts';
import { SELECTOR_MEMBERS, badRequest, renderStatus, whatOf } from './revocation-body.ts';

const schema = z.strictObject({
  selector: z.unknown().optional(),
  selectors: z.unknown().optional(),
  reason: z.string().min(1).max(LIMITS.reasonCharsMax).optional(),
  /** RFC 3339. */
  expiresAt: z.string(),
  wait: z.enum(['accepted', 'durable', 'enforced']).default('enforced'),
  waitMs: z.int().min(0).max(LIMITS.waitMsMax).default(LIMITS.waitMsDefault),
});

const lockSelector = selectorSchema.meta({ not: { properties: { before: {} }, required: ['before'] } });

/** The same as people are told it (see revocationBody). */
export const lockBody = schema
  .extend({
    selector: lockSelector.optional(),
    selectors: z.array(lockSelector).min(1).max(LIMITS.selectorsMax).optional(),
    expiresAt: z.string().meta({ format: 'date-time' }),
  })
  .meta({ oneOf: [{ required: ['selector'] }, { required: ['selectors'] }] });

export interface LockBody {
  /** `selector` or `selectors`, as they came. */
  readonly what: { readonly selector?: unknown; readonly selectors?: unknown };
  readonly reason: string | undefined;
  readonly expiresAtMs: number;
  readonly wait: WaitFor;
  readonly waitMs: number;
}

/** BAD_REQUEST or SELECTOR_INVALID with the field at fault; what was sent is not quoted. */
export function parseLockBody(body: JsonObject): LockBody {
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw badRequest(parsed.error, SELECTOR_MEMBERS);
  const { selector, selectors, reason, expiresAt, wait, waitMs } = parsed.data;
  refuseBefore(selector, 'selector');
  if (Array.isArray(selectors)) selectors.forEach((one, i) => refuseBefore(one, `selectors[${i}]`));
  return { what: whatOf(body), reason, expiresAtMs: instantOf(expiresAt, 'expiresAt'), wait, waitMs };
}

/** A lock stops whatever its `iat`: who sends a cutoff expects something else. */
function refuseBefore(selector: unknown, field: string): void {
  if (!isJsonObject(selector) || !('before' in selector)) return;
  const at = `${field}.before`;
  throw new WritError('SELECTOR_INVALID', `${at} is refused: a lock stops whatever its iat`, { field: at });
}

/** Milliseconds since 1970; BAD_REQUEST for what is no time. */
export function instantOf(text: string, field: string): number {
  const atMs = parseInstant(text);
  if (atMs !== undefined) return atMs;
  throw new WritError('BAD_REQUEST', `${field} must be an RFC 3339 time`, { field });
}

/** What became of an order: the words of a revocation, and when the lock ends. */
export function renderLockStatus(
  status: RevocationStatus,
  lock: LockRecord | undefined,
  { expiresAtS, nowS }: { readonly expiresAtS: number; readonly nowS: number },
): Record<string, unknown> {
  const isInForce = lock !== undefined && stateOf(lock, nowS) === 'in_force';
  return {
    ...renderStatus(status),
    expiresAt: renderInstant(expiresAtS * 1000),
    inForce: isInForce,
    ...liftOf(lock),
  };
}

/** One of a list. */
export function renderLock(lock: LockRecord): Record<string, unknown> {
  const { id, position, at, caller, targets, expiresAtS, reason } = lock;
  return {
    id,
    position: renderPosition(position),
    at,
    caller,
    ...(reason === undefined ? {} : { reason }),
    expiresAt: renderInstant(expiresAtS * 1000),
    targets: targets.length,
    selectors: targets.slice(0, SELECTORS_SHOWN),
  };
}

export function renderLift({ lock, isApplied, wasOver, boundMs }: LiftStatus): Record<string, unknown> {
  return {
    id: lock.id,
    state: 'durable',
    inForce: !isApplied,
    ...(wasOver ? { wasOver } : { boundMs }),
    expiresAt: renderInstant(lock.expiresAtS * 1000),
    ...liftOf(lock),
  };
}

/** Of a bulk lock the first few: the ledger has them all. */
const SELECTORS_SHOWN = 10;

function liftOf(lock: LockRecord | undefined): Record<string, unknown> {
  const lift = lock?.lift;
  if (lift === undefined) return {};
  return { lift: { id: lift.id, position: renderPosition(lift.position), at: lift.at, caller: lift.caller } };
}

/** The facts that policy reads before a lock is made or lifted. */
export function kindsOf(targets: readonly Pick<Target, 'kind'>[]): readonly Target['kind'][] {
  return [...new Set(targets.map(({ kind }) => kind))];
}
