/** The judge of histories can tell: what it must notice is put before it by hand. */
import { describe, expect, it } from 'vitest';
import type { Link } from './chains.ts';
import { gaps, partings } from './chains.ts';
import type { Asked, Revoked } from './history.ts';
import { judge } from './history.ts';

function asked(change: Partial<Asked> = {}): Asked {
  const sentMs = change.sentMs ?? 0;
  const who = {
    credential: 'c1',
    replica: 'a',
    incarnation: 'a#1',
    reason: 'permitted',
    leaseEndsMs: Infinity,
  };
  return { ...who, sentMs, decidedMs: sentMs, answeredMs: sentMs + 2, ...change };
}

const ORDER: Revoked = {
  ...{ credential: 'c1', by: 'a', sentMs: 100, enforcedMs: 200 },
  ...{ answered: 'enforced', isUndisturbed: true, dueMs: 1_000 },
};

/** Six allows by two replicas, before anything happens. */
const BEFORE = Array.from({ length: 6 }, (_, i) =>
  asked({ sentMs: i, replica: i % 2 === 0 ? 'a' : 'b', incarnation: i % 2 === 0 ? 'a#1' : 'b#1' }),
);

describe('the judge of a history', () => {
  it('holds nothing against a fleet that refuses from then on, and counts what makes it worth something', () => {
    const onItsWay = asked({ sentMs: 199, answeredMs: 250, reason: 'revoked' });
    expect(judge([...BEFORE, onItsWay], [ORDER])).toEqual({
      violations: [],
      ...{ enforced: 1, counted: 1, inFlight: 1, worstMs: 100 },
    });
  });

  it('finds what is allowed that was asked after it was enforced', () => {
    const { violations } = judge([...BEFORE, asked({ sentMs: 201 })], [ORDER]);
    expect(violations).toEqual(['STALE: a (a#1) permits c1 at 0.2010 s, enforced at 0.2000 s by a']);
  });

  it('cannot say when a request that was on its way was decided: that one is allowed', () => {
    expect(judge([asked({ sentMs: 199, answeredMs: 900 })], [ORDER]).violations).toEqual([]);
  });

  it('holds a simulated decision against it by when it was made, whenever it was asked', () => {
    const { answeredMs: _, ...simulated } = asked({ sentMs: 10, decidedMs: 201 });
    expect(judge([simulated], [ORDER]).violations).toHaveLength(1);
  });

  it.each([
    ['the same life', 'a#1', 1],
    ['another life of that replica', 'a#2', 0],
  ])('finds an allow after a refusal in %s', (_, incarnation, found) => {
    const order = { ...ORDER, enforcedMs: undefined };
    const history = [asked({ sentMs: 110, reason: 'revoked' }), asked({ sentMs: 120, incarnation })];
    const back = judge(history, [order]).violations.filter((text) => text.startsWith('BACK'));
    expect(back).toHaveLength(found);
  });

  it.each([
    ['was over before', 49, 'and its lease was over at 0.0490 s'],
    ['is over, as it has heard,', undefined, 'and has heard that its lease is over'],
  ])('finds a yes on a lease that %s', (_, leaseEndsMs, how) => {
    const history = [asked({ sentMs: 48, leaseEndsMs: 48 }), asked({ sentMs: 50, leaseEndsMs })];
    expect(judge(history, []).violations).toEqual([`UNLEASED: a permits c1 at 0.0500 s ${how}`]);
  });

  it('finds what took too long, unless something was in its way', () => {
    const late = { ...ORDER, enforcedMs: 1_101 };
    expect(judge([], [late, { ...late, isUndisturbed: false }]).violations).toEqual([
      'LATE: c1 took 1001 ms to be enforced by a, bound 1000 ms',
    ]);
  });

  it('does not count what one replica alone, or too few requests, had been allowed before', () => {
    const ofOne = BEFORE.map((one) => ({ ...one, replica: 'a' }));
    for (const before of [ofOne, BEFORE.slice(0, 4)])
      expect(judge(before, [ORDER])).toMatchObject({ enforced: 1, counted: 0 });
  });

  it('does not count what is allowed when the order may have been there already', () => {
    const late = BEFORE.map((one) => ({ ...one, answeredMs: 101 }));
    expect(judge(late, [ORDER])).toMatchObject({ counted: 0 });
  });
});

const link = (epoch: number, sequence: number, chain: string, base?: string): Link => ({
  ...{ position: { epoch, sequence }, chain },
  ...(base === undefined ? {} : { base }),
});

describe('ledgers', () => {
  const links = [link(1, 1, 'x'), link(1, 2, 'y'), link(2, 1, 'z', '1-2')];

  it('are one where one of them kept what the next epoch does not go on from', () => {
    const more = [link(1, 1, 'x'), link(1, 2, 'y'), link(1, 3, 'more'), link(2, 1, 'z', '1-2')];
    const logs = [
      { name: 'a', links },
      { name: 'b', links: more },
    ];
    expect(partings(logs)).toEqual([]);
    expect(logs.flatMap(gaps)).toEqual([]);
  });

  it.each([
    ['a line is another', [link(1, 1, 'x'), link(1, 2, 'other'), link(2, 1, 'z', '1-2')], '1-2'],
    ['one of them lacks a line', [link(1, 1, 'x'), link(2, 1, 'z', '1-2')], '2-1'],
    ['one of them has a line more', [...links.slice(0, 2), link(1, 3, 'more'), link(2, 1, 'z')], '1-3'],
  ])('part where %s', (_, other, at) => {
    const logs = [
      { name: 'a', links },
      { name: 'b', links: other },
    ];
    expect(partings(logs)).toEqual([`CHAINS: b and a part at ${at}`]);
  });

  it('are one as far as both go: one may be behind, or begin at a snapshot', () => {
    for (const part of [links.slice(0, 2), links.slice(1), []])
      expect(
        partings([
          { name: 'a', links },
          { name: 'b', links: part },
        ]),
      ).toEqual([]);
  });

  it('have no holes', () => {
    expect(gaps({ name: 'a', links: [link(1, 1, 'x'), link(1, 3, 'y')] })).toEqual([
      'CHAINS: a has 1-3 after 1-1',
    ]);
  });
});
