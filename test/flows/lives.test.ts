/** Replicas that take credentials of different lives: a rolling change of `credentialLifeMax`. */
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, enforce, isFresh } from '../support/memory-fleet.ts';
import { readinessOf } from '../support/readiness.ts';
import type { TestReplicaOptions } from '../support/replica-harness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';
import { statementOf } from '../support/scene.ts';

const HOUR_MS = 3_600_000;
const TOLD =
  'credentialLifeMax is 7200s here, and the fleet keeps revocations for credentials of 3600s at most';

/** `a` has opened the epoch. */
async function startOne(options: Partial<TestReplicaOptions> = {}) {
  const fleet = { clock: new FakeClock(), server: new MemoryFeedServer(), exclusive: false };
  const a = await startSettled({ ...fleet, name: 'a', credentialLifeMaxMs: HOUR_MS, ...options });
  await pass(fleet.clock, OVER_MS);
  return { ...fleet, a };
}

const epochsOf = ({ lines }: MemoryFeedServer) =>
  lines.flatMap(({ sealed: { entry } }) =>
    entry.kind === 'epoch' ? [[entry.rule, entry.credentialLifeMaxMs]] : [],
  );

describe('a replica that takes credentials for longer than the fleet keeps revocations', () => {
  it('holds no lease, says why, and holds nobody up', async () => {
    const { a, ...fleet } = await startOne();
    const b = await startSettled({ ...fleet, name: 'b', bootstrap: false, credentialLifeMaxMs: 2 * HOUR_MS });
    await pass(fleet.clock, OVER_MS);
    expect([isFresh(a), isFresh(b)]).toEqual([true, false]);
    expect(readinessOf(b, 'store')).toContain(TOLD);
    expect(b.log).toContainEqual({
      level: 'error',
      sentence: 'this replica is given no lease',
      detail: expect.stringContaining(TOLD) as unknown,
    });
    await enforce(a, 'j1');
  });

  it('opens an epoch in which they are kept for longer on the word of an operator, and receipts say so', async () => {
    const { a, ...fleet } = await startOne();
    const b = await startSettled({ ...fleet, name: 'b', bootstrap: false, credentialLifeMaxMs: 2 * HOUR_MS });
    await pass(fleet.clock, OVER_MS);
    await b.replica.openEpoch('accept-amnesia', 'credentialLifeMax is 2h', 'admin');
    await pass(fleet.clock, OVER_MS);
    expect([isFresh(a), isFresh(b)]).toEqual([true, true]);
    expect(epochsOf(fleet.server).at(-1)).toEqual(['accept-amnesia', 2 * HOUR_MS]);
    expect(a.cursor.credentialLifeMaxMs(HOUR_MS)).toBe(2 * HOUR_MS);
    await enforce(a, 'j1');
    expect(statementOf([...a.receipts.texts.values()].at(-1) as string)['weakened']).toEqual([
      expect.stringContaining('credentialLifeMax is 2h'),
    ]);
  });
});

it('revocations are kept for as long as before in the epochs that a replica with a shorter life opens', async () => {
  const { a, ...fleet } = await startOne();
  const b = await startSettled({ ...fleet, name: 'b', bootstrap: false, credentialLifeMaxMs: 60_000 });
  await pass(fleet.clock, OVER_MS);
  expect(isFresh(b)).toBe(true);
  cut(a, true);
  fleet.server.flush();
  await pass(fleet.clock, OVER_MS);
  expect(epochsOf(fleet.server).at(-1)).toEqual(['witness', HOUR_MS]);
  await b.replica.stop();
  forget(b);
  cut(a, false);
  await pass(fleet.clock, OVER_MS);
  expect(isFresh(a)).toBe(true);
});

it('a replica that was let in before, and takes credentials for longer now, opens an epoch of all of them for no longer', async () => {
  const { a, clock, server, exclusive } = await startOne();
  forget(a);
  cut(a, true);
  await a.stop();
  // It was killed, and left nothing.
  await a.ledger.held.keep(a.cursor.epochId as string, false);
  server.flush();
  const again = { clock, server, exclusive, name: 'a', seed: 2, ledger: a.ledger };
  const raised = await startSettled({ ...again, credentialLifeMaxMs: 2 * HOUR_MS });
  await pass(clock, OVER_MS);
  expect(epochsOf(server).at(-1)).toEqual(['roster', HOUR_MS]);
  expect(isFresh(raised)).toBe(false);
  expect(readinessOf(raised, 'store')).toContain(TOLD);
});
