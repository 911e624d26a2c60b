/**
 * AuthZEN 1.0 section 7, access evaluations: whole-object defaults, order kept, an item that fails is a deny in its
 * place, and the three semantics. Without items it behaves as a single evaluation.
 */
import { setImmediate } from 'node:timers/promises';
import type { Judgement } from '../decision/decision.ts';
import type { Occasion } from '../decision/observer.ts';
import { WritError, isWritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { ParsedRequest } from './access-request.ts';
import { parseAccessRequest } from './access-request.ts';
import type { AskedDecision, AskedLook } from './asked-decision.ts';

const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
type Semantic = (typeof SEMANTICS)[number];

/** Verifies what a request presents; the decision is made later, as often as it is looked at. */
type Ask = (parsed: ParsedRequest) => Promise<AskedDecision>;
type Render = (judgement: Judgement, occasion: Occasion) => string;

/** Items verified, written down or looked at before others have a turn: well under a millisecond. */
const ITEMS_PER_TURN = 50;

/** The whole answer's body, as JSON. BAD_REQUEST for a body that is not of the shape; never for what one item lacks. */
export async function evaluateAll(body: JsonObject, ask: Ask, render: Render): Promise<string> {
  const semantic = parseSemantic(body['options']);
  const items = parseItems(body['evaluations']);
  if (items.length === 0) {
    const [text = ''] = await new Batch([() => ask(parseAccessRequest(body))], 'execute_all').settle(render);
    return text;
  }
  const asks = items.map((item) => () => askItem(body, item, ask));
  return `{"evaluations":[${(await new Batch(asks, semantic).settle(render)).join(',')}]}`;
}

/** An item that is not of the shape: there is nothing to decide. */
interface Refused {
  readonly error: string;
}

type Item = AskedDecision | Refused;

type Looked = { readonly item: AskedDecision; readonly look: AskedLook } | Refused;

/**
 * The items of one answer. What one of them waits for (keys of another issuer, its line in the log) must not make the
 * others old: an allow made before a revocation would go out after it was `enforced`. So every allow is made in the turn
 * in which all are answered; a no stays right and is kept.
 */
class Batch {
  readonly #asks: readonly (() => Promise<Item>)[];
  readonly #semantic: Semantic;
  readonly #items: Item[] = [];
  readonly #denied = new Map<Item, AskedLook>();

  constructor(asks: readonly (() => Promise<Item>)[], semantic: Semantic) {
    this.#asks = asks;
    this.#semantic = semantic;
  }

  /** Each item's answer, as JSON. The last look and the rendering are one turn. */
  async settle(render: Render): Promise<readonly string[]> {
    for (;;) {
      const { looked, isWhole } = this.#lookAtAll();
      const unready = looked.filter((one) => 'look' in one).filter(({ look }) => !look.isReady);
      if (unready.length > 0) await writeAll(unready);
      else if (isWhole) return looked.map((one) => textOf(one, render));
      else await this.#askOn();
    }
  }

  /** Asks until the semantic ends it, as far as one can tell now, or there is nothing more to ask. */
  async #askOn(): Promise<void> {
    const isPreviewed = this.#semantic !== 'execute_all' || this.#asks.length > ITEMS_PER_TURN;
    for (const ask of this.#asks.slice(this.#items.length)) {
      const item = await ask();
      this.#items.push(item);
      // What policy says now is remembered for the last look, which is the shorter for it.
      if (isPreviewed && this.#isEndedBy(this.#lookAt(item))) return;
      // A thousand of them must not keep everyone else waiting.
      if (this.#items.length % ITEMS_PER_TURN === 0) await setImmediate();
    }
  }

  /** In one turn. Whole: the semantic ends it there, or every item is in it. */
  #lookAtAll(): { readonly looked: readonly Looked[]; readonly isWhole: boolean } {
    const looked: Looked[] = [];
    for (const item of this.#items) {
      const one = this.#lookAt(item);
      looked.push(one);
      if (this.#isEndedBy(one)) return { looked, isWhole: true };
    }
    return { looked, isWhole: looked.length === this.#asks.length };
  }

  #lookAt(item: Item): Looked {
    if ('error' in item) return item;
    const look = this.#denied.get(item) ?? item.look();
    if (look.isReady && look.judgement.effect !== 'allow') this.#denied.set(item, look);
    return { item, look };
  }

  #isEndedBy(one: Looked): boolean {
    const isAllow = 'look' in one && one.look.judgement.effect === 'allow';
    return this.#semantic === (isAllow ? 'permit_on_first_permit' : 'deny_on_first_deny');
  }
}

async function writeAll(unready: readonly Exclude<Looked, Refused>[]): Promise<void> {
  for (let at = 0; at < unready.length; at += ITEMS_PER_TURN) {
    await Promise.all(unready.slice(at, at + ITEMS_PER_TURN).map(({ item, look }) => item.write(look)));
  }
}

function textOf(one: Looked, render: Render): string {
  if ('look' in one) return render(one.look.judgement, one.item.occasion);
  return JSON.stringify({ decision: false, context: { error: { status: 400, message: one.error } } });
}

async function askItem(defaults: JsonObject, item: Json, ask: Ask): Promise<Item> {
  try {
    if (!isJsonObject(item)) throw new WritError('BAD_REQUEST', 'an evaluation must be an object');
    return await ask(parseAccessRequest(withDefaults(defaults, item)));
  } catch (error) {
    if (!isWritError(error, 'BAD_REQUEST')) throw error;
    return { error: error.message };
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
