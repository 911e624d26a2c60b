/**
 * What a replica holds from a snapshot, without its entries, once the fleet has begun anew without it: all of it is put back
 * but revocations, of which a snapshot has no targets; and the last ledger that has those is not exchanged for another.
 */
import { describe, expect, it } from 'vitest';
import type { GrantFacts } from '../../src/flows/grant.ts';
import {
  NOW_S,
  OVER_MS,
  beginAnew,
  enforce,
  grow,
  isFresh,
  jti,
  kill,
  reasonOf,
  startPair,
  within,
} from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass, startSettled } from '../support/replicas.ts';

const common = { exclusive: false, snapshotEvery: 10 } as const;

const factsOf = (id: string): GrantFacts => ({
  subject: { id },
  action: 'granted',
  resource: { type: 'invoice' },
});

const isGranted = async ({ checker }: TestReplica, id: string): Promise<boolean> => {
  const asked = { subject: { type: 'service', id }, action: { name: 'granted' } };
  return (await checker.check(requestOf(tokenOf(id, 'j0', NOW_S), asked))).effect === 'allow';
};

const order = orderOf({ targets: [jti('j1')], idempotencyKey: 'k1', waitMs: 10_000 });

/** d holds from a snapshot: j1 revoked, j2 locked, j3 locked no more; `has` granted, and `had` no more, which a thief has said again since. */
async function startErased() {
  const { clock, server, a, b } = await startPair(common);
  const { id } = await within(clock, a.revoker.revoke(order), 5_000);
  const locked = (value: string) =>
    a.revoker.revoke(
      orderOf({ targets: [jti(value)], expiresAtMs: clock.now().wallMs + 3_600_000, wait: 'durable' }),
    );
  await within(clock, locked('j2'));
  const lock = await within(clock, locked('j3'));
  await within(clock, a.lifter.lift(lock.id, 'admin'));
  const grantTo = (subject: string) => {
    const facts = factsOf(subject);
    return within(
      clock,
      a.granter.grant({ facts, request: facts, caller: 'admin', idempotencyKey: undefined }),
    );
  };
  await grantTo('has');
  const had = await grantTo('had');
  await within(clock, a.granter.ungrant(had.id, 'admin'));
  const said = server.lines.find(({ sealed }) => sealed.entry.id === had.id)!.sealed;
  await grow(a);
  const d = await startSettled({ clock, server, name: 'd', seed: 8, bootstrap: false, ...common });
  await pass(clock, OVER_MS);
  server.forge(d.cursor.epochId as string, said);
  await pass(clock, OVER_MS);
  expect(d.ledger.base).toBeDefined();
  expect(d.ledger.lines.some(({ sealed }) => sealed.entry.id === had.id)).toBe(true);
  for (const one of [a, b, d]) await kill(one);
  return { clock, server, ledger: d.ledger, id };
}

type Erased = Awaited<ReturnType<typeof startErased>>;

async function comeBack({ clock, server, ledger }: Erased, seed = 10): Promise<TestReplica> {
  const d = await startSettled({ clock, server, ledger, name: 'd', seed, bootstrap: false, ...common });
  await pass(clock, OVER_MS);
  return d;
}

const heldBy = (one: TestReplica): Promise<unknown[]> =>
  Promise.all([
    ...['j1', 'j2', 'j3'].map((value) => reasonOf(one, value)),
    ...['has', 'had'].map((subject) => isGranted(one, subject)),
  ]);

const ALONE =
  'revocations that came with a snapshot are in force here alone and cannot be appended again: order them anew';

describe('an order that was given up', () => {
  it('reaches the sessions that it is known to reach, or that a snapshot says', async () => {
    const { effects } = await startSettled();
    const dead = Uint32Array.of(1, 2, 3);
    effects.giveUp(['rev_1']);
    effects.restore('rev_1', dead);
    effects.giveUp(['rev_1']);
    expect(effects.unfinishedDead().get('rev_1')).toEqual(dead);
  });

  it('where it was only doubted, is enforced again up to where the fleet is found to have gone on', async () => {
    const { effects } = await startSettled();
    const orders = ['rev_1', 'rev_2'];
    for (const [i, revocation] of orders.entries())
      effects.restoreOutcome({
        ...{ id: `ent_${i}`, kind: 'outcome', at: '2026-12-01T00:00:00.000Z', state: 'enforced' },
        ...{ revocation, position: `1-${i + 1}`, matched: 0, killed: 0, unconfirmed: 0, receipt: '' },
      });
    const said = (): unknown[] => orders.map((id) => [effects.outcome(id)?.state, effects.isUnfinished(id)]);
    for (let i = 0; i < 2; i++) effects.doubt(orders);
    expect([said(), effects.givenUp]).toEqual([
      [
        [undefined, true],
        [undefined, true],
      ],
      1,
    ]);
    effects.lose({ epoch: 1, sequence: 1 });
    expect(said()).toEqual([
      ['enforced', false],
      [undefined, true],
    ]);
  });
});

describe('what came with a snapshot', () => {
  it('is put back, and nothing of it that is over or permits, but revocations: those are said to be in force there alone', async () => {
    const erased = await startErased();
    const c = await beginAnew(erased, common);
    const d = await comeBack(erased);
    expect([c, d].map(isFresh)).toEqual([true, true]);
    expect(await heldBy(c)).toEqual(['permitted', 'locked', 'permitted', false, false]);
    expect(await heldBy(d)).toEqual(['revoked', 'locked', 'permitted', false, false]);
    expect(d.cursor.tails.map(({ missing }) => missing.has(erased.id))).toEqual([true]);
    const { view } = d;
    const count = view.records({ limit: 100 }).filter(({ id }) => d.cursor.isGivenUp(id)).length;
    expect(d.log.filter(({ sentence }) => sentence === ALONE)).toMatchObject([{ level: 'error', count }]);
  });

  it('has no state in the new fleet, and is appended by who orders it again under its key', async () => {
    const erased = await startErased();
    const c = await beginAnew(erased, common);
    const d = await comeBack(erased);
    await expect(d.revoker.status(erased.id)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'it is in force here alone, from a snapshot: order it again',
    });
    const other = { ...order, request: { targets: 'others' } };
    await expect(d.revoker.revoke(other)).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
    const said = d.revoker.revoke(order).catch((error: unknown) => error);
    expect(await within(erased.clock, said, 5_000)).toMatchObject({ id: erased.id, state: 'enforced' });
    expect([await reasonOf(c, 'j1'), d.cursor.isGivenUp(erased.id)]).toEqual(['revoked', false]);
  });

  it('is not let go for a snapshot that lacks it, until that has it', async () => {
    const erased = await startErased();
    const { clock } = erased;
    const c = await beginAnew(erased, common);
    await grow(c);
    const d = await comeBack(erased);
    expect([isFresh(c), isFresh(d), d.renewer.state]).toEqual([true, false, 'trimmed']);
    // Nor is it called enforced meanwhile, of which the fleet knows nothing.
    expect(d.effects.outcome(erased.id)).toBeUndefined();
    expect(d.loader.refusal).toMatch(/it lacks \d+ revocations that came here with another snapshot/);
    expect([await reasonOf(c, 'j2'), await isGranted(c, 'had')]).toEqual(['locked', false]);
    await kill(d);
    const { lines } = erased.server;
    const before = lines.length;
    const again = await comeBack(erased, 11);
    await pass(clock, 40_000);
    expect(again.view.record(erased.id)).toBeDefined();
    // Once is enough for what it could append.
    expect(lines.length - before).toBeLessThan(20);
    // Under their keys they are the same orders.
    for (const { id, caller, body } of again.view.records({ limit: 100 })) {
      const said = { id, kind: 'revocation', targets: [jti('j1')], caller, body } as const;
      if (c.view.record(id) === undefined) await c.appender.append(c.appender.seal(said));
    }
    for (let i = 0; i < 12; i++) await enforce(c, `h${i}`, 1_000);
    await pass(clock, 20_000);
    expect([isFresh(again), again.renewer.state]).toEqual([true, 'lease']);
    expect([await reasonOf(again, 'j1'), await reasonOf(c, 'j1')]).toEqual(['revoked', 'revoked']);
  });
});
