/**
 * Found by a newcomer: everyone was killed, the store was erased, and one who came back with an empty disk was told to begin
 * anew; who came after it with all that had been enforced denied it, alone and for ever, and nobody said so.
 */
import { describe, expect, it } from 'vitest';
import { TAIL_MAX } from '../../src/feed/cursor.ts';
import { renderPosition } from '../../src/feed/position.ts';
import {
  GROWING,
  OVER_MS,
  beginAnew,
  cut,
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
import { orderOf } from '../support/replica-harness.ts';
import { makeReplica, pass, startSettled } from '../support/replicas.ts';

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
  for (const one of [a, b]) await kill(one);
  return { clock, server, ledger: kept, receipts: a.receipts, common };
}

type Erased = Awaited<ReturnType<typeof startErased>>;

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
    const c = await beginAnew(erased, erased.common, rule);
    expect(await reasonOf(c, 'j1')).toBe('permitted');
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
    const c = await beginAnew(erased);
    const { clock, server, ledger, common } = erased;
    const a = makeReplica({ clock, server, ledger, name: 'a', bootstrap: false, ...common });
    let appends = 0;
    a.store.fate = (command) => (command === 'append' && ++appends > 2 ? 'lose-request' : 'deliver');
    await a.start();
    await pass(erased.clock, OVER_MS);
    expect(a.cursor.tails.map(({ missing }) => missing.size)).toEqual([2]);
    const copy = a.ledger.copy();
    await kill(a);
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
    expect(again.cursor.tails.map(({ missing }) => missing.size)).toEqual([2]);
    cut(again, false);
    await pass(erased.clock, OVER_MS);
    expect(again.cursor.tails).toEqual([]);
    expect(await reasonsOf(c)).toEqual(AS_IT_WAS);
    const once = await comeBack(erased, again.ledger.copy(), 4);
    expect(once.cursor.tails).toEqual([]);
  });

  it('puts them back though what it lacks there has been trimmed', async () => {
    const erased = await startErased(10);
    const c = await beginAnew(erased, erased.common);
    await grow(c);
    const a = await comeBack(erased, erased.ledger);
    await pass(erased.clock, OVER_MS);
    expect([a, c].map(isFresh)).toEqual([true, true]);
    expect(a.ledger.base).toBeDefined();
    for (const one of [a, c]) expect(await reasonsOf(one)).toEqual(AS_IT_WAS);
  });

  it('holds the same as those who began anew: their snapshots are confirmed by all, and the feed is trimmed', async () => {
    const erased = await startErased(10);
    const c = await beginAnew(erased, erased.common);
    const a = await comeBack(erased, erased.ledger);
    await pass(erased.clock, OVER_MS);
    const before = erased.server.lines[0];
    await grow(c);
    await pass(erased.clock, 2 * OVER_MS);
    const said = [a, c].flatMap(({ log }) => log.map(({ sentence }) => sentence));
    expect(said.filter((sentence) => sentence.includes('nothing will be trimmed'))).toEqual([]);
    expect(erased.server.lines[0]).not.toBe(before);
  });

  it('says in receipts what an operator has given up', async () => {
    const erased = await startErased();
    await beginAnew(erased);
    const a = await comeBack(erased, erased.ledger);
    await pass(erased.clock, OVER_MS);
    expect(a.cursor.amnesia?.rule).toBe('new-fleet');
  });
});

describe('an order that was enforced in what was given up', () => {
  /** a comes back and follows the new epoch, in which it can append nothing yet but who it is. */
  async function startLacking() {
    const erased = await startErased();
    const { clock, server, ledger, receipts, common } = erased;
    const c = await beginAnew(erased);
    const a = makeReplica({ ...{ clock, server, ledger, receipts }, name: 'a', bootstrap: false, ...common });
    let appends = 0;
    a.store.fate = (command) => (command === 'append' && ++appends > 1 ? 'lose-request' : 'deliver');
    await a.start();
    await pass(clock, OVER_MS);
    // Of j1: its receipt is on the disk of a.
    const [id = ''] = receipts.texts.keys();
    return { clock, a, c, id };
  }

  it('is called enforced again, and has a receipt, once it is proven in the new epoch', async () => {
    const { clock, a, c, id } = await startLacking();
    expect([isFresh(a), await reasonOf(a, 'j1'), await reasonOf(c, 'j1')]).toEqual([
      true,
      'revoked',
      'permitted',
    ]);
    expect(await within(clock, a.revoker.status(id))).toMatchObject({ state: 'accepted', hasReceipt: false });
    await expect(a.revoker.receipt(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const [before] = a.receipts.texts.values();
    cut(a, false);
    await pass(clock, OVER_MS);
    expect(await reasonOf(c, 'j1')).toBe('revoked');
    expect(await a.revoker.status(id)).toMatchObject({ state: 'enforced', hasReceipt: true });
    expect(await a.revoker.receipt(id)).not.toBe(before);
    expect(await c.revoker.status(id)).toMatchObject({ state: 'enforced', receiptOn: 'a' });
  });

  it('is not enforced by what somebody says of its place of before', async () => {
    const { clock, a, c, id } = await startLacking();
    const { sealed } = a.ledger.lines.find(
      ({ sealed: { entry } }) => entry.kind === 'outcome' && entry.revocation === id,
    )!;
    await c.appender.append(c.appender.sealAgain(sealed.entry));
    await pass(clock, 1_000);
    expect(await within(clock, a.revoker.status(id))).toMatchObject({ state: 'accepted', hasReceipt: false });
    // Nor where the order is not, nor once it has come there.
    expect(c.effects.outcome(id)).toBeUndefined();
    cut(a, false);
    await pass(clock, OVER_MS);
    const { position } = c.view.record(id)!;
    expect(c.effects.outcome(id)).toMatchObject({ state: 'enforced', position: renderPosition(position) });
  });

  it('is proven anew where the next epoch goes on from less than it by the word of an operator', async () => {
    const { clock, server, a, b } = await startPair();
    const c = await startSettled({ clock, server, name: 'c', seed: 7, bootstrap: false, exclusive: false });
    await pass(clock, OVER_MS);
    cut(c, true);
    await pass(clock, 2 * OVER_MS);
    await enforce(a, 'j1', 9_000);
    const [id = ''] = a.receipts.texts.keys();
    cut(a, true);
    await kill(b);
    server.flush();
    cut(c, false);
    await pass(clock, OVER_MS);
    await c.replica.openEpoch('accept-amnesia', 'all is gone');
    await pass(clock, OVER_MS);
    expect([isFresh(c), await reasonOf(c, 'j1')]).toEqual([true, 'permitted']);
    let appends = 0;
    a.store.fate = (command) => (command === 'append' && ++appends > 1 ? 'lose-request' : 'deliver');
    await pass(clock, OVER_MS);
    expect(isFresh(a)).toBe(true);
    expect((await within(clock, a.revoker.status(id))).state).not.toBe('enforced');
    await expect(a.revoker.receipt(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    cut(a, false);
    await pass(clock, 2 * OVER_MS);
    expect(await reasonOf(c, 'j1')).toBe('revoked');
    const { weakened } = await within(clock, a.revoker.status(id), OVER_MS);
    expect(weakened.join()).toContain('accept');
  });

  it('is not called so by who finds that the fleet went on with another history', async () => {
    const common = { exclusive: false };
    const { clock, server, a, b } = await startPair(common);
    await enforce(a, 'j1');
    await pass(clock, OVER_MS);
    const before = [a, b].map(({ ledger }) => ledger.copy());
    for (const one of [a, b]) await kill(one);
    const c = await beginAnew({ clock, server });
    await enforce(c, 'n1');
    const [id = ''] = c.receipts.texts.keys();
    const { receipts } = c;
    const ledger = c.ledger.copy();
    await kill(c);
    server.flush();
    const seeds = [3, 4];
    for (const [i, name] of ['a', 'b'].entries())
      await startSettled({
        clock,
        server,
        ledger: before[i]!,
        name,
        seed: seeds[i]!,
        bootstrap: false,
        ...common,
      });
    await pass(clock, 3 * OVER_MS);
    const again = await startSettled({
      ...{ clock, server, ledger, receipts, name: 'c', seed: 8 },
      bootstrap: false,
      ...common,
    });
    await pass(clock, OVER_MS);
    expect([isFresh(again), again.renewer.state, again.effects.outcome(id)]).toEqual([
      false,
      'diverged',
      undefined,
    ]);
  });

  it('is not called so while another history may have been shown, and is again once lines go on from here', async () => {
    const { clock, server, a, b } = await startPair(GROWING);
    await enforce(a, 'j1');
    await pass(clock, OVER_MS);
    const [id = ''] = a.receipts.texts.keys();
    const stateAt = (one: TestReplica): string | undefined => one.effects.outcome(id)?.state;
    expect([a, b].map(stateAt)).toEqual(['enforced', 'enforced']);
    cut(b, true);
    await enforce(a, 'j2');
    for (let i = 0; i < 2; i++) {
      server.restart();
      await pass(clock, 1_500);
    }
    await pass(clock, OVER_MS);
    await grow(a);
    cut(a, true);
    await pass(clock, OVER_MS);
    server.restart();
    cut(b, false);
    await pass(clock, 1_000);
    expect([stateAt(b), b.effects.isUnfinished(id)]).toEqual([undefined, true]);
    // The other puts all of its lines back.
    server.flush();
    cut(a, false);
    await pass(clock, 2 * OVER_MS);
    expect([a, b].map(isFresh)).toEqual([true, true]);
    expect([stateAt(b), b.effects.isUnfinished(id)]).toEqual(['enforced', false]);
    for (let i = 0; i < 12; i++) await enforce(a, `h${i}`, 600);
    expect(b.snapshots.statement).toEqual(a.snapshots.statement);
    expect([a, b].map(({ snapshots }) => snapshots.agrees)).toEqual([true, true]);
  });

  it('is not called so in the new epoch by who was about to', async () => {
    const { clock, server, a, b } = await startPair();
    const write = a.receipts.write.bind(a.receipts);
    const held = Promise.withResolvers<void>();
    a.receipts.write = (id, text) => held.promise.then(() => write(id, text));
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 5_000 }));
    await pass(clock, 6_000);
    const { id } = await pending;
    await kill(b);
    cut(a, true);
    const c = await beginAnew({ clock, server });
    cut(a, false);
    await pass(clock, OVER_MS);
    held.resolve();
    await pass(clock, OVER_MS);
    expect([a, c].map(isFresh)).toEqual([true, true]);
    const { position } = await within(clock, a.revoker.status(id));
    const said = server.lines.flatMap(({ sealed: { entry } }) =>
      entry.kind === 'outcome' ? [entry.position] : [],
    );
    expect(said).toEqual([renderPosition(position)]);
  });

  it('is not proven by the receipt of before where another replica has proven it anew', async () => {
    const { clock, a, c, id } = await startLacking();
    cut(a, false);
    await pass(clock, 1_000);
    expect((await within(clock, c.revoker.status(id), OVER_MS)).state).not.toBe('enforced');
    await pass(clock, OVER_MS);
    expect(await a.revoker.status(id)).toMatchObject({ state: 'enforced', receiptOn: 'c' });
    await expect(a.revoker.receipt(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('a fleet that began anew, has gone on to another epoch, and has let go of the first', () => {
  /** a and b have enforced j1 and revoked `count` others; c and x have begun anew, and what c opened is in no store any more. */
  async function startGoneOn(count: number) {
    const { clock, server, a, b } = await startPair();
    await enforce(a, 'j1');
    const [id = ''] = a.receipts.texts.keys();
    const common = { kind: 'revocation', caller: 'admin', body: 'b' } as const;
    for (let i = 0; i < count; i++) {
      const targets = [jti(`m${i}`)];
      await a.appender.append(a.appender.seal({ ...common, id: `rev_m${i}`, targets }));
    }
    await pass(clock, OVER_MS);
    for (const one of [a, b]) await kill(one);
    const c = await beginAnew({ clock, server }, GROWING);
    const x = await startSettled({ clock, server, name: 'x', seed: 17, bootstrap: false, ...GROWING });
    await pass(clock, OVER_MS);
    server.restart();
    await pass(clock, OVER_MS);
    await grow(c);
    const { ledger, receipts } = a;
    const again = makeReplica({
      ...{ clock, server, ledger, receipts },
      name: 'a',
      seed: 3,
      bootstrap: false,
      ...GROWING,
    });
    return { clock, c, x, a: again, id };
  }

  it('is given every fact, however many, in words that all of it can verify', async () => {
    const { clock, c, x, a } = await startGoneOn(TAIL_MAX);
    await a.start();
    await pass(clock, 2 * OVER_MS);
    expect([a, c, x].map(isFresh)).toEqual([true, true, true]);
    const values = ['j1', 'm0', `m${TAIL_MAX - 1}`];
    for (const one of [a, c, x])
      expect(await Promise.all(values.map((value) => reasonOf(one, value)))).toEqual([
        'revoked',
        'revoked',
        'revoked',
      ]);
    expect(c.log.filter(({ level }) => level === 'error')).toEqual([]);
    expect(a.cursor.tails).toEqual([]);
  });

  it('is told nothing of what was proven before, nor of who was a member', async () => {
    const { clock, c, x, a, id } = await startGoneOn(0);
    cut(x, true);
    await a.start();
    await pass(clock, 1_000);
    expect([isFresh(x), await reasonOf(x, 'j1'), await reasonOf(c, 'j1')]).toEqual([
      true,
      'permitted',
      'revoked',
    ]);
    for (const one of [a, c]) expect((await one.revoker.status(id)).state).toBe('durable');
    cut(x, false);
    await pass(clock, OVER_MS);
    expect(await a.revoker.status(id)).toMatchObject({ state: 'enforced' });
    expect(c.members.list().map(({ replica }) => replica)).toEqual(['c', 'x', 'a']);
  });
});
