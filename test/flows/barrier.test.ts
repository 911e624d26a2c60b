import { describe, expect, it } from 'vitest';
import { signAcknowledgement } from '../../src/evidence/acknowledgement.ts';
import type { FeedLine, ReplicaEntry } from '../../src/feed/entry.ts';
import type { LeaseTerm } from '../../src/feed/lease.ts';
import { Members } from '../../src/feed/members.ts';
import type { Reading } from '../../src/flows/barrier.ts';
import { LeaseTable } from '../../src/flows/barrier.ts';
import type { Instant } from '../../src/kernel/clock.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';
import { joinedLine } from '../support/joined-line.ts';

/** Further than anything that is acknowledged. */
const FAR = { epoch: 9_999_999_999, sequence: 1 };
const TERM = { leaseMs: 3_000, epsMs: 50 };
const AT = (ms: number) => ({ monoMs: ms, wallMs: 1_800_000_000_000 + ms });
const POSITION = { epoch: 5, sequence: 3 };
const KEY = signingKeyOf(new Uint8Array(32).fill(1));
const OTHER = signingKeyOf(new Uint8Array(32).fill(2));

function acknowledged(
  incarnation: string,
  over: Partial<{ position: string; epochId: string }> = {},
  key = KEY,
): string {
  const said = { position: '5-3', epochId: 'ep_1', ...over };
  const fixed = {
    v: 1,
    replica: 'a',
    chain: '0'.repeat(40),
    leaf: '0'.repeat(64),
    at: '2027-01-15T08:00:00.000Z',
    cachesPurged: true,
  } as const;
  return signAcknowledgement({ ...fixed, ...said, incarnation, outcomes: [] }, key);
}

/** A reading that was sent after everything else, received then. */
const READ = (at: Instant): Reading => ({ number: 1, at });

/** As it says itself, whatever the others have. */
function withLease({ sealed, ...place }: FeedLine, leaseMs: number): FeedLine {
  const entry = { ...(sealed.entry as ReplicaEntry), term: { leaseMs, splitMs: 0 } };
  return { ...place, sealed: { ...sealed, entry } };
}

function tableOf(term: LeaseTerm = TERM): LeaseTable {
  const members = new Members();
  members.apply(joinedLine('inc_a', KEY));
  members.apply(joinedLine('inc_b', OTHER));
  return new LeaseTable(term, members, () => FAR);
}

const question = (appendedMs: number, over: object = {}) =>
  ({
    coordinator: 'inc_a',
    position: POSITION,
    epochId: 'ep_1',
    appendedAt: AT(appendedMs),
    term: TERM,
    sentBefore: 0,
    exclusive: true,
    mode: 'acknowledged',
    ...over,
  }) as const;

describe('the barrier', () => {
  it('takes an acknowledgement of this epoch that reaches the entry, signed by whose row it is', () => {
    const judged = (text: string | undefined) => {
      const table = tableOf();
      table.observe('ep_1', [{ incarnation: 'inc_a', renewals: 1, acknowledgement: text }], READ(AT(0)));
      return table.judge(question(0), AT(1)).standings[0]?.state;
    };
    expect(judged(acknowledged('inc_a'))).toBe('acknowledged');
    expect(judged(acknowledged('inc_a', { position: '5-4' }))).toBe('acknowledged');
    expect(judged(acknowledged('inc_a', { position: '5-2' }))).toBe('outstanding');
    expect(judged(acknowledged('inc_a', { epochId: 'ep_0' }))).toBe('outstanding');
    expect(judged(acknowledged('inc_a', {}, OTHER))).toBe('outstanding');
    expect(judged(acknowledged('inc_b', {}, OTHER))).toBe('outstanding');
    expect(judged('nonsense')).toBe('outstanding');
    expect(judged(undefined)).toBe('outstanding');
  });

  it('counts what was said of a place ahead once that is reached here, though it is not said again', () => {
    const members = new Members();
    members.apply(joinedLine('inc_a', KEY));
    let reached = { epoch: 5, sequence: 2 };
    const table = new LeaseTable(TERM, members, () => reached);
    const says = (position: string): void => {
      const acknowledgement = acknowledged('inc_a', { position });
      table.observe('ep_1', [{ incarnation: 'inc_a', renewals: 1, acknowledgement }], READ(AT(0)));
    };
    says('5-2');
    const said = table.row('inc_a')?.text;
    says('5-3');
    expect(table.row('inc_a')?.text).toBe(said);
    expect(table.judge(question(0), AT(1)).standings[0]?.state).toBe('outstanding');
    reached = POSITION;
    expect(table.judge(question(0), AT(1)).standings[0]?.state).toBe('acknowledged');
  });

  it('forgets what a row no longer says', () => {
    const table = tableOf();
    const says = (acknowledgement: string | undefined) => {
      table.observe('ep_1', [{ incarnation: 'inc_a', renewals: 1, acknowledgement }], READ(AT(0)));
      return table.judge(question(0), AT(1)).standings[0]?.state;
    };
    expect([acknowledged('inc_a'), undefined].map(says)).toEqual(['acknowledged', 'outstanding']);
    expect(table.acknowledgements()).toEqual([]);
  });

  it('asks for the keys of those who spoke only when somebody asks what they said', () => {
    let asked = 0;
    const watched = {
      ...{ lookup: () => undefined, holders: () => [], nameOf: String },
      keyOf: () => (++asked, KEY.public),
    } as unknown as Members;
    const table = new LeaseTable(TERM, watched, () => FAR);
    for (let renewals = 1; renewals < 10; renewals++) {
      const acknowledgement = acknowledged('inc_a', { position: `5-${renewals}` });
      table.observe('ep_1', [{ incarnation: 'inc_a', renewals, acknowledgement }], READ(AT(renewals)));
    }
    expect(asked).toBe(0);
    expect(table.row('inc_a')?.acknowledgement?.position).toBe('5-9');
    expect(table.judge(question(0), AT(10)).standings[0]?.state).toBe('acknowledged');
    expect(asked).toBe(1);
  });

  it('is not passed by an empty table, nor by a young one that others write', () => {
    const table = tableOf();
    expect(table.judge(question(0), AT(1))).toEqual({ standings: [], rule: undefined });
    const row = { incarnation: 'inc_a', renewals: 1, acknowledgement: acknowledged('inc_a') };
    table.observe('ep_1', [row], READ(AT(0)));
    expect(table.judge(question(0), AT(1)).rule).toBe('acknowledged');
    expect(table.judge(question(0, { exclusive: false }), AT(3_000)).rule).toBeUndefined();
    expect(table.judge(question(0, { exclusive: false }), AT(3_100)).rule).toBe('acknowledged');
    expect(table.judge(question(0, { mode: 'wait' }), AT(3_100)).rule).toBeUndefined();
  });

  it('is not passed by who has not acknowledged itself: it may read, and renew no more', () => {
    const table = tableOf();
    const quiet = { incarnation: 'inc_a', renewals: 1, acknowledgement: undefined };
    const row = { incarnation: 'inc_b', renewals: 1, acknowledgement: acknowledged('inc_b', {}, OTHER) };
    table.observe('ep_1', [quiet, row], READ(AT(0)));
    const { standings, rule } = table.judge(question(0), AT(3_100));
    expect([standings.map(({ state }) => state), rule]).toEqual([['fenced', 'acknowledged'], undefined]);
    expect(table.judge(question(0, { coordinator: 'inc_b' }), AT(3_100)).rule).toBe('acknowledged');
  });

  it('waits longer, by every rule, where a store that was replaced may go on granting leases', () => {
    const term = { ...TERM, splitMs: 7_000 };
    const table = tableOf(term);
    const quiet = { incarnation: 'inc_b', renewals: 1, acknowledgement: undefined };
    const row = { incarnation: 'inc_a', renewals: 1, acknowledgement: acknowledged('inc_a') };
    table.observe('ep_1', [row, quiet], READ(AT(0)));
    const judged = (ms: number, over: object = {}) => {
      const { standings, rule } = table.judge(question(0, { exclusive: false, term, ...over }), AT(ms));
      return [standings[1]?.state, rule];
    };
    expect(judged(10_051)).toEqual(['outstanding', undefined]);
    expect(judged(10_052)).toEqual(['fenced', 'acknowledged']);
    expect(judged(10_251, { mode: 'wait' })).toEqual(['fenced', undefined]);
    expect(judged(10_252, { mode: 'wait' })).toEqual(['fenced', 'wait']);
  });

  it('takes nobody for over who joined after the entry with a longer lease, until that is', () => {
    const members = new Members();
    members.apply(withLease(joinedLine('inc_a', KEY), 10_000));
    const table = new LeaseTable(TERM, members, () => FAR);
    const row = { incarnation: 'inc_a', renewals: 1, acknowledgement: undefined };
    table.observe('ep_1', [row], READ(AT(0)));
    const stateAt = (ms: number) =>
      table.judge(question(ms, { mode: 'wait' }), AT(ms)).standings.map(({ state }) => state);
    expect([3_100, 10_000, 10_100].flatMap(stateAt)).toEqual(['outstanding', 'outstanding', 'fenced']);
  });

  it('is not passed by a reading that was sent before the append replied (THREATS 10.1)', () => {
    const table = tableOf();
    const row = { incarnation: 'inc_a', renewals: 1, acknowledgement: acknowledged('inc_a') };
    const before = table.send();
    table.observe('ep_1', [row], { number: before, at: AT(0) });
    expect(table.judge(question(0, { sentBefore: table.sent }), AT(1)).rule).toBeUndefined();
    table.observe('ep_1', [row], { number: table.send(), at: AT(1) });
    expect(table.judge(question(0, { sentBefore: before }), AT(2)).rule).toBe('acknowledged');
  });

  it('counts quiet from the receipt of the first reading that showed the counter, and a renewal begins it anew (THREATS 10.3)', () => {
    const table = tableOf();
    const row = (renewals: number) => ({ incarnation: 'inc_b', renewals, acknowledgement: undefined });
    table.observe('ep_1', [row(1)], READ(AT(0)));
    table.observe('ep_1', [row(1)], READ(AT(3_000)));
    expect(table.judge(question(3_000), AT(3_100)).standings[0]).toMatchObject({
      state: 'fenced',
      notLaterThan: AT(3_100),
    });
    table.observe('ep_1', [row(2)], READ(AT(3_100)));
    expect(table.judge(question(3_000), AT(6_000)).standings[0]?.state).toBe('outstanding');
    // A row that is missing from a later reading is remembered.
    table.observe('ep_1', [], READ(AT(6_100)));
    expect(table.judge(question(6_000), AT(6_110)).standings).toHaveLength(1);
    expect(table.row('inc_b')).toMatchObject({ renewals: 2, since: AT(3_100) });
  });

  it('is passed by the clock whoever goes on renewing without a word, and says when at the latest', () => {
    const table = tableOf();
    for (let ms = 0; ms <= 3_300; ms += 100) {
      table.observe(
        'ep_1',
        [{ incarnation: 'inc_stranger', renewals: ms, acknowledgement: undefined }],
        READ(AT(ms)),
      );
    }
    expect(table.judge(question(0), AT(3_251)).rule).toBeUndefined();
    const { rule, standings } = table.judge(question(0), AT(3_252));
    expect(rule).toBe('wait');
    expect(standings).toEqual([
      expect.objectContaining({ replica: 'inc_stranger', state: 'fenced', notLaterThan: AT(3_052) }),
    ]);
  });

  it('is done with who is known, and goes on renewing without a word, once every lease before the entry is over', () => {
    const table = tableOf();
    const own = (ms: number) => ({
      incarnation: 'inc_a',
      renewals: ms,
      acknowledgement: acknowledged('inc_a'),
    });
    const mute = (ms: number) => ({ incarnation: 'inc_b', renewals: ms, acknowledgement: undefined });
    for (let ms = 0; ms <= 3_100; ms += 100) table.observe('ep_1', [own(ms), mute(ms)], READ(AT(ms)));
    const judged = (ms: number, over: object = {}) => {
      const { standings, rule } = table.judge(question(0, over), AT(ms));
      return [standings[1]?.state, rule];
    };
    expect(judged(3_051)).toEqual(['outstanding', undefined]);
    expect(judged(3_052)).toEqual(['fenced', 'acknowledged']);
    expect(table.judge(question(0), AT(3_060)).standings[1]).toMatchObject({
      notLaterThan: AT(3_052),
      isQuiet: false,
    });
    expect(judged(3_052, { mode: 'wait' })).toEqual(['fenced', undefined]);
    expect(judged(3_052, { sentBefore: 1 })).toEqual(['fenced', undefined]);
    expect(judged(3_052, { coordinator: 'inc_b' })).toEqual(['fenced', undefined]);
  });

  it('forgets the rows of an epoch that is over', () => {
    const table = tableOf();
    table.observe('ep_1', [{ incarnation: 'inc_a', renewals: 1, acknowledgement: undefined }], READ(AT(0)));
    table.observe('ep_2', [], READ(AT(10)));
    expect(table.row('inc_a')).toBeUndefined();
    expect(table.quietSince('inc_a')).toEqual(AT(10));
  });

  it('lets go of who left, or was forgotten, once its last lease is surely over, and not of who is only missing', () => {
    const members = new Members();
    for (const line of [joinedLine('inc_a', KEY), joinedLine('inc_b', OTHER), joinedLine('inc_c', OTHER)])
      members.apply(line);
    const table = new LeaseTable(TERM, members, () => FAR);
    const row = (incarnation: string) => ({ incarnation, renewals: 1, acknowledgement: undefined });
    table.observe('ep_1', [row('inc_a'), row('inc_b'), row('inc_c')], READ(AT(0)));
    members.apply(joinedLine('inc_a', KEY, 'left'));
    members.apply(joinedLine('inc_b', OTHER, 'forgotten'));
    table.observe('ep_1', [], READ(AT(3_051)));
    expect(['inc_a', 'inc_b', 'inc_c'].filter((one) => table.row(one) !== undefined)).toHaveLength(3);
    table.observe('ep_1', [], READ(AT(3_052)));
    // The store shows them for longer.
    for (const ms of [3_052, 9_000]) {
      if (ms > 3_052) table.observe('ep_1', [row('inc_a'), row('inc_b')], READ(AT(ms)));
      expect(table.row('inc_a')).toBeUndefined();
      expect(table.row('inc_b')).toBeUndefined();
    }
    expect(table.judge(question(0), AT(9_000)).standings.map(({ incarnation }) => incarnation)).toEqual([
      'inc_c',
    ]);
  });

  it('keeps who is said to be forgotten until its own lease is over, which may be longer than that of the others', () => {
    const members = new Members();
    members.apply(withLease(joinedLine('inc_b', OTHER), 20_000));
    const table = new LeaseTable(TERM, members, () => FAR);
    const row = { incarnation: 'inc_b', renewals: 1, acknowledgement: undefined };
    table.observe('ep_1', [row], READ(AT(0)));
    members.apply(joinedLine('inc_b', OTHER, 'forgotten'));
    for (const [ms, isThere] of [
      [6_000, true],
      [20_059, true],
      [20_060, false],
    ] as const) {
      table.observe('ep_1', [row], READ(AT(ms)));
      expect(table.row('inc_b') !== undefined).toBe(isThere);
    }
  });

  it('knows when it first heard an acknowledgement, and up to when it had not', () => {
    const table = tableOf();
    const row = (acknowledgement: string) => ({ incarnation: 'inc_a', renewals: 1, acknowledgement });
    table.observe('ep_1', [row(acknowledged('inc_a'))], READ(AT(0)));
    expect(table.row('inc_a')?.heard).toBeUndefined();
    table.observe('ep_1', [row(acknowledged('inc_a'))], READ(AT(500)));
    table.observe('ep_1', [row(acknowledged('inc_a', { position: '5-4' }))], READ(AT(1_000)));
    table.observe('ep_1', [row(acknowledged('inc_a', { position: '5-4' }))], READ(AT(1_500)));
    expect(table.row('inc_a')?.heard).toEqual({ after: AT(500), at: AT(1_000) });
    expect(table.readAt).toEqual(AT(1_500));
  });
});

describe('a replica whose ledger is another one', () => {
  const observed = (ms: number, renewals: number) => {
    const row = { incarnation: 'inc_a', renewals, acknowledgement: acknowledged('inc_a') };
    return ['ep_1', [row], READ(AT(ms))] as const;
  };

  it('has acknowledged nothing, and while it renews nothing is enforced, by no rule', () => {
    const table = tableOf();
    table.observe(...observed(0, 1));
    expect(table.judge(question(0), AT(1)).rule).toBe('acknowledged');
    table.disown('inc_a', true);
    expect(table.judge(question(0), AT(1))).toMatchObject({
      standings: [{ state: 'outstanding', acknowledgement: undefined }],
      rule: undefined,
    });
    table.observe(...observed(9_000, 2));
    expect(table.judge(question(0), AT(10_000)).rule).toBeUndefined();
    // Quiet for longer than a lease.
    expect(table.judge(question(0), AT(13_000))).toMatchObject({
      standings: [{ state: 'fenced' }],
      rule: 'wait',
    });
  });

  it('is one in that epoch: who continues the next one as we do is heard again', () => {
    const table = tableOf();
    table.observe(...observed(0, 1));
    table.disown('inc_a', true);
    const acknowledgement = acknowledged('inc_a', { epochId: 'ep_2' });
    table.observe('ep_2', [{ incarnation: 'inc_a', renewals: 1, acknowledgement }], READ(AT(0)));
    expect(table.judge(question(0, { epochId: 'ep_2' }), AT(1)).rule).toBe('acknowledged');
  });
});
