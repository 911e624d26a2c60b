/**
 * A replica that was away while the store forgot lines that only it has, an epoch was opened without them, and the fleet has
 * grown past that opening: what it lacks is in a snapshot, and what it alone has is in no tail yet.
 */
import { describe, expect, it } from 'vitest';
import { TAIL_MAX } from '../../src/feed/cursor.ts';
import type { FakeClock } from '../support/fake-time.ts';
import type { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { NOW_S, OVER_MS, cut, epochOf, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';

const EVERY = 10;

interface Away {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  readonly a: TestReplica;
  readonly b: TestReplica;
}

const common = { exclusive: false, snapshotEvery: EVERY } as const;

async function revoke(by: TestReplica, value: string): Promise<void> {
  await by.revoker.revoke(orderOf({ targets: [jti(value)], wait: 'durable' }));
}

/** a revokes until the store has let go what comes before its newest mark. */
async function grow({ clock, server, a }: Away): Promise<void> {
  const isTrimmed = (): boolean => (server.lines[0]?.position.sequence ?? 0) > 1;
  for (let i = 0; i < 60 && !isTrimmed(); i++) {
    await revoke(a, `g${i}`);
    await pass(clock, 600);
  }
  expect(isTrimmed()).toBe(true);
}

/** b has j1, which nobody else has, and is cut off; a has opened `epochs` without it. `lines`: entries that both have. */
async function startAway({ epochs = 1, lines = 0 } = {}): Promise<Away> {
  const { clock, server, a, b } = await startPair(common);
  for (let i = 0; i < lines; i++)
    server.append(a.cursor.epochId as string, b.appender.seal({ ...FACT, id: `rev_${i}` }));
  await pass(clock, 1_000);
  cut(a, true);
  await pass(clock, 300);
  // Appended by b and by nobody else: what it follows to its end it would append again by itself.
  await b.appender.append(b.appender.seal({ ...ORDER, id: 'rev_j1', targets: [jti('j1')] }));
  await pass(clock, 500);
  cut(b, true);
  for (let i = 0; i < epochs; i++) {
    server.flush();
    cut(a, false);
    await pass(clock, 1_500);
  }
  expect(isFresh(a)).toBe(true);
  expect(await reasonOf(a, 'j1')).toBe('permitted');
  return { clock, server, a, b };
}

const ORDER = { kind: 'revocation', caller: 'admin', body: 'b' } as const;

const FACT = {
  kind: 'outcome',
  revocation: 'rev_x',
  state: 'partial',
  matched: 0,
  killed: 0,
  unconfirmed: 0,
  receipt: '',
} as const;

async function restart({ clock, server }: Away, one: TestReplica): Promise<TestReplica> {
  forget(one);
  await one.stop();
  const { replica: name } = one.identity;
  return startSettled({ clock, server, name, seed: 9, ledger: one.ledger, bootstrap: false, ...common });
}

describe('a replica that comes back once what it lacks was trimmed', () => {
  it.each([
    ['the epoch before', { epochs: 1 }],
    ['one before that', { epochs: 2 }],
    ['one before that, a long one', { epochs: 2, lines: TAIL_MAX }],
  ])('shares what only it has of %s, and keeps it over a restart', async (_, how) => {
    const fleet = await startAway(how);
    const { clock, a, b } = fleet;
    await grow(fleet);
    cut(b, false);
    await pass(clock, OVER_MS);
    expect([a, b].map(isFresh), b.renewer.state).toEqual([true, true]);
    expect(b.ledger.base).toBeDefined();
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    const again = await restart(fleet, b);
    await pass(clock, OVER_MS);
    expect(isFresh(again)).toBe(true);
    expect(await reasonOf(again, 'j1')).toBe('revoked');
    for (let i = 0; i < EVERY + 2; i++) {
      await revoke(a, `h${i}`);
      await pass(clock, 600);
    }
    expect([a, again].map(({ snapshots }) => snapshots.agrees)).toEqual([true, true]);
    expect(a.snapshots.statement).toEqual(again.snapshots.statement);
  });

  it('appends nothing of what the fleet has, or has let go of since, though it missed two epochs', async () => {
    const { clock, server, a, b } = await startPair(common);
    const targets = [
      { ...jti('j1'), untilS: NOW_S + 1_000_000 },
      { ...jti('j2'), untilS: NOW_S + 60 },
    ];
    const ids: string[] = [];
    for (const target of targets) {
      ids.push((await a.revoker.revoke(orderOf({ targets: [target], wait: 'durable' }))).id);
      await pass(clock, 600);
    }
    cut(b, true);
    for (let i = 0; i < 2; i++) {
      server.restart();
      await pass(clock, 1_500);
    }
    clock.advance(90_000_000);
    await pass(clock, OVER_MS);
    await grow({ clock, server, a, b });
    for (const [one, holds] of [
      [a, [true, false]],
      [b, [true, true]],
    ] as const)
      expect(ids.map((id) => one.view.record(id) !== undefined)).toEqual(holds);
    const before = server.lines.length;
    cut(b, false);
    await pass(clock, 2 * OVER_MS);
    expect([a, b].map(isFresh), b.renewer.state).toEqual([true, true]);
    expect(await reasonOf(b, 'j1')).toBe('revoked');
    const kinds = server.lines.slice(before).map(({ sealed }) => sealed.entry.kind);
    expect(kinds).not.toContain('revocation');
    expect(kinds).not.toContain('outcome');
  });

  it('shares it where the epoch that only it has had the higher number', async () => {
    const fleet = await startPair(common);
    const { clock, server, a, b } = fleet;
    cut(a, true);
    const open = b.store.openEpoch.bind(b.store);
    b.store.openEpoch = (opening) => open({ ...opening, epochS: opening.epochS + 1_000 });
    server.flush();
    await pass(clock, 1_000);
    expect(isFresh(b)).toBe(true);
    await b.appender.append(b.appender.seal({ ...ORDER, id: 'rev_j1', targets: [jti('j1')] }));
    await pass(clock, 500);
    cut(b, true);
    server.flush();
    cut(a, false);
    await pass(clock, 1_000);
    expect(a.cursor.position.epoch).toBeLessThan(b.cursor.position.epoch);
    await grow(fleet);
    cut(b, false);
    await pass(clock, 2 * OVER_MS);
    expect([a, b].map(isFresh), b.renewer.state).toEqual([true, true]);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  });

  it('shares it with a fleet that began anew too', async () => {
    const fleet = await startAway();
    const { clock, server, a, b } = fleet;
    forget(a);
    await a.stop();
    server.forget();
    const c = await startSettled({ clock, server, name: 'c', seed: 5, ...common });
    await pass(clock, OVER_MS);
    await grow({ ...fleet, a: c });
    cut(b, false);
    await pass(clock, 2 * OVER_MS);
    expect([b, c].map(isFresh), b.renewer.state).toEqual([true, true]);
    for (const one of [b, c]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  });

  it.each([1, 2])(
    'does not take the snapshot for what only it has where no epoch is open, and is named (%s epochs)',
    async (epochs) => {
      const fleet = await startAway({ epochs });
      const { clock, server, a, b } = fleet;
      await grow(fleet);
      server.isReachable = false;
      await pass(clock, OVER_MS);
      server.restart();
      server.isReachable = true;
      cut(b, false);
      await pass(clock, OVER_MS);
      expect([a, b].map(isFresh)).toEqual([false, false]);
      expect(b.ledger.base).toBeUndefined();
      expect(epochOf(a)).toMatch(/b reports \d+-\d+, /);
      await a.replica.openEpoch('accept-amnesia', 'b is known');
      await pass(clock, OVER_MS);
      expect([a, b].map(isFresh)).toEqual([true, true]);
      for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    },
  );

  it('takes it at once, closed or not, where it has nothing that others lack', async () => {
    const { clock, server, a, b } = await startPair(common);
    cut(b, true);
    await revoke(a, 'j1');
    await pass(clock, 600);
    server.restart();
    await pass(clock, 1_500);
    await grow({ clock, server, a, b });
    server.isReachable = false;
    await pass(clock, OVER_MS);
    server.restart();
    server.isReachable = true;
    cut(b, false);
    await pass(clock, 2 * OVER_MS);
    expect([a, b].map(isFresh), `${epochOf(a)}; ${epochOf(b)}`).toEqual([true, true]);
    expect(await reasonOf(b, 'j1')).toBe('revoked');
  });
});

describe('a snapshot of an epoch that is over, which the store says is open', () => {
  const held = ({ cursor }: TestReplica): string => String(cursor.epochId);

  /** The epoch after that of `older` is open, b is in it, and a store with the one before stands in front of b. */
  async function startOver() {
    const { clock, server, a, b } = await startPair(common);
    await grow({ clock, server, a, b });
    const [older, was, runId] = [server.readSnapshot()!, held(a), server.roster().runId];
    expect(older.epochId).toBe(was);
    server.flush();
    await pass(clock, 6_000);
    expect([a, b].map(isFresh)).toEqual([true, true]);
    expect([a, b].map(held)).not.toContain(was);
    await revoke(a, 'j1');
    await pass(clock, 1_000);
    /** What is appended again on the way there is said to be there. */
    const lie = ({ store }: TestReplica): void => {
      store.readSnapshot = () => Promise.resolve(older);
      store.append = () =>
        Promise.resolve({
          ...{ position: older.position, chain: '0'.repeat(40), epochId: was, runId, duplicate: true },
        });
    };
    return { clock, server, a, b, was, runId, lie };
  }

  it('takes nobody back who has left that epoch, whichever run the store says it is', async () => {
    const fleet = await startOver();
    const { b, was, runId, lie } = fleet;
    const roster = b.store.roster.bind(b.store);
    b.store.roster = async (at) => ({ ...(await roster(at)), epochId: was, runId });
    lie(b);
    const now = held(b);
    expect(await b.loader.load(was)).toBe(false);
    expect(held(b)).toBe(now);
    const again = await restart(fleet, b);
    expect(await reasonOf(again, 'j1')).toBe('revoked');
  });

  it('nor anybody who came after it, and cannot know that it was left: it is of another run of the store', async () => {
    const fleet = await startOver();
    const { clock, server, a, was, lie } = fleet;
    await grow(fleet);
    const c = await startSettled({ clock, server, name: 'c', seed: 7, bootstrap: false, ...common });
    await pass(clock, 1_000);
    expect(c.ledger.base?.opening.epochId).toBe(held(a));
    expect(c.cursor.knows(was)).toBe(false);
    lie(c);
    expect(await c.loader.load(was)).toBe(false);
    expect(held(c)).toBe(held(a));
    expect(c.log.at(-1)).toMatchObject({
      sentence: 'the snapshot in the store was refused',
      detail: expect.stringContaining('not of this run of the store') as string,
    });
  });
});
