/**
 * Found by an adversary: who may sign was a matter of what each replica knew. One that had lines alone knew who had joined in
 * them, and took orders of theirs that the others ignored; all acknowledged the place, and a receipt said `enforced`.
 */
import { describe, expect, it } from 'vitest';
import type { SealedEntry } from '../../src/feed/entry.ts';
import { OVER_MS, cut, enforce, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';

const LEASE_MS = 9_000;

async function kill(one: TestReplica): Promise<void> {
  cut(one, true);
  forget(one);
  await one.stop();
}

/** Each command takes a turn of the loop, as a round trip does. */
function slowDown({ store }: TestReplica): void {
  for (const name of ['append', 'roster', 'renew'] as const) {
    const command = store[name].bind(store) as (...args: unknown[]) => unknown;
    Reflect.set(store, name, async (...args: unknown[]) => {
      await new Promise((resolve) => setImmediate(resolve));
      return command(...args);
    });
  }
}

const grantOf = (id: string) =>
  ({
    id,
    kind: 'grant',
    subject: { id: 'billing' },
    action: 'invoice:read',
    resource: { type: 'invoice' },
    caller: 'admin',
    body: 'x',
  }) as const;

/**
 * a hears nothing while b appends some lines, and x joins and takes the order j1, which b may be asked about; x dies, the store
 * loses all that, and a goes on without it. b is cut off.
 */
async function startParted(linesBefore = 0, isAsked = true) {
  const common = { exclusive: false, leaseMs: LEASE_MS };
  const { clock, server, a, b } = await startPair(common);
  await pass(clock, LEASE_MS + 3_000);
  cut(a, true);
  await pass(clock, 100);
  for (let i = 0; i < linesBefore; i++)
    await b.revoker.revoke(orderOf({ targets: [jti(`before${i}`)], wait: 'durable' }));
  const x = await startSettled({ clock, server, name: 'x', seed: 13, bootstrap: false, ...common });
  await pass(clock, 600);
  const { id } = await x.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
  await pass(clock, 300);
  const { sealed } = x.ledger.lines.find((line) => line.sealed.entry.id === id) as { sealed: SealedEntry };
  if (isAsked) await b.revoker.status(id);
  await pass(clock, 100);
  await kill(x);
  cut(b, true);
  server.flush();
  cut(a, false);
  await pass(clock, 3_000);
  expect(isFresh(a)).toBe(true);
  return { clock, server, a, b, id, sealed };
}

const reasonsOf = (replicas: readonly TestReplica[]): Promise<string[]> =>
  Promise.all(replicas.map((one) => reasonOf(one, 'j1')));

const BOTH = ['revoked', 'revoked'];

describe('who joined in lines that the fleet did not go on with', () => {
  it.each([10, 50])(
    'signs nothing until that has come again: who follows its order says it itself (%d lines before)',
    async (linesBefore) => {
      const { clock, a, b, id } = await startParted(linesBefore);
      slowDown(b);
      cut(b, false);
      await pass(clock, 60_000);
      expect(await reasonsOf([a, b])).toEqual(BOTH);
      expect(await b.revoker.status(id)).toMatchObject({ state: 'enforced' });
      expect(b.cursor.tails).toEqual([]);
    },
  );

  it('has signed nothing where somebody else appends its order again', async () => {
    const { clock, server, a, b, sealed } = await startParted(0, false);
    server.forge(a.cursor.epochId as string, sealed);
    await pass(clock, 300);
    expect(await reasonOf(a, 'j1')).toBe('permitted');
    cut(b, false);
    await pass(clock, 3 * LEASE_MS);
    expect(await reasonsOf([a, b])).toEqual(BOTH);
  });
});

describe('who was in a fleet that was given up', () => {
  /** a has enforced j1, and there is a thief who kept its line. All are killed, the store is erased, and c begins anew. */
  async function startGivenUp() {
    const common = { exclusive: false };
    const { clock, server, a, b } = await startPair(common);
    await enforce(a, 'j1');
    await pass(clock, OVER_MS);
    const old = server.lines.map(({ sealed }) => sealed).filter(({ entry }) => entry.kind === 'revocation');
    for (const one of [a, b]) await kill(one);
    server.flush();
    const c = await startSettled({ clock, server, name: 'c', seed: 7, bootstrap: false, ...common });
    await c.replica.openEpoch('new-fleet');
    await pass(clock, OVER_MS);
    const comeBack = (): Promise<TestReplica> =>
      startSettled({ clock, server, ledger: a.ledger, name: 'a', seed: 3, bootstrap: false, ...common });
    return { clock, server, b, c, old, comeBack };
  }

  it('has signed nothing in the new one, for whoever comes back either: what it had ordered is put back', async () => {
    const { clock, server, c, old, comeBack } = await startGivenUp();
    for (const sealed of old) server.forge(c.cursor.epochId as string, sealed);
    await pass(clock, 1_000);
    expect(await reasonOf(c, 'j1')).toBe('permitted');
    const a = await comeBack();
    await pass(clock, 6 * OVER_MS);
    expect(await reasonsOf([a, c])).toEqual(BOTH);
  });

  it('orders nothing there', async () => {
    const { clock, server, b, c, comeBack } = await startGivenUp();
    const a = await comeBack();
    await pass(clock, OVER_MS);
    const facts = { kind: 'revocation', targets: [jti('j9')], caller: 'admin', body: 'x' } as const;
    server.forge(c.cursor.epochId as string, b.appender.seal({ id: 'rev_9', ...facts }));
    await pass(clock, OVER_MS);
    expect([await reasonOf(a, 'j9'), await reasonOf(c, 'j9')]).toEqual(['permitted', 'permitted']);
  });

  it('has an order under way taken up again by whoever comes back, in its own name', async () => {
    const common = { exclusive: false };
    const { clock, server, a, b } = await startPair(common);
    cut(b, true);
    for (let i = 0; i < 5; i++) await a.appender.append(a.appender.seal(grantOf(`ent_${i}`)));
    const { id } = await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 200);
    for (const one of [a, b]) await kill(one);
    server.flush();
    const c = await startSettled({ clock, server, name: 'c', seed: 7, bootstrap: false, ...common });
    await c.replica.openEpoch('new-fleet');
    await pass(clock, OVER_MS);
    const { ledger, receipts } = a;
    const back = makeReplica({
      clock,
      server,
      ledger,
      receipts,
      name: 'a',
      seed: 3,
      bootstrap: false,
      ...common,
    });
    slowDown(back);
    await back.start();
    void back.revoker.resumeUnfinished();
    await pass(clock, 10 * OVER_MS);
    expect(await reasonsOf([back, c])).toEqual(BOTH);
    expect(await back.revoker.status(id)).toMatchObject({ state: 'enforced' });
  });
});
