/**
 * AuthZEN 1.0 section 7, access evaluations: whole-object defaults, order kept, an item that fails is a deny in its
 * place, and the three semantics. Without items it behaves as a single evaluation.
 */
import type { Decision } from '../decision/decision.ts';
import { WritError, isWritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { ParsedRequest } from './access-request.ts';
import { parseAccessRequest } from './access-request.ts';

const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
type Semantic = (typeof SEMANTICS)[number];

type Decide = (parsed: ParsedRequest) => Decision | Promise<Decision>;
type Render = (decision: Decision, parsed: ParsedRequest) => Record<string, unknown>;

/** The whole answer's body. BAD_REQUEST for a body that is not of the shape; never for what one item lacks. */
export async function evaluateAll(
  body: JsonObject,
  decide: Decide,
  render: Render,
): Promise<Record<string, unknown>> {
  const semantic = parseSemantic(body['options']);
  const items = parseItems(body['evaluations']);
  if (items.length === 0) return evaluateOne(body, decide, render);
  const evaluations: Record<string, unknown>[] = [];
  for (const item of items) {
    const evaluation = await evaluateItem(body, item, decide, render);
    evaluations.push(evaluation);
    if (semantic === 'deny_on_first_deny' && evaluation['decision'] === false) break;
    if (semantic === 'permit_on_first_permit' && evaluation['decision'] === true) break;
  }
  return { evaluations };
}

async function evaluateOne(
  body: JsonObject,
  decide: Decide,
  render: Render,
): Promise<Record<string, unknown>> {
  const parsed = parseAccessRequest(body);
  return render(await decide(parsed), parsed);
}

async function evaluateItem(
  defaults: JsonObject,
  item: Json,
  decide: Decide,
  render: Render,
): Promise<Record<string, unknown>> {
  try {
    if (!isJsonObject(item)) throw new WritError('BAD_REQUEST', 'an evaluation must be an object');
    return await evaluateOne(withDefaults(defaults, item), decide, render);
  } catch (error) {
    if (!isWritError(error, 'BAD_REQUEST')) throw error;
    return { decision: false, context: { error: { status: 400, message: error.message } } };
  }
}

/** Each default is replaced whole by an item that carries its own; nothing is merged. */
function withDefaults(defaults: JsonObject, item: JsonObject): JsonObject {
  const { subject, action, resource, context } = { ...defaults, ...item };
  return Object.fromEntries(
    Object.entries({ subject, action, resource, context }).filter(([, value]) => value !== undefined),
  ) as JsonObject;
}

function parseItems(value: Json | undefined): readonly Json[] {
  if (value === undefined) return [];
  if (!Array.isArray(value))
    throw new WritError('BAD_REQUEST', 'evaluations must be an array', { field: 'evaluations' });
  if (value.length > LIMITS.evaluationsMax) {
    throw new WritError('BAD_REQUEST', `at most ${LIMITS.evaluationsMax} evaluations`, {
      field: 'evaluations',
    });
  }
  return value as readonly Json[];
}

function parseSemantic(options: Json | undefined): Semantic {
  if (options === undefined) return 'execute_all';
  const { evaluations_semantic: semantic = 'execute_all' } = isJsonObject(options)
    ? options
    : { evaluations_semantic: null };
  const known = SEMANTICS.find((one) => one === semantic);
  if (known !== undefined) return known;
  throw new WritError('BAD_REQUEST', `evaluations_semantic is one of ${SEMANTICS.join(', ')}`, {
    field: 'options',
  });
}
