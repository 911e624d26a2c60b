import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { GrantTable } from '../../src/decision/grants.ts';
import type { FeedLine } from '../../src/feed/entry.ts';
import { ORIGIN } from '../../src/feed/position.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import { AT_S, grantLine, outcomeLine, ungrantLine } from '../revocation/lines.ts';

const issuer = 'https://idp.example';
const NOW_S = AT_S;
const KEPT_S = LIMITS.idempotencyMs / 1000;

let table: GrantTable;
beforeEach(() => {
  table = new GrantTable();
});

function liveOf(subjectId = 'billing', of = table, nowS = NOW_S): unknown[] {
  return of.liveFor(subjectId, issuer, undefined, nowS).grants.map((grant) => grant['id']);
}

describe('a grant', () => {
  it('is what policy reads: the members that it has, and no others', () => {
    expect(table.apply(grantLine('grt_a'))).toBe('billing');
    table.apply(
      grantLine('grt_b', {
        subject: { type: 'service', id: 'billing' },
        issuer,
        resource: { type: 'invoice', id: '42' },
        untilS: NOW_S + 10,
      }),
    );
    expect(table.liveFor('billing', issuer, undefined, NOW_S)).toEqual({
      grants: [
        { id: 'grt_a', subject: { id: 'billing' }, action: 'read', resource: { type: 'invoice' } },
        {
          id: 'grt_b',
          subject: { type: 'service', id: 'billing' },
          issuer,
          action: 'read',
          resource: { type: 'invoice', id: '42' },
          until: NOW_S + 10,
        },
      ],
      earliestEndS: NOW_S + 10,
    });
    expect(liveOf('other')).toEqual([]);
    expect(table.liveFor('other', issuer, undefined, NOW_S)).toBe(
      table.liveFor('x', undefined, undefined, 0),
    );
  });

  it('ends at the second it names, and not before', () => {
    table.apply(grantLine('grt_a', { untilS: NOW_S + 10 }));
    expect(liveOf('billing', table, NOW_S + 9)).toEqual(['grt_a']);
    expect(liveOf('billing', table, NOW_S + 10)).toEqual([]);
    expect(table.isInForce('grt_a', NOW_S + 9)).toBe(true);
    expect(table.isInForce('grt_a', NOW_S + 10)).toBe(false);
    expect(table.isInForce('grt_x', NOW_S)).toBe(false);
    expect(table.liveFor('billing', issuer, undefined, NOW_S + 10).earliestEndS).toBe(Infinity);
  });

  it('that names an issuer is nobody else’s, least of all that of a subject who was only asserted', () => {
    table.apply(grantLine('grt_a', { issuer }));
    table.apply(grantLine('grt_b', {}, { epoch: 1, sequence: 2 }));
    const held = (of: string | undefined) =>
      table.liveFor('billing', of, undefined, NOW_S).grants.map(({ id }) => id);
    expect(held(issuer)).toEqual(['grt_a', 'grt_b']);
    expect(held('https://other.example')).toEqual(['grt_b']);
    expect(held(undefined)).toEqual(['grt_b']);
  });

  it('of the actor who acts now counts under the issuer that signed, once', () => {
    table.apply(grantLine('grt_a', { subject: { id: 'agent' }, issuer }));
    table.apply(grantLine('grt_b', {}));
    const acting = (actor: { issuer: string; subject: string }) =>
      table.liveFor('billing', issuer, actor, NOW_S).grants.map(({ id }) => id);
    expect(acting({ issuer, subject: 'agent' })).toEqual(['grt_b', 'grt_a']);
    expect(acting({ issuer, subject: 'billing' })).toEqual(['grt_b']);
    expect(table.liveFor('nobody', issuer, { issuer, subject: 'agent' }, NOW_S).grants).toHaveLength(1);
  });

  it('of another issuer’s subject is not to be had by naming it as the actor: only its own issuer speaks for it', () => {
    const trusted = 'https://agents.example';
    table.apply(grantLine('grt_a', { subject: { id: 'agent' }, issuer: trusted }));
    table.apply(grantLine('grt_c', { subject: { id: 'agent' } }));
    const held = (signer: string) =>
      table
        .liveFor('mallory', signer, { issuer: trusted, subject: 'agent' }, NOW_S)
        .grants.map(({ id }) => id);
    expect(held(issuer)).toEqual(['grt_c']);
    expect(held(trusted)).toEqual(['grt_a', 'grt_c']);
  });

  it('is taken away, and a repeat of its entry does not give it again', () => {
    table.apply(grantLine('grt_a'));
    expect(table.apply(ungrantLine('grt_a'))).toBe('billing');
    expect(liveOf()).toEqual([]);
    expect(table.apply(grantLine('grt_a', {}, { epoch: 1, sequence: 9 }))).toBeUndefined();
    expect(liveOf()).toEqual([]);
    expect(table.record('grt_a')).toMatchObject({
      position: { epoch: 1, sequence: 1 },
      ungrant: { id: 'ung_2' },
    });
  });

  it('is never given when what takes it away came first', () => {
    expect(table.apply(ungrantLine('grt_a'))).toBeUndefined();
    expect(table.apply(grantLine('grt_a'))).toBeUndefined();
    expect(liveOf()).toEqual([]);
  });

  it('is not taken away by what names another', () => {
    table.apply(grantLine('grt_a'));
    table.apply(ungrantLine('grt_b'));
    expect(liveOf()).toEqual(['grt_a']);
  });

  it('moves the generation when it changes what anybody holds, and only then', () => {
    const seen = [table.generation];
    const after = (line: FeedLine): void => {
      table.apply(line);
      seen.push(table.generation);
    };
    after(grantLine('grt_a'));
    after(grantLine('grt_a'));
    after(outcomeLine());
    after(ungrantLine('grt_a'));
    after(ungrantLine('grt_a'));
    after(grantLine('grt_a'));
    expect(seen).toEqual([0, 1, 1, 1, 2, 2, 2]);
    // What ends by itself is nobody's change: whoever keeps an answer knows the end of its grants.
    table.apply(grantLine('grt_b', { untilS: NOW_S + 1 }));
    table.sweep(NOW_S + 1);
    expect(table).toMatchObject({ size: 0, generation: 3 });
  });
});

describe('the list', () => {
  it('has those in force in the order of the feed, of one subject where asked', () => {
    table.apply(grantLine('grt_c', {}, { epoch: 1, sequence: 3 }));
    table.apply(grantLine('grt_a', { untilS: NOW_S + 5 }, { epoch: 1, sequence: 1 }));
    table.apply(grantLine('grt_b', { subject: { id: 'other' } }, { epoch: 1, sequence: 2 }));
    table.apply(grantLine('grt_d', {}, { epoch: 1, sequence: 4 }));
    table.apply(ungrantLine('grt_d', undefined, { epoch: 1, sequence: 5 }));
    const ids = (options: { after?: number; limit?: number; nowS?: number; subjectId?: string }) => {
      const { after = 0, limit = 9, nowS = NOW_S, subjectId } = options;
      return table.list({ after: { epoch: 1, sequence: after }, limit, nowS, subjectId }).map(({ id }) => id);
    };
    expect(ids({})).toEqual(['grt_a', 'grt_b', 'grt_c']);
    expect(ids({ limit: 1 })).toEqual(['grt_a']);
    expect(ids({ after: 1 })).toEqual(['grt_b', 'grt_c']);
    expect(ids({ nowS: NOW_S + 5 })).toEqual(['grt_b', 'grt_c']);
    expect(ids({ subjectId: 'billing' })).toEqual(['grt_a', 'grt_c']);
    expect(ids({ subjectId: 'nobody' })).toEqual([]);
    expect(table.size).toBe(3);
  });
});

describe('memory', () => {
  function sweep(nowS: number, times = 3): void {
    for (let i = 0; i < times; i++) table.sweep(nowS);
  }

  it('lets go of a grant that is over, after a day', () => {
    table.apply(grantLine('grt_a', { untilS: NOW_S + 5 }));
    sweep(NOW_S + 4);
    expect(table).toMatchObject({ size: 1, kept: 1 });
    sweep(NOW_S + 5);
    expect(table).toMatchObject({ size: 0, kept: 1 });
    sweep(AT_S + KEPT_S + 1);
    expect(table.kept).toBe(0);
  });

  it('keeps one that has no end, and its tombstone for good', () => {
    table.apply(grantLine('grt_a'));
    sweep(NOW_S + 10 * KEPT_S);
    expect(liveOf()).toEqual(['grt_a']);
    table.apply(ungrantLine('grt_a'));
    sweep(AT_S + 10 * KEPT_S);
    expect(table.kept).toBe(1);
    expect(table.record('grt_a')).toBeUndefined();
    expect(table.apply(grantLine('grt_a'))).toBeUndefined();
    expect(liveOf()).toEqual([]);
  });

  it('keeps a tombstone as long as what it buries could be in force', () => {
    const endS = AT_S + KEPT_S + 100;
    table.apply(ungrantLine('grt_a', endS));
    sweep(endS);
    expect(table.apply(grantLine('grt_a', { untilS: endS }))).toBeUndefined();
    expect(liveOf()).toEqual([]);
    sweep(endS + 1, 4);
    expect(table.kept).toBe(0);
  });

  it('is bounded over any number of short grants', () => {
    for (let i = 0; i < 2_000; i++) {
      const position = { epoch: 1, sequence: i + 1 };
      table.apply(grantLine(`grt_${i}`, { untilS: NOW_S + 1, subject: { id: `s${i}` } }, position));
      if (i % 2 === 0) table.apply(ungrantLine(`grt_${i}`, NOW_S + 1, position));
    }
    sweep(AT_S + KEPT_S + 10, 40);
    expect(table).toMatchObject({ kept: 0, size: 0 });
  });
});

const ids = fc.constantFrom('grt_a', 'grt_b', 'grt_c');
/** The entry of an id is one entry: the same wherever it is seen. */
const facts: Record<string, Parameters<typeof grantLine>[1]> = {
  grt_a: { untilS: NOW_S + 5 },
  grt_b: { issuer },
  grt_c: { subject: { id: 'agent' } },
};
const line = fc
  .record({ id: ids, isUngrant: fc.boolean(), sequence: fc.integer({ min: 1, max: 6 }) })
  .map(({ id, isUngrant, sequence }) => {
    const position = { epoch: 1, sequence };
    return isUngrant ? ungrantLine(id, facts[id]?.untilS, position) : grantLine(id, facts[id], position);
  });

function stateAfter(lines: readonly FeedLine[]): unknown {
  const of = new GrantTable();
  for (const one of lines) of.apply(one);
  const actor = { issuer, subject: 'agent' };
  const held = [NOW_S, NOW_S + 5].flatMap((nowS) =>
    [undefined, actor].map((acting) => {
      const { grants, earliestEndS } = of.liveFor('billing', issuer, acting, nowS);
      return [grants.map(({ id }) => JSON.stringify(id)).toSorted(), earliestEndS];
    }),
  );
  return { held, records: ['grt_a', 'grt_b', 'grt_c'].map((id) => of.record(id)), size: of.size };
}

describe('merging', () => {
  it('loses what a lost part of the history has granted, and goes on having taken away what it took away', () => {
    table.apply(grantLine('grt_a', {}, { epoch: 1, sequence: 5 }));
    table.apply(grantLine('grt_b', {}, { epoch: 1, sequence: 5 }));
    table.apply(grantLine('grt_c', {}, { epoch: 1, sequence: 7 }));
    table.apply(ungrantLine('grt_b', undefined, { epoch: 1, sequence: 8 }));
    const { generation } = table;
    expect(table.lose({ epoch: 1, sequence: 6 })).toBe(true);
    expect(table.generation).toBeGreaterThan(generation);
    expect([liveOf(), table.record('grt_c'), table.size]).toEqual([['grt_a'], undefined, 1]);
    table.displace({ epoch: 1, sequence: 6 });
    expect(table.record('grt_b')?.ungrant?.position).toEqual(ORIGIN);
    // Where it comes again it is later, under whatever number.
    table.apply(ungrantLine('grt_b', undefined, { epoch: 1, sequence: 3 }));
    expect([...table.folded()].map(({ position }) => position.sequence)).toEqual([5, 5, 3]);
    expect(table.lose({ epoch: 1, sequence: 6 })).toBe(false);
  });

  it('has a grant that was said twice where it was said first', () => {
    for (const sequence of [7, 5, 6]) table.apply(grantLine('grt_a', {}, { epoch: 1, sequence }));
    table.lose({ epoch: 1, sequence: 5 });
    expect(table.record('grt_a')?.position).toEqual({ epoch: 1, sequence: 5 });
  });

  it('ends in the same state in any order, any number of times, in any mixture', () => {
    const permuted = fc
      .array(line, { maxLength: 12 })
      .chain((lines) =>
        fc.tuple(fc.constant(lines), fc.shuffledSubarray([...lines, ...lines], { minLength: 0 })),
      );
    fc.assert(
      fc.property(permuted, ([lines, some]) => {
        expect(stateAfter([...some, ...lines.toReversed()])).toEqual(stateAfter(lines));
      }),
    );
  });

  it('never gives back what was taken away', () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
        const of = new GrantTable();
        const gone = new Set<string>();
        for (const one of lines) {
          of.apply(one);
          if (one.sealed.entry.kind === 'ungrant') gone.add(one.sealed.entry.grant);
          for (const id of gone) expect(of.isInForce(id, NOW_S)).toBe(false);
        }
      }),
    );
  });
});
