/** That the tally of a kill is kept for as long as somebody may ask for it, and no longer. */
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass, startReplica } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;

describe('a replica that was away', () => {
  it('answers for the sessions of revocations that were enforced without it until they ended, and then for nothing', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const here = await startReplica({ clock, server, name: 'a', exclusive: false });
    const away = await startReplica({ clock, server, name: 'b', exclusive: false });
    await pass(clock, 5_000);
    for (let i = 0; i < 5; i++) {
      const request = { ...requestOf(tokenOf('billing', `j${i}`, NOW_S)), subject: undefined };
      await away.keeper.open({ kind: 'sse', selfEnds: false, request });
    }
    expect(away.sessions.size).toBe(5);
    away.store.fate = () => 'lose-request';
    const orders = Array.from({ length: 5 }, (_, i) => {
      const targets = [{ kind: 'jti', issuer: ISSUER, value: `j${i}` }] as const;
      return here.revoker.revoke(orderOf({ targets, waitMs: 10_000 }));
    });
    await pass(clock, 8_000);
    await Promise.all(orders);
    away.store.fate = () => 'deliver';
    await pass(clock, 5_000);
    expect(away.sessions.claims()).toHaveLength(5);
    for (const { ref } of away.sessions.list(9)) away.sessions.end(ref);
    await pass(clock, 5_000);
    expect(away.sessions.claims()).toEqual([]);
    expect(away.effects.outcomes(clock.now())).toEqual([]);
  });
});
