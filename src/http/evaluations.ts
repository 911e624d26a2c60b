/**
 * AuthZEN 1.0 section 7, access evaluations: whole-object defaults, order kept, an item that fails is a deny in its
 * place, and the three semantics. Without items it behaves as a single evaluation.
 */
import { setImmediate } from 'node:timers/promises';
import type { Judgement } from '../decision/decision.ts';
import { WritError, isWritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { ParsedRequest } from './access-request.ts';
import { parseAccessRequest } from './access-request.ts';

const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
type Semantic = (typeof SEMANTICS)[number];

type Decide = (parsed: ParsedRequest) => Judgement | Promise<Judgement>;
type Render = (judgement: Judgement, parsed: ParsedRequest) => string;

/** Items decided before others have a turn: well under a millisecond. */
const ITEMS_PER_TURN = 50;

/** The whole answer's body, as JSON. BAD_REQUEST for a body that is not of the shape; never for what one item lacks. */
export async function evaluateAll(body: JsonObject, decide: Decide, render: Render): Promise<string> {
  const semantic = parseSemantic(body['options']);
  const items = parseItems(body['evaluations']);
  if (items.length === 0) return (await evaluateOne(body, decide, render)).text;
  const evaluations: string[] = [];
  for (const item of items) {
    const { isAllow, text } = await evaluateItem(body, item, decide, render);
    evaluations.push(text);
    if (semantic === 'deny_on_first_deny' && !isAllow) break;
    if (semantic === 'permit_on_first_permit' && isAllow) break;
    // A thousand of them must not keep everyone else waiting.
    if (evaluations.length % ITEMS_PER_TURN === 0) await setImmediate();
  }
  return `{"evaluations":[${evaluations.join(',')}]}`;
}

interface Evaluated {
  readonly isAllow: boolean;
  /** JSON. */
  readonly text: string;
}

async function evaluateOne(body: JsonObject, decide: Decide, render: Render): Promise<Evaluated> {
  const parsed = parseAccessRequest(body);
  const judgement = await decide(parsed);
  return { isAllow: judgement.effect === 'allow', text: render(judgement, parsed) };
}

async function evaluateItem(
  defaults: JsonObject,
  item: Json,
  decide: Decide,
  render: Render,
): Promise<Evaluated> {
  try {
    if (!isJsonObject(item)) throw new WritError('BAD_REQUEST', 'an evaluation must be an object');
    return await evaluateOne(withDefaults(defaults, item), decide, render);
  } catch (error) {
    if (!isWritError(error, 'BAD_REQUEST')) throw error;
    const refused = { decision: false, context: { error: { status: 400, message: error.message } } };
    return { isAllow: false, text: JSON.stringify(refused) };
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
