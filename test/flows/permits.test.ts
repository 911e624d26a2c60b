/**
 * What permits is of the epoch that it was said in, and is put back by nobody (D-195): a grant that was taken away comes back by no
 * copy of a history that was lost, whoever holds it, and a lock that was ordered since is lifted by none.
 */
import { describe, expect, it } from 'vitest';
import { ORIGIN } from '../../src/feed/position.ts';
import type { MemoryFeedServer } from '../support/memory-feed-store.ts';
import type { FakeClock } from '../support/fake-time.ts';
import {
  GROWING,
  NOW_S,
  OVER_MS,
  beginAnew,
  cut,
  enforce,
  grow,
  isFresh,
  jti,
  kill,
  part,
  reasonOf as reasonFor,
  startPair,
  within,
} from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { makeReplica, pass, startSettled } from '../support/replicas.ts';

const ASKED = { subject: { type: 'service', id: 'billy' }, action: { name: 'granted' } };
const GRANTED = { subject: { id: 'billy' }, action: 'granted', resource: { type: 'invoice' } };

/** Whether billy may, who may by that grant alone. */
async function reasonOf({ checker }: TestReplica): Promise<string> {
  return (await checker.check(requestOf(tokenOf('billy', 'jx', NOW_S), ASKED))).reason;
}

interface Old {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  /** As they were before it was taken away. */
  readonly lines: MemoryFeedServer['lines'];
  readonly snapshot: NonNullable<ReturnType<MemoryFeedServer['readSnapshot']>>;
}

/** A fleet in which billy had a grant that was taken away; all of it is gone. */
async function oldFleet(): Promise<Old> {
  const { clock, server, a, b } = await startPair(GROWING);
  const grant = { facts: GRANTED, request: GRANTED, caller: 'admin', idempotencyKey: undefined };
  const { id } = await within(clock, a.granter.grant(grant), 500);
  expect(await reasonOf(a)).toBe('permitted');
  for (let i = 0; i < 6; i++) await enforce(a, `h${i}`, 600);
  await pass(clock, OVER_MS);
  const [lines, snapshot] = [[...server.lines], server.readSnapshot() as Old['snapshot']];
  expect(snapshot).toBeDefined();
  await within(clock, a.granter.ungrant(id, 'admin'), 3_000);
  await pass(clock, OVER_MS);
  expect(await reasonOf(a)).toBe('policy_denied');
  for (const one of [a, b]) await kill(one);
  return { clock, server, lines, snapshot };
}

/** They are in service, and nobody permits by it. */
async function expectGone(all: readonly TestReplica[]): Promise<void> {
  expect(all.map(isFresh)).toEqual(all.map(() => true));
  expect(await Promise.all(all.map(reasonOf))).toEqual(all.map(() => 'policy_denied'));
  expect(all.map(({ grants }) => grants.size)).toEqual(all.map(() => 0));
}

describe('a grant that was taken away in a fleet that is given up', () => {
  it('does not come back by a newcomer to whom its snapshot was shown', async () => {
    const { clock, server, snapshot } = await oldFleet();
    const c = await beginAnew({ clock, server }, GROWING);
    server.writeSnapshot(snapshot);
    const d = makeReplica({ clock, server, name: 'd', seed: 19, bootstrap: false, ...GROWING });
    await d.start();
    await pass(clock, 2 * OVER_MS);
    await expectGone([c, d]);
  });

  it('does not come back by a newcomer who found it in a store that was closed', async () => {
    const { clock, server, lines } = await oldFleet();
    const c = await beginAnew({ clock, server }, GROWING);
    const x = await startSettled({ clock, server, name: 'x', seed: 17, bootstrap: false, ...GROWING });
    const d = makeReplica({ clock, server, name: 'd', seed: 19, bootstrap: false, ...GROWING });
    d.ledger.held.isNew = true;
    server.flush();
    const limit = lines.length;
    server.restore({
      runId: server.runId,
      closedEpochId: undefined,
      copy: 'current',
      lines,
      after: ORIGIN,
      limit,
    });
    await d.start();
    await pass(clock, 4 * OVER_MS);
    await expectGone([c, x, d]);
    // Nor with the snapshot of the fleet.
    for (let i = 0; i < 12; i++) await enforce(c, `s${i}`);
    await pass(clock, 4 * OVER_MS);
    await expectGone([c, x, d]);
  });

  it('does not come back by its own line', async () => {
    const { clock, server, lines } = await oldFleet();
    const c = await beginAnew({ clock, server }, GROWING);
    for (const { sealed } of lines)
      if (sealed.entry.kind === 'grant') server.forge(c.cursor.epochId as string, sealed);
    await pass(clock, OVER_MS);
    expect([isFresh(c), await reasonOf(c)]).toEqual([true, 'policy_denied']);
    expect(c.log.map(({ sentence }) => sentence)).toContain(
      'an entry that permits in another epoch was ignored',
    );
  });
});

const LOST = 'what was granted or lifted in a history that was lost is over here: do it again';
const ORDERED = { facts: GRANTED, request: GRANTED, caller: 'admin', idempotencyKey: 'grant' } as const;

const grantTo = ({ clock, granter }: TestReplica) => within(clock, granter.grant(ORDERED), 500);

/** a opens the next epoch without what b alone has heard since, and b comes into it. */
async function loseWhat(b: TestReplica, does: () => Promise<unknown>, a: TestReplica): Promise<void> {
  await part(a, b, does);
  cut(b, false);
  await pass(b.clock, OVER_MS);
}

describe('what was granted or lifted in a history that was lost', () => {
  it('is over where it was given, and can be given again', async () => {
    const { clock, a, b } = await startPair();
    const session = () =>
      b.keeper.open({ kind: 'k', selfEnds: false, request: requestOf(tokenOf('billy', 'jx', NOW_S), ASKED) });
    await loseWhat(b, async () => (await grantTo(b), await session()), a);
    await expectGone([a, b]);
    expect([...b.sessions.all()].map(({ kill: ended }) => ended?.reason)).toEqual(['fenced']);
    expect(b.log.map(({ sentence }) => sentence)).toContain(LOST);
    await grantTo(a);
    await pass(clock, 500);
    expect(await Promise.all([a, b].map(reasonOf))).toEqual(['permitted', 'permitted']);
    // Who is started again reads of both, and ends nobody for it once more.
    await kill(b);
    const { server, ledger } = b;
    const again = makeReplica({
      clock,
      server,
      ledger,
      name: 'b',
      seed: 5,
      bootstrap: false,
      exclusive: false,
    });
    await again.start();
    await pass(clock, OVER_MS);
    expect([isFresh(again), await reasonOf(again)]).toEqual([true, 'permitted']);
    expect(again.log.filter(({ sentence }) => sentence === LOST)).toEqual([]);
  });

  it('lifts nothing that is locked in the one that is shared', async () => {
    const { clock, a, b } = await startPair();
    const expiresAtMs = clock.now().wallMs + 3_600_000;
    const lock = orderOf({ targets: [jti('j1')], expiresAtMs, wait: 'durable' });
    const { id } = await within(clock, a.revoker.revoke(lock), 500);
    await loseWhat(b, () => within(clock, b.lifter.lift(id, 'admin'), 500), a);
    expect(await Promise.all([a, b].map((one) => reasonFor(one, 'j1')))).toEqual(['locked', 'locked']);
    await within(clock, b.lifter.lift(id, 'admin'), 500);
    await pass(clock, 500);
    expect(await Promise.all([a, b].map((one) => reasonFor(one, 'j1')))).toEqual(['permitted', 'permitted']);
  });
});

describe('what was granted before an epoch that went on without it', () => {
  it('is in force again where that one is lost, and the fleet goes on from it after all', async () => {
    const { clock, server, a, b } = await startPair(GROWING);
    await within(
      clock,
      a.granter.grant({ ...ORDERED, facts: { ...GRANTED, subject: { id: 'other' } }, idempotencyKey: 'x' }),
    );
    await grow(a);
    const common = { clock, server, bootstrap: false, ...GROWING };
    const y = await startSettled({ ...common, name: 'y', seed: 17 });
    const x = await startSettled({ ...common, name: 'x', seed: 18 });
    await pass(clock, OVER_MS);
    expect(x.ledger.base).toBeDefined();
    // An epoch with a base, and in it what somebody has forged.
    server.restart();
    await pass(clock, OVER_MS);
    const { text, entry } = b.appender.seal({ id: 'ung_x', kind: 'ungrant', grant: 'grt_x', caller: 'x' });
    const sig = 'A'.repeat(86);
    const forged = { text: text.replace(/"sig":"[^"]*"/, `"sig":"${sig}"`), entry: { ...entry, sig } };
    server.forge(a.cursor.epochId as string, forged);
    await pass(clock, 500);
    cut(a, true);
    await pass(clock, 200);
    await grantTo(x);
    expect(await Promise.all([a, x, y].map(reasonOf))).toEqual(['policy_denied', 'permitted', 'permitted']);
    for (const one of [b, x]) cut(one, true);
    y.store.fate = (command) => (command === 'renew' ? 'deliver' : 'lose-request');
    server.flush();
    y.owing.notify();
    await pass(clock, 100);
    cut(y, true);
    const opens = async (one: TestReplica): Promise<void> => {
      const before = one.cursor.epochId;
      cut(one, false);
      for (let i = 0; i < 10 && (one.cursor.epochId === before || !isFresh(one)); i++) {
        one.owing.notify();
        await pass(clock, 100);
      }
      expect(isFresh(one)).toBe(true);
    };
    await opens(a);
    await opens(x);
    expect([a, x].map(({ cursor }) => cursor.epochId)).toEqual([a.cursor.epochId, a.cursor.epochId]);
    expect(await reasonOf(x)).toBe('policy_denied');
    for (const one of [a, x]) cut(one, true);
    server.flush();
    await opens(y);
    for (const one of [a, b, x]) cut(one, false);
    await pass(clock, 2 * OVER_MS);
    const all = [a, b, x, y];
    expect(all.map(isFresh)).toEqual(all.map(() => true));
    expect(await Promise.all(all.map(reasonOf))).toEqual(all.map(() => 'permitted'));
  });
});

describe('a thief who has what was said in a fleet that is given up', () => {
  it('grants nothing by saying it again, though he says first who had joined there', async () => {
    const { clock, server, lines } = await oldFleet();
    const c = await beginAnew({ clock, server }, GROWING);
    for (const { sealed } of lines)
      if (['replica', 'grant'].includes(sealed.entry.kind)) server.forge(c.cursor.epochId as string, sealed);
    await pass(clock, OVER_MS);
    await expectGone([c]);
  });

  it('ends no lock that was ordered anew under the same key', async () => {
    const { clock, server, a, b } = await startPair();
    const expiresAtMs = clock.now().wallMs + 3_600_000;
    const order = { ...orderOf({ targets: [jti('j1')], idempotencyKey: 'inc' }), expiresAtMs };
    const { id } = await within(clock, a.revoker.revoke(order), OVER_MS);
    await within(clock, a.lifter.lift(id, 'admin'), 500);
    const old = server.lines.filter(({ sealed }) => ['replica', 'lift'].includes(sealed.entry.kind));
    for (const one of [a, b]) await kill(one);
    const c = await beginAnew({ clock, server });
    expect(await within(clock, c.revoker.revoke(order), OVER_MS)).toMatchObject({ id, state: 'enforced' });
    for (const { sealed } of old) server.forge(c.cursor.epochId as string, sealed);
    await pass(clock, OVER_MS);
    expect([isFresh(c), await reasonFor(c, 'j1')]).toEqual([true, 'locked']);
  });
});
