/** Orders to grant and to take away. */
import { describe, expect, it } from 'vitest';
import { sealEntry } from '../../src/feed/entry.ts';
import type { GrantFacts, GrantOrder } from '../../src/flows/grant.ts';
import { epochS } from '../../src/kernel/clock.ts';
import { WritError, codeOf } from '../../src/kernel/error.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import type { FakeClock } from '../support/fake-time.ts';
import { settle } from '../support/fake-time.ts';
import { cut, isFresh, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass, startReplica as start } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
const TOKEN = tokenOf('billing', 'j1', NOW_S);
const FACTS: GrantFacts = { subject: { id: 'billing' }, action: 'granted', resource: { type: 'invoice' } };

const STRANGER = signingKeyOf(new Uint8Array(32).fill(99));

function orderFor(over: Partial<GrantOrder> = {}): GrantOrder {
  return { facts: FACTS, request: { ...FACTS }, caller: 'admin', idempotencyKey: undefined, ...over };
}

/** What the work comes to. It is awaited from the start: no rejection of it is ever unhandled. */
async function settled<T>(work: Promise<T>): Promise<T> {
  const [result] = await Promise.all([work, settle()]);
  return result;
}

/** As it comes while a second passes. */
async function passed<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  const [result] = await Promise.all([work, pass(clock, 1_000)]);
  return result;
}

const ask = (replica: TestReplica) =>
  replica.checker.check(requestOf(TOKEN, { action: { name: 'granted' } }));

describe('an order whose id can be foretold', () => {
  it('is done though a thief has appended something under it that nobody signed', async () => {
    const replica = await start();
    const { id } = await settled(replica.granter.grant(orderFor()));
    const tombstone = { kind: 'ungrant', id: id.replace(/^grt/, 'ung'), grant: id, caller: 'x' } as const;
    const { entry } = replica.appender.seal(tombstone);
    const { sig: _sig, ...unsigned } = entry;
    replica.server.forge(replica.cursor.epochId ?? '', sealEntry(unsigned, STRANGER));
    await pass(replica.clock, 1_000);
    expect(ask(replica)).toMatchObject({ effect: 'allow' });
    expect(await settled(replica.granter.ungrant(id, 'admin'))).toMatchObject({ isApplied: true });
    expect(ask(replica)).toMatchObject({ reason: 'policy_denied' });
  });

  it('is done where another replica was first', async () => {
    const replica = await start();
    const { id } = await settled(replica.granter.grant(orderFor()));
    const tombstone = { kind: 'ungrant', id: id.replace(/^grt/, 'ung'), grant: id, caller: 'x' } as const;
    replica.server.append(replica.cursor.epochId ?? '', replica.appender.seal(tombstone));
    expect(await settled(replica.granter.ungrant(id, 'admin'))).toMatchObject({ isApplied: true });
    expect(ask(replica)).toMatchObject({ reason: 'policy_denied' });
  });
});

describe('an order to grant', () => {
  it('is usable at once when it is answered', async () => {
    const replica = await start();
    expect(ask(replica)).toMatchObject({ reason: 'policy_denied' });
    const status = await settled(replica.granter.grant(orderFor()));
    expect(ask(replica)).toMatchObject({ effect: 'allow' });
    expect(status).toMatchObject({ isInForce: true, isApplied: true, facts: FACTS });
    expect(status.id).toMatch(/^grt_/);
    expect(replica.granter.status(status.id)).toEqual(status);
    expect(() => replica.granter.status('grt_x')).toThrow('no such grant');
  });

  it('under one Idempotency-Key is one grant, also once it was taken away; another body is a conflict', async () => {
    const replica = await start();
    const order = orderFor({ idempotencyKey: 'k' });
    const both = await settled(Promise.all([replica.granter.grant(order), replica.granter.grant(order)]));
    expect(both[0].id).toBe(both[1].id);
    expect(replica.grants.size).toBe(1);
    await expect(replica.granter.grant({ ...order, request: { other: 1 } })).rejects.toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
    });
    await settled(replica.granter.ungrant(both[0].id, 'admin'));
    expect(await replica.granter.grant(order)).toMatchObject({ id: both[0].id, isInForce: false });
    expect(ask(replica)).toMatchObject({ reason: 'policy_denied' });
  });

  it('is refused when it would be over, and repeated without harm once it is', async () => {
    const replica = await start();
    const order = orderFor({ facts: { ...FACTS, untilS: NOW_S + 1 }, idempotencyKey: 'k' });
    const { id } = await settled(replica.granter.grant(order));
    replica.clock.advance(1_000);
    expect(await replica.granter.grant(order)).toMatchObject({ id, isInForce: false });
    const before = replica.server.lines.length;
    await expect(replica.granter.grant({ ...order, idempotencyKey: undefined })).rejects.toMatchObject({
      code: 'TIME_INVALID',
      field: 'until',
    });
    expect(replica.server.lines).toHaveLength(before);
  });

  it('is refused when there are too many', async () => {
    const replica = await start();
    Object.defineProperty(replica.grants, 'size', { value: LIMITS.grantsMax });
    await expect(replica.granter.grant(orderFor())).rejects.toMatchObject({ code: 'OVERLOADED' });
  });

  it('says when it has not come back in time: it is durable, and not in force here', async () => {
    const replica = await start();
    const pending = replica.granter.grant(orderFor());
    for (let i = 0; i < 200; i++) replica.store.next('renew', 'lose-request');
    await settle();
    await pass(replica.clock, 6_000);
    expect(await pending).toMatchObject({ isApplied: false, isInForce: false, facts: FACTS });
  });

  it('is not appended by a replica without a lease', async () => {
    const replica = await start();
    replica.lease.drop();
    await expect(replica.granter.grant(orderFor())).rejects.toMatchObject({ code: 'FENCED' });
  });
});

describe('an order to take a grant away', () => {
  it('is in force here when it is answered, by when everywhere, and whoever listens was told', async () => {
    const replica = await start();
    const { id } = await settled(replica.granter.grant(orderFor()));
    const status = await settled(replica.granter.ungrant(id, 'admin'));
    expect(status).toMatchObject({ isApplied: true, wasOver: false, boundMs: 3_252 });
    expect(status.grant.ungrant).toBeDefined();
    expect(ask(replica)).toMatchObject({ reason: 'policy_denied' });
    expect(replica.changedSubjects).toEqual(['billing', 'billing']);
  });

  it('twice is one tombstone, says that it was over, and appends nothing', async () => {
    const replica = await start();
    const { id } = await settled(replica.granter.grant(orderFor({ facts: { ...FACTS, untilS: NOW_S + 9 } })));
    await settled(Promise.all([replica.granter.ungrant(id, 'admin'), replica.granter.ungrant(id, 'other')]));
    expect(await replica.granter.ungrant(id, 'admin')).toMatchObject({ wasOver: true, isApplied: true });
    expect(replica.server.lines.filter(({ sealed }) => sealed.entry.kind === 'ungrant')).toHaveLength(1);
    await expect(replica.granter.ungrant('grt_x', 'admin')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('is in force in the next epoch, where the store lost it before it was read here', async () => {
    const { clock, server, a, b } = await startPair();
    const { id } = await passed(clock, a.granter.grant(orderFor()));
    const isInForce = () => [a, b].map(({ grants }) => grants.isInForce(id, epochS(clock.now())));
    await pass(clock, 1_000);
    expect(isInForce()).toEqual([true, true]);
    const { length } = server.lines;
    a.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    cut(b, true);
    const taking = a.granter.ungrant(id, 'admin').then((said) => ({ ...said, there: isInForce()[0] }));
    await pass(clock, 200);
    expect(server.lines.length).toBe(length + 1);
    server.restart(length);
    cut(b, false);
    a.store.fate = () => 'deliver';
    await pass(clock, 6_000);
    expect(await taking).toMatchObject({ isApplied: true, there: false });
    expect([a, b].map(isFresh)).toEqual([true, true]);
    expect(isInForce()).toEqual([false, false]);
  });

  it('is to be repeated, where it can be appended to the next one no more', async () => {
    const { clock, server, a, b } = await startPair();
    const { id } = await passed(clock, a.granter.grant(orderFor()));
    const { length } = server.lines;
    a.store.fate = (command) => (command === 'renew' ? 'lose-request' : 'deliver');
    cut(b, true);
    const taking = a.granter.ungrant(id, 'admin').catch(codeOf);
    await pass(clock, 200);
    server.restart(length);
    cut(b, false);
    a.store.fate = () => 'deliver';
    const append = a.store.append.bind(a.store);
    a.store.append = (epochId, sealed) =>
      sealed.entry.kind === 'ungrant'
        ? Promise.reject(new WritError('STORE_UNREACHABLE', 'no answer'))
        : append(epochId, sealed);
    await pass(clock, 10_000);
    expect(await taking).toBe('APPEND_UNCERTAIN');
  });
});
