/** Ways in which the flows once said more than they knew. */
import { describe, expect, it } from 'vitest';
import type { Verification } from '../../src/credential/credential.ts';
import type { Target } from '../../src/feed/entry.ts';
import { Authoriser } from '../../src/flows/authorise.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass, startReplica as start } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
const jti = (value: string): Target => ({ kind: 'jti', issuer: ISSUER, value });

async function openSession(replica: TestReplica, jtiOf: string): Promise<string> {
  const request = { ...requestOf(tokenOf('billing', jtiOf, NOW_S)), subject: undefined };
  const { id } = await replica.keeper.open({ kind: 'test', selfEnds: false, request });
  return id ?? '';
}

/** A revocation of `j1` that ended partial, because the holder of a session was silent. */
async function partial(replica: TestReplica): Promise<{ id: string; session: string }> {
  const session = await openSession(replica, 'j1');
  const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')] }));
  await settle();
  await pass(replica.clock, 2_500);
  const status = await pending;
  expect(status).toMatchObject({ state: 'partial', hasReceipt: true });
  return { id: status.id, session };
}

describe('a replica whose disk failed half-way', () => {
  it('acknowledges nothing that it did not keep and kill', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const a = await start({ clock, server, exclusive: false });
    const b = await start({ clock, server, name: 'b', exclusive: false });
    await pass(clock, 4_000);
    await openSession(b, 'j1');
    b.ledger.fails = true;
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 1_000 }));
    await settle();
    await pass(clock, 1_100);
    const status = await pending;
    expect(status.replicas.find(({ replica }) => replica === 'b')?.state).toBe('outstanding');
    expect(status).toMatchObject({ state: 'durable', isReached: false });
  });
});

describe('an empty disk', () => {
  it('opens no store by itself that still holds a closed history', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    await (await start({ clock, server })).stop();
    server.restart();
    const b = await start({ clock, server, name: 'b' });
    await pass(clock, 1_000);
    expect(b.cursor.epochId).toBeUndefined();
    expect(b.lease.isFresh(clock.now())).toBe(false);
  });
});

describe('a revocation that was partial first', () => {
  it('shows accepts that come after it was enforced', async () => {
    const replica = await start();
    const { id, session } = await partial(replica);
    replica.keeper.closed(session);
    await settle();
    expect(await replica.revoker.status(id)).toMatchObject({ state: 'enforced', lateAccepts: 0 });
    await settle();
    const handles = replica.fingerprinter.print([{ kind: 'jti', parts: [ISSUER, 'j1'] }]);
    replica.lastAccepts.record(handles, NOW_S, replica.clock.now().wallMs);
    expect(await replica.revoker.status(id)).toMatchObject({ state: 'enforced', lateAccepts: 1 });
  });

  it('is enforced in the next epoch when the store lost the one it was in', async () => {
    const replica = await start();
    const { id, session } = await partial(replica);
    replica.server.restart();
    await pass(replica.clock, 600);
    expect(await replica.revoker.status(id)).toMatchObject({ state: 'durable', isReached: false });
    replica.keeper.closed(session);
    await pass(replica.clock, 200);
    await replica.revoker.status(id);
    await pass(replica.clock, 200);
    const status = await replica.revoker.status(id);
    expect(status).toMatchObject({ state: 'enforced', sessions: { matched: 1, killed: 1 } });
    expect(status.position.epoch).toBe(replica.cursor.position.epoch);
  });

  it('is not called forged because its next receipt could not be entered in the ledger yet', async () => {
    const replica = await start();
    const { id, session } = await partial(replica);
    replica.keeper.closed(session);
    await settle();
    replica.store.next('append', 'lose-request');
    expect(await replica.revoker.status(id)).toMatchObject({ state: 'partial' });
    await replica.revoker.receipt(id);
  });
});

describe('a revocation of an earlier epoch', () => {
  it('that nobody enforced is appended again and enforced in the present one', async () => {
    const first = await start();
    const { clock, server, ledger, receipts } = first;
    await openSession(first, 'j1');
    const { id } = await first.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await settle();
    // It cannot say goodbye: it stays on the roster, and its disk with it.
    server.isReachable = false;
    await first.stop();
    server.isReachable = true;
    server.restart();
    const next = await start({ clock, server, ledger, receipts, seed: 2 });
    await settle();
    await next.revoker.status(id);
    await pass(clock, 1_000);
    const status = await next.revoker.status(id);
    expect(status).toMatchObject({ state: 'enforced' });
    expect(status.position.epoch).toBe(next.cursor.position.epoch);
  });
});

describe('an outcome whose append has an unknown fate', () => {
  it('is repeated as it is: one receipt, one entry', async () => {
    const replica = await start();
    const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    const append = replica.store.append.bind(replica.store);
    let lost = 0;
    replica.store.append = async (epochId, sealed) => {
      if (sealed.entry.kind === 'outcome' && lost++ === 0) replica.store.next('append', 'lose-reply');
      return append(epochId, sealed);
    };
    await settle();
    await pass(replica.clock, 100);
    const { id = '' } = replica.server.lines.at(-2)?.sealed.entry ?? {};
    // The ledger names it already, and this replica does not know that it does.
    const receipt = await replica.revoker.receipt(id);
    await pass(replica.clock, 600);
    expect(await pending).toMatchObject({ id, state: 'enforced' });
    expect(lost).toBe(2);
    expect(await replica.revoker.receipt(id)).toBe(receipt);
    expect(replica.server.lines.filter(({ sealed }) => sealed.entry.kind === 'outcome')).toHaveLength(1);
  });
});

describe('a receipt that was taken from the disk', () => {
  it('is not found, and its revocation is enforced by the word of the ledger alone, which names no receipt', async () => {
    const replica = await start();
    const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    await settle();
    await pass(replica.clock, 200);
    const { id } = await pending;
    replica.receipts.texts.clear();
    await expect(replica.revoker.receipt(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await replica.revoker.status(id)).toMatchObject({ state: 'enforced', hasReceipt: false });
  });
});

describe('a caller whose body came slowly', () => {
  it('commands nothing when it was revoked meanwhile', async () => {
    const { verifier, view, lease, policy, clock, revoker } = await start();
    const scopes = { 'writ:read': 'read' } as const;
    const authoriser = new Authoriser({ adminToken: 'x', verifier, scopes, view, lease, policy, clock });
    const token = `${tokenOf('ops', 'c1', NOW_S)}|writ:read`;
    const caller = await authoriser.authenticate({ scheme: 'Bearer', token });
    authoriser.authorise(caller, { act: 'read' });
    await revoker.revoke(orderOf({ targets: [jti('c1')], wait: 'durable' }));
    await settle();
    expect(() => authoriser.authorise(caller, { act: 'read' })).toThrow(
      expect.objectContaining({ code: 'UNAUTHENTICATED' }) as Error,
    );
  });

  it('commands nothing when its token expired meanwhile, or nobody knows whether it was revoked', async () => {
    const { verifier, view, lease, policy, clock } = await start();
    const ports = { adminToken: 'x', scopes: { 'writ:read': 'read' }, view, lease, policy, clock } as const;
    const expired = { ok: false, reason: 'expired', detail: 'exp' } as const;
    let isOver = false;
    const ending = {
      ...{ verify: verifier.verify.bind(verifier), handleOfToken: verifier.handleOfToken.bind(verifier) },
      reverify: (known: Verification) => (isOver ? expired : known),
    };
    const authoriser = new Authoriser({ ...ports, verifier: ending });
    const token = `${tokenOf('ops', 'c1', NOW_S)}|writ:read`;
    const caller = await authoriser.authenticate({ scheme: 'Bearer', token });
    authoriser.authorise(caller, { act: 'read' });
    isOver = true;
    expect(() => authoriser.authorise(caller, { act: 'read' })).toThrow(/expired/);
    isOver = false;
    lease.drop();
    expect(() => authoriser.authorise(caller, { act: 'read' })).toThrow(/no lease/);
  });
});
