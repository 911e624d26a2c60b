/** The port to the policy. Evaluation is synchronous: nothing can land between verdict, policy and decision. */
import type { JsonObject } from '../kernel/json.ts';

/** What a policy said. `undefined`: no rule spoke. `error`: not a boolean or object with a boolean `allow`, or it trapped. */
export type PolicyAnswer =
  | {
      readonly kind: 'answer';
      readonly allow: boolean;
      readonly reason?: string;
      readonly obligations?: unknown;
    }
  | { readonly kind: 'undefined' }
  | { readonly kind: 'error'; readonly detail: string };

/** Any entrypoint's value, for the OPA Data API: `value` is absent when it is undefined. */
export type PolicyValue =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'undefined' }
  | { readonly kind: 'error'; readonly detail: string };

export interface PolicyRevision {
  /** `sha256:…` of the bundle's bytes. */
  readonly digest: string;
  /** What its makers call it: the `revision` of the bundle's manifest; undefined when it has none. */
  readonly revision?: string;
  readonly entrypoints: readonly string[];
  /** False when a builtin reads clock, randomness or network: then no answer may be kept. */
  readonly isPure: boolean;
  /** True when the decision may depend on `input.now`: its answer is good for that second only. */
  readonly readsNow: boolean;
}

export interface PolicyEngine {
  readonly revision: PolicyRevision;
  hasEntrypoint(name: string): boolean;
  /** Evaluates the configured decision entrypoint. Never throws for what policy or input did. */
  decide(input: JsonObject): PolicyAnswer;
  /** Evaluates any entrypoint; `undefined` for one the bundle has not. */
  evaluate(entrypoint: string, input: JsonObject): PolicyValue;
}
