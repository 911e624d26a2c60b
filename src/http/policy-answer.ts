/** What the control plane says of the policy that runs, and how a caller has it loaded again. */
import * as z from 'zod';
import type { ReloadOrder, Reloader } from '../flows/reload.ts';
import { renderInstant } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { Answer } from './answer.ts';
import { badRequest } from './revocation-body.ts';

/** `GET /v1/policy` */
export function policyAnswer({ policy, sinceMs, sourceName, lastFailure, counts }: Reloader): Answer {
  const { atMs, ...why } = lastFailure ?? { atMs: 0 };
  return {
    status: 200,
    body: {
      ...policy.revision,
      since: renderInstant(sinceMs),
      source: sourceName,
      reloads: counts,
      ...(lastFailure === undefined ? {} : { refused: { ...why, at: renderInstant(atMs) } }),
    },
  };
}

/** `POST /v1/policy/reload`. The policy's refusal is the caller's answer: 422 for the bundle, 503 for its source. */
export async function reloadAnswer(reloader: Reloader, body: JsonObject): Promise<Answer> {
  const outcome = await reloader.reload(parseReloadBody(body));
  if (outcome.state === 'refused') throw new WritError(outcome.code, outcome.detail);
  return { status: 200, body: { state: outcome.state, digest: reloader.policy.revision.digest } };
}

export const reloadBody = z.strictObject({
  allowOlder: z
    .boolean()
    .exactOptional()
    .describe('An operator’s word: also when it is older than the one that ran last.'),
});

function parseReloadBody(body: JsonObject): ReloadOrder {
  const parsed = reloadBody.safeParse(body);
  if (!parsed.success) throw badRequest(parsed.error);
  return { allowOlder: parsed.data.allowOlder ?? false };
}

/** The policy's line in `/readyz`. A bundle that was refused leaves the replica ready: the one before goes on. */
export function policyDetail({ policy, lastFailure }: Reloader): string {
  const { digest } = policy.revision;
  if (lastFailure === undefined) return digest;
  return `${digest} running; ${lastFailure.digest ?? 'the one at the source'} refused: ${lastFailure.detail}`;
}
