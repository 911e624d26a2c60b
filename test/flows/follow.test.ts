/** What may be seen while a page is being applied: requests are answered between any two of its pieces. */
import { describe, expect, it } from 'vitest';
import type { Target } from '../../src/feed/entry.ts';
import { CHAIN_START, nextChain } from '../../src/feed/entry.ts';
import { comparePositions, parsePosition, renderPosition } from '../../src/feed/position.ts';
import { epochS } from '../../src/kernel/clock.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { epoch } from '../support/feed-entries.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, LEASE_MS, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { startSettled as start } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
const jti = (value: string): Target => ({ kind: 'jti', issuer: ISSUER, value });
const bulk = (count: number): Target[] => Array.from({ length: count }, (_, i) => jti(`j${i}`));

/** A clock that calls whoever looks each time the loop turns. */
class WatchedClock extends FakeClock {
  onTurn: () => void = () => undefined;

  override async yield(): Promise<void> {
    this.onTurn();
    await super.yield();
  }
}

/** The position that this replica has acknowledged, signed. */
function acknowledged(replica: TestReplica): string {
  const [row] = replica.server.roster().rows;
  const [, payload = ''] = row?.acknowledgement?.split('.') ?? [];
  const { position } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { position: string };
  return position;
}

describe('an entry that is applied in slices', () => {
  it('is in the index whole before the cursor says its position, and in part before that', async () => {
    const clock = new WatchedClock();
    const replica = await start({ clock, sliceMs: 0 });
    const before = replica.cursor.position;
    const seen = new Set<string>();
    const targets = bulk(300);
    const handles = targets.map(({ value = '' }) =>
      replica.fingerprinter.print([{ kind: 'jti', parts: [ISSUER, value] }]),
    );
    clock.onTurn = () => {
      const isSaid = comparePositions(replica.cursor.position, before) > 0;
      const dead = handles.filter(
        (set) => replica.view.verdict(set, NOW_S, NOW_S).state === 'revoked',
      ).length;
      seen.add(dead === 0 ? 'none' : dead < targets.length ? 'some' : 'all');
      if (isSaid) expect(dead).toBe(targets.length);
    };
    await replica.revoker.revoke(orderOf({ targets, wait: 'durable' }));
    for (let i = 0; i < 10; i++) await settle();
    expect([...seen]).toEqual(['none', 'some', 'all']);
    expect(replica.view.size).toBe(300);
    expect(replica.cursor.settled).toEqual(replica.cursor.position);
  });

  it('lets checks in between its pieces, and is acknowledged when all of it is in', async () => {
    const clock = new WatchedClock();
    const replica = await start({ clock, sliceMs: 0 });
    const before = acknowledged(replica);
    const tokens = [
      tokenOf('billing', 'j0', NOW_S),
      tokenOf('billing', 'j999', NOW_S),
      tokenOf('billing', 'x', NOW_S),
    ];
    const seen: string[] = [];
    clock.onTurn = () => {
      const said = tokens.map(
        (token) => (replica.checker.check(requestOf(token)) as { effect: string }).effect,
      );
      const isAll = replica.view.size === 1_000;
      seen.push(said.join(' '));
      if (!isAll) expect(acknowledged(replica)).toBe(before);
    };
    await replica.revoker.revoke(orderOf({ targets: bulk(1_000), wait: 'durable' }));
    for (let i = 0; i < 10; i++) await settle();
    // Dead from its first piece on, alive up to its last, and one that is in none of it all the while.
    expect(new Set(seen)).toEqual(new Set(['allow allow allow', 'deny allow allow', 'deny deny allow']));
    expect(seen.filter((said) => said === 'deny allow allow').length).toBeGreaterThan(10);
    expect(acknowledged(replica)).not.toBe(before);
  });

  it('of which nothing is ours leaves nothing in the index', async () => {
    const replica = await start({ sliceMs: 0 });
    const sealed = replica.appender.seal({
      id: 'rev_x',
      kind: 'revocation',
      targets: bulk(200),
      caller: 'admin',
      body: 'b',
    });
    const line = { position: { epoch: 1, sequence: 9 }, chain: '0'.repeat(40), sealed };
    await expect(replica.follower.apply([line])).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    expect(replica.view.size).toBe(0);
    // Nothing was begun, so nothing is torn: what is ours is applied afterwards.
    await replica.revoker.revoke(orderOf({ targets: bulk(1), wait: 'durable' }));
    await settle();
    expect(replica.view.size).toBe(1);
    expect(replica.lease.isFresh(replica.clock.now())).toBe(true);
  });

  it('stops before an epoch that nobody with the log key has opened', async () => {
    const replica = await start();
    await settle();
    const { position } = replica.cursor;
    const sealed = epoch('ep_forged', replica.server.runId);
    const line = {
      position: { epoch: position.epoch + 1, sequence: 1 },
      chain: nextChain(CHAIN_START, sealed.text),
      sealed,
    };
    await expect(replica.follower.apply([line])).rejects.toMatchObject({
      code: 'PROOF_INVALID',
      message: `an epoch that this fleet's key has not signed stands at ${position.epoch + 1}-1`,
    });
    expect(replica.cursor.position).toEqual(position);
  });

  it('stops before an epoch whose number is more than a day ahead, unless it is the next one', async () => {
    const replica = await start();
    await settle();
    const { cursor, follower, appender, server } = replica;
    const opens = async (number: number): Promise<void> => {
      const base = { epochId: cursor.epochId!, head: renderPosition(cursor.position), chain: cursor.chain };
      const sealed = appender.seal({
        ...{
          id: `ent_${number}`,
          kind: 'epoch',
          epochId: `ep_${number}`,
          runId: server.runId,
          rule: 'witness',
        },
        base: { ...base, checkpoint: replica.tree.checkpoint() },
      });
      const chain = nextChain(CHAIN_START, sealed.text);
      await follower.apply([{ position: { epoch: number, sequence: 1 }, chain, sealed }]);
    };
    const dayAhead = epochS(replica.clock.now()) + 86_400;
    for (const number of [dayAhead + 1, 999_999_999_999_999])
      await expect(opens(number)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    await opens(dayAhead);
    // However far ahead the fleet is already: there has to be a next one.
    await opens(dayAhead + 1);
    await expect(opens(dayAhead + 3)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    expect(cursor.position).toEqual({ epoch: dayAhead + 1, sequence: 1 });
  });
});

describe('a revocation that reaches many sessions', () => {
  async function open(replica: TestReplica, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const request = requestOf(tokenOf('billing', `j${i}`, NOW_S));
      await replica.keeper.open({ kind: 'k', selfEnds: false, request });
    }
  }

  it('is acknowledged once the last of them was told, and not while some were', async () => {
    const clock = new WatchedClock();
    const replica = await start({ clock, sliceMs: 0 });
    await open(replica, 300);
    const before = parsePosition(acknowledged(replica));
    const told = new Set<number>();
    clock.onTurn = () => {
      const count = replica.sessions.list(300).filter(({ kill }) => kill !== undefined).length;
      told.add(count);
      if (count === 300) return;
      expect(comparePositions(parsePosition(acknowledged(replica)), before)).toBe(0);
      expect(comparePositions(replica.cursor.settled, before)).toBe(0);
    };
    const targets: Target[] = [{ kind: 'subject', issuer: ISSUER, value: 'billing', cutoffS: NOW_S }];
    const { id, state } = await replica.revoker.revoke(orderOf({ targets, wait: 'durable' }));
    expect(state).toBe('durable');
    for (let i = 0; i < 10; i++) await settle();
    expect([...told].length).toBeGreaterThan(3);
    expect(replica.sessions.tally(id, clock.now())).toMatchObject({ matched: 300, pending: 300 });
    expect(comparePositions(parsePosition(acknowledged(replica)), before)).toBeGreaterThan(0);
  });

  it('is not called enforced by the clock while this replica has yet to tell them', async () => {
    const replica = await start({ barrier: 'wait' });
    const { clock, ledger } = replica;
    await open(replica, 1);
    const kept = Promise.withResolvers<void>();
    ledger.onKeep = () => kept.promise;
    const targets = bulk(1);
    const { id } = await replica.revoker.revoke(orderOf({ targets, wait: 'durable' }));
    for (let passed = 0; passed < 3 * LEASE_MS; passed += 100) {
      clock.advance(100);
      await settle();
    }
    // Indexed, every lease is over, and the session was told of that, but not yet of the revocation.
    expect(replica.view.record(id)).toBeDefined();
    expect(replica.sessions.list(1)[0]?.kill).toMatchObject({ reason: 'fenced' });
    expect(replica.sessions.tally(id, clock.now()).matched).toBe(0);
    expect(replica.receipts.texts.size).toBe(0);
    // Nor was it tried: what is not settled has no proof, and whoever tried would wait for it.
    expect(replica.log.map(({ sentence }) => sentence)).not.toContain('enforcement waits');
    kept.resolve();
    await settle();
    expect(replica.sessions.tally(id, clock.now()).matched).toBe(1);
  });
});
