/**
 * `/openapi.json`: OpenAPI 3.1 over all three listeners, made once at start from the tables of operations and the
 * schemas that the doors parse with. It says nothing of this server's configuration, so anyone may read it.
 */
import * as z from 'zod';
import type { ErrorCode } from '../kernel/error.ts';
import { ERROR_CODES } from '../kernel/error.ts';
import { decision, opaProblem, problem } from './answer-schema.ts';
import { CONTROL_OPERATIONS } from './control-operations.ts';
import { DATA_OPERATIONS } from './data-operations.ts';
import { DIAGNOSTICS_OPERATIONS } from './diagnostics-operations.ts';
import type { Operation, Plane, ShownAnswer } from './operation.ts';

export const OPERATIONS: Readonly<Record<Plane, readonly Operation[]>> = {
  data: DATA_OPERATIONS,
  control: CONTROL_OPERATIONS,
  diagnostics: DIAGNOSTICS_OPERATIONS,
};

type Member = Record<string, unknown>;

const PLANES: Readonly<Record<Plane, { url: string; what: string }>> = {
  data: {
    url: 'http://127.0.0.1:8181',
    what: 'Decisions and live sessions. Asks for no credential of its own.',
  },
  control: {
    url: 'http://127.0.0.1:8282',
    what: 'Revocations, receipts, the ledger. Every caller is known.',
  },
  diagnostics: { url: 'http://127.0.0.1:9464', what: 'Probes and metrics.' },
};

/** Where a schema that is named once is found. */
const REFERENCES = { problem: '#/components/schemas/problem', decision: '#/components/schemas/decision' };

const INFO = {
  title: 'Writ',
  summary: 'The execution layer for identity decisions: decide, revoke, kill, prove.',
  license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
};

export interface OpenApiFacts {
  readonly version: string;
  /** With the routes that only `--dev` servers have. */
  readonly dev: boolean;
}

/** The whole document, as JSON text. */
export function renderOpenApi(facts: OpenApiFacts): string {
  return JSON.stringify(openApiOf(facts));
}

export function openApiOf({ version, dev }: OpenApiFacts): Member {
  const paths: Record<string, Member> = {};
  for (const plane of Object.keys(OPERATIONS) as Plane[]) {
    for (const operation of OPERATIONS[plane]) {
      if (operation.isDevOnly === true && !dev) continue;
      const item = (paths[pathOf(operation.path)] ??= {});
      const method = operation.method.toLowerCase();
      item[method] = withServer(item[method], renderOperation(operation, plane));
    }
  }
  return {
    openapi: '3.1.1',
    info: { ...INFO, version },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    servers: [serverOf('data')],
    tags: Object.entries(PLANES).map(([name, { what }]) => ({ name, description: what })),
    paths,
    components: {
      schemas: { problem: answerSchema(problem), decision: answerSchema(decision) },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The admin token, or an OAuth access token.' },
      },
    },
  };
}

/** An operation of two listeners is one operation with two servers. */
function withServer(already: unknown, rendered: Member): Member {
  if (already === undefined) return rendered;
  const { servers, tags } = already as { servers: Member[]; tags: string[] };
  return {
    ...rendered,
    servers: [...servers, ...(rendered['servers'] as Member[])],
    tags: [...tags, ...(rendered['tags'] as string[])],
  };
}

/** One listener, whose address is where the reader's server has it. */
function serverOf(plane: Plane): Member {
  const { url, what } = PLANES[plane];
  return { url: `{${plane}}`, description: what, variables: { [plane]: { default: url } } };
}

/** `/v1/sessions/:id` -> `/v1/sessions/{id}`; a final `*` is one parameter that may hold slashes. */
function pathOf(path: string): string {
  return path.replace(/:([a-z]+)/g, '{$1}').replace('*', '{path}');
}

function renderOperation(operation: Operation, plane: Plane): Member {
  const { id, summary, body, isPublic = false } = operation;
  const parameters = parametersOf(operation);
  return {
    operationId: id,
    tags: [plane],
    summary,
    servers: [serverOf(plane)],
    security: plane === 'control' && !isPublic ? [{ bearer: [] }] : [],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: bodySchema(body) } } } }),
    responses: responsesOf(operation, plane),
  };
}

function parametersOf({ path, query, headers }: Operation): Member[] {
  const inPath = [...pathOf(path).matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  return [...inPath, ...membersOf(query, 'query'), ...membersOf(headers, 'header')];
}

function membersOf(schema: z.ZodObject | undefined, where: 'query' | 'header'): Member[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = bodySchema(schema) as {
    properties?: Record<string, Member>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, member]) => ({
    name,
    in: where,
    required: required.includes(name),
    schema: member,
  }));
}

/** By status, and within it by type: a 503 may be a decision or a problem. */
function responsesOf(operation: Operation, plane: Plane): Record<string, Member> {
  const responses: Record<string, Member> = {};
  for (const shown of operation.answers) addAnswer(responses, shown);
  for (const [status, codes] of byStatus(errorsOf(operation, plane)))
    addError(responses, status, codes, operation);
  return responses;
}

function addAnswer(responses: Record<string, Member>, { status, what, schema, type }: ShownAnswer): void {
  const media = type ?? (schema === undefined ? undefined : 'application/json');
  responses[status] = {
    description: what,
    ...(media === undefined
      ? {}
      : {
          content: { [media]: { schema: schema === undefined ? { type: 'string' } : shownSchema(schema) } },
        }),
  };
}

function addError(
  responses: Record<string, Member>,
  status: number,
  codes: readonly ErrorCode[],
  { errorForm }: Operation,
): void {
  const already = responses[status] as { description: string; content: Member } | undefined;
  const said = codes.map((code) => `${code}: ${ERROR_CODES[code].title}`).join('; ');
  responses[status] = {
    description: already === undefined ? said : `${already.description}; or ${said}`,
    ...(status === 503 || status === 504 ? { headers: RETRY_AFTER } : {}),
    content: { ...already?.content, ...errorContent(codes, errorForm) },
  };
}

const RETRY_AFTER = {
  'retry-after': { description: 'Seconds after which asking again makes sense.', schema: { type: 'string' } },
};

function errorContent(codes: readonly ErrorCode[], form: Operation['errorForm']): Member {
  // AuthZEN 1.0 section 10.1.2: a string.
  if (form === 'authzen') return { 'application/json': { schema: { type: 'string' } } };
  if (form === 'opa') return { 'application/json': { schema: answerSchema(opaProblem) } };
  const schema = { allOf: [{ $ref: REFERENCES.problem }, { properties: { code: { enum: codes } } }] };
  return { 'application/problem+json': { schema } };
}

/** What any route of the plane can say, what a body can do wrong, and what the operation adds. */
function errorsOf({ body, errors = [], isPublic = false }: Operation, plane: Plane): ReadonlySet<ErrorCode> {
  const ofPlane: ErrorCode[] =
    plane === 'control' && !isPublic ? ['UNAUTHENTICATED', 'FORBIDDEN', 'FENCED', 'BAD_REQUEST'] : [];
  const ofBody: ErrorCode[] =
    body === undefined ? [] : ['BAD_REQUEST', 'BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'];
  return new Set<ErrorCode>([...ofPlane, ...ofBody, ...errors, 'INTERNAL']);
}

function byStatus(codes: ReadonlySet<ErrorCode>): ReadonlyMap<number, ErrorCode[]> {
  return Map.groupBy([...codes].toSorted(), (code) => ERROR_CODES[code].status);
}

function shownSchema(schema: z.ZodType): Member {
  return schema === decision ? { $ref: REFERENCES.decision } : answerSchema(schema);
}

function bodySchema(schema: z.ZodType): Member {
  return withoutDialect(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
}

/** `io: input`, so that an object is open: answers may get more members, and no client may trip over one. */
function answerSchema(schema: z.ZodType): Member {
  return withoutDialect(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
}

function withoutDialect({ $schema: _, ...schema }: Member): Member {
  return schema;
}
