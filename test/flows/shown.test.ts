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
  enforce,
  isFresh,
  kill,
  startPair,
  within,
} from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { requestOf, tokenOf } from '../support/replica-harness.ts';
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
