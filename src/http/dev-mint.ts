/** `POST /v1/dev/tokens`: mints from the dev issuer. There only with `--dev`, and only for the admin token. */
import * as z from 'zod';
import type { JsonObject } from '../kernel/json.ts';
import { badRequest } from './revocation-body.ts';

/** What the dev issuer must be able to do; edges/idp has it. */
export interface Mint {
  mint(request: {
    sub: string;
    audience: string;
    clientId?: string;
    scope?: string;
    ttlS?: number;
    claims?: JsonObject;
  }): Promise<string>;
}

export const devTokenBody = z.strictObject({
  sub: z.string().min(1).max(256),
  scope: z.string().max(1_024).optional(),
  ttlS: z.int().min(1).max(86_400).optional(),
  audience: z.string().min(1).max(256).optional(),
  clientId: z.string().min(1).max(256).optional(),
  claims: z.record(z.string(), z.unknown()).optional(),
});

/** Body -> `{token}`. BAD_REQUEST with the field at fault. */
export function devMint(issuer: Mint, audience: string): (body: JsonObject) => Promise<{ token: string }> {
  return async (body) => {
    const parsed = devTokenBody.safeParse(body);
    if (!parsed.success) throw badRequest(parsed.error);
    const { sub, scope, ttlS, clientId, claims } = parsed.data;
    const token = await issuer.mint({
      sub,
      audience: parsed.data.audience ?? audience,
      ...(scope === undefined ? {} : { scope }),
      ...(ttlS === undefined ? {} : { ttlS }),
      ...(clientId === undefined ? {} : { clientId }),
      ...(claims === undefined ? {} : { claims: claims as JsonObject }),
    });
    return { token };
  };
}
