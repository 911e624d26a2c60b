import { describe, expect, it } from 'vitest';
import type { Place } from '../../src/feed/cursor.ts';
import { Cursor } from '../../src/feed/cursor.ts';
import type { EpochEntry, FeedLine, SealedEntry } from '../../src/feed/entry.ts';
import { CHAIN_START, nextChain } from '../../src/feed/entry.ts';
import { ORIGIN, renderPosition } from '../../src/feed/position.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import { epoch, replica, revocation } from '../support/feed-entries.ts';

function lineOf(sealed: SealedEntry, at: [epoch: number, sequence: number], before = CHAIN_START): FeedLine {
  return { sealed, position: { epoch: at[0], sequence: at[1] }, chain: nextChain(before, sealed.text) };
}

const opened = lineOf(epoch('ep_1', 'run_1'), [100, 1]);
const second = lineOf(revocation('rev_1'), [100, 2], opened.chain);
const third = lineOf(revocation('rev_2'), [100, 3], second.chain);

function cursorAfter(...lines: FeedLine[]): Cursor {
  const cursor = new Cursor();
  for (const line of lines) cursor.advance(line, true);
  return cursor;
}

describe('the cursor', () => {
  it('begins before everything, in no epoch', () => {
    const cursor = new Cursor();
    expect([cursor.epochId, cursor.position, cursor.chain]).toEqual([undefined, ORIGIN, CHAIN_START]);
  });

  it('moves over what continues its history, and says where an epoch opened', () => {
    const cursor = new Cursor();
    expect([opened, second, third].map((line) => cursor.advance(line, true))).toEqual([true, false, false]);
    expect([cursor.epochId, cursor.position, cursor.chain]).toEqual(['ep_1', third.position, third.chain]);
  });

  it('begins the chain anew with a later epoch', () => {
    const next = lineOf(epoch('ep_2', 'run_2'), [101, 1]);
    const cursor = cursorAfter(opened, second, next);
    expect([cursor.epochId, cursor.position, cursor.chain]).toEqual(['ep_2', next.position, next.chain]);
    const line = lineOf(revocation('rev_3'), [101, 2], next.chain);
    expect(cursor.advance(line, true)).toBe(false);
  });

  it('takes the word of who has read a line for the chain that it continues, and for no other', () => {
    const wrong = { ...third, chain: 'f'.repeat(40) };
    const bulk = { leaf: new Uint8Array(), targetsCount: 0, ending: new Uint32Array() };
    const readAfter = (after: string): FeedLine => ({
      ...wrong,
      reading: { signedBy: undefined, bulk: { ...bulk, after } },
    });
    expect(cursorAfter(opened, second).advance(readAfter(second.chain), true)).toBe(false);
    expect(() => cursorAfter(opened, second).advance(readAfter(opened.chain), true)).toThrow('feed diverges');
  });

  it('goes on after a base that it was given', () => {
    const cursor = new Cursor();
    const opening = opened.sealed.entry as EpochEntry;
    cursor.jump({ opening, amnesia: opening, position: second.position, chain: second.chain, frontier: [] });
    expect(cursor.amnesia).toBe(opening);
    expect([cursor.epochId, cursor.advance(third, true)]).toEqual(['ep_1', false]);
    expect(cursor.settled).toEqual(ORIGIN);
    const again = lineOf(epoch('ep_1', 'run_1'), [101, 1]);
    expect(() => cursor.advance(again, true)).toThrow('feed diverges');
  });

  it('has of what operators accepted what a snapshot says that it begins again at, and that a fleet began anew over it', () => {
    const anew = lineOf(epoch('ep_2', 'run_2'), [101, 1]);
    const opening = opened.sealed.entry as EpochEntry;
    const snapshot = { opening, amnesia: undefined, position: ORIGIN, chain: CHAIN_START, frontier: [] };
    const other = cursorAfter(opened, anew);
    other.jump(snapshot);
    expect(other.amnesia).toBe(anew.sealed.entry);
    const accepted: EpochEntry = { ...opening, rule: 'accept-amnesia' };
    other.jump({ ...snapshot, amnesia: accepted });
    expect(other.amnesia).toBe(accepted);
    other.jump(snapshot);
    expect(other.amnesia).toBeUndefined();
  });

  it.each([
    ['the same line again', second],
    ['a line after a gap', lineOf(revocation('rev_3'), [100, 4], second.chain)],
    ['a line of an epoch that it has not seen open', lineOf(revocation('rev_3'), [101, 3], second.chain)],
    ['a line at the right place on another history', lineOf(revocation('rev_3'), [100, 3], opened.chain)],
    ['a line whose entry was exchanged', { ...third, sealed: revocation('rev_9') }],
    ['an epoch that is not newer', lineOf(epoch('ep_2', 'run_2'), [100, 1])],
    ['an earlier epoch', lineOf(epoch('ep_2', 'run_2'), [99, 1])],
    ['an epoch that does not begin at 1', lineOf(epoch('ep_2', 'run_2'), [101, 2])],
    ['an epoch in the middle of another', lineOf(epoch('ep_2', 'run_2'), [100, 3], second.chain)],
    ['an epoch that goes on with the chain', lineOf(epoch('ep_2', 'run_2'), [101, 1], second.chain)],
  ])('stays where it is before %s', (_, line) => {
    const cursor = cursorAfter(opened, second);
    expect(() => cursor.advance(line, true)).toThrow(
      expect.objectContaining({ code: 'PROOF_INVALID', message: 'feed diverges after 100-2' }) as Error,
    );
    expect([cursor.epochId, cursor.position, cursor.chain]).toEqual(['ep_1', second.position, second.chain]);
    expect(cursor.advance(third, true)).toBe(false);
  });

  const base = { epochId: 'ep_1', head: '100-2', chain: second.chain, checkpoint: 'c' };

  it('follows an epoch that continues exactly where it stands, or that begins anew', () => {
    for (const sealed of [epoch('ep_2', 'run_2', base), epoch('ep_2', 'run_2')])
      expect(cursorAfter(opened, second).advance(lineOf(sealed, [101, 1]), true)).toBe(true);
    const newcomer = new Cursor();
    expect(newcomer.advance(lineOf(epoch('ep_2', 'run_2'), [101, 1]), true)).toBe(true);
    expect(newcomer.opening).toMatchObject({ epochId: 'ep_2', runId: 'run_2' });
  });

  it('does not follow an epoch that goes on from one that is not here, so that it hides what came before it', () => {
    const newcomer = new Cursor();
    expect(() => newcomer.advance(lineOf(epoch('ep_2', 'run_2', base), [101, 1]), true)).toThrow(
      'feed diverges',
    );
    expect(newcomer.epochId).toBeUndefined();
  });

  it('follows an epoch that knows less of the one before, and says what it has more', () => {
    const shorter = { ...base, head: '100-1', chain: opened.chain };
    const cursor = cursorAfter(opened, second, third);
    expect(cursor.advance(lineOf(epoch('ep_2', 'run_2', shorter), [101, 1]), true)).toBe(true);
    const missing = new Set(['rev_1', 'rev_2']);
    expect(cursor.tails).toEqual([{ after: opened.position, upTo: third.position, missing }]);
  });

  describe('of what nobody else has', () => {
    const { chain } = opened;
    const shorter = { epochId: 'ep_1', head: '100-1', chain, checkpoint: 'c' };
    const follow = (cursor: Cursor, ...entries: SealedEntry[]): void => {
      for (const sealed of entries) {
        const { epoch: number, sequence } = cursor.position;
        const isOpening = sealed.entry.kind === 'epoch';
        const at: [number, number] = isOpening ? [number + 1, 1] : [number, sequence + 1];
        cursor.advance(lineOf(sealed, at, isOpening ? CHAIN_START : cursor.chain), true);
      }
    };
    const missingIn = ({ tails }: Cursor): string[][] => tails.map(({ missing }) => [...missing]);

    it('forgets each part as it comes again, under whatever position, and keeps the rest through other epochs', () => {
      const cursor = cursorAfter(opened, second, third);
      follow(cursor, epoch('ep_2', 'run_2', shorter), revocation('rev_2'), revocation('rev_3'));
      expect(missingIn(cursor)).toEqual([['rev_1']]);
      // The next one lacks lines as well.
      const lost = { ...shorter, epochId: 'ep_2', head: '101-2', chain: '' };
      const [{ chain: at }] = [
        lineOf(revocation('rev_2'), [101, 2], lineOf(epoch('ep_2', 'run_2', shorter), [101, 1]).chain),
      ];
      follow(cursor, epoch('ep_3', 'run_3', { ...lost, chain: at }));
      expect(missingIn(cursor)).toEqual([['rev_1'], ['rev_3']]);
      follow(cursor, revocation('rev_1'));
      expect(missingIn(cursor)).toEqual([['rev_3']]);
      follow(cursor, revocation('rev_3'));
      expect(cursor.tails).toEqual([]);
    });

    it('counts who joined and left, by whom, and neither marks nor who was forgotten', () => {
      const cursor = cursorAfter(opened);
      follow(
        cursor,
        replica('joined', 'inc_b', { succeeds: 'inc_a' }),
        replica('joined', 'inc_c'),
        replica('left', 'inc_c'),
        replica('forgotten', 'inc_d'),
        epoch('ep_2', 'run_2', shorter),
      );
      expect(missingIn(cursor)).toEqual([['joined inc_b', 'joined inc_c', 'left inc_c']]);
      follow(cursor, replica('joined', 'inc_c', { succeeds: 'inc_x' }));
      expect(missingIn(cursor)).toEqual([['joined inc_b', 'left inc_c']]);
      follow(cursor, replica('joined', 'inc_b', { succeeds: 'inc_a' }), replica('left', 'inc_c'));
      expect(cursor.tails).toEqual([]);
    });

    it('knows only what a snapshot lacks once it goes on from there, and is told of none that binds nobody', () => {
      const cursor = cursorAfter(opened, second);
      follow(cursor, epoch('ep_2', 'run_2', shorter));
      const opening = cursor.opening as EpochEntry;
      const { position } = cursor;
      const snapshot = { opening, amnesia: undefined, position, chain: cursor.chain, frontier: [] };
      cursor.jump(snapshot);
      expect(cursor.tails).toEqual([]);
      cursor.jump(snapshot, new Set(['rev_1']));
      expect(cursor.tails).toMatchObject([{ upTo: ORIGIN, isGivenUp: true }]);
      follow(cursor, revocation('rev_1'));
      expect(cursor.tails).toEqual([]);
      const other = cursorAfter(opened);
      follow(other, replica('forgotten', 'inc_d'));
      other.advance(lineOf(revocation('rev_1'), [100, 3], other.chain), false);
      follow(other, epoch('ep_2', 'run_2', shorter));
      expect(other.tails).toEqual([]);
    });
  });

  it('does not follow it where that is longer ago than it remembers', () => {
    const cursor = cursorAfter(opened);
    let last = opened;
    for (let sequence = 2; sequence <= 1_026; sequence++) {
      last = lineOf(revocation(`rev_${sequence}`), [100, sequence], last.chain);
      cursor.advance(last, true);
    }
    const shorter = { ...base, head: '100-2', chain: 'f'.repeat(40) };
    expect(() => cursor.advance(lineOf(epoch('ep_2', 'run_2', shorter), [101, 1]), true)).toThrow(
      'feed diverges',
    );
  });

  it.each([
    ['that continues an earlier place with another line there', { ...base, head: '100-1' }],
    ['of which it has less', { ...base, head: '100-3' }],
    ['of an epoch that it never saw', { ...base, head: '99-2' }],
    ['that continues another line there', { ...base, chain: opened.chain }],
    ['that continues another epoch', { ...base, epochId: 'ep_0' }],
  ])('does not follow an epoch %s', (_, other) => {
    const cursor = cursorAfter(opened, second);
    expect(() => cursor.advance(lineOf(epoch('ep_2', 'run_2', other), [101, 1]), true)).toThrow(
      'feed diverges',
    );
    expect(cursor.epochId).toBe('ep_1');
  });

  it('does not follow an epoch that was opened before, whatever came between', () => {
    const next = lineOf(epoch('ep_2', 'run_1'), [101, 1]);
    const again = lineOf(epoch('ep_1', 'run_1'), [102, 1]);
    expect(() => cursorAfter(opened, next).advance(again, true)).toThrow('feed diverges');
    expect(() => runAtOnce(new Cursor().checking([opened, next, again]))).toThrow('feed diverges');
  });

  it('judges a page as a whole, and moves over none of it', () => {
    const cursor = cursorAfter(opened);
    expect(() => runAtOnce(cursor.checking([second, second]))).toThrow('feed diverges after 100-2');
    expect(cursor.position).toEqual(opened.position);
    runAtOnce(cursor.checking([second, third]));
    for (const line of [second, third]) expect(cursor.advance(line, true)).toBe(false);
  });

  it('knows the chains of the newest places of its epoch, and no others', () => {
    const cursor = cursorAfter(opened, second);
    expect(cursor.chainAt(second.position)).toBe(second.chain);
    for (const place of [third.position, { ...second.position, epoch: 99 }])
      expect(cursor.chainAt(place)).toBeUndefined();
  });

  it('takes no entry before an epoch has opened', () => {
    for (const number of [0, 100]) {
      const line = lineOf(revocation('rev_1'), [number, 1]);
      expect(() => new Cursor().advance(line, true)).toThrow('feed diverges after 0-0');
    }
  });
});

describe('a cursor that goes back', () => {
  const based = (sealed: SealedEntry, line: FeedLine): SealedEntry => {
    const base = { epochId: 'ep_1', head: renderPosition(line.position), chain: line.chain, checkpoint: '' };
    return { ...sealed, entry: { ...sealed.entry, base } as EpochEntry };
  };
  const lost = lineOf(based(epoch('ep_2', 'run_2'), third), [101, 1]);
  const other = lineOf(based(epoch('ep_3', 'run_3'), second), [101, 1]);

  const own = (...lines: readonly FeedLine[]) => lines.map((line) => ({ line, isGenuine: true }));
  const missed = (cursor: Cursor) =>
    cursor.tails.map(({ after, upTo, missing }) => ({ after, upTo, missing: [...missing] }));
  const tailOfFirst = { after: second.position, upTo: third.position, missing: [third.sealed.entry.id] };

  it('stands at the end of an epoch, and goes on from there', () => {
    const cursor = cursorAfter(opened, second, third, lost);
    const [end] = cursor.ends;
    cursor.goBackTo(cursor.at(end as Place, own(opened, second, third)), own(lost));
    expect([cursor.epochId, cursor.position, cursor.settled]).toEqual([
      'ep_1',
      third.position,
      third.position,
    ]);
    expect([cursor.ends, cursor.tails]).toEqual([[], []]);
    expect(cursor.advance(other, true)).toBe(true);
    expect(missed(cursor)).toEqual([tailOfFirst]);
  });

  it('is never led into an epoch that it has been in', () => {
    const cursor = cursorAfter(opened, second, third, lost);
    const earlier = cursor.at(cursor.ends[0] as Place, own(opened, second, third));
    expect(() => earlier.advance(lost, true)).toThrow('feed diverges');
  });

  it('goes on with one that was taken out, where it goes on from there; one that begins anew is not opened twice', () => {
    const anew = lineOf(epoch('ep_9', 'run_9'), [101, 1]);
    for (const [line, isOpened] of [
      [lost, true],
      [anew, false],
    ] as const) {
      const cursor = cursorAfter(opened, second, third, line);
      cursor.goBackTo(cursor.at(cursor.ends[0] as Place, own(opened, second, third)), own(line));
      // No snapshot of it is taken all the same.
      expect(cursor.knows((line.sealed.entry as EpochEntry).epochId)).toBe(true);
      const goOn = (): boolean => cursor.advance(line, true);
      if (isOpened) expect(goOn()).toBe(true);
      else expect(goOn).toThrow('feed diverges');
    }
  });

  it('keeps tails that lie before; what came after is one, with its lines, but for what nobody has signed', () => {
    const after = lineOf(revocation('rev_4'), [101, 2], other.chain);
    const forged = lineOf(revocation('rev_5'), [101, 3], after.chain);
    const base = { epochId: 'ep_3', head: '101-1', chain: other.chain, checkpoint: '' };
    const shorter = epoch('ep_4', 'run_4');
    const last = lineOf({ ...shorter, entry: { ...shorter.entry, base } as EpochEntry }, [102, 1]);
    const cursor = cursorAfter(opened, second, third, other, after);
    cursor.advance(forged, false);
    cursor.advance(last, true);
    const tailOfSecond = { after: other.position, upTo: forged.position, missing: ['rev_4'] };
    expect(missed(cursor)).toEqual([tailOfFirst, tailOfSecond]);
    const [first, newest] = cursor.ends as [Place, Place];
    cursor.goBackTo(cursor.at(newest, own(other, after)), own(last));
    expect(missed(cursor)).toEqual([tailOfFirst, tailOfSecond]);
    const beside = [...own(other, after), { line: forged, isGenuine: false }];
    cursor.goBackTo(cursor.at(first, own(opened, second, third)), beside);
    const taken = { after: third.position, upTo: forged.position, missing: ['rev_4'] };
    expect(missed(cursor)).toEqual([tailOfFirst, taken]);
    expect(cursor.tails[1]?.beside).toEqual([other, after, forged]);
  });

  it('has given nothing up any more where it stands before the epoch that did', () => {
    const anew = lineOf(epoch('ep_9', 'run_9'), [101, 1]);
    const next = lineOf(epoch('ep_10', 'run_10'), [102, 1]);
    const giveUp = (): string[] => ['rev_1', 'rev_2'];
    const begun = (): Cursor => {
      const cursor = cursorAfter(opened, second, third);
      cursor.advance(anew, true, giveUp);
      cursor.advance(next, true, () => ['rev_1', 'rev_2', 'rev_3']);
      return cursor;
    };
    expect(begun().tails).toMatchObject([{ after: ORIGIN, upTo: anew.position, isGivenUp: true }]);
    for (const [index, before] of [
      [0, own(opened, second, third)],
      [1, own(anew)],
    ] as const) {
      const cursor = begun();
      cursor.goBackTo(cursor.at(cursor.ends[index] as Place, before), own(next));
      expect([cursor.tails, cursor.isGivenUp('rev_1')]).toEqual([[], false]);
    }
    const cursor = cursorAfter(opened, second, third);
    cursor.advance(anew, true, giveUp);
    const base = { epochId: 'ep_9', head: '101-1', chain: anew.chain, checkpoint: '' };
    const later = epoch('ep_11', 'run_11');
    const line = lineOf({ ...later, entry: { ...later.entry, base } as EpochEntry }, [102, 1]);
    cursor.advance(line, true);
    cursor.goBackTo(cursor.at(cursor.ends[1] as Place, own(anew)), own(line));
    expect([cursor.epochId, cursor.isGivenUp('rev_1')]).toEqual(['ep_9', true]);
  });

  it('a second time keeps what was taken out at the first', () => {
    const cursor = cursorAfter(opened, second, third, lost);
    const only = lineOf(revocation('rev_4'), [101, 2], lost.chain);
    const anew = lineOf(based(epoch('ep_4', 'run_4'), third), [101, 1]);
    cursor.advance(only, true);
    const goBack = (...beside: readonly FeedLine[]): void =>
      cursor.goBackTo(cursor.at(cursor.ends[0] as Place, own(opened, second, third)), own(...beside));
    goBack(lost, only);
    const taken = [{ after: third.position, upTo: only.position, missing: ['rev_4'] }];
    expect(missed(cursor)).toEqual(taken);
    cursor.advance(anew, true);
    goBack(anew);
    expect(missed(cursor)).toEqual(taken);
  });
});
