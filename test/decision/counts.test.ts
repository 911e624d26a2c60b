/** Every reason at every door has a place of its own, and is there before it was ever counted. */
import { describe, expect, it } from 'vitest';
import { DecisionCounts } from '../../src/decision/counts.ts';
import { REASONS } from '../../src/decision/decision.ts';
import { DECISION_SOURCES } from '../../src/decision/observer.ts';

describe('decision counts', () => {
  it('list every reason at every door, at zero', () => {
    const list = new DecisionCounts().list();
    expect(list).toHaveLength(REASONS.length * DECISION_SOURCES.length);
    expect(list.every(({ count }) => count === 0)).toBe(true);
  });

  it('count each reason at each door by itself', () => {
    const counts = new DecisionCounts();
    const pairs = DECISION_SOURCES.flatMap((source) => REASONS.map((reason) => ({ source, reason })));
    pairs.forEach(({ reason, source }, i) => {
      for (let times = 0; times <= i; times++) counts.add(reason, source, 1);
    });
    expect(counts.list().map(({ reason, source, count }) => ({ reason, source, count }))).toEqual(
      pairs.map((pair, i) => ({ ...pair, count: i + 1 })),
    );
    expect(counts.durationS.count).toBe((pairs.length * (pairs.length + 1)) / 2);
  });

  it('say of each reason the one effect it has', () => {
    const effects = new Map(new DecisionCounts().list().map(({ reason, decision }) => [reason, decision]));
    expect([...effects].filter(([, effect]) => effect === 'allow')).toEqual([['permitted', 'allow']]);
    expect([...effects].filter(([, effect]) => effect === 'indeterminate').map(([reason]) => reason)).toEqual(
      ['introspection_unavailable', 'fenced'],
    );
  });
});
