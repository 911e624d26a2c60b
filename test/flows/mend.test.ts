/** A replica whose history is not the fleet's: another line stands where it has one, not only fewer. */
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, epochOf, isFresh, jti, reasonOf } from '../support/memory-fleet.ts';
import { readinessOf } from '../support/readiness.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';

const EVERY = 20;

interface Forked {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  readonly a: TestReplica;
  readonly b: TestReplica;
}

async function revoke(by: TestReplica, value: string): Promise<void> {
  await by.revoker.revoke(orderOf({ targets: [jti(value)], wait: 'durable' }));
}

async function start(seed = 1, first = 'a', second = 'b'): Promise<Forked> {
  const clock = new FakeClock();
  const server = new MemoryFeedServer();
  const common = { clock, server, exclusive: false, snapshotEvery: EVERY };
  const a = await startSettled({ ...common, name: first, seed });
  await pass(clock, 1_000);
  const b = await startSettled({ ...common, name: second, seed: 2, bootstrap: false });
  await pass(clock, 4_000);
  return { clock, server, a, b };
}

/** The store goes back, in one run, to before the last lines, which only `b` has; `a` goes on with others. */
async function part({ clock, server, a, b }: Forked, comesBack = () => cut(b, false)): Promise<void> {
  await revoke(a, 'shared');
  await pass(clock, 1_000);
  const length = server.lines.length;
  cut(a, true);
  await revoke(b, 'alone');
  await revoke(b, 'alone-too');
  await pass(clock, 500);
  cut(b, true);
  server.rollBack(length);
  cut(a, false);
  await pass(clock, 100);
  await revoke(a, 'instead');
  // Its lease is over: it is no witness, and the other one opens.
  await pass(clock, OVER_MS);
  comesBack();
  await pass(clock, 2_000);
}

async function fork(): Promise<Forked> {
  const fleet = await start();
  await part(fleet);
  return fleet;
}

const adviceTo = (one: TestReplica): string => String(readinessOf(one, 'store'));

async function growUntilFresh({ clock, a, b }: Forked): Promise<void> {
  for (let i = 0; i < 60 && !isFresh(b); i++) {
    await revoke(a, `g${i}`);
    await pass(clock, 1_000);
  }
}

describe('a replica whose ledger forked', () => {
  it('says so, where, and what to do, and what only it had is in force everywhere', async () => {
    const { a, b } = await fork();
    expect([isFresh(a), isFresh(b), b.renewer.state]).toEqual([true, false, 'diverged']);
    expect(adviceTo(b)).toMatch(
      /^diverged; its history is another than the fleet's after \d+-\d+; what only it had \(2 facts\)/,
    );
    expect(adviceTo(b)).toContain('move `ledger`, `ledger-*` and `held-epoch` out of its dataDir');
    expect(b.log).toContainEqual(
      expect.objectContaining({ sentence: 'the history here is another than the fleet holds' }),
    );
    for (const value of ['alone', 'alone-too']) expect(await reasonOf(a, value)).toBe('revoked');
    for (const value of ['shared', 'alone', 'alone-too']) expect(await reasonOf(b, value)).toBe('revoked');
    expect(await reasonOf(b, 'never')).toBe('fenced');
  });

  it('begins again by itself at the next snapshot, holds what the others hold, and goes on from its disk', async () => {
    const fleet = await fork();
    const { clock, server, a, b } = fleet;
    await growUntilFresh(fleet);
    expect(isFresh(b), adviceTo(b)).toBe(true);
    expect(b.ledger.base).toBeDefined();
    for (const value of ['instead', 'alone', 'g0']) expect(await reasonOf(b, value)).toBe('revoked');
    for (let i = 0; i < 25; i++) {
      await revoke(b, `h${i}`);
      await pass(clock, 600);
    }
    expect(b.snapshots.statement).toEqual(a.snapshots.statement);
    forget(b);
    await b.stop();
    const again = await startSettled({
      ...{ clock, server, exclusive: false, snapshotEvery: EVERY, bootstrap: false },
      ...{ name: 'b', seed: 3, ledger: b.ledger },
    });
    await pass(clock, 2_000);
    expect(isFresh(again)).toBe(true);
    for (const value of ['instead', 'alone', 'g0']) expect(await reasonOf(again, value)).toBe('revoked');
  });
});

describe('a history that parts', () => {
  it('at the beginning of an epoch, needs no mending: it goes back to what both epochs go on from', async () => {
    const fleet = await start();
    const { clock, server, a, b } = fleet;
    const length = server.lines.length;
    cut(a, true);
    server.restart();
    await pass(clock, 1_000);
    expect(isFresh(b), epochOf(b)).toBe(true);
    await revoke(b, 'alone');
    await pass(clock, 300);
    cut(b, true);
    server.restart(length);
    cut(a, false);
    await pass(clock, OVER_MS);
    expect(isFresh(a)).toBe(true);
    cut(b, false);
    await pass(clock, 2_000);
    expect(isFresh(b)).toBe(true);
    expect(b.ledger.lines).toEqual(a.ledger.lines);
    for (const one of [a, b]) expect(await reasonOf(one, 'alone')).toBe('revoked');
  });

  it('again, after it began at a snapshot, is mended from there', async () => {
    const fleet = await fork();
    await growUntilFresh(fleet);
    await part({ ...fleet });
    expect(fleet.b.renewer.state).toBe('diverged');
    expect(adviceTo(fleet.b)).toContain('(2 facts)');
  });

  it('is mended once the store takes what only it had', async () => {
    const fleet = await start();
    const { a, b } = fleet;
    let appends = 0;
    await part(fleet, () => {
      // It joins, and no more.
      b.store.fate = (command) => (command === 'append' && ++appends > 1 ? 'lose-request' : 'deliver');
    });
    expect(adviceTo(b)).toMatch(/^diverged; feed diverges after/);
    cut(b, false);
    await pass(fleet.clock, 1_000);
    expect(b.log).toContainEqual(
      expect.objectContaining({ sentence: 'what is here alone could not be appended again' }),
    );
    expect(adviceTo(b)).toContain('(2 facts)');
    expect(await reasonOf(a, 'alone')).toBe('revoked');
  });

  it('where nothing is shared, begins again at a snapshot too, and its newest lines come along', async () => {
    const other = await start(7, 'x', 'y');
    const fleet = await start();
    await revoke(other.b, 'theirs');
    await pass(other.clock, 1_000);
    forget(other.b);
    await other.b.stop();
    const { clock, server, a } = fleet;
    const common = { clock, server, exclusive: false, bootstrap: false, snapshotEvery: EVERY };
    const stranger = await startSettled({ ...common, name: 'c', seed: 5, ledger: other.b.ledger });
    await pass(clock, OVER_MS);
    expect(stranger.renewer.state).toBe('diverged');
    expect(adviceTo(stranger)).toContain('too long ago to be found; it begins again by itself');
    expect(await reasonOf(a, 'theirs')).toBe('permitted');
    await growUntilFresh({ ...fleet, b: stranger });
    expect(isFresh(stranger)).toBe(true);
    for (const one of [a, stranger]) expect(await reasonOf(one, 'theirs')).toBe('revoked');
  });

  it('is no such thing where the store holds all that is here: somebody else writes there', async () => {
    const { a, clock, server } = await start();
    const renew = a.store.renew.bind(a.store);
    a.store.renew = async (request) => {
      const reply = await renew(request);
      return reply.kind === 'lease' ? { ...reply, lines: server.lines.slice(0, 1) } : reply;
    };
    await pass(clock, 1_000);
    expect(adviceTo(a)).toContain('the store goes on with what nobody may have written there');
  });

  it('is none of who has nothing yet, and is shown what goes on from nowhere', async () => {
    const { clock, server } = await start();
    server.restart();
    await pass(clock, 2_000);
    const later = server.lines.filter(({ position }) => position.epoch > 1_800_000_000);
    expect(later).not.toEqual([]);
    const c = makeReplica({ clock, server, name: 'c', seed: 5, bootstrap: false });
    const renew = c.store.renew.bind(c.store);
    c.store.renew = async (request) => {
      const reply = await renew(request);
      return reply.kind === 'lease' ? { ...reply, lines: later } : reply;
    };
    await c.start();
    await pass(clock, 1_000);
    expect(adviceTo(c)).toContain('the store goes on with what nobody may have written there');
  });

  it('keeps a closed fleet waiting for an operator, who is told whose report cannot be compared', async () => {
    const { a, b, clock, server } = await fork();
    server.isReachable = false;
    await pass(clock, OVER_MS);
    server.restart();
    server.isReachable = true;
    await pass(clock, OVER_MS);
    expect([isFresh(a), isFresh(b)]).toEqual([false, false]);
    expect(epochOf(a)).toMatch(/b reports \d+-\d+, where another line stands here, or none yet$/);
    clock.advance(60_000);
    expect(epochOf(a)).toMatch(/where another line stands here, or none yet: if nothing was decided there/);
  });
});
