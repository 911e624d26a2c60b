/** Traces that broke earlier wordings of the protocol (THREATS 10): those that need a moment of their own. */
import { describe, expect, it } from 'vitest';
import type { Position } from '../../src/feed/position.ts';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { keyringOf } from '../../src/evidence/keyring.ts';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, epochOf, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';

/** Answered when the store has it; what it reached is asked for later. */
const revoke = (by: TestReplica, value: string) =>
  by.revoker.revoke(orderOf({ targets: [jti(value)], wait: 'durable' }));

describe('a store that forgets between complete acknowledgements and the last reading', () => {
  it('leaves nothing enforced: it is appended again, and proven in the epoch that follows (THREATS 10.2)', async () => {
    const { clock, server, a, b } = await startPair();
    const lost = a.cursor.epochId;
    const roster = a.store.roster.bind(a.store);
    let flushes = 0;
    a.store.roster = async (at?: Position) => {
      // Only the last reading asks for a line. All has been said by then, and every lease is good.
      const isLast = at !== undefined && flushes === 0;
      if (isLast) {
        flushes += 1;
        for (const one of [a, b]) expect(isFresh(one)).toBe(true);
        server.flush();
      }
      const answer = await roster(at);
      if (isLast) for (const one of [a, b]) cut(one, true);
      return answer;
    };
    const { id } = await revoke(a, 'j1');
    await pass(clock, OVER_MS);
    expect(flushes).toBe(1);
    expect((await a.revoker.status(id)).state).not.toBe('enforced');
    expect(a.receipts.texts.size).toBe(0);

    for (const one of [a, b]) cut(one, false);
    await pass(clock, 2 * OVER_MS);
    expect(await a.revoker.status(id)).toMatchObject({ state: 'enforced' });
    const receipt = verifyReceipt(a.receipts.texts.get(id) ?? '', keyringOf('test', a.logKey.public));
    expect(receipt.epochId).toBe(a.cursor.epochId);
    expect(receipt.epochId).not.toBe(lost);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  });
});

describe('a replica that dies before what it was given is on its disk', () => {
  it('has not acknowledged it, and opens nothing without it (THREATS 10.9)', async () => {
    const { clock, server, a, b } = await startPair();
    const disk = Promise.withResolvers<void>();
    b.ledger.onKeep = () => disk.promise;
    const held = b.ledger.copy();
    const { id } = await revoke(a, 'j1');
    await pass(clock, 1_000);
    // It is in force in b already; only the disk has not answered.
    expect(await reasonOf(b, 'j1')).toBe('revoked');
    const standing = (await a.revoker.status(id)).replicas.find(({ replica }) => replica === 'b');
    expect(standing).toMatchObject({ state: 'outstanding' });

    cut(b, true);
    forget(b);
    disk.reject(new Error('the power is gone'));
    await b.stop();
    await pass(clock, OVER_MS);
    expect(await a.revoker.status(id)).toMatchObject({ state: 'enforced' });
    cut(a, true);
    await pass(clock, OVER_MS);
    server.forget();

    const again = await startSettled({
      ...{ clock, server, name: 'b', seed: 3, ledger: held },
      ...{ exclusive: false, bootstrap: false },
    });
    await pass(clock, OVER_MS);
    expect(isFresh(again)).toBe(false);
    expect(epochOf(again)).toMatch(/it waits for a/);
    cut(a, false);
    await pass(clock, 2 * OVER_MS);
    for (const one of [a, again]) expect(isFresh(one)).toBe(true);
    for (const one of [a, again]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  });
});

describe('what only the store has', () => {
  it('is not enforced when every lease is over: the coordinator has it on its own disk first (THREATS 10.4)', async () => {
    const { clock, server, a, b } = await startPair();
    cut(b, true);
    await pass(clock, OVER_MS);
    const disk = Promise.withResolvers<void>();
    a.ledger.onKeep = () => disk.promise;
    const { id } = await revoke(a, 'j1');
    expect(server.lines.at(-1)?.sealed.entry.id).toBe(id);
    await pass(clock, 2 * OVER_MS);
    // Nobody may say yes, and more than the bound has gone by; yet a flush now would lose it.
    for (const one of [a, b]) expect(isFresh(one)).toBe(false);
    expect(a.receipts.texts.size).toBe(0);
    expect((await a.revoker.status(id)).state).not.toBe('enforced');
    disk.resolve();
    await pass(clock, OVER_MS);
    expect(await a.revoker.status(id)).toMatchObject({ state: 'enforced' });
    expect(a.ledger.lines.some(({ sealed }) => sealed.entry.id === id)).toBe(true);
  });
});

describe('a newcomer that nobody with a lease has heard of', () => {
  it('says no yes and enforces nothing, so that who opens without it loses nothing (THREATS 10.6)', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const common = { clock, server, exclusive: false };
    const a = await startSettled({ ...common, name: 'a' });
    cut(a, true);
    const j = await startSettled({ ...common, name: 'j', seed: 2, bootstrap: false });
    await pass(clock, 2 * OVER_MS);
    expect(isFresh(j)).toBe(false);
    await expect(revoke(j, 'j1')).rejects.toMatchObject({ code: 'FENCED' });
    server.flush();
    cut(j, true);
    cut(a, false);
    await pass(clock, OVER_MS);
    // Its own roster is itself alone.
    expect(isFresh(a)).toBe(true);
    expect(a.members.list().map(({ replica }) => replica)).toEqual(['a']);
  });
});

describe('a second process under the name of one that is stopped', () => {
  it('does not speak for it: rows are of incarnations (THREATS 10.11)', async () => {
    const { clock, server, a, b } = await startPair();
    cut(b, true);
    const second = await startSettled({
      clock,
      server,
      name: 'b',
      seed: 3,
      exclusive: false,
      bootstrap: false,
    });
    await pass(clock, 1_000);
    expect(isFresh(second)).toBe(true);
    const { id } = await revoke(a, 'j1');
    await pass(clock, 1_000);
    expect(isFresh(b)).toBe(true);
    expect(await reasonOf(b, 'j1')).toBe('permitted');
    const { state, replicas } = await a.revoker.status(id);
    expect(state).not.toBe('enforced');
    expect(
      replicas.filter(({ replica }) => replica === 'b').map((one) => [one.incarnation, one.state]),
    ).toEqual([
      [b.identity.incarnation, 'outstanding'],
      [second.identity.incarnation, 'acknowledged'],
    ]);
    await pass(clock, OVER_MS);
    expect(await reasonOf(b, 'j1')).toBe('fenced');
    expect(await a.revoker.status(id)).toMatchObject({ state: 'enforced' });
  });
});
