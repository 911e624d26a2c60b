/**
 * What one route promises, as data: who may ask, what is sent, every answer and every error. The tables of operations
 * are what `/openapi.json` is made of (openapi.ts); a test compares them with the routes both ways. Nothing here runs
 * while a request is answered.
 */
import * as z from 'zod';
import type { ErrorCode } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';

export type Plane = 'data' | 'control' | 'diagnostics';

export interface Operation {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** As the table of routes spells it: `/v1/sessions/:id`, `/v1/data/*`. */
  readonly path: string;
  /** Unique over all planes; generated clients name their functions after it. */
  readonly id: string;
  readonly summary: string;
  /** What the door parses the body with, or is proven to agree with. Absent: the route takes no body. */
  readonly body?: z.ZodType;
  /** Each member is a parameter of the query. */
  readonly query?: z.ZodObject;
  /** Each member is a header of the request. */
  readonly headers?: z.ZodObject;
  readonly answers: readonly ShownAnswer[];
  /** Beside those that every route of its plane can answer. */
  readonly errors?: readonly ErrorCode[];
  /** In whose words errors are said; RFC 9457 unless a standard has its own. */
  readonly errorForm?: 'authzen' | 'opa';
  /** Needs no caller, on a plane where the others do. */
  readonly isPublic?: boolean;
  /** There only on servers that were started with `--dev`. */
  readonly isDevOnly?: boolean;
}

export interface ShownAnswer {
  readonly status: number;
  readonly what: string;
  /** Absent: no body, or one that is no JSON (`type`). */
  readonly schema?: z.ZodType;
  /** `application/json` where there is a schema, unless this says otherwise. */
  readonly type?: string;
}

/** Two listeners have it: whoever can reach either may know what both can do. */
export const OPEN_API: Operation = {
  method: 'GET',
  path: '/openapi.json',
  id: 'openApi',
  summary: 'this document, of the data plane and of the control plane alike',
  answers: [{ status: 200, what: 'OpenAPI 3.1', schema: z.looseObject({ openapi: z.string() }) }],
  isPublic: true,
};

/** A number in a query is text; the schema of a parameter says what the text means. */
export const limit = z.int().min(1).max(LIMITS.revocationsListedMax).optional();

export const idempotency = z.object({
  'Idempotency-Key': z
    .string()
    .regex(/^[\x21-\x7e]{1,255}$/)
    .optional()
    .describe('Kept for 24 hours; another body under it is a conflict.'),
});

/** What an append, or a question to the store, may end in. */
export const STORE_ERRORS = ['EPOCH_CLOSED', 'FENCED', 'STORE_BROKEN', 'STORE_UNREACHABLE'] as const;
