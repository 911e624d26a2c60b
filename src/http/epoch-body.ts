/** `POST /v1/epoch`: the operator's word that opens an epoch. Parsed here; what it does is flows/join.ts. */
import * as z from 'zod';
import type { OpenRule } from '../flows/join.ts';
import type { JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { badRequest } from './revocation-body.ts';

const RULES = ['new-fleet', 'accept-amnesia'] as const satisfies readonly OpenRule[];

export const epochBody = z
  .strictObject({
    rule: z.enum(RULES),
    reason: z.string().max(LIMITS.reasonCharsMax).exactOptional(),
  })
  .refine(({ rule, reason = '' }) => rule !== 'accept-amnesia' || reason !== '', {
    path: ['reason'],
    error: 'is needed to accept amnesia: it is in every receipt since',
  })
  .meta({
    if: { properties: { rule: { const: 'accept-amnesia' } } },
    then: { required: ['reason'], properties: { reason: { minLength: 1 } } },
  });

/** BAD_REQUEST with the field at fault. */
export function parseEpochBody(body: JsonObject): { rule: OpenRule; reason?: string } {
  const parsed = epochBody.safeParse(body);
  if (!parsed.success) throw badRequest(parsed.error);
  return parsed.data;
}
