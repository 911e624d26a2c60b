/** A replica whose history is not the fleet's: another line stands where it has one, not only fewer. */
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, isFresh, jti, readinessOf, reasonOf } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';

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

/** The store goes back, in one run, to before the last lines, which only `b` has; `a` goes on with others. */
async function fork(before: (fleet: Forked) => Promise<void> = async () => undefined): Promise<Forked> {
  const clock = new FakeClock();
  const server = new MemoryFeedServer();
  const common = { clock, server, exclusive: false, snapshotEvery: EVERY };
  const a = await startSettled({ ...common, name: 'a' });
  await pass(clock, 1_000);
  const b = await startSettled({ ...common, name: 'b', seed: 2, bootstrap: false });
  await pass(clock, 4_000);
  const fleet = { clock, server, a, b };
  await before(fleet);
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
  cut(b, false);
  await pass(clock, 2_000);
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
