/** What the diagnostics listener's routes promise (diagnostics.ts). */
import * as answer from './answer-schema.ts';
import type { Operation } from './operation.ts';

const LIVE = { status: 200, what: 'it answers', schema: answer.live } as const;
const NOT_READY = { status: 503, what: 'not ready', schema: answer.readiness } as const;

export const DIAGNOSTICS_OPERATIONS: readonly Operation[] = [
  { method: 'GET', path: '/livez', id: 'livez', summary: 'the process answers', answers: [LIVE] },
  { method: 'GET', path: '/healthz', id: 'healthz', summary: 'alias of /livez', answers: [LIVE] },
  {
    method: 'GET',
    path: '/readyz',
    id: 'readyz',
    summary: '200 exactly when this replica may say yes; every check by name',
    answers: [{ status: 200, what: 'ready', schema: answer.readiness }, NOT_READY],
  },
  {
    method: 'GET',
    path: '/startupz',
    id: 'startupz',
    summary: '200 once it has been ready',
    answers: [{ status: 200, what: 'it has been ready', schema: answer.started }, NOT_READY],
  },
  {
    method: 'GET',
    path: '/metrics',
    id: 'metrics',
    summary: 'metrics for Prometheus',
    answers: [{ status: 200, what: 'text 0.0.4', type: 'text/plain; version=0.0.4; charset=utf-8' }],
  },
];
