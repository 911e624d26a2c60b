/** What one replica can say of all: no better than its own readings, by its own clock. */
import { describe, expect, it } from 'vitest';
import { signAcknowledgement } from '../../src/evidence/acknowledgement.ts';
import { Cursor } from '../../src/feed/cursor.ts';
import type { FeedLine } from '../../src/feed/entry.ts';
import { CHAIN_START, nextChain } from '../../src/feed/entry.ts';
import { Lease } from '../../src/feed/lease.ts';
import { Members } from '../../src/feed/members.ts';
import { LeaseTable } from '../../src/flows/barrier.ts';
import type { Sight } from '../../src/flows/survey.ts';
import { Surveyor } from '../../src/flows/survey.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';
import { epoch, revocation } from '../support/feed-entries.ts';
import { joinedLine } from '../support/joined-line.ts';

/** Further than anything that is acknowledged. */
const FAR = { epoch: 9_999_999_999, sequence: 1 };
const TERM = { leaseMs: 3_000, epsMs: 50 };
const START_MS = 1_800_000_000_000;
const AT = (ms: number) => ({ monoMs: ms, wallMs: START_MS + ms });
const KEY = signingKeyOf(new Uint8Array(32).fill(1));

/** One replica, `inc_a`, that has applied two lines of the epoch 5, and a table that the test reads into. */
class Watcher {
  nowMs = 0;
  readonly members = new Members();
  readonly table = new LeaseTable(TERM, this.members, () => FAR);
  readonly lease = new Lease(TERM);
  readonly cursor = new Cursor();
  readonly #renewals = new Map<string, number>();

  constructor(...others: string[]) {
    for (const one of ['inc_a', ...others]) this.members.apply(joinedLine(one, KEY));
    let chain = CHAIN_START;
    for (const [i, sealed] of [epoch('ep_1', 'run'), revocation('r1')].entries()) {
      chain = nextChain(chain, sealed.text);
      this.cursor.advance({ position: { epoch: 5, sequence: i + 1 }, chain, sealed }, true);
    }
  }

  /** A reading at `ms`: each of `renewed` has renewed since the one before, the others have not. */
  read(ms: number, renewed: readonly string[], said: Readonly<Record<string, string>> = {}): void {
    this.nowMs = ms;
    for (const one of renewed) this.#renewals.set(one, (this.#renewals.get(one) ?? 0) + 1);
    const rows = [...this.#renewals].map(([incarnation, renewals]) => ({
      ...{ incarnation, renewals },
      acknowledgement: said[incarnation] ?? acknowledged(incarnation, '5-1'),
    }));
    this.table.observe('ep_1', rows, { number: this.table.send(), at: AT(ms) });
  }

  look(): Map<string, Sight> {
    const { members, table, lease, cursor } = this;
    const identity = { fleet: 'f', replica: 'a', incarnation: 'inc_a', key: KEY, logKey: KEY };
    const clock = { now: () => AT(this.nowMs) };
    const surveyor = new Surveyor({ identity, members, table, lease, cursor, term: TERM, clock });
    return new Map(surveyor.look().map((sight) => [sight.incarnation, sight]));
  }

  see(incarnation: string): Partial<Sight> {
    return this.look().get(incarnation) ?? {};
  }
}

function acknowledged(incarnation: string, position: string, unconfirmed = 0, isLeased = true): string {
  const leased = isLeased ? { leased: true as const } : {};
  const outcome = { revocation: 'rev_1', matched: 2, killed: 2 - unconfirmed, pending: 0, unconfirmed };
  return signAcknowledgement(
    {
      ...{ v: 1, replica: 'a', incarnation, epochId: 'ep_1', position, chain: '0'.repeat(40) },
      ...{ leaf: '0'.repeat(64), at: '2027-01-15T08:00:00.000Z', cachesPurged: true, ...leased },
      outcomes: [{ ...outcome, lateAccepts: 0 }],
    },
    KEY,
  );
}

/** A line by which `later` joins with the data directory of `earlier`. */
function goesOn(later: string, earlier: string): FeedLine {
  const line = joinedLine(later, KEY);
  const { entry } = line.sealed;
  if (entry.kind !== 'replica') throw new Error('no replica');
  return { ...line, sealed: { ...line.sealed, entry: { ...entry, succeeds: earlier } } };
}

describe('another replica', () => {
  it('is live while it renews, then outstanding, then surely fenced since its last lease was over', () => {
    const watcher = new Watcher('inc_b');
    watcher.read(0, ['inc_b']);
    watcher.read(500, []);
    expect(watcher.see('inc_b')).toMatchObject({ state: 'live', mayAllowForMs: 2_552, isSelf: false });
    watcher.read(1_500, []);
    expect(watcher.see('inc_b')).toMatchObject({ state: 'outstanding', mayAllowForMs: 1_552 });
    watcher.read(3_051, []);
    expect(watcher.see('inc_b').state).toBe('outstanding');
    watcher.read(3_052, []);
    expect(watcher.see('inc_b')).toMatchObject({
      state: 'fenced',
      mayAllowForMs: undefined,
      fencedSinceMs: START_MS + 3_052,
    });
  });

  it('waits while it renews and says itself that it holds no lease', () => {
    const watcher = new Watcher('inc_b');
    watcher.read(0, ['inc_b'], { inc_b: acknowledged('inc_b', '5-1', 0, false) });
    expect(watcher.see('inc_b')).toMatchObject({ state: 'waiting', mayAllowForMs: 3_052 });
    watcher.read(500, ['inc_b']);
    expect(watcher.see('inc_b').state).toBe('live');
  });

  it('that joined and has no row may hold a lease until this epoch was watched for long enough', () => {
    const watcher = new Watcher('inc_b');
    watcher.read(0, []);
    expect(watcher.see('inc_b')).toMatchObject({ state: 'outstanding', position: undefined, lag: undefined });
    watcher.read(3_052, []);
    expect(watcher.see('inc_b').state).toBe('fenced');
  });

  it('is unknown to who has no reading of its own to judge by: silence that was not listened to is none', () => {
    const watcher = new Watcher('inc_b');
    expect(watcher.see('inc_b').state).toBe('unknown');
    watcher.read(0, ['inc_b']);
    watcher.nowMs = 1_501;
    expect(watcher.see('inc_b')).toMatchObject({ state: 'unknown', fencedSinceMs: undefined });
    watcher.nowMs = 60_000;
    expect(watcher.see('inc_b').state).toBe('unknown');
  });

  it('is said to have left or to be forgotten only as long as its lease has to be reckoned with', () => {
    const watcher = new Watcher('inc_b', 'inc_c');
    watcher.read(0, ['inc_b', 'inc_c']);
    watcher.members.apply(joinedLine('inc_b', KEY, 'left'));
    watcher.members.apply(joinedLine('inc_c', KEY, 'forgotten'));
    expect([...watcher.look().values()].map(({ state }) => state)).toEqual(['fenced', 'left', 'forgotten']);
    watcher.table.observe('ep_1', [], { number: watcher.table.send(), at: AT(3_052) });
    expect([...watcher.look().keys()]).toEqual(['inc_a']);
  });

  it('is as far as it has acknowledged, and says what it has not proven', () => {
    const watcher = new Watcher('inc_b', 'inc_c');
    const said = { inc_b: acknowledged('inc_b', '5-1', 2), inc_c: acknowledged('inc_c', '4-9') };
    watcher.read(0, ['inc_b', 'inc_c'], said);
    expect(watcher.see('inc_b')).toMatchObject({
      position: { epoch: 5, sequence: 1 },
      lag: 1,
      unconfirmed: 2,
      joinedAt: '2027-01-15T08:00:00.000Z',
    });
    // Of another epoch's entries nobody knows how many there are: at least those of this one.
    expect(watcher.see('inc_c').lag).toBe(2);
    expect(watcher.see('inc_b').clock).toBeUndefined();
  });

  it('has a clock that is known between two readings', () => {
    const watcher = new Watcher('inc_b');
    watcher.read(0, ['inc_b'], { inc_b: acknowledged('inc_b', '5-1') });
    watcher.read(600, ['inc_b'], { inc_b: acknowledged('inc_b', '5-2') });
    expect(watcher.see('inc_b').clock).toEqual({ aheadMs: -600, withinMs: 600 });
  });
});

describe('the replica that looks', () => {
  it('goes by its own lease, and by its cursor', () => {
    const watcher = new Watcher();
    expect(watcher.see('inc_a')).toMatchObject({ state: 'fenced', freshForMs: 0, fencedSinceMs: undefined });
    watcher.lease.adopt(AT(0));
    watcher.nowMs = 500;
    expect(watcher.see('inc_a')).toMatchObject({ state: 'live', freshForMs: 2_450, lag: 0, isSelf: true });
    watcher.nowMs = 4_000;
    expect(watcher.see('inc_a')).toMatchObject({ state: 'fenced', fencedSinceMs: START_MS + 2_950 });
  });
});

describe('rows of one name', () => {
  it('stand together, in the order in which they joined', () => {
    const watcher = new Watcher('inc_z', 'inc_b');
    watcher.members.apply(joinedLine('inc_first', KEY, 'joined', '0'));
    watcher.members.apply(joinedLine('inc_last', KEY, 'joined', 'z'));
    expect([...watcher.look().keys()]).toEqual(['inc_first', 'inc_a', 'inc_z', 'inc_b', 'inc_last']);
  });

  it('tell a process that was restarted from one that runs beside it', () => {
    const watcher = new Watcher('inc_b');
    watcher.read(0, ['inc_b']);
    watcher.members.apply(goesOn('inc_b2', 'inc_b'));
    watcher.read(2_000, ['inc_b', 'inc_b2']);
    // Both renew: a copy of its data directory runs somewhere.
    expect(watcher.see('inc_b').state).toBe('live');
    watcher.read(5_052, ['inc_b2'], { inc_b2: '' });
    expect(watcher.see('inc_b').state).toBe('succeeded');
    expect(watcher.see('inc_b2').state).toBe('waiting');
  });

  it('of one that was restarted go once who goes on with its data counts its sessions, or has said goodbye', () => {
    const watcher = new Watcher('inc_b');
    const said = { inc_b: acknowledged('inc_b', '5-1', 2), inc_b2: '' };
    watcher.read(0, ['inc_b'], said);
    watcher.members.apply(goesOn('inc_b2', 'inc_b'));
    watcher.read(3_052, ['inc_b2'], said);
    expect(watcher.see('inc_b')).toMatchObject({ state: 'succeeded', unconfirmed: 2 });
    // Nobody has forgotten it: its row was retired.
    watcher.members.apply(joinedLine('inc_b', KEY, 'forgotten'));
    watcher.read(3_500, ['inc_b2'], said);
    expect(watcher.see('inc_b')).toMatchObject({ state: 'succeeded', unconfirmed: 2 });
    watcher.members.apply(joinedLine('inc_b2', KEY, 'left'));
    expect([...watcher.look().keys()]).toEqual(['inc_a', 'inc_b2']);
    const again = new Watcher('inc_b');
    again.members.apply(goesOn('inc_b2', 'inc_b'));
    again.read(0, ['inc_b'], said);
    again.read(3_052, ['inc_b2'], { ...said, inc_b2: acknowledged('inc_b2', '5-2', 2) });
    expect([...again.look().values()].map(({ incarnation, state }) => [incarnation, state])).toEqual([
      ['inc_a', 'fenced'],
      ['inc_b2', 'live'],
    ]);
  });
});
