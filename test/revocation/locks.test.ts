import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Handle } from '../../src/credential/handle.ts';
import { Fingerprinter, handlesOfTarget } from '../../src/credential/handle.ts';
import type { FeedLine, LockEntry } from '../../src/feed/entry.ts';
import type { Position } from '../../src/feed/position.ts';
import { BEFORE_ALL, ORIGIN } from '../../src/feed/position.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import { HandleMap } from '../../src/revocation/handle-map.ts';
import { LastAccepts } from '../../src/revocation/last-accepts.ts';
import { stateOf } from '../../src/revocation/locks.ts';
import type { RevocationVerdict } from '../../src/revocation/verdict.ts';
import { RevocationView } from '../../src/revocation/view.ts';
import { AT_S, applyNow, liftLine, lockLine, revocationLine } from './lines.ts';

const fingerprinter = new Fingerprinter(new Uint8Array(32).fill(7));
const issuer = 'https://idp.example';
const NOW_S = AT_S;
const END_S = NOW_S + 100;
const KEPT_S = LIMITS.idempotencyMs / 1000;
const CLEAR = { state: 'clear' };

const billing: LockEntry['targets'][number] = { kind: 'subject', issuer, value: 'billing' };
const sub: Handle = { kind: 'sub', parts: [issuer, 'billing'] };
const bare: Handle = { kind: 'sub-bare', parts: ['billing'] };
const ALL: Handle = { kind: 'all', parts: [] };

let view: RevocationView;
beforeEach(() => {
  view = new RevocationView(fingerprinter);
});

interface Question {
  readonly handles?: readonly Handle[];
  readonly issuedAtS?: number | undefined;
  readonly nowS?: number;
  readonly of?: RevocationView;
}

function ask({
  handles = [sub],
  issuedAtS = NOW_S,
  nowS = NOW_S,
  of = view,
}: Question = {}): RevocationVerdict {
  return of.verdict(fingerprinter.print(handles), issuedAtS, nowS);
}

function lock(id = 'lck_a', expiresAtS = END_S, targets: LockEntry['targets'] = [billing], sequence = 1) {
  return applyNow(view, lockLine({ id, targets, expiresAtS, position: { epoch: 1, sequence } }));
}

describe('a lock', () => {
  it('stops what it names whatever its iat, and says which lock it is', () => {
    expect(ask()).toEqual(CLEAR);
    const applied = lock();
    const by = { id: 'lck_a', reason: 'locked', position: '1-1' };
    for (const issuedAtS of [0, NOW_S + 50, 0xffff_fffe, undefined])
      expect(ask({ issuedAtS })).toEqual({ state: 'revoked', by });
    expect(ask({ handles: [bare] })).toEqual({ state: 'revoked', by });
    expect(ask({ handles: [{ kind: 'sub', parts: [issuer, 'other'] }, ALL] })).toEqual(CLEAR);
    expect(applied).toMatchObject({ id: 'lck_a', reason: 'locked', expiresAtS: END_S });
    const dead = fingerprinter.print(handlesOfTarget(billing));
    expect(applied?.dead).toEqual([
      { hi: dead.prints[0], lo: dead.prints[1], cutoffS: undefined },
      { hi: dead.prints[2], lo: dead.prints[3], cutoffS: undefined },
    ]);
  });

  it('ends by itself at the second it names, and not before', () => {
    lock();
    expect(ask({ nowS: END_S - 1 })).toMatchObject({ by: { reason: 'locked' } });
    expect(ask({ nowS: END_S })).toEqual(CLEAR);
    expect(view.locks.isInForce('lck_a', END_S - 1)).toBe(true);
    expect(view.locks.isInForce('lck_a', END_S)).toBe(false);
    expect(view.locks.isInForce('lck_x', NOW_S)).toBe(false);
  });

  it('is lifted, and a repeat of its entry does not lock again', () => {
    lock();
    expect(applyNow(view, liftLine('lck_a', END_S))).toBeUndefined();
    expect(ask()).toEqual(CLEAR);
    expect(lock('lck_a', END_S, [billing], 9)).toBeUndefined();
    expect(ask()).toEqual(CLEAR);
    const record = view.locks.record('lck_a');
    expect(record).toMatchObject({
      position: { epoch: 1, sequence: 9 },
      lift: { id: 'lft_2', caller: 'admin' },
    });
    expect(record && stateOf(record, NOW_S)).toBe('lifted');
  });

  it('does nothing when its lift came first', () => {
    applyNow(view, liftLine('lck_a', END_S));
    expect(lock()).toBeUndefined();
    expect(ask()).toEqual(CLEAR);
    expect(view.locks.size).toBe(0);
  });

  it('is not lifted by the lift of another, nor by what names a revocation', () => {
    lock();
    applyNow(view, revocationLine({ id: 'rev_a', targets: [{ kind: 'jti', issuer, value: 'j' }] }));
    applyNow(view, liftLine('lck_b', END_S));
    applyNow(view, liftLine('rev_a', END_S));
    expect(ask()).toMatchObject({ by: { id: 'lck_a' } });
    expect(ask({ handles: [{ kind: 'jti', parts: [issuer, 'j'] }] })).toMatchObject({ by: { id: 'rev_a' } });
  });

  it('that is lifted leaves another one of the same subject in force', () => {
    lock('lck_a');
    lock('lck_b', END_S - 50);
    expect(ask()).toMatchObject({ by: { id: 'lck_a' } });
    applyNow(view, liftLine('lck_a', END_S));
    expect(ask()).toMatchObject({ by: { id: 'lck_b' } });
    expect(ask({ nowS: END_S - 50 })).toEqual(CLEAR);
  });

  it('is named after any revocation: what never ends is the better answer', () => {
    lock();
    applyNow(view, revocationLine({ id: 'rev_a', targets: [{ ...billing, cutoffS: NOW_S }] }));
    expect(ask()).toMatchObject({ by: { id: 'rev_a', reason: 'cutoff' } });
    expect(ask({ issuedAtS: NOW_S + 1 })).toMatchObject({ by: { id: 'lck_a', reason: 'locked' } });
    applyNow(view, revocationLine({ id: 'rev_b', targets: [{ kind: 'jti', issuer, value: 'j' }] }));
    const handles: Handle[] = [{ kind: 'jti', parts: [issuer, 'j'] }, sub];
    expect(ask({ handles, issuedAtS: NOW_S + 1 })).toMatchObject({ by: { id: 'rev_b', reason: 'revoked' } });
  });

  it('of several that end together is named by its id, in whatever order they came', () => {
    for (const ids of [
      ['lck_a', 'lck_b'],
      ['lck_b', 'lck_a'],
    ]) {
      view = new RevocationView(fingerprinter);
      for (const id of ids) lock(id);
      expect(ask()).toMatchObject({ by: { id: 'lck_a' } });
    }
  });

  it('applied twice says the same twice, and is one', () => {
    expect(lock()).toEqual(lock());
    expect(view.locks.size).toBe(2);
    expect(view.locks.list({ after: ORIGIN, limit: 10, nowS: NOW_S })).toHaveLength(1);
  });

  it('that names a handle twice is taken away whole', () => {
    lock('lck_a', END_S, [billing, { kind: 'subject', value: 'billing' }]);
    applyNow(view, liftLine('lck_a', END_S));
    expect(ask({ handles: [bare, sub, { kind: 'sub-any', parts: ['billing'] }] })).toEqual(CLEAR);
    expect(view.locks.size).toBe(0);
  });

  it('keeps what is remembered of it: what was asked, by whom, and why', () => {
    applyNow(view, lockLine({ id: 'lck_a', targets: [billing], expiresAtS: END_S, reason: 'odd' }));
    expect(view.locks.record('lck_a')).toEqual({
      id: 'lck_a',
      position: { epoch: 1, sequence: 1 },
      at: '2026-11-24T05:00:00.000Z',
      caller: 'admin',
      body: 'b'.repeat(64),
      targets: [billing],
      expiresAtS: END_S,
      reason: 'odd',
    });
    expect(view.placeOf('lck_a')).toMatchObject({ position: { epoch: 1, sequence: 1 } });
    expect(view.record('lck_a')).toBeUndefined();
  });
});

describe('the locks in force', () => {
  it('are listed in the order of the feed, from a place on, without what is over', () => {
    lock('lck_c', END_S, [billing], 3);
    lock('lck_a', END_S, [billing], 1);
    lock('lck_b', END_S - 90, [billing], 2);
    lock('lck_d', END_S, [billing], 4);
    applyNow(view, liftLine('lck_d', END_S));
    const ids = (options: { after?: number; limit?: number; nowS?: number }) =>
      view.locks
        .list({
          after: { epoch: 1, sequence: options.after ?? 0 },
          limit: options.limit ?? 9,
          nowS: options.nowS ?? NOW_S,
        })
        .map(({ id }) => id);
    expect(ids({})).toEqual(['lck_a', 'lck_b', 'lck_c']);
    expect(ids({ limit: 2 })).toEqual(['lck_a', 'lck_b']);
    expect(ids({ after: 1 })).toEqual(['lck_b', 'lck_c']);
    expect(ids({ nowS: END_S - 90 })).toEqual(['lck_a', 'lck_c']);
    expect(view.lockedNow(END_S - 1).map(({ id, reason }) => [id, reason])).toEqual([
      ['lck_c', 'locked'],
      ['lck_a', 'locked'],
    ]);
  });
});

describe('the locks in force where some are in no history any more', () => {
  it('begin with all of those, where they are asked for from no place on', () => {
    for (const [i, id] of ['lck_a', 'lck_b', 'lck_c', 'lck_d'].entries()) lock(id, END_S, [billing], i + 1);
    view.locks.displace({ epoch: 1, sequence: 2 });
    const ids = (after: Position) => view.locks.list({ after, limit: 1, nowS: NOW_S }).map(({ id }) => id);
    expect(ids(BEFORE_ALL)).toEqual(['lck_c', 'lck_d', 'lck_a']);
    expect(ids({ epoch: 1, sequence: 1 })).toEqual(['lck_b']);
    expect(ids({ epoch: 1, sequence: 2 })).toEqual([]);
    expect(ids(ORIGIN)).toEqual(['lck_a']);
  });
});

describe('memory', () => {
  function sweep(nowS: number, times = 3): void {
    for (let i = 0; i < times; i++) view.locks.sweep(nowS);
  }

  it('lets go of a lock that is over, out of the index at once and of memory after a day', () => {
    lock();
    sweep(END_S - 1);
    expect(view.locks.size).toBe(2);
    sweep(END_S);
    expect(view.locks).toMatchObject({ size: 0, kept: 1 });
    expect(view.locks.record('lck_a')).toMatchObject({ expiresAtS: END_S });
    sweep(AT_S + KEPT_S);
    expect(view.locks.kept).toBe(1);
    sweep(AT_S + KEPT_S + 1);
    expect(view.locks.kept).toBe(0);
  });

  it('keeps a tombstone as long as what it buries could be in force', () => {
    const endS = NOW_S + KEPT_S + 500;
    lock('lck_a', endS);
    applyNow(view, liftLine('lck_a', endS));
    applyNow(view, liftLine('lck_never_seen', endS, { epoch: 1, sequence: 3 }));
    sweep(endS);
    expect(view.locks.kept).toBe(3);
    expect(lock('lck_never_seen', endS)).toBeUndefined();
    expect(ask({ nowS: endS - 1 })).toEqual(CLEAR);
    sweep(endS + 1, 4);
    expect(view.locks.kept).toBe(0);
  });

  it('is bounded over any number of short locks', () => {
    for (let i = 0; i < 2_000; i++) {
      lock(`lck_${i}`, NOW_S + 1);
      if (i % 2 === 0) applyNow(view, liftLine(`lck_${i}`, NOW_S + 1));
    }
    for (let i = 0; i < 40; i++) view.sweep(AT_S + KEPT_S + 10);
    expect(view.locks).toMatchObject({ kept: 0, size: 0 });
  });
});

describe('a map of handles', () => {
  it('tells apart fingerprints that share a bucket, and counts what is in it', () => {
    const map = new HandleMap<string>();
    const at = (hi: number, lo: number): string[] => {
      const found: string[] = [];
      map.each(hi, lo, (item) => found.push(item));
      return found;
    };
    map.add(1, 0, 'a');
    map.add(1, 1, 'b');
    map.add(1, 1, 'c');
    expect([at(1, 0), at(1, 1), at(1, 2), at(2, 0)]).toEqual([['a'], ['b', 'c'], [], []]);
    map.delete(1, 1, 'b');
    map.delete(1, 2, 'c');
    map.delete(9, 9, 'c');
    expect([at(1, 0), at(1, 1), map.size]).toEqual([['a'], ['c'], 2]);
    map.delete(1, 1, 'c');
    map.delete(1, 0, 'a');
    expect(map.size).toBe(0);
  });
});

// Few ids and one subject more than there are, so that entries meet.
const lockIds = fc.constantFrom('lck_a', 'lck_b', 'lck_c');
/** The entry of an id is one entry: the same wherever it is seen. */
const ends: Record<string, number> = { lck_a: NOW_S + 5, lck_b: NOW_S + 9, lck_c: NOW_S + 9 };
const targetsOf: Record<string, LockEntry['targets']> = {
  lck_a: [billing],
  lck_b: [billing, { kind: 'all' }],
  lck_c: [{ kind: 'client', issuer, value: 'c' }],
};
const line: fc.Arbitrary<FeedLine> = fc
  .record({ id: lockIds, isLift: fc.boolean(), sequence: fc.integer({ min: 1, max: 6 }) })
  .map(({ id, isLift, sequence }) => {
    const position = { epoch: 1, sequence };
    const expiresAtS = Number(ends[id]);
    return isLift
      ? liftLine(id, expiresAtS, position)
      : lockLine({ id, targets: targetsOf[id] ?? [], expiresAtS, position });
  });

const questions: readonly (readonly Handle[])[] = [
  [sub],
  [bare],
  [{ kind: 'cli', parts: [issuer, 'c'] }],
  [sub, ALL],
  [ALL],
];

function stateAfter(lines: readonly FeedLine[]): unknown {
  const of = new RevocationView(fingerprinter);
  for (const one of lines) applyNow(of, one);
  const verdicts = [NOW_S, NOW_S + 5, NOW_S + 9].map((nowS) =>
    questions.map((handles) => ask({ handles, nowS, of })),
  );
  return {
    verdicts,
    records: ['lck_a', 'lck_b', 'lck_c'].map((id) => of.locks.record(id)),
    size: of.locks.size,
  };
}

describe('merging', () => {
  it('has what was lost where it comes again, under whatever number, and what it makes dead stays so', () => {
    lock('lck_a', END_S, [billing], 5);
    lock('lck_b', END_S, [billing], 7);
    applyNow(view, liftLine('lck_b', END_S, { epoch: 1, sequence: 8 }));
    view.lose({ epoch: 1, sequence: 6 });
    view.displace({ epoch: 1, sequence: 6 });
    expect(ask()).toMatchObject({ state: 'revoked' });
    for (const id of ['lck_a', 'lck_b']) lock(id, END_S, [billing], 2);
    applyNow(view, liftLine('lck_b', END_S, { epoch: 1, sequence: 3 }));
    expect([...view.locks.folded()].map(({ position }) => position.sequence)).toEqual([5, 2, 3]);
  });

  it('is locked again where what lifted it is lost, said twice or once, and not where it was said before that', () => {
    for (const id of ['lck_a', 'lck_b']) lock(id, END_S, [billing], 2);
    for (const sequence of [8, 7]) applyNow(view, liftLine('lck_a', END_S, { epoch: 1, sequence }));
    for (const sequence of [9, 6]) applyNow(view, liftLine('lck_b', END_S, { epoch: 1, sequence }));
    applyNow(view, liftLine('lck_x', END_S, { epoch: 1, sequence: 9 }));
    expect(ask()).toEqual(CLEAR);
    expect(view.lose({ epoch: 1, sequence: 6 })).toBe(true);
    expect(ask()).toMatchObject({ state: 'revoked', by: { id: 'lck_a' } });
    expect([...view.locks.folded()].map(({ entry }) => entry.id)).toEqual(['lck_a', 'lck_b', 'lft_6']);
    expect(view.lose({ epoch: 1, sequence: 6 })).toBe(false);
  });

  it('is no lock any more where it was lifted in a history that is given up', () => {
    for (const id of ['lck_a', 'lck_b']) lock(id, END_S, [billing], 2);
    expect(view.locks.giveUp()).toBe(false);
    applyNow(view, liftLine('lck_a', END_S, { epoch: 1, sequence: 7 }));
    expect(view.locks.giveUp()).toBe(true);
    expect([...view.locks.folded()].map(({ entry }) => entry.id)).toEqual(['lck_b']);
    lock('lck_a', END_S, [billing], 2);
    expect(view.locks.isInForce('lck_a', NOW_S)).toBe(true);
  });

  it('of two under one id has what either names, until the later end, in any order', () => {
    const other = { ...billing, value: 'other' };
    const ofOther: Handle = { kind: 'sub', parts: [issuer, 'other'] };
    const lines = [
      lockLine({ id: 'lck_a', targets: [billing], expiresAtS: END_S, body: 'a' }),
      lockLine({ id: 'lck_a', targets: [other], expiresAtS: END_S + 50, body: 'b' }),
      lockLine({ id: 'lck_a', targets: [billing], expiresAtS: END_S + 50, body: 'c' }),
    ];
    const folds = [lines, lines.toReversed()].map((ordered) => {
      const of = new RevocationView(fingerprinter);
      for (const line of [...ordered, ...ordered]) applyNow(of, line);
      expect(of.locks.size).toBe(handlesOfTarget(billing).length * 2);
      for (const handles of [[sub], [ofOther]]) {
        expect(ask({ of, handles, nowS: END_S + 49 })).toMatchObject({ state: 'revoked' });
        expect(ask({ of, handles, nowS: END_S + 50 })).toEqual(CLEAR);
      }
      return [...of.locks.folded()];
    });
    expect(folds[0]).toEqual(folds[1]);
    applyNow(view, liftLine('lck_a', END_S + 50));
    for (const line of lines) applyNow(view, line);
    expect([ask(), ask({ handles: [ofOther] })]).toEqual([CLEAR, CLEAR]);
  });

  it('of two under one id that name the same in another order is as the one says that ends later, in any order', () => {
    const other = { ...billing, value: 'other' };
    const lines = [
      lockLine({ id: 'lck_a', targets: [billing, other], expiresAtS: END_S, body: 'a' }),
      lockLine({ id: 'lck_a', targets: [other, billing], expiresAtS: END_S + 50, body: 'b' }),
    ];
    for (const ordered of [lines, lines.toReversed()]) {
      const of = new RevocationView(fingerprinter);
      for (const line of [...ordered, ...ordered]) applyNow(of, line);
      const { expiresAtS, targets } = of.locks.record('lck_a')!;
      expect([expiresAtS, targets]).toEqual([END_S + 50, [other, billing]]);
    }
  });

  it('ends in the same state in any order, any number of times, in any mixture', () => {
    const permuted = fc
      .array(line, { maxLength: 12 })
      .chain((lines) =>
        fc.tuple(fc.constant(lines), fc.shuffledSubarray([...lines, ...lines], { minLength: 0 })),
      );
    fc.assert(
      fc.property(permuted, ([lines, some]) => {
        // `some` is a part of the lines, doubled and shuffled; the rest comes after it, backwards.
        expect(stateAfter([...some, ...lines.toReversed()])).toEqual(stateAfter(lines));
      }),
    );
  });

  it('never brings back what was lifted', () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
        const of = new RevocationView(fingerprinter);
        const lifted = new Set<string>();
        for (const one of lines) {
          applyNow(of, one);
          if (one.sealed.entry.kind === 'lift') lifted.add(one.sealed.entry.lock);
          for (const id of lifted) expect(of.locks.isInForce(id, NOW_S)).toBe(false);
        }
      }),
    );
  });
});

describe('late accepts of what is locked', () => {
  const set = fingerprinter.print([sub, bare]);
  const dead = [
    { hi: Number(set.prints[0]), lo: Number(set.prints[1]), cutoffS: undefined },
    { hi: Number(set.prints[2]), lo: Number(set.prints[3]), cutoffS: undefined },
  ];

  it('are counted once each until the lock is over, whatever the iat', () => {
    const accepts = new LastAccepts(64);
    accepts.record(set, NOW_S, 1);
    accepts.locks.begin('lck_a', dead, 10);
    accepts.locks.begin('lck_a', dead, 99);
    expect(accepts.locks.late('lck_a')).toBeUndefined();
    accepts.record(set, undefined, 9_999);
    accepts.record(fingerprinter.print([ALL]), NOW_S, 9_999);
    accepts.record(set, NOW_S, 10_000);
    expect(accepts.locks.late('lck_a')).toMatchObject({ count: 1, lastMs: 9_999 });
    expect(accepts.locks.over(9)).toEqual([]);
    expect(accepts.locks.over(10)).toEqual(['lck_a']);
  });

  it('are none after a lift, and a second lock of the subject goes on counting', () => {
    const accepts = new LastAccepts(64);
    accepts.locks.begin('lck_a', dead, 100);
    accepts.locks.begin('lck_b', dead, 100);
    accepts.locks.end('lck_a');
    accepts.locks.end('lck_a');
    accepts.record(set, NOW_S, 5);
    expect(accepts.locks.late('lck_a')).toBeUndefined();
    expect(accepts.locks.late('lck_b')).toMatchObject({ count: 1 });
  });
});
