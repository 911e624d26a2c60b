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
import { invalid } from './bundle.ts';
import type { InputPath } from './bundle.ts';
import { hostBuiltins } from './builtin.ts';
import { FAILURE, PolicyHost } from './host.ts';
import type { PolicyFailure } from './host.ts';
import { POLICY_LIMITS } from './limits.ts';
import type { PolicyLimits } from './limits.ts';
import { prepareOffLoop } from './off-loop.ts';
import type { Preparation } from './off-loop.ts';
import type { PreparedPolicy } from './prepare.ts';
import { createInputRenderer, hasLoneSurrogate } from './projection.ts';
import type { InputRenderer } from './projection.ts';
import type { SigningRule } from './signature.ts';

export interface PolicyEngineOptions {
  readonly bundle: Uint8Array | { readonly file: string };
  /** The one that `decide` evaluates, `writ/authz/decision`. */
  readonly entrypoint: string;
  /** Lets a policy call `time.now_ns`; without one such a bundle is refused. */
  readonly clock?: Clock;
  readonly limits?: Partial<PolicyLimits>;
  /** Undefined: the bundle needs no signature. */
  readonly signing?: SigningRule;
  /** A bundle of this digest is `unchanged`, and not opened. */
  readonly unlessDigest?: string;
  /** Ends the preparation, which is refused then. */
  readonly signal?: AbortSignal;
}

/** What `writ policy check` prints beyond the revision. */
export interface PolicyFacts {
  /** Builtins that the policy calls the host for. */
  readonly builtins: readonly string[];
  /** The paths of the input that it reads; undefined: any. */
  readonly inputPaths: readonly InputPath[] | undefined;
  /** Kinds of builtins that it calls and that are slow enough to say so. */
  readonly slowBuiltins: readonly string[];
  /** Of the self-test: median of an ordinary request, fastest run of the worst input tried. */
  readonly typicalUs: number;
  readonly worstUs: number;
}

/** What became of a bundle. */
export type PolicyOpening =
  | {
      readonly state: 'opened';
      readonly engine: OpaPolicyEngine;
      /** What makes it slower than it could be, in sentences for its makers. */
      readonly remarks: readonly string[];
    }
  | Exclude<Preparation, { readonly state: 'ready' }>;

/** Loads and tests a bundle. Never rejects for what is in it. What it opens holds nothing that must be closed. */
export async function openPolicy(options: PolicyEngineOptions): Promise<PolicyOpening> {
  const { bundle, entrypoint, clock, unlessDigest, signing, signal } = options;
  const limits = { ...POLICY_LIMITS, ...options.limits };
  const hasClock = clock !== undefined;
  const rules = {
    ...(signing === undefined ? {} : { signing }),
    ...(unlessDigest === undefined ? {} : { unlessDigest }),
  };
  const preparation = await prepareOffLoop({ bundle, entrypoint, hasClock, limits, ...rules }, signal);
  if (preparation.state !== 'ready') return preparation;
  const { policy } = preparation;
  const { module, image, memory } = policy;
  const host = await PolicyHost.open({ module, image, builtins: hostBuiltins(clock), limits }, memory);
  return {
    state: 'opened',
    engine: new OpaPolicyEngine(policy, host, entrypoint),
    remarks: remarksOn(policy),
  };
}

function remarksOn({ isPure, slowBuiltins }: PreparedPolicy): string[] {
  return [
    ...slowBuiltins.map(
      (kind) =>
        `it matches patterns (${kind}), which costs microseconds each; a look-up in an object does not`,
    ),
    ...(isPure
      ? []
      : ['it calls the host for the time, so that no answer may be kept; input.now may be, for its second']),
  ];
}

/** The same for a command: POLICY_INVALID says why a bundle is refused. */
export async function openPolicyEngine(
  options: Omit<PolicyEngineOptions, 'unlessDigest'>,
): Promise<OpaPolicyEngine> {
  const opening = await openPolicy(options);
  if (opening.state === 'opened') return opening.engine;
  throw invalid(opening.state === 'refused' ? opening.detail : 'the bundle is unchanged');
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
    const { image, inputPaths, slowBuiltins, typicalUs, worstUs } = prepared;
    this.revision = {
      digest: prepared.digest,
      ...(prepared.revision === undefined ? {} : { revision: prepared.revision }),
      entrypoints: [...image.entrypoints.keys()],
      isPure: prepared.isPure,
      readsNow: inputPaths?.some(([name]) => name === 'now') ?? true,
    };
    this.facts = { builtins: [...image.builtins.values()], inputPaths, slowBuiltins, typicalUs, worstUs };
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
