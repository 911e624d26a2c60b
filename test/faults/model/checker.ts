/**
 * A small explicit-state model checker: breadth first through every state that a protocol can reach, so that the first
 * history found to break a rule is a shortest one.
 */

/** A step from one state to the next, by the words a reader of a history needs. */
export interface Step<S> {
  readonly name: string;
  readonly to: S;
}

export interface Protocol<S> {
  readonly initial: readonly S[];
  steps(state: S): Iterable<Step<S>>;
  /** What a state breaks, in words; undefined when it is sound. */
  broken(state: S): string | undefined;
  /** Two states with one key are one state. */
  key(state: S): string;
}

export interface Outcome {
  /** States reached, all of them unless something broke or the limit came first. */
  readonly states: number;
  readonly steps: number;
  readonly isExhausted: boolean;
  /** How often each kind of step was taken: a protocol in which nothing happens breaks nothing. */
  readonly taken: ReadonlyMap<string, number>;
  readonly broken: { readonly rule: string; readonly history: readonly string[] } | undefined;
}

interface Reached {
  readonly from: number;
  readonly by: string;
}

/** Looks at no more than `statesMax` states. */
export function check<S>(protocol: Protocol<S>, statesMax: number): Outcome {
  const seen = new Set<string>();
  const reached: Reached[] = [];
  const taken = new Map<string, number>();
  let layer: { readonly state: S; readonly at: number }[] = [];
  let steps = 0;
  const outcome = (rule?: string): Outcome => ({
    states: reached.length,
    steps,
    isExhausted: layer.length === 0,
    taken,
    broken: rule === undefined ? undefined : { rule, history: historyOf(reached, reached.length - 1) },
  });
  /** What it breaks, if it is new. */
  const enter = (state: S, from: number, by: string, next: typeof layer): string | undefined => {
    const key = protocol.key(state);
    if (seen.has(key)) return undefined;
    seen.add(key);
    next.push({ state, at: reached.length });
    reached.push({ from, by });
    return protocol.broken(state);
  };
  for (const state of protocol.initial) {
    const rule = enter(state, -1, 'begin', layer);
    if (rule !== undefined) return outcome(rule);
  }
  while (layer.length > 0 && reached.length < statesMax) {
    const next: typeof layer = [];
    for (const { state, at } of layer)
      for (const { name, to } of protocol.steps(state)) {
        steps += 1;
        const kind = name.replace(/ .*/, '');
        taken.set(kind, (taken.get(kind) ?? 0) + 1);
        const rule = enter(to, at, name, next);
        if (rule !== undefined) return outcome(rule);
      }
    layer = next;
  }
  return outcome();
}

function historyOf(reached: readonly Reached[], last: number): string[] {
  const names: string[] = [];
  for (let at = last; at >= 0; at = reached[at]!.from) names.push(reached[at]!.by);
  return names.reverse();
}
