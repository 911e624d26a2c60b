/**
 * A line binds on every replica or on none: found by attack, who had come back from a history that the fleet did not go on with
 * knew the keys of some that nobody else did, took a line of theirs for said again, and proved an order that others permitted.
 */
import { describe, expect, it } from 'vitest';
import type { SealedEntry } from '../../src/feed/entry.ts';
import {
  OVER_MS,
  beginAnew,
  cut,
  isFresh,
  jti,
  kill,
  reasonOf,
  startPair,
  within,
} from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { makeReplica, pass, startSettled } from '../support/replicas.ts';

const common = { exclusive: false } as const;

const sealedBy = ({ appender }: TestReplica, id: string, value: string): SealedEntry =>
  appender.seal({ id, kind: 'revocation', targets: [jti(value)], caller: 'admin', body: 'b' });

/** a has taken an order, and was killed before it was enforced; c has begun anew. */
async function startAnew() {
  const { clock, server, a, b } = await startPair();
  cut(b, true);
  const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
  const { id } = await within(clock, pending, 300);
  const { sealed } = a.ledger.lines.find((line) => line.sealed.entry.id === id)!;
  for (const one of [a, b]) await kill(one);
  const c = await beginAnew({ clock, server });
  /** It takes up what it left unfinished before all else is put back. */
  const comeBack = async (): Promise<TestReplica> => {
    const { ledger } = a;
    const again = makeReplica({ clock, server, ledger, name: 'a', seed: 3, bootstrap: false, ...common });
    const held = Promise.withResolvers<void>();
    const carry = again.carrier.carry.bind(again.carrier);
    again.carrier.carry = (epochId) => held.promise.then(() => carry(epochId));
    await again.start();
    void again.revoker.resumeUnfinished();
    await pass(clock, OVER_MS);
    held.resolve();
    await pass(clock, OVER_MS);
    return again;
  };
  return { clock, server, b, c, id, sealed, comeBack };
}

describe('in a fleet that began anew', () => {
  it('an order of before is proven under the name of who puts it back', async () => {
    const { c, id, comeBack } = await startAnew();
    const a = await comeBack();
    expect([a, c].map(isFresh)).toEqual([true, true]);
    for (const one of [a, c]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    expect((await a.revoker.status(id)).state).toBe('enforced');
  });

  it('it is put back though a thief has said it before, in the words of who is not known there', async () => {
    const { server, c, id, sealed, comeBack } = await startAnew();
    server.forge(c.cursor.epochId as string, sealed);
    const a = await comeBack();
    for (const one of [a, c]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    expect((await a.revoker.status(id)).state).toBe('enforced');
    expect(a.cursor.tails).toEqual([]);
  });

  it('who was given up revokes nothing more, on any replica', async () => {
    const { clock, server, b, c, comeBack } = await startAnew();
    const a = await comeBack();
    server.forge(c.cursor.epochId as string, sealedBy(b, 'rev_late', 'j2'));
    await pass(clock, OVER_MS);
    for (const one of [a, c]) expect(await reasonOf(one, 'j2')).toBe('permitted');
  });
});

describe('in an epoch that lacks that somebody joined', () => {
  /** x joined while a was cut off, and revoked j1; the store lost both, x is dead, and a has opened the next epoch. */
  async function startParted() {
    const { clock, server, a, b } = await startPair();
    cut(a, true);
    await pass(clock, 200);
    const x = await startSettled({ clock, server, name: 'x', seed: 5, bootstrap: false, ...common });
    await pass(clock, 600);
    const sealed = sealedBy(x, 'rev_x', 'j1');
    await x.appender.appendUnfenced(b.cursor.epochId as string, sealed);
    await pass(clock, 400);
    expect(await reasonOf(b, 'j1')).toBe('revoked');
    await kill(x);
    cut(b, true);
    server.flush();
    cut(a, false);
    await pass(clock, 1_500);
    expect([isFresh(a), await reasonOf(a, 'j1')]).toEqual([true, 'permitted']);
    return { clock, server, a, b, sealed };
  }

  it('an order of that one is put back though a thief has said it before', async () => {
    const { clock, server, a, b, sealed } = await startParted();
    server.forge(a.cursor.epochId as string, sealed);
    cut(b, false);
    await pass(clock, 2 * OVER_MS);
    expect([a, b].map(isFresh)).toEqual([true, true]);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    expect(b.cursor.tails).toEqual([]);
  });

  it('it is proven by who follows it though that comes before what is put back', async () => {
    const { clock, a, b } = await startParted();
    const append = b.store.append.bind(b.store);
    // That x has joined is put back last of all.
    const held = Promise.withResolvers<void>();
    b.store.append = async (epochId, sealed) => {
      if (sealed.entry.kind === 'replica' && sealed.entry.incarnation === 'inc_x5') await held.promise;
      return append(epochId, sealed);
    };
    cut(b, false);
    await within(clock, b.revoker.status('rev_x'), 2 * OVER_MS);
    held.resolve();
    await pass(clock, 2 * OVER_MS);
    expect((await b.revoker.status('rev_x')).state).toBe('enforced');
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  });
});

describe('who lives on while its fleet is begun anew', () => {
  it('says nothing of what it had proven, and proves it anew', async () => {
    const { clock, server, a, b } = await startPair();
    const append = a.store.append.bind(a.store);
    // Cut off before what it says of the order has come back.
    a.store.append = async (epochId, sealed) => {
      const reply = await append(epochId, sealed);
      if (sealed.entry.kind === 'outcome') cut(a, true);
      return reply;
    };
    const { id, state, position } = await within(
      clock,
      a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 10_000 })),
      5_000,
    );
    expect([state, a.effects.outcome(id)]).toEqual(['enforced', undefined]);
    a.store.append = append;
    await kill(b);
    const c = await beginAnew({ clock, server });
    const x = await startSettled({ clock, server, name: 'x', seed: 17, bootstrap: false, ...common });
    await pass(clock, OVER_MS);
    cut(x, true);
    // At once, before it has noticed anything.
    let asked: Promise<unknown> | undefined;
    a.ledger.onKeep = () => {
      if (a.cursor.amnesia !== undefined) asked ??= a.revoker.receipt(id).catch((error: unknown) => error);
    };
    cut(a, false);
    await pass(clock, 1_000);
    expect([isFresh(a), isFresh(x), await reasonOf(x, 'j1')]).toEqual([true, true, 'permitted']);
    expect(await asked).toMatchObject({ code: 'NOT_FOUND' });
    for (const one of [a, c])
      expect((await within(clock, one.revoker.status(id), 300)).state).toBe('durable');
    cut(x, false);
    await pass(clock, 2 * OVER_MS);
    const again = await within(clock, a.revoker.status(id));
    expect(again.state).toBe('enforced');
    expect(again.position).not.toEqual(position);
    expect(await reasonOf(x, 'j1')).toBe('revoked');
  });
});
