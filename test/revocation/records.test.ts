import { beforeEach, describe, expect, it } from 'vitest';
import type { RevocationEntry } from '../../src/feed/entry.ts';
import type { Position } from '../../src/feed/position.ts';
import { BEFORE_ALL, ORIGIN } from '../../src/feed/position.ts';
import { isWritError } from '../../src/kernel/error.ts';
import type { ListOptions } from '../../src/revocation/records.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import { RevocationRecords } from '../../src/revocation/records.ts';
import { AT_S, revocationLine } from './lines.ts';

let records: RevocationRecords;
beforeEach(() => {
  records = new RevocationRecords();
});

const LATER_S = AT_S + 1e8;

function keep(id: string, sequence: number, { epoch = 1, endS = 0 } = {}): number {
  const position: Position = { epoch, sequence };
  const entry = revocationLine({ id, targets: [{ kind: 'all' }] }).sealed.entry as RevocationEntry;
  return records.keep(entry, { position, targetsCount: 1, targetsEndS: endS });
}

function ids(options: Partial<ListOptions> = {}): string[] {
  return records.list({ limit: 100, ...options }).map(({ id }) => id);
}

/** Rounds in which no index entry refers to anything. */
function age(): void {
  for (let i = 0; i < 3; i++) records.nextRound();
  records.age(LATER_S, records.size + 1);
}

describe('records for a snapshot', () => {
  it('are those that have not ended or that something refers to, in the order of their positions', () => {
    for (let i = 9; i >= 1; i--) keep(`r${i}`, i, { endS: i % 2 === 0 ? Number.POSITIVE_INFINITY : 0 });
    const third = keep('r3', 3);
    runAtOnce(records.prune(LATER_S, (ref) => ref === third));
    const all = runAtOnce(records.all());
    expect(all.map(({ record }) => record.id)).toEqual(['r2', 'r3', 'r4', 'r6', 'r8']);
    expect(all.map(({ endS }) => endS === Number.POSITIVE_INFINITY)).toEqual([true, false, true, true, true]);
    expect(records.refs).toBe(9);
    const other = new RevocationRecords();
    for (const { record, endS } of all) other.restore(record, endS);
    expect(runAtOnce(other.all()).map(({ record }) => record)).toEqual(all.map(({ record }) => record));
  });
});

describe('a list of revocations', () => {
  it('is newest first, or oldest first from a position on', () => {
    for (let i = 1; i <= 5; i++) keep(`r${i}`, i);
    expect(ids()).toEqual(['r5', 'r4', 'r3', 'r2', 'r1']);
    expect(ids({ limit: 2 })).toEqual(['r5', 'r4']);
    expect(ids({ after: ORIGIN, limit: 2 })).toEqual(['r1', 'r2']);
    expect(ids({ after: { epoch: 1, sequence: 2 }, limit: 2 })).toEqual(['r3', 'r4']);
    expect(ids({ after: { epoch: 1, sequence: 5 } })).toEqual([]);
  });

  it('is in the order of positions, whatever the order in which they came', () => {
    keep('r2', 2);
    keep('r1', 1);
    keep('r9', 1, { epoch: 2 });
    keep('r3', 3);
    expect(ids({ after: ORIGIN })).toEqual(['r1', 'r2', 'r3', 'r9']);
  });

  it('shows an entry that was written again in a later epoch where it stands now, once', () => {
    keep('r1', 1);
    keep('r2', 2);
    expect(keep('r1', 1, { epoch: 2 })).toBe(0);
    expect(ids({ after: ORIGIN })).toEqual(['r2', 'r1']);
    expect(keep('r1', 7, { epoch: 2 })).toBe(0);
    keep('r1', 6, { epoch: 2 });
    expect(records.lookup('r1')?.position).toEqual({ epoch: 2, sequence: 7 });
    expect(ids({ after: { epoch: 2, sequence: 6 } })).toEqual(['r1']);
  });

  it('shows of two orders under one id what the later one says', () => {
    keep('r1', 1);
    const { at, ...before } = records.lookup('r1')!;
    const position = { epoch: 1, sequence: 3 };
    const later = { ...before, at: '2027-01-01T00:00:00.000Z', caller: 'other', position };
    records.restore(later, 0);
    keep('r1', 2);
    expect([records.lookup('r1'), at === later.at]).toEqual([later, false]);
  });

  it('shows what was lost where it was written again, under whatever number, and all else where it stood', () => {
    keep('r1', 5);
    keep('r2', 7);
    records.displace({ epoch: 1, sequence: 6 });
    keep('r1', 2);
    keep('r2', 2);
    const places = ['r1', 'r2'].map((id) => records.lookup(id)?.position);
    expect(places).toEqual([
      { epoch: 1, sequence: 5 },
      { epoch: 1, sequence: 2 },
    ]);
  });

  it('begins with all that was lost, where it is asked for from no place on, and pages through the rest', () => {
    for (let i = 1; i <= 6; i++) keep(`r${i}`, i);
    records.displace({ epoch: 1, sequence: 3 });
    expect(ids({ after: BEFORE_ALL, limit: 1 }).toSorted()).toEqual(['r1', 'r4', 'r5', 'r6']);
    expect(ids({ after: BEFORE_ALL, limit: 1 }).at(-1)).toBe('r1');
    expect(ids({ after: { epoch: 1, sequence: 1 }, limit: 1 })).toEqual(['r2']);
    expect(ids({ after: ORIGIN, limit: 2 })).toEqual(['r1', 'r2']);
    expect(ids({ after: { epoch: 1, sequence: 3 } })).toEqual([]);
    records.displace(ORIGIN);
    expect(ids({ after: BEFORE_ALL, limit: 1 })).toHaveLength(6);
    // What follows the last one of that page: nothing, and not the same again.
    expect(ids({ after: ORIGIN, limit: 1 })).toEqual([]);
  });

  it('shows one that stood in an epoch with a higher number, which was lost, where it was written again', () => {
    keep('r1', 1);
    keep('r2', 2, { epoch: 9 });
    keep('r3', 3, { epoch: 9 });
    keep('r3', 2, { epoch: 3 });
    expect(ids({ after: ORIGIN })).toEqual(['r1', 'r3', 'r2']);
    expect(ids({})).toEqual(['r2', 'r3', 'r1']);
  });
});

describe('a record', () => {
  it('is found by the number that refers to it', () => {
    keep('r1', 1);
    expect(records.at(keep('r2', 2)).id).toBe('r2');
  });

  it('that is referred to and not there is a fault, not a guess', () => {
    expect(() => records.at(3)).toThrow(expect.toSatisfy((error) => isWritError(error, 'INTERNAL')));
    expect(() => records.mark(3)).toThrow(expect.toSatisfy((error) => isWritError(error, 'INTERNAL')));
  });

  it('goes when it has ended and nothing refers to it', () => {
    keep('r1', 1);
    keep('r2', 2, { endS: Number.POSITIVE_INFINITY });
    const marked = keep('r3', 3);
    for (let i = 0; i < 3; i++) {
      records.nextRound();
      records.mark(marked);
    }
    records.age(LATER_S, 100);
    expect(ids({ after: ORIGIN })).toEqual(['r2', 'r3']);
    expect(records.lookup('r1')).toBeUndefined();
    expect(records.size).toBe(2);
  });

  it('that comes again with a later end stays for that long', () => {
    keep('r1', 1);
    keep('r1', 1, { endS: Number.POSITIVE_INFINITY });
    keep('r1', 1);
    age();
    expect(ids()).toEqual(['r1']);
  });

  it('is looked at a few at a time, and all are looked at in the end', () => {
    for (let i = 1; i <= 10; i++) keep(`r${i}`, i);
    for (let i = 0; i < 3; i++) records.nextRound();
    records.age(LATER_S, 4);
    expect(records.size).toBe(6);
    keep('r11', 11);
    records.age(LATER_S, 6);
    expect(ids()).toEqual(['r11']);
    records.age(LATER_S, 5);
    age();
    expect(records.size).toBe(0);
  });
});
