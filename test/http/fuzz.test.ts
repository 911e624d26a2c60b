/**
 * The doors, fuzzed from the document they serve: bodies that its schemas take are answered as it says; bodies one change
 * away are refused as it says; and the connection can be used afterwards. On a listening server, for a bounded time.
 */
import { Agent } from 'node:http';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isWritError } from '../../src/kernel/error.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { parseAccessRequest } from '../../src/http/access-request.ts';
import { accessRequest } from '../../src/http/access-schema.ts';
import { OPERATIONS } from '../../src/http/openapi.ts';
import type { Operation, Plane } from '../../src/http/operation.ts';
import type { Reply } from '../support/client.ts';
import { call } from '../support/client.ts';
import { InProcessWrit, evaluation, registration } from '../support/in-process.ts';
import { DOCUMENT, documentPathOf, faultOf } from '../support/openapi-judge.ts';
import type { Schema } from '../support/schema-arbitrary.ts';
import { arbitraryOf, mutantOf } from '../support/schema-arbitrary.ts';

const RUNS = { numRuns: 40, interruptAfterTimeLimit: 2_500, markInterruptAsFailure: false };

let writ: InProcessWrit;
let token: string;
let session = '';
beforeAll(async () => {
  // A long lease: on a machine that is busy with other tests, `fenced` would be an answer that is right.
  writ = await InProcessWrit.open({ sets: ['lease=60s', 'rosterForget=10m', 'revocationClaims=[tenant]'] });
  token = await writ.mint({ ttlS: 86_000 });
  const opened = await writ.data('/v1/sessions', { body: registration(token, { selfEnds: true }) });
  session = String(opened.body['id']);
});
afterAll(() => writ.remove());

const ajv = new Ajv2020({ strict: false, validateFormats: false });

interface Target {
  readonly plane: Plane;
  readonly operation: Operation;
  readonly schema: Schema;
}

const TARGETS: readonly Target[] = (['data', 'control'] as const).flatMap((plane) =>
  OPERATIONS[plane].flatMap((operation) =>
    operation.body === undefined ? [] : [{ plane, operation, schema: bodySchemaOf(operation) }],
  ),
);

/** As the served document has it, not as the source does. */
function bodySchemaOf(operation: Operation): Schema {
  const steps = [documentPathOf(operation), operation.method.toLowerCase(), 'requestBody', 'content'];
  const content = steps.reduce<unknown>((node, step) => (node as Schema)[step], DOCUMENT['paths']);
  return (content as Record<string, { schema: Schema }>)['application/json']?.schema ?? {};
}

/** What a schema cannot know: a credential that verifies, and how patient a test is. */
function sensible(body: unknown, isCredentialed: boolean): unknown {
  const { waitMs, ...rest } = body as { waitMs?: number; context?: object; credential?: unknown };
  const patient = waitMs === undefined ? rest : { ...rest, waitMs: Math.min(waitMs, 20) };
  if (!isCredentialed) return patient;
  const context = { ...patient.context, credential: token };
  return { ...patient, ...('action' in patient ? { context, credential: token } : {}) };
}

async function ask({ plane, operation }: Target, body: unknown, agent: Agent): Promise<Reply> {
  const path = operation.path.replace('*', 'writ/authz/decision').replace(':id', session);
  const reply = await call(`${writ.writ.urls[plane]}${path}`, {
    method: operation.method,
    token: writ.adminToken,
    body,
    agent,
  });
  expect(faultOf(plane, operation.method, path, reply)).toBeUndefined();
  return reply;
}

/** One connection, which must not be left in a state that the next request suffers from. */
async function onOneConnection(use: (agent: Agent) => Promise<void>): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    await use(agent);
  } finally {
    agent.destroy();
  }
}

async function isUsable({ plane }: Target, agent: Agent): Promise<void> {
  const reply = await call(`${writ.writ.urls[plane]}/nowhere`, { agent, token: writ.adminToken });
  expect(reply.status).toBe(404);
}

/** One that asks for no member and takes any refuses hardly anything. */
function canRefuse({ required = [], additionalProperties }: Schema): boolean {
  return additionalProperties === false || (required as string[]).length > 0;
}

describe('every documented body', () => {
  it('is tried: of each plane that takes any', () => {
    expect(TARGETS.map(({ operation }) => operation.id)).toEqual(
      expect.arrayContaining([
        'evaluate',
        'evaluateAll',
        'check',
        'evaluateData',
        'openSession',
        'revoke',
        'openEpoch',
      ]),
    );
  });

  it.each(TARGETS.map((target) => [target.operation.id, target] as const))(
    '%s: what its schema takes is answered as documented, and is no failure of ours',
    async (_, target) => {
      let isTaken = 0;
      await onOneConnection((agent) =>
        fc.assert(
          fc.asyncProperty(arbitraryOf(target.schema), fc.boolean(), async (body, isCredentialed) => {
            const reply = await ask(target, sensible(body, isCredentialed), agent);
            expect(reply.status, reply.text).toBeLessThan(500);
            if (reply.status !== 400) isTaken += 1;
          }),
          RUNS,
        ),
      );
      // Not all are refused: then the schema would describe something else than the door takes.
      expect(isTaken).toBeGreaterThan(0);
    },
  );

  it.each(TARGETS.map((target) => [target.operation.id, target] as const))(
    '%s: what its schema refuses is refused, as documented, and the connection lives',
    async (_, target) => {
      const isValid = ajv.compile(target.schema);
      let refused = 0;
      await onOneConnection((agent) =>
        fc.assert(
          fc.asyncProperty(arbitraryOf(target.schema).chain(mutantOf), async (body) => {
            const sent = typeof body === 'object' && body !== null ? sensible(body, false) : body;
            const reply = await ask(target, JSON.stringify(sent), agent);
            expect(reply.status, reply.text).toBeLessThan(500);
            if (!isValid(sent)) {
              refused += 1;
              expect([400, 413, 422], JSON.stringify(sent).slice(0, 300)).toContain(reply.status);
            }
            await isUsable(target, agent);
          }),
          RUNS,
        ),
      );
      if (canRefuse(target.schema)) expect(refused).toBeGreaterThan(0);
    },
  );

  it.each(TARGETS.map((target) => [target.operation.id, target] as const))(
    '%s: what is no JSON object of any kind is refused, and the connection lives',
    async (_, target) => {
      const texts = fc.oneof(
        fc.string({ unit: 'binary', maxLength: 60 }),
        fc.constantFrom(
          '{"a":1,"a":2',
          '{'.repeat(200),
          '['.repeat(40) + ']'.repeat(40),
          '"',
          'nul',
          '{"\\ud800":1}',
        ),
        fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      );
      await onOneConnection((agent) =>
        fc.assert(
          fc.asyncProperty(texts, async (text) => {
            const reply = await ask(target, text, agent);
            expect(reply.status, reply.text).toBe(400);
            await isUsable(target, agent);
          }),
          { ...RUNS, numRuns: 20 },
        ),
      );
    },
  );
});

describe('the hand-written parser of access requests', () => {
  const valid = arbitraryOf(bodySchemaOf(OPERATIONS.data[0] as Operation));
  const isTaken = (body: unknown): boolean => {
    try {
      parseAccessRequest(body as JsonObject);
      return true;
    } catch (error) {
      if (isWritError(error, 'BAD_REQUEST')) return false;
      throw error;
    }
  };

  it('takes exactly what its schema takes', () => {
    const bodies = fc.oneof(valid, valid.chain(mutantOf), fc.constant(evaluation()).chain(mutantOf));
    fc.assert(
      fc.property(bodies, (body) => {
        if (typeof body !== 'object' || body === null || Array.isArray(body)) return;
        expect(isTaken(body)).toBe(accessRequest.safeParse(body).success);
      }),
      { numRuns: 2_000 },
    );
  });
});
