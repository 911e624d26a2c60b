/** What the data plane's routes promise (data-plane.ts, session-routes.ts). */
import { accessRequest, accessRequests, dataQuery, freshCredential, sessionOrder } from './access-schema.ts';
import * as answer from './answer-schema.ts';
import type { Operation } from './operation.ts';
import { OPEN_API } from './operation.ts';

const DECIDED = { schema: answer.decision } as const;

export const DATA_OPERATIONS: readonly Operation[] = [
  {
    method: 'POST',
    path: '/access/v1/evaluation',
    id: 'evaluate',
    summary: 'AuthZEN access evaluation',
    body: accessRequest,
    answers: [{ status: 200, what: 'the decision; only `true` is a yes', ...DECIDED }],
    errorForm: 'authzen',
  },
  {
    method: 'POST',
    path: '/access/v1/evaluations',
    id: 'evaluateAll',
    summary: 'AuthZEN access evaluations: defaults, order, three semantics',
    body: accessRequests,
    answers: [{ status: 200, what: 'a decision for each item', schema: answer.decisions }],
    errorForm: 'authzen',
  },
  {
    method: 'GET',
    path: '/.well-known/authzen-configuration',
    id: 'authzenConfiguration',
    summary: 'AuthZEN metadata',
    answers: [{ status: 200, what: 'where the endpoints are', schema: answer.authzenMetadata }],
  },
  {
    method: 'POST',
    path: '/v1/check',
    id: 'check',
    summary: 'one decision, and the status tells as well',
    body: accessRequest,
    answers: [
      { status: 200, what: 'allowed', ...DECIDED },
      { status: 401, what: 'the credential is none, or no longer one', ...DECIDED },
      { status: 403, what: 'denied', ...DECIDED },
      { status: 503, what: 'it cannot be known now', ...DECIDED },
    ],
  },
  {
    method: 'POST',
    path: '/v1/data/*',
    id: 'evaluateData',
    summary: "OPA's Data API for any entrypoint of the bundle",
    body: dataQuery,
    answers: [
      {
        status: 200,
        what: 'the value; nothing when it is undefined or refused (x-writ-reason)',
        schema: answer.opaResult,
      },
    ],
    errorForm: 'opa',
  },
  {
    method: 'POST',
    path: '/v1/sessions',
    id: 'openSession',
    summary: 'registers a live session on the strength of one decision',
    body: sessionOrder,
    answers: [
      { status: 201, what: 'it may run, as long as it stays fresh', schema: answer.sessionOpened },
      { status: 403, what: 'denied', ...DECIDED },
      { status: 503, what: 'it cannot be known now', ...DECIDED },
    ],
    errors: ['OVERLOADED', 'STORE_UNREACHABLE'],
  },
  {
    method: 'GET',
    path: '/v1/sessions/:id/events',
    id: 'sessionEvents',
    summary: 'server-sent events: one `kill`, after which the stream ends',
    answers: [{ status: 200, what: 'the stream', type: 'text/event-stream' }],
    errors: ['NOT_FOUND'],
  },
  {
    method: 'POST',
    path: '/v1/sessions/:id/credential',
    id: 'refreshSession',
    summary: 'a fresher credential of the same subject takes the place of the one before',
    body: freshCredential,
    answers: [
      { status: 200, what: 'it may go on', schema: answer.sessionRefreshed },
      { status: 403, what: 'denied; the session goes on with the credential before', ...DECIDED },
      { status: 503, what: 'it cannot be known now', ...DECIDED },
    ],
    errors: ['NOT_FOUND', 'NOT_FRESHER', 'SESSION_ENDED', 'STORE_UNREACHABLE'],
  },
  {
    method: 'POST',
    path: '/v1/sessions/:id/ping',
    id: 'pingSession',
    summary: 'how long the session may go on',
    answers: [{ status: 200, what: 'counted from the sending of the ping', schema: answer.ping }],
    errors: ['NOT_FOUND'],
  },
  {
    method: 'POST',
    path: '/v1/sessions/:id/closed',
    id: 'closedSession',
    summary: 'the holder confirms that it closed: the proof a kill waits for',
    answers: [{ status: 204, what: 'noted' }],
    errors: ['NOT_FOUND'],
  },
  {
    method: 'DELETE',
    path: '/v1/sessions/:id',
    id: 'endSession',
    summary: 'ended normally',
    answers: [{ status: 204, what: 'noted' }],
    errors: ['NOT_FOUND'],
  },
  OPEN_API,
];
