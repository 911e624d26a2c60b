import { beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/kernel/limits.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import type { DeadHandle } from '../../src/revocation/cutoff.ts';
import { SessionRegistry } from '../../src/session/registry.ts';
import type { Session, SessionRecord, SessionRef } from '../../src/session/session.ts';
import { FakeClock } from '../support/fake-time.ts';
import { dead, Holder, killNow, MemorySessions, printsOf, recordOf, REVOKED } from './sessions.ts';

let store: MemorySessions;
let sessions: SessionRegistry;
let clock: FakeClock;

beforeEach(() => {
  store = new MemorySessions();
  sessions = new SessionRegistry(store, 3_000);
  clock = new FakeClock();
});

/** A session as the flow opens one: registered, on disk, its holder listening. */
function open(
  id: string,
  over: Partial<SessionRecord> = {},
  leaseMs = 1000,
): { ref: SessionRef; holder: Holder } {
  const record = recordOf(id, over);
  sessions.register(record, clock.now().monoMs + leaseMs);
  sessions.keep(record);
  const holder = new Holder();
  sessions.attach(record.ref, holder);
  return { ref: record.ref, holder };
}

function revoke(jti: string, claim = 'rev_1', cutoffS?: number): number {
  const event = { ...REVOKED, revocation: claim };
  return killNow(sessions, claim, [dead(jti, cutoffS)], { event, at: clock.now() });
}

function matched(handles: readonly DeadHandle[]): readonly Session[] {
  return [...runAtOnce(sessions.matching(handles))];
}

function counts(claim = 'rev_1'): object {
  const { matched, killed, pending, unconfirmed } = sessions.tally(claim, clock.now());
  return { matched, killed, pending, unconfirmed };
}

describe('registering', () => {
  it('lets a kill find the session before it is on disk and before anyone listens', () => {
    const record = recordOf('s1');
    sessions.register(record, 0);
    expect(store.open.size).toBe(0);
    expect(revoke('jti-s1')).toBe(1);
    expect(sessions.lookup(record.ref)?.kill).toMatchObject({ reason: 'revoked', revocation: 'rev_1' });
  });

  it('refuses one more than the limit, and takes one again when another has ended', () => {
    for (let i = 0; i < LIMITS.sessionsMax; i++) {
      sessions.register(recordOf(String(i), { handles: SHARED }), 0);
    }
    const late = recordOf('late');
    expect(() => sessions.register(late, 0)).toThrow(
      expect.objectContaining({ code: 'OVERLOADED' }) as Error,
    );
    expect(sessions.lookup(late.ref)).toBeUndefined();
    expect(matched([dead('jti-late')])).toEqual([]);
    expect(sessions.end(recordOf('0').ref)).toBe(true);
    sessions.register(late, 0);
    expect(sessions.size).toBe(LIMITS.sessionsMax);
  });

  it('is taken back when the session cannot be put on disk, and the failure is passed on', () => {
    const record = recordOf('s1');
    sessions.register(record, 0);
    store.isFull = true;
    expect(() => sessions.keep(record)).toThrow('disk full');
    expect(sessions.size).toBe(0);
    expect(revoke('jti-s1')).toBe(0);
    expect(sessions.claims()).toEqual([]);
  });

  it('lists no more sessions than were asked for, oldest first', () => {
    const refs = ['a', 'b', 'c'].map((id) => open(id).ref);
    expect(sessions.list(2).map(({ ref }) => ref)).toEqual(refs.slice(0, 2));
    expect(sessions.list(10)).toHaveLength(3);
  });
});

const SHARED = printsOf('shared');

describe('what a dead handle reaches', () => {
  it('is every session that stands on it, and no other', () => {
    const first = open('s1', { handles: printsOf('x', 'y') });
    const second = open('s2', { handles: printsOf('y') });
    open('s3', { handles: printsOf('z') });
    expect(matched([dead('y')]).map(({ ref }) => ref)).toEqual([first.ref, second.ref]);
    expect(matched([dead('nobody')])).toEqual([]);
  });

  it('is a session once, whichever of its handles are dead', () => {
    open('s1', { handles: printsOf('x', 'y') });
    expect(matched([dead('x'), dead('y'), dead('x')])).toHaveLength(1);
  });

  it.each([
    ['before the cutoff', 99, 1],
    ['in the second of the cutoff', 100, 1],
    ['after the cutoff', 101, 0],
    ['nobody knows when', undefined, 1],
  ])('under a cutoff: issued %s', (_, issuedAtS, reached) => {
    open('s1', { issuedAtS });
    expect(matched([dead('jti-s1', 100)])).toHaveLength(reached);
  });

  it('without a cutoff is dead whenever it was issued', () => {
    open('s1', { issuedAtS: 4_000_000_000 });
    expect(matched([dead('jti-s1')])).toHaveLength(1);
  });

  it('is looked at by a dry run without telling anyone', () => {
    const { ref, holder } = open('s1');
    matched([dead('jti-s1')]);
    expect(holder.heard).toEqual([]);
    expect(sessions.lookup(ref)?.kill).toBeUndefined();
    expect(sessions.claims()).toEqual([]);
  });

  it('is no session that has ended, also where two of its handles have one fingerprint', () => {
    const { handles, prints } = printsOf('x', 'y');
    prints.copyWithin(2, 0, 2);
    const { ref } = open('s1', { handles: { handles, prints, cutoffFrom: 2 } });
    expect(matched([dead('x')])).toHaveLength(1);
    sessions.end(ref);
    expect(matched([dead('x')])).toEqual([]);
  });
});

describe('a kill', () => {
  it('is told once, with its reason, and is not taken for a death', () => {
    const { ref, holder } = open('s1');
    revoke('jti-s1');
    revoke('jti-s1');
    expect(holder.heard).toEqual([REVOKED]);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
    expect(sessions.lookup(ref)?.kill?.at).toEqual(clock.now());
  });

  it('that matches nothing leaves no tally', () => {
    open('s1');
    expect(revoke('other')).toBe(0);
    expect(sessions.claims()).toEqual([]);
    expect(counts()).toEqual({ matched: 0, killed: 0, pending: 0, unconfirmed: 0 });
  });

  it('is confirmed by its holder, and by nothing that happens before', () => {
    const { ref } = open('s1');
    revoke('jti-s1');
    clock.advance(LIMITS.killConfirmMs - 1);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
    expect(sessions.end(ref)).toBe(true);
    expect(counts()).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
    expect(store.open.size).toBe(0);
  });

  it('is confirmed once, however often the holder says so', () => {
    const { ref } = open('s1');
    revoke('jti-s1');
    expect([sessions.end(ref), sessions.end(ref)]).toEqual([true, false]);
    expect(counts()).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
    expect(store.endings).toEqual([ref]);
  });

  it('is unconfirmed, by name, when the holder is silent for 2 s', () => {
    const { ref } = open('s1', { kind: 'websocket' });
    revoke('jti-s1');
    clock.advance(LIMITS.killConfirmMs);
    expect(LIMITS.killConfirmMs).toBe(2000);
    expect(sessions.tally('rev_1', clock.now())).toEqual({
      matched: 1,
      killed: 0,
      pending: 0,
      selfEnding: 0,
      unconfirmed: 1,
      silent: [{ ref, kind: 'websocket' }],
    });
  });

  it('is not made older or younger by a wall clock that somebody sets', () => {
    open('s1', { expiresAtS: undefined });
    revoke('jti-s1');
    clock.setForward(10 * LIMITS.silentSessionKeptMs);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
  });

  it('that was unconfirmed becomes a death when the holder answers late', () => {
    const { ref } = open('s1');
    revoke('jti-s1');
    clock.advance(60_000);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    sessions.end(ref);
    expect(counts()).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
  });

  it('is counted under each revocation that reaches the session, and told for the first only', () => {
    const { ref, holder } = open('s1', { handles: printsOf('x', 'y') });
    revoke('x', 'rev_1');
    clock.advance(500);
    revoke('y', 'rev_2');
    expect(holder.heard.map(({ revocation }) => revocation)).toEqual(['rev_1']);
    expect(sessions.claims()).toEqual(['rev_1', 'rev_2']);
    sessions.end(ref);
    expect(counts('rev_1')).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
    expect(counts('rev_2')).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
  });

  it('adds under the same revocation what it reaches later, and counts nothing twice', () => {
    open('s1', { handles: SHARED });
    revoke('shared');
    open('s2', { handles: SHARED });
    revoke('shared');
    expect(counts()).toEqual({ matched: 2, killed: 0, pending: 2, unconfirmed: 0 });
  });

  it('does not count what had ended before it', () => {
    const { ref } = open('s1', { handles: SHARED });
    open('s2', { handles: SHARED });
    sessions.end(ref);
    revoke('shared');
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
  });

  it('counts deaths right when one holder closes everything it has at the first word', () => {
    const refs = ['a', 'b', 'c'].map((id) => {
      const record = recordOf(id, { handles: SHARED });
      sessions.register(record, 0);
      return record.ref;
    });
    const [first] = refs as [SessionRef];
    sessions.attach(first, new Holder(() => refs.forEach((ref) => sessions.end(ref))));
    revoke('shared');
    expect(counts()).toEqual({ matched: 3, killed: 3, pending: 0, unconfirmed: 0 });
  });

  it('counts a death once when a holder closes what it promised to end, and its lease ends later', () => {
    const refs = ['a', 'b', 'c'].map((id) => {
      const record = recordOf(id, { handles: SHARED, selfEnds: true });
      sessions.register(record, clock.now().monoMs + 1000);
      return record.ref;
    });
    const [first] = refs as [SessionRef];
    const closing = new Holder(() => {
      for (const ref of refs) sessions.end(ref);
    });
    sessions.attach(first, closing);
    revoke('shared');
    clock.advance(60_000);
    expect(counts()).toEqual({ matched: 3, killed: 3, pending: 0, unconfirmed: 0 });
    expect(store.endings).toHaveLength(3);
  });

  it('is told to everyone who listens to the session', () => {
    const { ref, holder } = open('s1');
    const second = new Holder();
    sessions.attach(ref, second);
    revoke('jti-s1');
    expect([holder.heard, second.heard]).toEqual([[REVOKED], [REVOKED]]);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
  });

  it('has one tally at one instant, also of what was told after the first look at it', () => {
    open('s1', { handles: SHARED, selfEnds: true }, 0);
    open('s2', { selfEnds: true }, 0);
    const now = clock.now();
    killNow(sessions, 'rev_1', [dead('shared')], { at: now });
    expect(sessions.tally('rev_1', now)).toMatchObject({ matched: 1, killed: 1 });
    expect(sessions.tally('rev_1', now)).toMatchObject({ matched: 1, killed: 1 });
    killNow(sessions, 'rev_2', [dead('jti-s2')], { at: now });
    expect(sessions.tally('rev_2', now)).toMatchObject({ matched: 1, killed: 1 });
    expect(sessions.tally('rev_2', now)).toMatchObject({ matched: 1, killed: 1 });
  });

  it('names a hundred of the silent and counts them all', () => {
    for (let i = 0; i < 120; i++) open(`s${i}`, { handles: SHARED });
    revoke('shared');
    clock.advance(LIMITS.killConfirmMs);
    const tally = sessions.tally('rev_1', clock.now());
    expect(tally.unconfirmed).toBe(120);
    expect(tally.silent).toHaveLength(100);
  });

  it('of thousands is settled in pieces: what was not looked at yet is pending, and claims no proof', () => {
    const [silent, over] = [1_000, 1_000];
    for (let i = 0; i < silent; i++) open(`s${i}`, { handles: SHARED });
    for (let i = 0; i < over; i++) open(`e${i}`, { handles: SHARED, selfEnds: true });
    revoke('shared');
    clock.advance(LIMITS.killConfirmMs);
    const { killed, pending, unconfirmed } = sessions.tally('rev_1', clock.now());
    expect(killed + pending + unconfirmed).toBe(silent + over);
    expect(pending).toBeGreaterThan(1_000);
    expect(sessions.untilNextMs(clock.now())).toBe(0);
    while (sessions.settleNext(clock.now()));
    expect(counts()).toEqual({ matched: silent + over, killed: over, pending: 0, unconfirmed: silent });
    expect(sessions.untilNextMs(clock.now())).toBe(Infinity);
  });

  it('of thousands is settled no faster because there are many tallies at one instant', () => {
    const claims = Array.from({ length: 20 }, (_, i) => `rev_${i}`);
    for (let i = 0; i < 2_000; i++) open(`e${i}`, { handles: SHARED, selfEnds: true });
    for (const claim of claims) revoke('shared', claim);
    clock.advance(LIMITS.killConfirmMs);
    const now = clock.now();
    const [first, ...others] = claims.map((claim) => sessions.tally(claim, now));
    expect(first).toMatchObject({ matched: 2_000, unconfirmed: 0 });
    expect(first?.pending).toBeGreaterThan(1_000);
    for (const other of others) expect(other).toEqual(first);
  });

  it('says that something changed when it is told and when it is confirmed', () => {
    let changes = 0;
    sessions.onChange(() => (changes += 1));
    const { ref } = open('s1');
    revoke('jti-s1');
    expect(changes).toBe(1);
    sessions.end(ref);
    expect(changes).toBe(2);
  });

  it('whose tally was forgotten counts a session that is still there when it comes again', () => {
    const { ref } = open('s1');
    revoke('jti-s1');
    sessions.forgetClaim('rev_1');
    expect(counts()).toEqual({ matched: 0, killed: 0, pending: 0, unconfirmed: 0 });
    revoke('jti-s1');
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
    sessions.end(ref);
    expect(counts()).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
  });

  it('of a session that was silent before is unconfirmed at once, and becomes a death with it', () => {
    const { ref } = open('s1', { handles: SHARED });
    revoke('shared', 'rev_1');
    clock.advance(LIMITS.killConfirmMs);
    expect(counts('rev_1')).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    revoke('shared', 'rev_2');
    expect(counts('rev_2')).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    sessions.end(ref);
    for (const claim of ['rev_1', 'rev_2'])
      expect(counts(claim)).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
  });

  it('that nobody knows may be forgotten, and one that is forgotten is not counted by a late death', () => {
    const { ref } = open('s1');
    sessions.forgetClaim('rev_none');
    revoke('jti-s1');
    sessions.forgetClaim('rev_1');
    sessions.end(ref);
    expect(sessions.claims()).toEqual([]);
  });

  it('is let go of once each of its sessions is proven dead, and stays where one never will be', () => {
    const { ref } = open('s1');
    const { expiresAtS = 0 } = recordOf('s2');
    open('s2');
    revoke('jti-s1', 'lck_1');
    revoke('jti-s2', 'lck_2');
    expect([sessions.releaseClaim('lck_1'), sessions.releaseClaim('lck_2')]).toEqual([false, false]);
    expect(counts('lck_1')).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
    sessions.end(ref);
    clock.advance(expiresAtS * 1000 - clock.now().wallMs + LIMITS.silentSessionKeptMs + 1_001);
    expect(counts('lck_2')).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    expect(sessions.size).toBe(0);
    expect([sessions.releaseClaim('lck_1'), sessions.releaseClaim('lck_2')]).toEqual([true, false]);
    expect(sessions.releaseClaim('lck_none')).toBe(true);
    expect(sessions.claims()).toEqual(['lck_2']);
  });
});

describe('a holder that promised to end by itself', () => {
  it('counts as dead only when its own lease is over', () => {
    const { ref } = open('s1', { selfEnds: true }, 5000);
    revoke('jti-s1');
    clock.advance(4999);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
    clock.advance(1);
    expect(counts()).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
    expect(sessions.lookup(ref)).toBeUndefined();
    expect(store.open.size).toBe(0);
  });

  it('is waited for as long as its last ping allows', () => {
    const { ref } = open('s1', { selfEnds: true }, 1000);
    clock.advance(900);
    sessions.extend(ref, clock.now().monoMs, 1000);
    revoke('jti-s1');
    clock.advance(999);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
    clock.advance(1);
    expect(counts()).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
  });

  it('is waited for by a ping that was answered while it was being killed', () => {
    const { ref } = open('s1', { selfEnds: true }, 1000);
    revoke('jti-s1');
    sessions.extend(ref, clock.now().monoMs, 1500);
    clock.advance(1499);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
    clock.advance(1);
    expect(counts()).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
  });

  it('is not believed dead earlier because a later ping was answered with less', () => {
    const { ref } = open('s1', { selfEnds: true }, 5000);
    sessions.extend(ref, clock.now().monoMs, 10);
    revoke('jti-s1');
    clock.advance(4999);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
  });

  it('goes on when its lease is over and nobody has killed it: it may ping again', () => {
    const { ref } = open('s1', { selfEnds: true }, 1000);
    clock.advance(60_000);
    sessions.sweep(clock.now());
    expect(sessions.lookup(ref)).toBeDefined();
  });

  it('is no reason to believe one that made no such promise', () => {
    open('s1', { selfEnds: false }, 1000);
    revoke('jti-s1');
    clock.advance(60_000);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
  });

  it('that has ended is not brought back by a ping', () => {
    const { ref } = open('s1');
    sessions.end(ref);
    sessions.extend(ref, clock.now().monoMs, 1000);
    expect(sessions.size).toBe(0);
  });
});

describe('a silent session', () => {
  const expiresAtS = 1_800_000_100;

  it('is dropped long after its credential ended, and stays counted as unconfirmed', () => {
    const { ref } = open('s1', { expiresAtS, handles: printsOf('x', 'y') });
    revoke('x', 'rev_1');
    revoke('y', 'rev_2');
    clock.advance(100_000 + LIMITS.silentSessionKeptMs);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    expect(sessions.lookup(ref)).toBeDefined();
    // By both clocks: that a wall clock says so is not enough.
    clock.setForward(1_000);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    expect(sessions.lookup(ref)).toBeDefined();
    clock.advance(1_001);
    expect(sessions.tally('rev_1', clock.now())).toEqual({
      matched: 1,
      killed: 0,
      pending: 0,
      selfEnding: 0,
      unconfirmed: 1,
      silent: [],
    });
    expect(counts('rev_2')).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    expect(sessions.lookup(ref)).toBeUndefined();
    expect(store.open.size).toBe(0);
    expect(sessions.end(ref)).toBe(false);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
  });

  it('that is dropped hinders a goodbye where an order is owed its end, and nowhere else (D-148)', () => {
    const { ref } = open('s1', { expiresAtS: clock.now().wallMs / 1000 });
    sessions.killOne(sessions.lookup(ref) as Session, { reason: 'expired', position: '1-1' }, clock.now());
    expect(sessions.hasUnproven).toBe(true);
    clock.advance(LIMITS.killConfirmMs + LIMITS.silentSessionKeptMs + 1_001);
    sessions.sweep(clock.now());
    expect([sessions.size, sessions.hasUnproven]).toEqual([0, false]);
    open('s2', { expiresAtS: clock.now().wallMs / 1000, openedAtMs: clock.now().wallMs });
    revoke('jti-s2');
    clock.advance(LIMITS.killConfirmMs + LIMITS.silentSessionKeptMs + 1_001);
    sessions.sweep(clock.now());
    expect([sessions.size, sessions.hasUnproven]).toEqual([0, true]);
    sessions.forgetLost(() => false);
    expect(sessions.hasUnproven).toBe(false);
  });

  it('whose credential never ends is never dropped', () => {
    const { ref } = open('s1', { expiresAtS: undefined });
    revoke('jti-s1');
    clock.advance(100 * LIMITS.silentSessionKeptMs);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    expect(sessions.lookup(ref)).toBeDefined();
  });

  it('is not dropped while there is time to answer, however old its credential is', () => {
    const { ref } = open('s1', { expiresAtS: 1 });
    revoke('jti-s1');
    sessions.sweep(clock.now());
    expect(sessions.lookup(ref)).toBeDefined();
    clock.advance(LIMITS.killConfirmMs);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    expect(sessions.lookup(ref)).toBeUndefined();
  });
});

describe('a kill under no revocation', () => {
  const expired = { reason: 'expired', position: '1-2' } as const;

  it('tells those that are doomed, once, and counts under nothing', () => {
    const first = open('s1');
    const second = open('s2');
    const isFirst = ({ ref }: { ref: SessionRef }) => ref === first.ref;
    expect(sessions.killWhere(isFirst, expired, clock.now())).toBe(1);
    expect(sessions.killWhere(isFirst, expired, clock.now())).toBe(0);
    expect([first.holder.heard, second.holder.heard]).toEqual([[expired], []]);
    expect(sessions.claims()).toEqual([]);
  });

  it('does not hide the session from a revocation that comes after it', () => {
    const { ref, holder } = open('s1');
    sessions.killWhere(() => true, expired, clock.now());
    clock.advance(LIMITS.killConfirmMs);
    revoke('jti-s1');
    expect(holder.heard).toEqual([expired]);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    sessions.end(ref);
    expect(counts()).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
  });
});

describe('a holder that listens', () => {
  it('hears at once of a kill that came before it', () => {
    const record = recordOf('s1');
    sessions.register(record, 0);
    revoke('jti-s1');
    const holder = new Holder();
    sessions.attach(record.ref, holder);
    expect(holder.heard).toMatchObject([REVOKED]);
  });

  it('hears nothing when there is nothing to hear', () => {
    expect(open('s1').holder.heard).toEqual([]);
  });

  it('hears nothing more once its stream is gone: the kill is not confirmed by that', () => {
    const { ref, holder } = open('s1');
    sessions.detach(ref, holder);
    revoke('jti-s1');
    expect(holder.heard).toEqual([]);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
  });

  it('keeps its newer stream when the older one closes late', () => {
    const { ref, holder: older } = open('s1');
    const newer = new Holder();
    sessions.attach(ref, newer);
    sessions.detach(ref, older);
    revoke('jti-s1');
    expect([older.heard, newer.heard]).toEqual([[], [REVOKED]]);
  });

  it('on a session that is not there is neither heard nor kept', () => {
    const holder = new Holder();
    const { ref } = recordOf('gone');
    sessions.attach(ref, holder);
    sessions.detach(ref, holder);
    expect(holder.heard).toEqual([]);
    expect(sessions.size).toBe(0);
  });
});

describe('a session of the run before', () => {
  it('can be killed, and its holder is believed only when its lease of then is over', () => {
    const record = recordOf('s1', { selfEnds: true });
    sessions.restore(record, clock.now().monoMs + 3000, clock.now());
    expect(revoke('jti-s1')).toBe(1);
    clock.advance(2999);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
    clock.advance(1);
    expect(counts()).toEqual({ matched: 1, killed: 1, pending: 0, unconfirmed: 0 });
  });

  it('whose holder may go on for longer than a lease of now counts as ending by itself once it may not', () => {
    const until = clock.now().monoMs + 60_000;
    for (const id of ['s1', 's2', 's3'])
      sessions.restore(recordOf(id, { handles: SHARED, selfEnds: id !== 's3' }), until, clock.now());
    open('s4', { handles: SHARED, selfEnds: true }, 3_000);
    revoke('shared');
    const told = (): object => {
      const { killed, pending, selfEnding } = sessions.tally('rev_1', clock.now());
      return { killed, pending, selfEnding };
    };
    expect(told()).toEqual({ killed: 0, pending: 4, selfEnding: 1 });
    sessions.end(recordOf('s1').ref);
    expect(told()).toEqual({ killed: 1, pending: 3, selfEnding: 1 });
    clock.advance(56_999);
    expect(told()).toEqual({ killed: 2, pending: 1, selfEnding: 0 });
    clock.advance(1);
    expect(told()).toEqual({ killed: 2, pending: 1, selfEnding: 1 });
    clock.advance(3_000);
    expect(told()).toEqual({ killed: 3, pending: 0, selfEnding: 0 });
  });

  it('that was told to end is to end still: its holder hears it again, and is waited for', () => {
    const told = { reason: 'policy_denied', position: '1-1' } as const;
    const record = recordOf('s1', { told });
    sessions.restore(record, 0, clock.now());
    expect(sessions.endingCount).toBe(1);
    const session = sessions.lookup(record.ref) as Session;
    expect(sessions.killOne(session, REVOKED, clock.now())).toBe(false);
    const holder = new Holder();
    sessions.attach(record.ref, holder);
    expect(holder.heard).toMatchObject([told]);
    expect(revoke('jti-s1')).toBe(1);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 1, unconfirmed: 0 });
    clock.advance(LIMITS.killConfirmMs);
    expect(counts()).toEqual({ matched: 1, killed: 0, pending: 0, unconfirmed: 1 });
    sessions.end(record.ref);
    expect(sessions.endingCount).toBe(0);
  });

  it('that was let go without proof is answered for until its revocation has ended', () => {
    sessions.restoreCounts('rev_old', { lost: 2, killed: 0 });
    sessions.restoreCounts('rev_new', { lost: 1, killed: 2 });
    expect(counts('rev_new')).toEqual({ matched: 3, killed: 2, pending: 0, unconfirmed: 1 });
    sessions.restore(recordOf('s1'), 0, clock.now());
    revoke('jti-s1', 'rev_open');
    store.lost(recordOf('x').ref, ['rev_old']);
    sessions.forgetLost((claim) => claim === 'rev_new');
    expect(sessions.claims()).toEqual(['rev_new', 'rev_open']);
    expect(store.losses).toEqual([]);
    expect(sessions.isUnproven('rev_old')).toBe(false);
    expect([sessions.isUnproven('rev_new'), sessions.isUnproven('rev_open')]).toEqual([true, true]);
  });

  it('was told to end on disk too, unless the ledger tells it again', () => {
    const { ref } = open('s1');
    open('s2');
    sessions.killOne(sessions.lookup(ref) as Session, { reason: 'expired', position: '1-1' }, clock.now());
    revoke('jti-s2');
    expect([...store.open.values()].map(({ told }) => told?.reason)).toEqual(['expired', undefined]);
  });

  it('is taken over also when there are more of them than may be opened now', () => {
    for (let i = 0; i <= LIMITS.sessionsMax; i++) {
      sessions.restore(recordOf(String(i), { handles: SHARED }), 0, clock.now());
    }
    expect(sessions.size).toBe(LIMITS.sessionsMax + 1);
    expect(() => sessions.register(recordOf('late'), 0)).toThrow('too many live sessions');
  });

  it('hears of the kill when its holder comes back', () => {
    const record = recordOf('s1');
    sessions.restore(record, 0, clock.now());
    revoke('jti-s1');
    const holder = new Holder();
    sessions.attach(record.ref, holder);
    expect(holder.heard).toMatchObject([REVOKED]);
  });
});

describe('the counts of kills', () => {
  const counted = (reason: string): object | undefined =>
    sessions.kills.list().find((one) => one.reason === reason);

  it('tell who was told from who is proven to have ended', () => {
    open('s1');
    const { ref } = open('s2', { handles: printsOf('jti-s1') });
    expect(revoke('jti-s1')).toBe(2);
    expect(counted('revoked')).toEqual({ reason: 'revoked', told: 2, killed: 0 });
    expect(sessions.endingCount).toBe(2);
    sessions.end(ref);
    expect(counted('revoked')).toEqual({ reason: 'revoked', told: 2, killed: 1 });
    expect(sessions.endingCount).toBe(1);
  });

  it('leave out a session that its holder ended by itself', () => {
    const { ref } = open('s1');
    sessions.end(ref);
    expect(sessions.kills.list().every(({ told, killed }) => told === 0 && killed === 0)).toBe(true);
  });

  it('count a second kill under the same reason too', () => {
    for (const id of ['s1', 's2']) {
      const { ref } = open(id);
      revoke(`jti-${id}`, `rev_${id}`);
      sessions.end(ref);
    }
    expect(counted('revoked')).toEqual({ reason: 'revoked', told: 2, killed: 2 });
  });
});

describe('a fresher credential', () => {
  const fresh = { handles: printsOf('fresh'), issuedAtS: 200, expiresAtS: 2_000_000_100, actor: 'agent' };

  function offered(id: string) {
    const { ref, holder } = open(id);
    const session = sessions.lookup(ref) ?? expect.unreachable();
    return { ref, holder, session, offer: sessions.offer(session, fresh) };
  }

  it('that is being decided on is reached by a revocation, and so is the one before', () => {
    offered('s1');
    expect(revoke('fresh', 'rev_1')).toBe(1);
    const other = offered('s2');
    expect(revoke('jti-s2', 'rev_2')).toBe(1);
    expect(other.holder.heard).toHaveLength(1);
    // Each by its own time of issue.
    offered('s3');
    expect(matched([dead('jti-s3', 150)])).toHaveLength(1);
    expect(matched([dead('fresh', 150)])).toHaveLength(0);
    expect(matched([dead('fresh', 200)])).toHaveLength(3);
  });

  it('that is taken is the only one from then on; on disk before', () => {
    const { ref, session, offer } = offered('s1');
    offer.settle(fresh);
    expect(matched([dead('jti-s1')])).toEqual([]);
    expect(matched([dead('fresh')])).toHaveLength(1);
    expect(session).toMatchObject(fresh);
    expect(store.open.get(ref)).toEqual({ ...recordOf('s1'), ...fresh });
    expect([...sessions.ofSubject('agent')]).toHaveLength(1);
    sessions.end(ref);
    expect(matched([dead('fresh')])).toEqual([]);
    expect([...sessions.ofSubject('agent')]).toEqual([]);
  });

  it('that is not taken leaves everything as it was, and so does a disk that is full', () => {
    const { session, offer } = offered('s1');
    offer.settle(undefined);
    store.isFull = true;
    const again = sessions.offer(session, fresh);
    expect(() => again.settle(fresh)).toThrow('disk full');
    expect(matched([dead('fresh')])).toEqual([]);
    expect(matched([dead('jti-s1')])).toHaveLength(1);
    expect(session.expiresAtS).toBe(2_000_000_000);
  });

  it('brings nothing back that has ended', () => {
    const { ref, offer } = offered('s1');
    sessions.end(ref);
    offer.settle(fresh);
    expect(sessions.size).toBe(0);
    expect(matched([dead('fresh')])).toEqual([]);
    expect(store.open.size).toBe(0);
  });
});

describe('what sessions were decided on', () => {
  it('is kept up to a limit of all together', () => {
    const grounds = { request: 'x'.repeat(LIMITS.sessionGroundsCharsMax - 10), credential: '' };
    const { ref } = open('large', { grounds });
    open('small', { grounds: { request: '12345', credential: '12345' } });
    const late = recordOf('late', { grounds: { request: '1', credential: '' } });
    expect(() => sessions.register(late, 0)).toThrow(
      expect.objectContaining({ code: 'OVERLOADED' }) as Error,
    );
    sessions.end(ref);
    expect(() => sessions.register(late, 0)).not.toThrow();
  });
});

describe('a kill by name', () => {
  it('tells once, is counted by its reason, and is unconfirmed when its time is over', () => {
    const { ref, holder } = open('s1');
    const session = sessions.lookup(ref) ?? expect.unreachable();
    const denied = { reason: 'policy_denied', position: '1-1' } as const;
    expect(sessions.isUnconfirmed(session, clock.now())).toBe(false);
    expect(sessions.killOne(session, denied, clock.now())).toBe(true);
    expect(sessions.killOne(session, denied, clock.now())).toBe(false);
    expect(holder.heard).toEqual([denied]);
    const counted = sessions.kills.list().filter(({ told }) => told > 0);
    expect(counted).toEqual([{ reason: 'policy_denied', told: 1, killed: 0 }]);
    expect(sessions.isUnconfirmed(session, clock.now())).toBe(false);
    clock.advance(LIMITS.killConfirmMs);
    expect(sessions.isUnconfirmed(session, clock.now())).toBe(true);
  });
});

it('a session whose holder is gone is let go some time after its credential has ended, also with a restart each day', () => {
  const { wallMs } = clock.now();
  const record = recordOf('s1', {
    ...{ openedAtMs: wallMs, expiresAtS: wallMs / 1000 + 24 * 3600, selfEnds: false },
    told: { ...REVOKED, revocation: 'rev_1' },
  });
  let size = 1;
  for (let day = 0; day < 30 && size > 0; day++) {
    const run = new SessionRegistry(new MemorySessions(), 3_000);
    run.restore(record, clock.now().monoMs + 3_000, clock.now());
    for (let hour = 0; hour < 24; hour++) {
      clock.advance(3_600_000);
      run.sweep(clock.now());
    }
    size = run.size;
  }
  expect(size).toBe(0);
});
