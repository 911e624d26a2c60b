/** What the contract of stores cannot see from outside; the rest of the table's rules is tested there, on every store. */
import { describe, expect, it } from 'vitest';
import type { FeedLine, SealedEntry } from '../../src/feed/entry.ts';
import { CHAIN_START } from '../../src/feed/entry.ts';
import type { RenewRequest } from '../../src/feed/feed-store.ts';
import type { FeedPage } from '../../src/feed/lease-table.ts';
import { LeaseTable } from '../../src/feed/lease-table.ts';
import { epoch, replica, revocation } from '../support/feed-entries.ts';

const CHAIN = 'c'.repeat(40);
const head = { epoch: 100, sequence: 9 };
const page: FeedPage = { cursorChain: CHAIN, lines: [], isLast: true, head, runId: 'run_1' };

function line(sealed: SealedEntry, sequence: number): FeedLine {
  return { sealed, chain: CHAIN_START, position: { epoch: 100, sequence } };
}

function tableOf(...entries: SealedEntry[]): LeaseTable {
  const table = new LeaseTable();
  for (const [index, sealed] of [epoch('ep_1', 'run_1'), ...entries].entries()) {
    table.note(line(sealed, index + 1));
  }
  return table;
}

function request(incarnation: string, nonces: string[], over: Partial<RenewRequest> = {}): RenewRequest {
  const position = { epoch: 100, sequence: 1 };
  const at = { position, chain: CHAIN, cursorEpochId: 'ep_1' };
  const rest = { epochId: 'ep_1', ...at, acknowledgement: undefined, limit: 10 };
  return { incarnation, nonces, ...rest, ...over };
}

describe('the lease table', () => {
  it('is closed before an epoch is noted, and when it is told that the run is another', () => {
    const table = new LeaseTable();
    expect(table.renew(request('inc_a', ['n1']), page)).toEqual({ kind: 'closed', epochId: undefined });
    const open = tableOf(replica('joined', 'inc_a'));
    expect(open.openEpochId).toBe('ep_1');
    expect(open.renew(request('inc_a', ['n1']), page).kind).toBe('lease');
    open.closeEpoch();
    expect(open.openEpochId).toBeUndefined();
    expect(open.renew(request('inc_a', ['n1', 'n2']), page)).toEqual({ kind: 'closed', epochId: undefined });
    // Who held a lease before is still to be read: a reporter remembers it, and so does the store.
    expect(open.rows()).toEqual([{ incarnation: 'inc_a', renewals: 1, acknowledgement: undefined }]);
  });

  it('passes lines that are no business of its by', () => {
    const table = tableOf(revocation('r1'), replica('joined', 'inc_a'));
    expect(table.renew(request('inc_a', ['n1']), page)).toEqual({
      kind: 'lease',
      lines: [],
      head,
      rows: [{ incarnation: 'inc_a', renewals: 1, acknowledgement: undefined }],
      runId: 'run_1',
    });
  });

  it('forgets nonces that are long past, and then takes their late request for a clone', () => {
    const table = tableOf(replica('joined', 'inc_a'));
    for (let round = 0; round < 64; round++) {
      table.renew(request('inc_a', [`n${round - 1}`, `n${round}`]), page);
    }
    expect(table.renew(request('inc_a', ['n1', 'n2']), page).kind).toBe('more');
    for (let round = 64; round < 67; round++) {
      table.renew(request('inc_a', [`n${round - 1}`, `n${round}`]), page);
    }
    expect(table.renew(request('inc_a', ['n1', 'n2']), page)).toEqual({ kind: 'stale', reason: 'cloned' });
  });

  it('remembers nonces that never arrived by themselves, from the request that named them', () => {
    const table = tableOf(replica('joined', 'inc_a'));
    table.renew(request('inc_a', ['n1']), page);
    table.renew(request('inc_a', ['n1', 'n2', 'n3']), page);
    expect(table.renew(request('inc_a', ['n1', 'n2']), page)).toEqual({ kind: 'more', lines: [], head });
    expect(table.renew(request('inc_a', ['n3', 'n4']), page).kind).toBe('lease');
  });

  it('takes a nonce with an answer that grants nothing, so that the next one follows it', () => {
    const table = tableOf(replica('joined', 'inc_a'));
    expect(table.renew(request('inc_a', ['n1']), { ...page, isLast: false }).kind).toBe('more');
    expect(table.renew(request('inc_a', ['n1', 'n2']), { ...page, isLast: false }).kind).toBe('more');
    expect(table.renew(request('inc_a', ['n2', 'n3']), page).kind).toBe('lease');
  });

  it('keeps a clone on the roster: it may have held a lease', () => {
    const table = tableOf(replica('joined', 'inc_a'), replica('joined', 'inc_b'));
    table.renew(request('inc_a', ['a1']), page);
    expect(table.renew(request('inc_a', ['x1']), page)).toEqual({ kind: 'stale', reason: 'cloned' });
    expect(table.rows()).toHaveLength(1);
  });

  it('lets the process that was cloned go on as a new incarnation', () => {
    const table = tableOf(replica('joined', 'inc_a'));
    table.renew(request('inc_a', ['a1']), page);
    table.renew(request('inc_a', ['x1']), page);
    table.note(line(replica('joined', 'inc_b', { succeeds: 'inc_a' }), 3));
    expect(table.renew(request('inc_b', ['b1']), page).kind).toBe('lease');
  });

  it('is given nothing from the moment on in which it is retired, and its row stays: its lease may be good', () => {
    const table = tableOf(replica('joined', 'inc_a'));
    table.renew(request('inc_a', ['a1']), page);
    expect(table.retire('inc_a', 0)).toBe(false);
    expect(table.retire('inc_b', 0)).toBe(false);
    expect(table.retire('inc_a', 1)).toBe(true);
    expect(table.renew(request('inc_a', ['a1', 'a2']), page)).toEqual({ kind: 'stale', reason: 'forgotten' });
    expect(table.rows()).toHaveLength(1);
    expect(table.retire('inc_a', 1)).toBe(false);
    table.note(line(replica('forgotten', 'inc_a'), 3));
    expect(table.rows()).toHaveLength(1);
  });
});
