import { describe, expect, it } from 'vitest';
import { LivePolicy } from '../../src/decision/live-policy.ts';
import type { PolicyEngine } from '../../src/decision/policy-engine.ts';

/** An engine that says its own name to everything. */
function named(name: string): PolicyEngine {
  return {
    revision: { digest: `sha256:${name}`, entrypoints: [name], isPure: true, readsNow: false },
    hasEntrypoint: (entrypoint) => entrypoint === name,
    decide: () => ({ kind: 'answer', allow: true, reason: name }),
    evaluate: () => ({ kind: 'value', value: name }),
  };
}

function saidBy(policy: PolicyEngine): unknown[] {
  return [policy.revision.digest, policy.hasEntrypoint('old'), policy.decide({}), policy.evaluate('any', {})];
}

describe('a live policy', () => {
  it('is the engine it was made with until it is swapped, and the next one from then on', () => {
    const policy = new LivePolicy(named('old'));
    expect(saidBy(policy)).toEqual([
      'sha256:old',
      true,
      { kind: 'answer', allow: true, reason: 'old' },
      { kind: 'value', value: 'old' },
    ]);
    policy.swap(named('new'));
    expect(saidBy(policy)).toEqual([
      'sha256:new',
      false,
      { kind: 'answer', allow: true, reason: 'new' },
      { kind: 'value', value: 'new' },
    ]);
  });

  it('moves its generation at each swap, also back to an engine that ran before', () => {
    const first = named('first');
    const policy = new LivePolicy(first);
    const generations = [policy.generation];
    for (const next of [named('second'), first]) {
      policy.swap(next);
      generations.push(policy.generation);
    }
    expect(new Set(generations).size).toBe(3);
  });

  it('tells every listener, each after the swap', () => {
    const policy = new LivePolicy(named('old'));
    const heard: string[] = [];
    policy.onSwap(() => heard.push(`a ${policy.revision.digest}`));
    policy.onSwap(() => heard.push(`b ${policy.revision.digest}`));
    expect(heard).toEqual([]);
    policy.swap(named('new'));
    expect(heard).toEqual(['a sha256:new', 'b sha256:new']);
  });
});
