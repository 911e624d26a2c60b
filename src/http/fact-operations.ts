/** What the routes about locks and grants promise (fact-routes.ts). */
import * as z from 'zod';
import * as answer from './answer-schema.ts';
import { grantBody } from './grant-body.ts';
import { lockBody } from './lock-body.ts';
import type { Operation } from './operation.ts';
import { STORE_ERRORS, idempotency, limit } from './operation.ts';

const APPEND_ERRORS = [...STORE_ERRORS, 'APPEND_UNCERTAIN'] as const;
const ORDER_ERRORS = [...APPEND_ERRORS, 'IDEMPOTENCY_CONFLICT', 'TIME_INVALID', 'OVERLOADED'] as const;

export const FACT_OPERATIONS: readonly Operation[] = [
  {
    method: 'POST',
    path: '/v1/locks',
    id: 'lock',
    summary: 'stops what the selectors name, everywhere, until a time',
    body: lockBody,
    headers: idempotency,
    answers: [
      { status: 201, what: 'the asked-for word was reached', schema: answer.lockStatus },
      { status: 202, what: 'appended, and not there yet', schema: answer.lockStatus },
    ],
    errors: [...ORDER_ERRORS, 'SELECTOR_INVALID'],
  },
  {
    method: 'GET',
    path: '/v1/locks',
    id: 'listLocks',
    summary: 'locks in force, oldest first',
    query: z.object({ after: answer.position.optional(), limit }),
    answers: [{ status: 200, what: 'one page', schema: answer.lockList }],
    errors: ['BAD_REQUEST'],
  },
  {
    method: 'GET',
    path: '/v1/locks/:id',
    id: 'lockStatus',
    summary: 'one lock, as it stands now',
    answers: [{ status: 200, what: 'its state', schema: answer.lockStatus }],
    errors: ['NOT_FOUND', 'NOT_LIFTABLE', 'PROOF_INVALID', ...STORE_ERRORS],
  },
  {
    method: 'DELETE',
    path: '/v1/locks/:id',
    id: 'unlock',
    summary: 'lifts a lock; a revocation cannot be lifted',
    answers: [
      { status: 200, what: 'over on this replica', schema: answer.lifted },
      { status: 202, what: 'appended, and not applied here yet', schema: answer.lifted },
    ],
    errors: ['NOT_FOUND', 'NOT_LIFTABLE', ...APPEND_ERRORS],
  },
  {
    method: 'POST',
    path: '/v1/grants',
    id: 'grant',
    summary: 'entitles a subject, usable once it is answered',
    body: grantBody,
    headers: idempotency,
    answers: [
      { status: 201, what: 'in force on this replica', schema: answer.grantStatus },
      { status: 202, what: 'appended, and not applied here yet', schema: answer.grantStatus },
    ],
    errors: ORDER_ERRORS,
  },
  {
    method: 'GET',
    path: '/v1/grants',
    id: 'listGrants',
    summary: 'grants in force, oldest first; of one subject',
    query: z.object({ after: answer.position.optional(), limit, subject: z.string().optional() }),
    answers: [{ status: 200, what: 'one page', schema: answer.grantList }],
    errors: ['BAD_REQUEST'],
  },
  {
    method: 'GET',
    path: '/v1/grants/:id',
    id: 'grantStatus',
    summary: 'one grant, as it stands now',
    answers: [{ status: 200, what: 'its state', schema: answer.grantStatus }],
    errors: ['NOT_FOUND'],
  },
  {
    method: 'DELETE',
    path: '/v1/grants/:id',
    id: 'ungrant',
    summary: 'takes a grant away',
    answers: [
      { status: 200, what: 'over on this replica', schema: answer.ungranted },
      { status: 202, what: 'appended, and not applied here yet', schema: answer.ungranted },
    ],
    errors: ['NOT_FOUND', ...APPEND_ERRORS],
  },
];
