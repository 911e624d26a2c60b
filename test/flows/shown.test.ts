/**
 * What a store shows is anybody's copy: a grant that was taken away, out of a history that the fleet has given up, comes back to
 * nobody by it. Only who held a lease of that history puts back what was in it.
 */
import { describe, expect, it } from 'vitest';
import { ORIGIN } from '../../src/feed/position.ts';
import { SHOWN } from '../../src/flows/vouch.ts';
import type { MemoryFeedServer } from '../support/memory-feed-store.ts';
import type { FakeClock } from '../support/fake-time.ts';
import {
  GROWING,
  NOW_S,
  OVER_MS,
  beginAnew,
  enforce,
  isFresh,
  kill,
  startPair,
  within,
} from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { requestOf, tokenOf } from '../support/replica-harness.ts';
import { readinessOf } from '../support/readiness.ts';
import { makeReplica, pass, startSettled } from '../support/replicas.ts';

const GRANTED = { subject: { id: 'billy' }, action: 'granted', resource: { type: 'invoice' } };

/** Whether billy may, who may by that grant alone. */
async function reasonOf({ checker }: TestReplica): Promise<string> {
  const asked = { subject: { type: 'service', id: 'billy' }, action: { name: 'granted' } };
  return (await checker.check(requestOf(tokenOf('billy', 'jx', NOW_S), asked))).reason;
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

describe('a grant that was taken away in a fleet that is given up', () => {
  it('does not come back by a newcomer to whom its snapshot was shown, who says so', async () => {
    const { clock, server, snapshot } = await oldFleet();
    const c = await beginAnew({ clock, server }, GROWING);
    server.writeSnapshot(snapshot);
    const d = makeReplica({ clock, server, name: 'd', seed: 19, bootstrap: false, ...GROWING });
    await d.start();
    await pass(clock, 2 * OVER_MS);
    expect([isFresh(c), isFresh(d)]).toEqual([true, false]);
    expect(readinessOf(d, 'store')).toContain(SHOWN);
    expect(await Promise.all([c, d].map(reasonOf))).toEqual(['policy_denied', 'fenced']);
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
    expect([c, x, d].map(isFresh)).toEqual([true, true, false]);
    expect(readinessOf(d, 'store')).toContain(SHOWN);
    expect(await Promise.all([c, x, d].map(reasonOf))).toEqual(['policy_denied', 'policy_denied', 'fenced']);
    // Nor with the snapshot of the fleet.
    for (let i = 0; i < 12; i++) await enforce(c, `s${i}`);
    await pass(clock, 4 * OVER_MS);
    expect(d.log).toContainEqual(
      expect.objectContaining({
        sentence: 'the snapshot in the store was refused',
        detail: expect.stringContaining(SHOWN) as string,
      }),
    );
    expect([isFresh(d), await reasonOf(c)]).toEqual([false, 'policy_denied']);
  });

  it('does not come back by its own line', async () => {
    const { clock, server, lines } = await oldFleet();
    const c = await beginAnew({ clock, server }, GROWING);
    for (const { sealed } of lines)
      if (sealed.entry.kind === 'grant') server.forge(c.cursor.epochId as string, sealed);
    await pass(clock, OVER_MS);
    expect([isFresh(c), await reasonOf(c)]).toEqual([true, 'policy_denied']);
    expect(c.log.map(({ sentence }) => sentence)).toContain('an entry without a valid signature was ignored');
  });
});
