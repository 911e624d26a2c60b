/** A replica that has acknowledged a revocation, and is gone before its sessions are confirmed dead. */
import { describe, expect, it } from 'vitest';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { keyringOf } from '../../src/evidence/keyring.ts';
import { orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass } from '../support/replicas.ts';
import { NOW_S, cut, jti, startPair } from '../support/memory-fleet.ts';

async function goneWithSession(selfEnds: boolean) {
  const { clock, a, b } = await startPair();
  const request = requestOf(tokenOf('billing', 'j1', NOW_S));
  await b.keeper.open({ kind: 'k', selfEnds, request });
  const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
  await pass(clock, 300);
  cut(b, true);
  await pass(clock, 3_300);
  return { a, pending };
}

describe('a session of a replica that is gone since it acknowledged', () => {
  it('was over with its lease where its holder had promised so: enforced, not later than the bound', async () => {
    const { a, pending } = await goneWithSession(true);
    const status = await pending;
    expect(status).toMatchObject({
      state: 'enforced',
      sessions: { matched: 1, killed: 1, pending: 0, unconfirmed: 0 },
    });
    expect(status.enforcedAtMs! - status.appendedAtMs).toBeLessThanOrEqual(status.boundMs);
    const receipt = verifyReceipt(await a.revoker.receipt(status.id), keyringOf('test', a.logKey.public));
    const [, b] = receipt.replicas;
    expect(b).toMatchObject({ replica: 'b', state: 'acknowledged', at: expect.any(String) as string });
    expect(b).toHaveProperty('notLaterThan');
  });

  it('is unconfirmed where nobody had: partial, and never more on the word of a clock', async () => {
    const { a, pending } = await goneWithSession(false);
    expect(await pending).toMatchObject({ state: 'partial', sessions: { matched: 1, unconfirmed: 1 } });
    await pass(a.clock, 10_000);
    const again = await a.revoker.status((await pending).id, 'durable');
    expect(again).toMatchObject({ state: 'partial', closure: 'PARTIAL' });
  });
});

describe('a replica that leaves', () => {
  it('says so only once its holders have ended by themselves, so that nothing is enforced before', async () => {
    const { clock, a, b } = await startPair();
    await b.keeper.open({ kind: 'k', selfEnds: true, request: requestOf(tokenOf('billing', 'j1', NOW_S)) });
    const { wallMs } = clock.now();
    const freshForMs = b.lease.freshForMs(clock.now());
    const leaving = b.replica.stop();
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    const left = () => a.members.lookup(b.identity.incarnation)?.state === 'left';
    await pass(clock, freshForMs - 100);
    expect(left()).toBe(false);
    await pass(clock, 4_000);
    await leaving;
    expect(left()).toBe(true);
    expect((await pending).enforcedAtMs).toBeGreaterThan(wallMs + freshForMs);
  });
});
