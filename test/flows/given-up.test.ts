/**
 * Found by a newcomer: everyone was killed, the store was erased, and one who came back with an empty disk was told to begin
 * anew; who came after it with all that had been enforced denied it, alone and for ever, and nobody said so.
 */
import { describe, expect, it } from 'vitest';
import type { OpenRule } from '../../src/flows/join.ts';
import { OVER_MS, cut, enforce, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';

/** a and b have enforced j1 and j2, lifted a lock of j3 and locked j4; then both are killed and the store is erased. */
async function startErased(snapshotEvery?: number) {
  const common = { exclusive: false, ...(snapshotEvery === undefined ? {} : { snapshotEvery }) };
  const { clock, server, a, b } = await startPair(common);
  await enforce(a, 'j1');
  await enforce(b, 'j2');
  const expiresAtMs = clock.now().wallMs + 3_600_000;
  const lock = { kind: 'lock', expiresAtMs, wait: 'durable' } as const;
  const { id } = await a.revoker.revoke(orderOf({ ...lock, targets: [jti('j3')] }));
  await pass(clock, 500);
  const untilS = expiresAtMs / 1_000;
  await a.appender.append(
    a.appender.seal({ id: `ent_${id}`, kind: 'lift', lock: id, untilS, caller: 'admin' }),
  );
  await b.revoker.revoke(orderOf({ ...lock, targets: [jti('j4')] }));
  await pass(clock, OVER_MS);
  const kept = a.ledger.copy();
  for (const one of [a, b]) {
    cut(one, true);
    forget(one);
    await one.stop();
  }
  server.flush();
  return { clock, server, ledger: kept, common };
}

type Erased = Awaited<ReturnType<typeof startErased>>;

async function beginAnew({ clock, server, common }: Erased, rule: OpenRule): Promise<TestReplica> {
  const c = await startSettled({ clock, server, name: 'c', seed: 7, bootstrap: false, ...common });
  await c.replica.openEpoch(rule, rule === 'accept-amnesia' ? 'all is gone' : undefined);
  await pass(clock, OVER_MS);
  expect([isFresh(c), await reasonOf(c, 'j1')]).toEqual([true, 'permitted']);
  return c;
}

const comeBack = (
  { clock, server, common }: Erased,
  ledger: TestReplica['ledger'],
  seed = 1,
): Promise<TestReplica> =>
  startSettled({ clock, server, ledger, name: 'a', seed, bootstrap: false, ...common });

const reasonsOf = (one: TestReplica): Promise<string[]> =>
  Promise.all(['j1', 'j2', 'j3', 'j4'].map((value) => reasonOf(one, value)));

const AS_IT_WAS = ['revoked', 'revoked', 'permitted', 'locked'];

describe('who comes back to a fleet that began anew', () => {
  it.each(['new-fleet', 'accept-amnesia'] as const)('puts all its facts back (%s)', async (rule) => {
    const erased = await startErased();
    const c = await beginAnew(erased, rule);
    const a = await comeBack(erased, erased.ledger);
    await pass(erased.clock, OVER_MS);
    for (const one of [a, c]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonsOf(one)).toEqual(AS_IT_WAS);
      expect(one.cursor.tails).toEqual([]);
    }
    // Nobody is waited for there who was given up.
    expect(c.members.list().map(({ replica }) => replica)).toEqual(['c', 'a']);
    const again = c.view.records({ limit: 10 });
    expect(again.map(({ id }) => c.effects.outcome(id)?.state)).toEqual(again.map(() => undefined));
    await enforce(a, 'j5');
    expect(await reasonOf(c, 'j5')).toBe('revoked');
  });

  it('puts them back though it is restarted before it could, and says so until then', async () => {
    const erased = await startErased();
    const c = await beginAnew(erased, 'new-fleet');
    const { clock, server, ledger, common } = erased;
    const a = makeReplica({ clock, server, ledger, name: 'a', bootstrap: false, ...common });
    let appends = 0;
    a.store.fate = (command) => (command === 'append' && ++appends > 2 ? 'lose-request' : 'deliver');
    await a.start();
    await pass(erased.clock, OVER_MS);
    expect(a.cursor.tails.map(({ missing }) => missing.size)).toEqual([4]);
    forget(a);
    const copy = a.ledger.copy();
    cut(a, true);
    await a.stop();
    const again = makeReplica({
      clock,
      server,
      ledger: copy,
      name: 'a',
      seed: 3,
      bootstrap: false,
      ...common,
    });
    again.store.fate = (command) => (command === 'open' ? 'deliver' : 'lose-request');
    await again.start();
    expect(again.cursor.tails.map(({ missing }) => missing.size)).toEqual([4]);
    cut(again, false);
    await pass(erased.clock, OVER_MS);
    expect(again.cursor.tails).toEqual([]);
    expect(await reasonsOf(c)).toEqual(AS_IT_WAS);
    const once = await comeBack(erased, again.ledger.copy(), 4);
    expect(once.cursor.tails).toEqual([]);
  });

  it('puts them back though what it lacks there has been trimmed', async () => {
    const erased = await startErased(10);
    const c = await beginAnew(erased, 'new-fleet');
    const isTrimmed = (): boolean => (erased.server.lines[0]?.position.sequence ?? 0) > 1;
    for (let i = 0; i < 60 && !isTrimmed(); i++) await enforce(c, `g${i}`, 600);
    expect(isTrimmed()).toBe(true);
    const a = await comeBack(erased, erased.ledger);
    await pass(erased.clock, OVER_MS);
    expect([a, c].map(isFresh)).toEqual([true, true]);
    expect(a.ledger.base).toBeDefined();
    for (const one of [a, c]) expect(await reasonsOf(one)).toEqual(AS_IT_WAS);
  });

  it('says that it cannot put back what it has from a snapshot', async () => {
    const erased = await startErased(10);
    const { clock, server, common } = erased;
    const c = await beginAnew(erased, 'new-fleet');
    await enforce(c, 'j9');
    const first = c.view.records({ limit: 1 })[0]!;
    const isTrimmed = (): boolean => (server.lines[0]?.position.sequence ?? 0) > 1;
    for (let i = 0; i < 60 && !isTrimmed(); i++) await enforce(c, `g${i}`, 600);
    const d = await startSettled({ clock, server, name: 'd', seed: 8, bootstrap: false, ...common });
    await pass(clock, OVER_MS);
    expect(d.ledger.base).toBeDefined();
    for (const one of [c, d]) {
      cut(one, true);
      forget(one);
      await one.stop();
    }
    server.flush();
    const e = await startSettled({ clock, server, name: 'e', seed: 9, bootstrap: false, ...common });
    await e.replica.openEpoch('new-fleet');
    const again = makeReplica({
      clock,
      server,
      ledger: d.ledger,
      name: 'd',
      seed: 10,
      bootstrap: false,
      ...common,
    });
    await again.start();
    await pass(clock, OVER_MS);
    expect(again.cursor.tails.map(({ missing }) => missing.has(first.id))).toEqual([true]);
    expect(again.log.map(({ sentence }) => sentence)).toContain(
      'what came with a snapshot is in force here alone and cannot be appended again: order it anew',
    );
  });

  it('says in receipts what an operator has given up', async () => {
    const erased = await startErased();
    await beginAnew(erased, 'new-fleet');
    const a = await comeBack(erased, erased.ledger);
    await pass(erased.clock, OVER_MS);
    expect(a.cursor.amnesia?.rule).toBe('new-fleet');
  });
});
