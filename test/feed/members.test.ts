import { describe, expect, it } from 'vitest';
import type { EpochEntry, ReplicaEntry, SealedEntry } from '../../src/feed/entry.ts';
import { CHAIN_START, sealEntry } from '../../src/feed/entry.ts';
import type { Member } from '../../src/feed/members.ts';
import { Members } from '../../src/feed/members.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';
import { LOG_KEY, epoch, replica, REPLICA_KEY, revocation } from '../support/feed-entries.ts';

const OTHER_KEY = signingKeyOf(new Uint8Array(32).fill(3));

function membersOf(...entries: SealedEntry[]): Members {
  const members = new Members();
  entries.forEach((sealed, index) => {
    members.apply({ sealed, chain: CHAIN_START, position: { epoch: 1, sequence: index + 1 } });
  });
  return members;
}

/** A `joined` entry with a key of its own. */
function joinedWith(key: string, incarnation: string): SealedEntry {
  const { sig: _, ...facts } = replica('joined', incarnation).entry as ReplicaEntry;
  return sealEntry({ ...facts, key }, LOG_KEY);
}

function statesOf(members: Members): string[] {
  return members.list().map(({ incarnation, state }) => `${incarnation} ${state}`);
}

describe('whom all know', () => {
  const by = revocation('rev_1');
  const mayHaveSigned = (members: Members): boolean => members.haveSigned(by, LOG_KEY.public);
  const joined = joinedWith(REPLICA_KEY.public.x, 'inc_a');
  const lineAt = (sealed: SealedEntry, number: number, sequence: number) =>
    ({ sealed, chain: CHAIN_START, position: { epoch: number, sequence } }) as const;
  const goingOnFrom = (head: string | undefined): SealedEntry => {
    const { sig: _sig, ...facts } = epoch('ep_2', 'run_2').entry as EpochEntry;
    const base = { epochId: 'ep_1', head: head ?? '', chain: CHAIN_START, checkpoint: '' };
    return sealEntry({ ...facts, ...(head === undefined ? {} : { base }) }, LOG_KEY);
  };

  it.each([
    ['up to the line from which the next epoch goes on', '1-3', true],
    ['not in what it does not continue', '1-2', false],
    ['not before one that begins anew', undefined, false],
  ])('is who has joined %s', (_name, head, isKnown) => {
    const members = membersOf(replica('joined', 'inc_x'), replica('joined', 'inc_y'), joined);
    expect(mayHaveSigned(members)).toBe(true);
    members.apply(lineAt(goingOnFrom(head), 2, 1));
    expect([mayHaveSigned(members), members.isShared('inc_a')]).toEqual([isKnown, isKnown]);
    expect(members.folded().some(({ incarnation }) => incarnation === 'inc_a')).toBe(isKnown);
    // Its key is known all the same: its acknowledgements can be read.
    expect(members.keyOf('inc_a')).toBeDefined();
  });

  it('is who joins again after that, though it is the same line', () => {
    const members = membersOf(replica('joined', 'inc_x'), replica('joined', 'inc_y'), joined);
    members.apply(lineAt(goingOnFrom('1-2'), 2, 1));
    members.apply(lineAt(joined, 2, 2));
    expect(mayHaveSigned(members)).toBe(true);
    members.apply(lineAt(goingOnFrom('2-1'), 3, 1));
    expect(mayHaveSigned(members)).toBe(false);
  });

  it('is as it was where a replica goes back to, and nobody who has joined after that', () => {
    const members = membersOf(replica('joined', 'inc_x'), replica('joined', 'inc_y'), joined);
    members.apply(lineAt(goingOnFrom('1-2'), 2, 1));
    members.apply(lineAt(replica('joined', 'inc_z'), 2, 2));
    members.goBackTo({ epoch: 1, sequence: 3 });
    const known = ['inc_x', 'inc_a', 'inc_z', 'inc_nobody'].map((one) => members.isShared(one));
    expect(known).toEqual([true, true, false, false]);
  });

  it('is who is in the snapshot that took the place of the history, and nobody else', () => {
    const members = membersOf(joined);
    const [member] = members.list();
    members.begin();
    expect(mayHaveSigned(members)).toBe(false);
    members.restore({ ...(member as Member), place: { epoch: 5, sequence: 1 } });
    expect(mayHaveSigned(members)).toBe(true);
  });

  it('takes the word of who has verified a signature for the key that it was, and for no other', () => {
    const forged = { ...by, text: by.text.replace('"admin"', '"nobody"') };
    const members = membersOf(joined);
    const said = [REPLICA_KEY.public.x, OTHER_KEY.public.x, undefined];
    expect(said.map((x) => members.haveSigned(forged, LOG_KEY.public, x))).toEqual([true, false, false]);
  });

  it('is told with their keys', () => {
    const heard: string[] = [];
    const members = new Members((incarnation, key) => heard.push(`${incarnation} ${key}`));
    members.apply(lineAt(joined, 1, 1));
    expect(heard).toEqual([`inc_a ${REPLICA_KEY.public.x}`]);
  });
});

describe('who may sign', () => {
  it('is nobody before anyone has joined', () => {
    const members = membersOf(revocation('rev_1'));
    expect(members.list()).toEqual([]);
    expect(members.lookup('inc_a')).toBeUndefined();
    expect(members.keyOf('inc_a')).toBeUndefined();
  });

  it('is who a snapshot names; of who is known only that it is over can be news', () => {
    const members = membersOf(
      replica('joined', 'inc_a'),
      replica('joined', 'inc_b'),
      replica('left', 'inc_b'),
    );
    const known = members.list();
    const other = membersOf(replica('joined', 'inc_c'));
    for (const member of [...known, ...other.list()]) members.restore({ ...member, state: 'joined' });
    expect(statesOf(members)).toEqual(['inc_a joined', 'inc_b left', 'inc_c joined']);
    for (const member of members.list()) members.restore({ ...member, state: 'succeeded' });
    expect(statesOf(members)).toEqual(['inc_a succeeded', 'inc_b left', 'inc_c succeeded']);
  });

  it('is lost with whoever it was that two say to go on with, to who was there and to who begins at a snapshot', () => {
    const joined = (incarnation: string): SealedEntry => {
      const { sig: _, ...facts } = replica('joined', incarnation).entry as ReplicaEntry;
      return sealEntry({ ...facts, succeeds: 'inc_a' }, LOG_KEY);
    };
    const members = membersOf(
      ...[replica('joined', 'inc_a'), replica('forgotten', 'inc_a')],
      ...[joined('inc_b'), joined('inc_c')],
    );
    const newcomer = new Members();
    for (const member of members.folded()) newcomer.restore(member);
    expect([members, newcomer].map(({ isAnyoneLost }) => isAnyoneLost)).toEqual([true, true]);
  });

  it('goes on with what another had as it says, whatever a clock says', () => {
    const at = (second: number, incarnation: string, facts: Partial<ReplicaEntry> = {}): SealedEntry => {
      const { sig: _, ...joined } = replica('joined', incarnation).entry as ReplicaEntry;
      return sealEntry({ ...joined, ...facts, at: `2026-11-24T05:00:0${second}.000Z` }, LOG_KEY);
    };
    const members = membersOf(
      at(1, 'inc_d'),
      at(5, 'inc_b', { succeeds: 'inc_a' }),
      at(2, 'inc_c', { succeeds: 'inc_b' }),
      at(9, 'inc_a'),
      at(1, 'inc_e'),
      at(9, 'inc_x', { key: OTHER_KEY.public.x }),
    );
    const goesOn = (later: string) => members.goesOn(later, 'inc_a');
    expect(['inc_b', 'inc_c'].map(goesOn)).toEqual([true, true]);
    expect(['inc_a', 'inc_d', 'inc_e', 'inc_x', 'inc_none'].map(goesOn)).not.toContain(true);
    expect(members.goesOn('inc_b', 'inc_none')).toBe(false);
    const renamed = membersOf(at(1, 'inc_a'), at(2, 'inc_b', { replica: 'moved', succeeds: 'inc_a' }));
    expect(['inc_a', 'inc_b', 'inc_none'].map((one) => renamed.keeperOf(one))).toEqual([
      'moved',
      'moved',
      'inc_none',
    ]);
    // With the same key, and by where they joined where it is not said.
    const succeeded = ['inc_a', 'inc_b', 'inc_d', 'inc_e', 'inc_x', 'inc_none'].filter((one) =>
      members.isSucceeded(one),
    );
    expect(succeeded).toEqual(['inc_a', 'inc_b', 'inc_d']);
  });

  it('goes on with nothing of whom two name, which a directory and its copy do, or who name each other', () => {
    const members = membersOf(
      replica('joined', 'inc_a'),
      replica('joined', 'inc_b', { succeeds: 'inc_a' }),
      replica('joined', 'inc_c', { succeeds: 'inc_b' }),
    );
    expect(members.goesOn('inc_c', 'inc_a')).toBe(true);
    const line = { sealed: replica('joined', 'inc_d', { succeeds: 'inc_a' }), chain: CHAIN_START };
    members.apply({ ...line, position: { epoch: 1, sequence: 4 } });
    expect(['inc_b', 'inc_c', 'inc_d'].map((one) => members.goesOn(one, 'inc_a'))).not.toContain(true);
    expect(members.goesOn('inc_c', 'inc_b')).toBe(true);
    const ring = membersOf(
      replica('joined', 'inc_a', { succeeds: 'inc_b' }),
      replica('joined', 'inc_b', { succeeds: 'inc_a' }),
    );
    expect(ring.goesOn('inc_a', 'inc_c')).toBe(false);
  });

  it('is who joined, with the key and the text that admitted it', () => {
    const entry = replica('joined', 'inc_a');
    const members = membersOf(entry);
    expect(members.lookup('inc_a')).toMatchObject({
      replica: 'a',
      incarnation: 'inc_a',
      state: 'joined',
      certificate: entry.text,
    });
    expect(members.keyOf('inc_a')?.x).toBe(REPLICA_KEY.public.x);
  });

  it('is nobody with a key that is none', () => {
    expect(membersOf(joinedWith('AAAA', 'inc_a')).list()).toEqual([]);
  });

  it.each(['left', 'forgotten'] as const)(
    'is still known by its key once it is %s, for what it signed',
    (event) => {
      const members = membersOf(replica('joined', 'inc_a'), replica(event, 'inc_a'));
      expect(statesOf(members)).toEqual([`inc_a ${event}`]);
      expect(members.keyOf('inc_a')?.x).toBe(REPLICA_KEY.public.x);
      expect(members.lookup('inc_a')?.certificate).toContain('"event":"joined"');
    },
  );

  it('is not changed by the leaving of somebody unknown', () => {
    expect(membersOf(replica('left', 'inc_x')).list()).toEqual([]);
  });

  it('goes over to the incarnation that goes on with the data directory', () => {
    const members = membersOf(replica('joined', 'inc_a'), replica('joined', 'inc_b', { succeeds: 'inc_a' }));
    expect(statesOf(members)).toEqual(['inc_a succeeded', 'inc_b joined']);
  });

  it('does not go over to a successor whose key is none', () => {
    const broken = joinedWith('AAAA', 'inc_b').entry as ReplicaEntry;
    const { sig: _, ...facts } = broken;
    const entry = sealEntry({ ...facts, succeeds: 'inc_a' }, LOG_KEY);
    expect(statesOf(membersOf(replica('joined', 'inc_a'), entry))).toEqual(['inc_a joined']);
  });
});

describe('what somebody has said', () => {
  const members = membersOf(replica('joined', 'inc_a'));
  const said = revocation('rev_1');
  const resealed = (facts: object): string => {
    const { sig: _, ...entry } = said.entry;
    return sealEntry({ ...entry, ...facts }, REPLICA_KEY).text;
  };

  it('is said by the same text, and by what is signed of the same order', () => {
    for (const text of [said.text, resealed({ at: '2027-01-15T08:00:09.000Z' })])
      expect(members.haveSaid(text, said, LOG_KEY.public)).toBe(true);
    // Nobody has ordered it, so it has no body.
    const left = replica('left', 'inc_a');
    const { sig: _, ...facts } = left.entry;
    const again = sealEntry({ ...facts, at: '2027-01-15T08:00:09.000Z' }, LOG_KEY);
    expect(members.haveSaid(again.text, left, LOG_KEY.public)).toBe(true);
  });

  it('is not said by another order, by what nobody has signed, or by what is no entry', () => {
    const forged = resealed({ at: '2027-01-15T08:00:09.000Z' }).replace(
      /"sig":"[^"]*"/,
      `"sig":"${'A'.repeat(86)}"`,
    );
    for (const text of [resealed({ body: 'another' }), resealed({ id: 'rev_2' }), forged, '{}', 'x'])
      expect(members.haveSaid(text, said, LOG_KEY.public)).toBe(false);
  });
});

const joinedAt = (second: number, incarnation: string, facts: Partial<ReplicaEntry> = {}): SealedEntry => {
  const { sig: _, ...joined } = replica('joined', incarnation).entry as ReplicaEntry;
  return sealEntry({ ...joined, ...facts, at: `2026-11-24T05:00:0${second}.000Z` }, LOG_KEY);
};

const statesAfter = (...entries: SealedEntry[]): string[] => {
  const members = new Members();
  entries.forEach((sealed, index) => {
    members.apply({ sealed, chain: CHAIN_START, position: { epoch: 1, sequence: index + 1 } });
  });
  return members.folded().map(({ incarnation, state }) => `${incarnation} ${state}`);
};

describe('who is on the roster', () => {
  it('of whom another goes on with stays so, though what it said in an epoch that was lost is carried back after that', () => {
    const [first, again] = [joinedAt(1, 'inc_b'), joinedAt(2, 'inc_b')];
    const next = joinedAt(3, 'inc_c', { succeeds: 'inc_b' });
    // Whoever had the lost epoch, and carries it back; and everyone else.
    const carrier = statesAfter(first, again, next, again);
    const others = statesAfter(first, next, again);
    expect(others).toEqual(carrier);
  });

  it('and though it is heard of only after who goes on with it', () => {
    const [first, next] = [joinedAt(1, 'inc_b'), joinedAt(3, 'inc_c', { succeeds: 'inc_b' })];
    expect(statesAfter(next, first)).toEqual(statesAfter(first, next));
  });
});
