/** What the control plane's routes promise (control-plane.ts). */
import * as z from 'zod';
import * as answer from './answer-schema.ts';
import { devTokenBody } from './dev-mint.ts';
import { epochBody } from './epoch-body.ts';
import { FACT_OPERATIONS } from './fact-operations.ts';
import { forgetBody } from './forget-body.ts';
import type { Operation } from './operation.ts';
import { OPEN_API, STORE_ERRORS, idempotency, limit } from './operation.ts';
import { reloadBody } from './policy-answer.ts';
import { revocationBody } from './revocation-body.ts';

const TEXT = 'text/plain; charset=utf-8';

export const CONTROL_OPERATIONS: readonly Operation[] = [
  {
    method: 'POST',
    path: '/v1/revocations',
    id: 'revoke',
    summary: 'makes what the selectors name dead, everywhere',
    body: revocationBody,
    headers: idempotency,
    answers: [
      { status: 200, what: 'a dry run: what would die', schema: answer.dryRun },
      { status: 201, what: 'the asked-for word was reached', schema: answer.revocationStatus },
      { status: 202, what: 'appended, and not there yet', schema: answer.revocationStatus },
    ],
    errors: [...STORE_ERRORS, 'APPEND_UNCERTAIN', 'IDEMPOTENCY_CONFLICT', 'SELECTOR_INVALID'],
  },
  {
    method: 'GET',
    path: '/v1/revocations',
    id: 'listRevocations',
    summary: 'revocations, oldest first',
    query: z.object({ after: answer.position.optional(), limit }),
    answers: [{ status: 200, what: 'one page', schema: answer.revocationList }],
    errors: ['BAD_REQUEST'],
  },
  {
    method: 'GET',
    path: '/v1/revocations/:id',
    id: 'revocation',
    summary: 'one revocation, as it stands now',
    answers: [{ status: 200, what: 'its state', schema: answer.revocationStatus }],
    errors: ['NOT_FOUND', 'PROOF_INVALID', ...STORE_ERRORS],
  },
  ...FACT_OPERATIONS,
  {
    method: 'GET',
    path: '/v1/receipts/:id',
    id: 'receipt',
    summary: 'the receipt of a revocation or a lock, which anyone can verify offline',
    answers: [{ status: 200, what: 'the receipt', type: TEXT }],
    errors: ['NOT_FOUND', 'PROOF_INVALID'],
  },
  {
    method: 'GET',
    path: '/v1/sessions',
    id: 'listSessions',
    summary: 'live sessions by the digest of their id',
    query: z.object({ limit }),
    answers: [{ status: 200, what: 'sessions', schema: answer.sessionList }],
    errors: ['BAD_REQUEST'],
  },
  {
    method: 'GET',
    path: '/v1/replicas',
    id: 'listReplicas',
    summary: 'every incarnation on the roster: state, position, lag, lease, clock',
    answers: [{ status: 200, what: 'replicas', schema: answer.replicaList }],
  },
  {
    method: 'POST',
    path: '/v1/replicas/:name/forget',
    id: 'forgetReplica',
    summary: 'takes the silent incarnations of a name off the roster; none that may hold a lease',
    body: forgetBody,
    answers: [{ status: 200, what: 'forgotten', schema: answer.replicaForgotten }],
    errors: ['BAD_REQUEST', 'NOT_FOUND', 'STILL_LEASED', 'APPEND_UNCERTAIN', ...STORE_ERRORS],
  },
  {
    method: 'GET',
    path: '/v1/checkpoint',
    id: 'checkpoint',
    summary: 'the signed checkpoint of the ledger, and who has cosigned it so far',
    answers: [{ status: 200, what: 'a C2SP signed note', type: TEXT }],
  },
  {
    method: 'GET',
    path: '/v1/keys',
    id: 'keys',
    summary: "the log's verifier key, the replicas' keys and those of their cosignatures",
    answers: [{ status: 200, what: 'keys', schema: answer.keys }],
  },
  {
    method: 'GET',
    path: '/v1/ledger',
    id: 'ledger',
    summary: 'the ledger as JSON lines; the last line is the signed checkpoint with the cosignatures',
    query: z.object({ from: answer.position.optional() }),
    answers: [{ status: 200, what: 'lines', type: 'application/jsonl' }],
    errors: ['BAD_REQUEST', ...STORE_ERRORS],
  },
  {
    method: 'GET',
    path: '/v1/policy',
    id: 'policy',
    summary: 'the policy that runs, and what was refused instead',
    answers: [{ status: 200, what: 'the policy', schema: answer.policyStatus }],
  },
  {
    method: 'POST',
    path: '/v1/policy/reload',
    id: 'reloadPolicy',
    summary: "loads what the policy's source has now",
    body: reloadBody,
    answers: [{ status: 200, what: 'it runs', schema: answer.policyReloaded }],
    errors: ['POLICY_INVALID', 'POLICY_UNREACHABLE'],
  },
  {
    method: 'GET',
    path: '/v1/status',
    id: 'status',
    summary: 'is all well? every check, and what is still to be looked after',
    answers: [{ status: 200, what: 'the verdict and what it stands on', schema: answer.overview }],
  },
  {
    method: 'GET',
    path: '/v1/config',
    id: 'config',
    summary: 'the configuration it runs with, without its secrets, and where each value came from',
    answers: [{ status: 200, what: 'every key that has a value', schema: answer.settings }],
  },
  {
    method: 'POST',
    path: '/v1/epoch',
    id: 'openEpoch',
    summary: 'opens an epoch on a store that has none',
    body: epochBody,
    answers: [{ status: 201, what: 'opened', schema: answer.epochOpened }],
    errors: ['ALREADY_OPEN', 'NOT_NEW', 'APPEND_UNCERTAIN', 'STORE_BROKEN', 'STORE_UNREACHABLE'],
  },
  {
    method: 'POST',
    path: '/v1/dev/tokens',
    id: 'mintDevToken',
    summary: 'mints from the dev issuer',
    body: devTokenBody,
    answers: [{ status: 201, what: 'minted', schema: answer.minted }],
    isDevOnly: true,
  },
  OPEN_API,
];
