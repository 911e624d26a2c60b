/** The control plane's bodies: revocations in, statuses out (API.md, Revoke). */
import * as z from 'zod';
import type { RevocationStatus, WaitFor } from '../flows/revoke.ts';
import { renderPosition } from '../feed/position.ts';
import { renderInstant } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import type { JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { selectorSchema } from '../revocation/selector.ts';

const schema = z.strictObject({
  selector: z.unknown().optional(),
  selectors: z.unknown().optional(),
  reason: z.string().min(1).max(LIMITS.reasonCharsMax).optional(),
  ticket: z.string().min(1).max(LIMITS.reasonCharsMax).optional(),
  wait: z.enum(['accepted', 'durable', 'enforced']).default('enforced'),
  waitMs: z.int().min(0).max(LIMITS.waitMsMax).default(LIMITS.waitMsDefault),
  dryRun: z.boolean().default(false),
});

/** The same as people are told it: what a selector may be is parsed by revocation/selector.ts, with its own code. */
export const revocationBody = schema
  .extend({
    selector: selectorSchema.optional(),
    selectors: z.array(selectorSchema).min(1).max(LIMITS.selectorsMax).optional(),
  })
  .meta({ oneOf: [{ required: ['selector'] }, { required: ['selectors'] }] });

export interface RevocationBody {
  /** `selector` or `selectors`, as they came: revocation/selector.ts parses them. */
  readonly what: { readonly selector?: unknown; readonly selectors?: unknown };
  readonly reason: string | undefined;
  readonly ticket: string | undefined;
  readonly wait: WaitFor;
  readonly waitMs: number;
  readonly dryRun: boolean;
}

/** BAD_REQUEST with the field at fault; what was sent is not quoted. */
export function parseRevocationBody(body: JsonObject): RevocationBody {
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw badRequest(parsed.error, [...SELECTOR_MEMBERS, 'before']);
  const { reason, ticket, wait, waitMs, dryRun } = parsed.data;
  return { what: whatOf(body), reason, ticket, wait, waitMs, dryRun };
}

/** What an order is about, as it came: revocation/selector.ts parses it. */
export function whatOf(body: JsonObject): { readonly selector?: unknown; readonly selectors?: unknown } {
  const { selector, selectors } = body;
  return {
    ...('selector' in body ? { selector } : {}),
    ...('selectors' in body ? { selectors } : {}),
  };
}

/** Often put beside `selector`, in which they belong. */
export const SELECTOR_MEMBERS = ['kind', 'value', 'issuer', 'name'] as const;

/** The first thing a schema found, in our words; `inSelector`: members that belong in there. */
export function badRequest(error: z.ZodError, inSelector: readonly string[] = []): WritError {
  const [issue] = error.issues;
  if (issue?.code === 'unrecognized_keys') return unknownMember(issue.keys[0] ?? '', inSelector);
  const field = issue?.path.join('.') ?? '';
  return new WritError('BAD_REQUEST', `${field} ${sentenceOf(issue)}`, { field });
}

/** Named only when it looks like a name: what stands there may be a credential that was pasted in the wrong place. */
function unknownMember(member: string, inSelector: readonly string[]): WritError {
  if (!/^[A-Za-z]\w{0,31}$/.test(member)) return new WritError('BAD_REQUEST', 'a member is not known here');
  const place = inSelector.includes(member) ? ': it belongs in selector' : '';
  return new WritError('BAD_REQUEST', `${member} is not a member here${place}`, { field: member });
}

function sentenceOf(issue: z.core.$ZodIssue | undefined): string {
  switch (issue?.code) {
    case 'invalid_type':
      return `must be ${issue.expected === 'int' ? 'an integer' : `of type ${issue.expected}`}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`;
    case 'too_big':
      return `must be at most ${String(issue.maximum)}${issue.origin === 'string' ? ' characters' : ''}`;
    case 'too_small':
      return `must be at least ${String(issue.minimum)}${issue.origin === 'string' ? ' characters' : ''}`;
    case 'custom':
      return issue.message;
    default:
      return 'is not of the right form';
  }
}

/** 201 when the asked-for word was reached, else 202 (API.md). */
export function statusCodeOf(status: RevocationStatus): 201 | 202 {
  return status.isReached ? 201 : 202;
}

export function renderStatus(status: RevocationStatus): Record<string, unknown> {
  const { id, position, state, closure, appendedAtMs, enforcedAtMs, boundMs, replicas, sessions } = status;
  const { weakened, notCovered, owing, receiptOn } = status;
  const { matched, killed, unconfirmed, silent } = sessions;
  return {
    id,
    position: renderPosition(position),
    state,
    closure,
    appendedAt: renderInstant(appendedAtMs),
    ...(enforcedAtMs === undefined ? {} : { enforcedAt: renderInstant(enforcedAtMs) }),
    boundMs,
    replicas,
    sessions: { matched, killed, unconfirmed, ...(silent.length === 0 ? {} : { silent }) },
    ...(owing.length === 0 ? {} : { owing }),
    revocationWindowMs: status.revocationWindowMs,
    lateAccepts: status.lateAccepts,
    seen: status.seen,
    ...(status.hasReceipt ? { weakened, receipt: `/v1/receipts/${id}` } : {}),
    ...(receiptOn === undefined ? {} : { receiptOn }),
    ...(status.hasReceipt || state === 'enforced' ? { notCovered } : {}),
  };
}
