/** `POST /v1/replicas/<name>/forget`: an operator's word that a replica is gone. What it does is flows/forget.ts. */
import * as z from 'zod';
import type { Forgetting } from '../flows/forget.ts';
import type { JsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Answer } from './answer.ts';
import { badRequest } from './revocation-body.ts';

export const forgetBody = z.strictObject({
  reason: z
    .string()
    .min(1)
    .max(LIMITS.reasonCharsMax)
    .exactOptional()
    .describe('Stands in the ledger, with the caller.'),
});

/** BAD_REQUEST with the field at fault. */
export function parseForgetBody(body: JsonObject): string | undefined {
  const parsed = forgetBody.safeParse(body);
  if (!parsed.success) throw badRequest(parsed.error);
  return parsed.data.reason;
}

export function forgetAnswer({ forgotten, kept }: Forgetting): Answer {
  return { status: 200, body: { forgotten, kept } };
}
