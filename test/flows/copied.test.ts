/** Who speaks for whose sessions: never a process on a copy of a data directory, and never by a clock (D-152). */
import { describe, expect, it } from 'vitest';
import type { Snapshot } from '../../src/feed/feed-store.ts';
import { ORIGIN } from '../../src/feed/position.ts';
import { clockBehind } from '../support/fake-time.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { MemoryLedger, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { readinessOf } from '../support/readiness.ts';
import { makeReplica, pass } from '../support/replicas.ts';
import { NOW_S, OVER_MS, cut, enforce, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';

const FLEET = { exclusive: false, bootstrap: false } as const;

const openSession = (by: TestReplica) =>
  by.keeper.open({ kind: 'k', selfEnds: false, request: requestOf(tokenOf('billing', 'j1', NOW_S)) });

/** The run after `b`, on its data directory, with a clock that is behind. */
function startBehind({ clock, server, identity, ledger }: TestReplica): Promise<TestReplica> {
  const at = { clock: clockBehind(clock, 60_000), server, name: identity.replica, ledger };
  return makeReplica({ ...at, seed: 12, ...FLEET }).start();
}

/** A process on a copy of the data directory as it was before `meanwhile`. */
async function startCopy(
  { clock, server, identity, ledger, records }: TestReplica,
  {
    meanwhile = () => Promise.resolve(),
    seed = 12,
  }: { meanwhile?: () => Promise<unknown>; seed?: number } = {},
): Promise<TestReplica> {
  const copy = ledger.copy();
  const next = makeReplica({ clock, server, name: identity.replica, ledger: copy, seed, ...FLEET });
  next.records.push(...records);
  for (const record of records) next.sessions.restore(record, clock.now().monoMs, clock.now());
  await meanwhile();
  return next.start();
}

it('copies a data directory whole: what its ledger begins with, what is forged in it, and what was cut', async () => {
  const { a } = await startPair();
  await enforce(a, 'j1');
  const ledger = new MemoryLedger();
  const { lines } = a.ledger;
  const snapshot: Snapshot = { epochId: '', position: ORIGIN, digest: '', entry: '', chunks: [] };
  await ledger.begin(snapshot);
  await ledger.keep(lines, lines.slice(1, 2));
  ledger.cutNow(lines.at(-2)!);
  const copy = ledger.copy();
  expect(await copy.snapshot()).toBe(snapshot);
  expect(copy.lines.map((line) => copy.isForged(line)).indexOf(true)).toBe(1);
  expect([copy.lines, copy.beside]).toEqual([lines.slice(0, -1), lines.slice(-1)]);
});

describe('a process on a copy of a data directory', () => {
  it('has the lease from then on, and the other none, until that one is started again', async () => {
    const { clock, server, b } = await startPair();
    const copy = await startCopy(b);
    await pass(clock, 1_000);
    expect([b, copy].map(isFresh)).toEqual([false, true]);
    expect(readinessOf(b, 'store')).toContain('give each a directory of its own');
    await expect(b.revoker.revoke(orderOf({ targets: [jti('j1')] }))).rejects.toMatchObject({
      code: 'FENCED',
    });
    const next = await makeReplica({
      clock,
      server,
      name: 'b',
      ledger: b.ledger,
      seed: 13,
      ...FLEET,
    }).start();
    await pass(clock, 1_000);
    expect([next, copy].map(isFresh)).toEqual([true, false]);
  });

  it('has it also before another on a copy of the same, that joined earlier', async () => {
    const { clock, b } = await startPair();
    cut(b, true);
    const copies = [await startCopy(b), await startCopy(b, { seed: 13 })];
    await pass(clock, 1_000);
    expect(copies.map(isFresh)).toEqual([false, true]);
  });

  it.each([
    ['that speaks for no session which was let in after it was copied', false],
    ['whose goodbye does not, either', true],
  ])('is one %s', async (_, isLeft) => {
    const { clock, a, b } = await startPair();
    const copy = await startCopy(b, { meanwhile: () => openSession(b) });
    await pass(clock, 300);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 60_000 }));
    await pass(clock, 300);
    cut(b, true);
    if (isLeft) await copy.stop();
    await pass(clock, 30_000);
    expect(b.sessions.size).toBe(1);
    expect(await pending).toMatchObject({ state: 'partial', sessions: { matched: 1 } });
  });

  it.each([
    ['its name', 'b'],
    ['another name', 'x'],
  ])(
    'under %s reports for itself alone: the roster waits for the one it was copied from',
    async (_, name) => {
      const { clock, server, a, b } = await startPair();
      const { length } = server.lines;
      const ledger = b.ledger.copy();
      cut(a, true);
      await enforce(b, 'j1', 8_000);
      const image = makeReplica({ clock, server, name, ledger, seed: 12, ...FLEET });
      Object.assign(image.identity, { key: b.identity.key });
      await image.start();
      await pass(clock, 300);
      for (const one of [b, image]) cut(one, true);
      // A copy of the store that is older takes over, and the one on the directory itself does not come back.
      server.restart(length);
      await pass(clock, OVER_MS);
      for (const one of [a, image]) cut(one, false);
      await pass(clock, 10_000);
      expect(await reasonOf(a, 'j1')).not.toBe('permitted');
    },
  );

  it('lets in sessions that a process on the directory itself, which is started again, does not speak for', async () => {
    const { clock, server, a, b } = await startPair();
    const copy = await startCopy(b);
    await pass(clock, 4_000);
    await openSession(copy);
    for (const one of [b, copy]) cut(one, true);
    await makeReplica({ clock, server, name: 'b', ledger: b.ledger, seed: 22, ...FLEET }).start();
    await pass(clock, 8_000);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 60_000 }));
    await pass(clock, 10_000);
    expect(copy.sessions.size).toBe(1);
    expect((await pending).notCovered.join()).toContain('which is gone');
  });

  it('leaves the caveat for sessions that were let in after it was copied, where nobody has told of them', async () => {
    const { clock, a, b } = await startPair();
    await startCopy(b, { meanwhile: () => openSession(b) });
    await pass(clock, 1_000);
    cut(b, true);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 60_000 }));
    await pass(clock, 30_000);
    expect((await pending).notCovered.join()).toContain('which is gone');
  });
});

describe('a goodbye', () => {
  it('of a run whose clock was ahead does not speak for the run after it', async () => {
    const { clock, a, b } = await startPair();
    await b.stop();
    await pass(clock, 1_000);
    const next = await startBehind(b);
    await pass(clock, 4_000);
    await openSession(next);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await pass(clock, 30_000);
    expect(next.sessions.size).toBe(1);
    expect(await pending).toMatchObject({ state: 'partial', sessions: { matched: 1 } });
  });

  it('of nobody: who was forgotten leaves its caveat, though its clock was behind that of the run before', async () => {
    const { clock, a, b } = await startPair();
    cut(b, true);
    await pass(clock, 500);
    const next = await startBehind(b);
    await pass(clock, 8_000);
    await openSession(next);
    cut(next, true);
    await pass(clock, 8_000);
    await a.forgetter.forget({ replica: 'b', reason: undefined, caller: 'admin' });
    await pass(clock, 8_000);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await pass(clock, 10_000);
    expect(next.sessions.size).toBe(1);
    expect((await pending).notCovered.join()).toContain('which is gone');
  });
});

describe('a word', () => {
  it('of a run that has lost sessions with its machine takes back nothing that was acknowledged of them', async () => {
    const { clock, server, a, b } = await startPair();
    await openSession(b);
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 60_000 }));
    await pass(clock, 600);
    expect(a.table.row('inc_b2')?.acknowledgement?.outcomes).toMatchObject([{ matched: 1, pending: 1 }]);
    cut(b, true);
    // Its ledger was fsynced; the last page of its session file was not.
    await makeReplica({ clock, server, name: 'b', ledger: b.ledger, seed: 12, ...FLEET }).start();
    await pass(clock, 30_000);
    expect(await pending).toMatchObject({ state: 'partial', sessions: { matched: 1, unconfirmed: 1 } });
  });

  it('of a run that comes after one counts what had ended there, also where nobody had heard of it yet', async () => {
    const { clock, server, a, b } = await startPair();
    const [first, second] = [await openSession(b), await openSession(b)];
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 60_000 }));
    await pass(clock, 1_000);
    // Its holder confirms, and it is killed before its next renewal.
    cut(b, true);
    b.keeper.closed(first.id as string);
    const left = b.records.filter(({ ref }) => b.sessions.lookup(ref) !== undefined);
    const next = makeReplica({ clock, server, name: 'b', ledger: b.ledger, seed: 12, ...FLEET });
    next.records.push(...left);
    for (const record of left) next.sessions.restore(record, clock.now().monoMs, clock.now());
    for (const [claim, killed] of b.proven) next.sessions.restoreCounts(claim, { killed, lost: 0 });
    await next.start();
    await pass(clock, 1_000);
    next.keeper.closed(second.id as string);
    await pass(clock, 30_000);
    expect(await pending).toMatchObject({ state: 'enforced', sessions: { matched: 2, killed: 2 } });
  });
});
