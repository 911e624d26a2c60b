/**
 * AuthZEN 1.0 section 7, access evaluations: whole-object defaults, order kept, an item that fails is a deny in its
 * place, and the three semantics. Without items it behaves as a single evaluation.
 */
import type { Judgement } from '../decision/decision.ts';
import type { Occasion } from '../decision/observer.ts';
import { WritError, isWritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { turns } from '../kernel/turns.ts';
import type { ParsedRequest } from './access-request.ts';
import { parseAccessRequest } from './access-request.ts';
import type { AskedDecision, AskedLook } from './asked-decision.ts';
import type { LastLook } from './router.ts';

const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
type Semantic = (typeof SEMANTICS)[number];

export interface EvaluationPorts {
  /** Verifies what a request presents; the decision is made later, as often as it is looked at. */
  readonly ask: (parsed: ParsedRequest) => Promise<AskedDecision>;
  readonly render: (judgement: Judgement, occasion: Occasion) => string;
  /** Whole milliseconds for which an answer given now may be relied on; 0 when fenced. */
  readonly freshForMs: () => number;
}

/** How long items are looked at before others have a turn. */
const SLICE_MS = 2;
/** How long the look may take in whose turn all are answered: what policy was not asked about by then has no answer. */
const LAST_LOOK_MS = 100;
/** Lines of the decision log that are waited for together. */
const LINES_TOGETHER = 50;

/** How the whole is answered. BAD_REQUEST for a body that is not of the shape; never for what one item lacks. */
export async function evaluateAll(body: JsonObject, ports: EvaluationPorts): Promise<LastLook> {
  const semantic = parseSemantic(body['options']);
  const items = parseItems(body['evaluations']);
  const sizes = new Sizes(body);
  if (items.length === 0) {
    sizes.require({});
    const batch = new Batch([() => ports.ask(parseAccessRequest(body))], 'execute_all', ports);
    return batch.ready(([text = '']) => text);
  }
  const asks = items.map((item) => () => askItem(body, item, sizes, ports.ask));
  return new Batch(asks, semantic, ports).ready((texts) => `{"evaluations":[${texts.join(',')}]}`);
}

/** An item that is not of the shape: there is nothing to decide. */
interface Refused {
  readonly error: string;
}

type Item = AskedDecision | Refused;

type Looked = { readonly item: AskedDecision; readonly look: AskedLook<Judgement> } | Refused;

/**
 * The items of one answer. What one of them waits for (keys of another issuer, its line in the log) must not make the
 * others old: an allow made before a revocation would go out after it was `enforced`. So every allow is made in the turn
 * in which all are answered; a no stays right and is kept.
 */
class Batch {
  readonly #asks: readonly (() => Promise<Item>)[];
  readonly #semantic: Semantic;
  readonly #ports: EvaluationPorts;
  readonly #items: Item[] = [];
  readonly #denied = new Map<Item, AskedLook<Judgement>>();

  constructor(asks: readonly (() => Promise<Item>)[], semantic: Semantic, ports: EvaluationPorts) {
    this.#asks = asks;
    this.#semantic = semantic;
    this.#ports = ports;
  }

  /** The last look at all, once as many are asked as it takes. `bodyOf` is given each item's answer, as JSON. */
  async ready(bodyOf: (texts: readonly string[]) => string): Promise<LastLook> {
    await this.#askOn();
    const look = (): ReturnType<LastLook> => {
      const { looked, isWhole } = this.#lookAtAll();
      const unready = looked.filter((one) => 'look' in one).filter(({ look }) => !look.isReady);
      if (unready.length > 0) return writeAll(unready).then(() => last);
      if (!isWhole) return this.#askOn().then(() => last);
      return { status: 200, text: bodyOf(looked.map((one) => this.#textOf(one))) };
    };
    const last: LastLook = Object.assign(look, { isLong: this.#asks.length > 1 });
    return last;
  }

  /** Asks until the semantic ends it, as far as one can tell now, or there is nothing more to ask. */
  async #askOn(): Promise<void> {
    let untilMs = performance.now() + SLICE_MS;
    for (const ask of this.#asks.slice(this.#items.length)) {
      const item = await ask();
      this.#items.push(item);
      // What policy says now is remembered for the last look, which is the shorter for it.
      if (this.#isEndedBy(this.#lookAt(item))) return;
      // A thousand of them must not keep everyone else waiting.
      if (performance.now() < untilMs) continue;
      await turns.next('asked');
      untilMs = performance.now() + SLICE_MS;
    }
  }

  /** In one turn, by a lease that is there at its end too. Whole: the semantic ends it there, or every item is in it. */
  #lookAtAll(): Pass {
    const pass = this.#pass();
    // It took longer than the lease: now that it is over, policy is asked nothing.
    return this.#ports.freshForMs() > 0 ? pass : this.#pass();
  }

  #pass(): Pass {
    const untilMs = performance.now() + LAST_LOOK_MS;
    const looked: Looked[] = [];
    for (const item of this.#items) {
      const one = this.#lookAt(item, performance.now() >= untilMs);
      looked.push(one);
      if (this.#isEndedBy(one)) return { looked, isWhole: true };
    }
    return { looked, isWhole: looked.length === this.#asks.length };
  }

  #lookAt(item: Item, isTooLate = false): Looked {
    if ('error' in item) return item;
    const look = this.#denied.get(item) ?? (isTooLate ? item.lookTooLate() : item.look());
    if (look.isReady && look.decision.effect !== 'allow') this.#denied.set(item, look);
    return { item, look };
  }

  #isEndedBy(one: Looked): boolean {
    const isAllow = 'look' in one && one.look.decision.effect === 'allow';
    return this.#semantic === (isAllow ? 'permit_on_first_permit' : 'deny_on_first_deny');
  }

  #textOf(one: Looked): string {
    if (!('look' in one))
      return JSON.stringify({ decision: false, context: { error: { status: 400, message: one.error } } });
    const { decision } = one.look;
    // The lease is the same one for all of them, and it is shorter at the end of the look than at its start.
    const evidence = { ...decision.evidence, freshForMs: this.#ports.freshForMs() };
    return this.#ports.render({ ...decision, evidence }, one.item.occasion);
  }
}

interface Pass {
  readonly looked: readonly Looked[];
  readonly isWhole: boolean;
}

async function writeAll(unready: readonly Exclude<Looked, Refused>[]): Promise<void> {
  for (let at = 0; at < unready.length; at += LINES_TOGETHER) {
    await Promise.all(unready.slice(at, at + LINES_TOGETHER).map(({ item, look }) => item.write(look)));
  }
}

async function askItem(
  defaults: JsonObject,
  item: Json,
  sizes: Sizes,
  ask: EvaluationPorts['ask'],
): Promise<Item> {
  try {
    if (!isJsonObject(item)) throw new WritError('BAD_REQUEST', 'an evaluation must be an object');
    sizes.require(item);
    return await ask(parseAccessRequest(withDefaults(defaults, item)));
  } catch (error) {
    if (!isWritError(error, 'BAD_REQUEST')) throw error;
    return { error: error.message };
  }
}

/** Each default is replaced whole by an item that carries its own; nothing is merged. */
function withDefaults(defaults: JsonObject, item: JsonObject): JsonObject {
  const members: Record<string, Json> = {};
  for (const name of MEMBERS) {
    const value = Object.hasOwn(item, name) ? item[name] : defaults[name];
    if (value !== undefined) members[name] = value;
  }
  return members;
}

const MEMBERS = ['subject', 'action', 'resource', 'context'] as const;

/** A question of a batch may be as large as one that is asked alone: what policy costs is bounded for that. */
class Sizes {
  readonly #defaultBytes: readonly number[];

  constructor(defaults: JsonObject) {
    this.#defaultBytes = MEMBERS.map((name) => bytesOf(defaults[name]));
  }

  /** BAD_REQUEST for an item that is larger with its defaults. */
  require(item: JsonObject): void {
    let bytes = 0;
    for (const [i, name] of MEMBERS.entries())
      bytes += Object.hasOwn(item, name) ? bytesOf(item[name]) : (this.#defaultBytes[i] ?? 0);
    if (bytes > LIMITS.dataBodyBytesMax)
      throw new WritError('BAD_REQUEST', `an evaluation is larger than ${LIMITS.dataBodyBytesMax} bytes`);
  }
}

function bytesOf(value: Json | undefined): number {
  return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value));
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
