/** What only one replica has: it is appended again to the epoch that is asked for, and what a thief put in its place is not it. */
import { describe, expect, it } from 'vitest';
import { Carrier } from '../../src/flows/carry.ts';
import { settle } from '../support/fake-time.ts';
import { OVER_MS, cut, isFresh, reasonOf, startPairThatParts } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { pass } from '../support/replicas.ts';

/** b has j1, which the epoch that a opened goes on without; b has joined that, and appended nothing else. */
async function startWithTail() {
  const fleet = await startPairThatParts();
  const { clock, a, b } = fleet;
  let appends = 0;
  b.store.fate = (command) => (command === 'append' && ++appends > 1 ? 'lose-request' : 'deliver');
  await pass(clock, 2_000);
  expect(b.cursor.tails).toHaveLength(1);
  const fact = b.ledger.lines.find(({ sealed }) => sealed.text.includes('"j1"'))!.sealed;
  return { ...fleet, fact, epochId: a.cursor.epochId as string };
}

const carrierOf = (one: TestReplica, appender: unknown = one.appender): Carrier => {
  const { identity, cursor, members, ledger, view, grants } = one;
  const log = { warn: () => undefined, error: () => undefined };
  return new Carrier({ identity, cursor, members, ledger, view, grants, appender, log } as never);
};

describe('a tail', () => {
  it('is carried into the epoch that is asked for, though it is being carried into one that is over', async () => {
    const { b } = await startWithTail();
    const asked: string[] = [];
    const held = Promise.withResolvers<void>();
    const carrier = carrierOf(b, {
      sealAgain: (said: never) => b.appender.sealAgain(said),
      appendUnfenced: async (epochId: string) => {
        asked.push(epochId);
        if (epochId === 'ep_old') await held.promise;
      },
    });
    const first = carrier.carry('ep_old');
    await settle();
    const others = [carrier.carry('ep_new'), carrier.carry('ep_new')];
    await settle();
    expect(asked).toEqual(['ep_old']);
    held.reject(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    await Promise.all(others);
    expect(asked).toEqual(['ep_old', 'ep_new']);
  });

  it('that somebody else has appended is not appended twice', async () => {
    const { server, b, fact, epochId } = await startWithTail();
    server.append(epochId, fact);
    const { length } = server.lines;
    cut(b, false);
    await carrierOf(b).carry(epochId);
    expect(server.lines).toHaveLength(length);
  });

  it('is carried though a thief has appended something else under its id', async () => {
    const { clock, server, a, b, fact, epochId } = await startWithTail();
    const sig = 'A'.repeat(86);
    const text = fact.text.replace(/"sig":"[^"]*"/, `"sig":"${sig}"`);
    server.forge(epochId, { text, entry: { ...fact.entry, sig } });
    await pass(clock, OVER_MS);
    expect([await reasonOf(a, 'j1'), b.cursor.tails.length]).toEqual(['permitted', 1]);
    cut(b, false);
    await pass(clock, OVER_MS);
    expect([a, b].map(isFresh)).toEqual([true, true]);
    expect([await reasonOf(a, 'j1'), b.cursor.tails.length]).toEqual(['revoked', 0]);
  });
});
