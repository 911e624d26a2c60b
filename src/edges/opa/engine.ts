/**
 * The PolicyEngine on OPA's WebAssembly. Composed at start and again whenever the bundle changes: an engine is one
 * revision and never changes. Evaluating is synchronous; loading is not, and happens on a thread of its own.
 */
import type {
  PolicyAnswer,
  PolicyEngine,
  PolicyRevision,
  PolicyValue,
} from '../../decision/policy-engine.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { JsonObject } from '../../kernel/json.ts';
import { parseAnswer, parseValue } from './answer.ts';
import type { InputPath } from './bundle.ts';
import { hostBuiltins } from './builtin.ts';
import { FAILURE, PolicyHost } from './host.ts';
import type { PolicyFailure } from './host.ts';
import { POLICY_LIMITS } from './limits.ts';
import type { PolicyLimits } from './limits.ts';
import { prepareOffLoop } from './off-loop.ts';
import type { PreparedPolicy } from './prepare.ts';
import { createInputRenderer, hasLoneSurrogate } from './projection.ts';
import type { InputRenderer } from './projection.ts';

export interface PolicyEngineOptions {
  readonly bundle: Uint8Array;
  /** The one that `decide` evaluates, `writ/authz/decision`. */
  readonly entrypoint: string;
  /** Lets a policy call `time.now_ns`; without one such a bundle is refused. */
  readonly clock?: Clock;
  readonly limits?: Partial<PolicyLimits>;
}

/** What `writ policy check` prints beyond the revision. */
export interface PolicyFacts {
  /** Builtins that the policy calls the host for. */
  readonly builtins: readonly string[];
  /** The paths of the input that it reads; undefined: any. */
  readonly inputPaths: readonly InputPath[] | undefined;
  /** Of the self-test: median of an ordinary request, fastest run of the worst input tried. */
  readonly typicalUs: number;
  readonly worstUs: number;
}

/** Loads and tests a bundle. POLICY_INVALID says why it is refused. Holds nothing that must be closed. */
export async function openPolicyEngine(options: PolicyEngineOptions): Promise<OpaPolicyEngine> {
  const { bundle, entrypoint, clock } = options;
  const limits = { ...POLICY_LIMITS, ...options.limits };
  const prepared = await prepareOffLoop({ bundle, entrypoint, hasClock: clock !== undefined, limits });
  const { module, image } = prepared;
  const host = await PolicyHost.open({ module, image, builtins: hostBuiltins(clock), limits });
  return new OpaPolicyEngine(prepared, host, entrypoint);
}

const ANSWERS_MAX = 64;
const ANSWER_CHARS_MAX = 256;

export class OpaPolicyEngine implements PolicyEngine {
  readonly revision: PolicyRevision;
  readonly facts: PolicyFacts;
  readonly #host: PolicyHost;
  readonly #entrypoints: ReadonlyMap<string, number>;
  readonly #decision: number;
  readonly #render: InputRenderer;
  /** Answers by the bytes of their result: a policy has few, and parsing one costs more than finding it. */
  readonly #answers = new Map<string, PolicyAnswer>();

  constructor(prepared: PreparedPolicy, host: PolicyHost, entrypoint: string) {
    const { image, inputPaths, typicalUs, worstUs } = prepared;
    this.revision = {
      digest: prepared.digest,
      entrypoints: [...image.entrypoints.keys()],
      isPure: prepared.isPure,
      readsNow: inputPaths?.some(([name]) => name === 'now') ?? true,
    };
    this.facts = { builtins: [...image.builtins.values()], inputPaths, typicalUs, worstUs };
    this.#host = host;
    this.#entrypoints = image.entrypoints;
    this.#decision = image.entrypoints.get(entrypoint) ?? -1;
    this.#render = createInputRenderer(inputPaths);
  }

  hasEntrypoint(name: string): boolean {
    return this.#entrypoints.has(name);
  }

  decide(input: JsonObject): PolicyAnswer {
    const result = this.#evaluate(this.#decision, input);
    if (typeof result !== 'string') return result;
    const known = this.#answers.get(result);
    if (known !== undefined) return known;
    const answer = parseAnswer(result);
    if (this.#answers.size < ANSWERS_MAX && result.length <= ANSWER_CHARS_MAX && !hasObligations(answer))
      this.#answers.set(result, answer);
    return answer;
  }

  evaluate(entrypoint: string, input: JsonObject): PolicyValue {
    const number = this.#entrypoints.get(entrypoint);
    if (number === undefined) return { kind: 'undefined' };
    const result = this.#evaluate(number, input);
    return typeof result === 'string' ? parseValue(result) : result;
  }

  #evaluate(entrypoint: number, input: JsonObject): string | PolicyFailure {
    let json: string;
    try {
      json = this.#render(input);
    } catch {
      return FAILURE.inputNotJson;
    }
    return hasLoneSurrogate(json) ? FAILURE.inputNotText : this.#host.evaluate(entrypoint, json);
  }
}

/** Obligations are the caller's to change: they are parsed anew each time. */
function hasObligations(answer: PolicyAnswer): boolean {
  return answer.kind === 'answer' && answer.obligations !== undefined;
}
