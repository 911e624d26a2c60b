/** What a receipt and a restart owe each other: nothing is said that does not verify, nothing begun is left undone. */
import { describe, expect, it } from 'vitest';
import { noteKeyOf } from '../../src/evidence/note.ts';
import type { ReceiptStatement } from '../../src/evidence/receipt-statement.ts';
import { RECEIPT_TYP } from '../../src/evidence/receipt-statement.ts';
import { parseReceipt, renderReceipt } from '../../src/evidence/receipt-text.ts';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { readStatement, signStatement } from '../../src/evidence/statement.ts';
import type { OutcomeEntry } from '../../src/feed/entry.ts';
import { WritError } from '../../src/kernel/error.ts';
import { parsePosition } from '../../src/feed/position.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { NOW_S, OVER_MS, cut, jti, startPair } from '../support/memory-fleet.ts';
import type { TestReplica, TestReplicaOptions } from '../support/replica-harness.ts';
import { orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { forget, pass, startSettled as start } from '../support/replicas.ts';

/** The same disk and store in the hands of a later run; whatever the one before was doing has stopped. */
async function restart(before: TestReplica, over: Partial<TestReplicaOptions> = {}): Promise<TestReplica> {
  before.closing.abort();
  await settle();
  const { clock, server, receipts, ledger } = before;
  return start({ clock, server, ledger: ledger.copy(), receipts, seed: 2, ...over });
}

/** A receipt about `id` that proves less: its statement signed again, as partial. */
async function partialReceiptOf(replica: TestReplica, id: string): Promise<string> {
  const { identity } = replica;
  const parts = parseReceipt(await replica.revoker.receipt(id));
  const { enforcedAt: _at, ...statement } = readStatement(
    parts.statement,
    RECEIPT_TYP,
    () => identity.logKey.public,
  ).payload as unknown as ReceiptStatement;
  const signed = signStatement(
    RECEIPT_TYP,
    identity.incarnation,
    { ...statement, state: 'partial', closure: 'PARTIAL' },
    identity.logKey,
  );
  return renderReceipt({ ...parts, statement: signed });
}

const keyringOf = (replica: TestReplica) => [noteKeyOf('writ/test', replica.logKey.public)];

describe('a receipt', () => {
  it('that would not verify is never written, and nothing is called enforced by it', async () => {
    const replica = await start();
    const lookup = replica.members.lookup.bind(replica.members);
    const prove = replica.tree.proof.bind(replica.tree);
    // It has no certificate of anybody just when it is made.
    replica.tree.proof = (position) => {
      replica.members.lookup = () => undefined;
      return prove(position);
    };
    const { id } = await replica.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(replica.clock, 1_000);
    expect(replica.receipts.texts.size).toBe(0);
    expect((await replica.revoker.status(id)).state).toBe('durable');
    expect(replica.log.map(({ sentence }) => sentence)).toContain('a receipt that was made does not verify');
    replica.tree.proof = prove;
    replica.members.lookup = lookup;
    await pass(replica.clock, 1_000);
    expect((await replica.revoker.status(id)).state).toBe('enforced');
  });

  it('by the clock says when it was over though the wall clock was slewed while it waited', async () => {
    const replica = await start({ barrier: 'wait' });
    const { id } = await replica.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(replica.clock, 2_000);
    replica.clock.setForward(-3_000);
    await pass(replica.clock, 1_600);
    const text = replica.receipts.texts.get(id);
    expect(text).toBeDefined();
    const facts = verifyReceipt(text ?? '', keyringOf(replica));
    expect(facts).toMatchObject({ state: 'enforced', rule: 'wait' });
    expect(Date.parse(facts.enforcedAt ?? '') - Date.parse(facts.appendedAt)).toBeGreaterThanOrEqual(
      facts.boundMs,
    );
  });

  it('that lies there before the ledger names one is none', async () => {
    const replica = await start({ barrier: 'wait' });
    const { id } = await replica.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(replica.clock, 100);
    expect(replica.effects.isUnfinished(id)).toBe(true);
    replica.receipts.texts.set(id, 'written by a process that died before it said so');
    await expect(replica.revoker.receipt(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('stays what it is when an earlier outcome comes late, which a store had lost and somebody appended again', async () => {
    const replica = await start();
    const pending = replica.revoker.revoke(orderOf({ targets: [jti('j1')] }));
    await pass(replica.clock, 1_000);
    const { id } = await pending;
    const outcome = replica.effects.outcome(id) as OutcomeEntry;
    replica.effects.noteOutcome({ ...outcome, id: 'ent_earlier', state: 'partial' }, () => undefined);
    expect(replica.effects.outcome(id)).toEqual(outcome);
  });

  it('still speaks when its outcome is no longer in memory', async () => {
    const replica = await start();
    const one = await replica.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    const two = await replica.revoker.revoke(orderOf({ targets: [jti('j2')], wait: 'durable' }));
    await pass(replica.clock, 1_000);
    const partial = await partialReceiptOf(replica, one.id);
    const outcome = replica.effects.outcome(one.id) as OutcomeEntry;
    const place = parsePosition(outcome.position as string);
    for (let i = 0; i < 65_536; i++)
      replica.effects.noteOutcome({ ...outcome, revocation: `rev_${i}` }, () => place);
    expect(replica.effects.outcome(one.id)).toBeUndefined();
    expect(await replica.revoker.status(one.id)).toMatchObject({ state: 'enforced', id: one.id });
    const { texts } = replica.receipts;
    texts.set(one.id, texts.get(two.id) ?? '');
    await expect(replica.revoker.status(one.id)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    texts.set(one.id, partial);
    await expect(replica.revoker.status(one.id)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    texts.delete(one.id);
    await expect(replica.revoker.receipt(one.id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(replica.revoker.status(one.id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('a revocation that was enforced', () => {
  it('is not begun again when its entry is written once more in a later epoch', async () => {
    const replica = await start();
    const { id } = await replica.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(replica.clock, 1_000);
    runAtOnce(
      replica.effects.beginning({ id, position: replica.cursor.position, reason: 'revoked', dead: [] }),
    );
    expect(replica.effects.unfinished()).toEqual([]);
  });
});

describe('an enforcement that was interrupted', () => {
  it('is taken up at the next start, though nobody asks for it', async () => {
    const before = await start();
    const { id } = await before.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'accepted' }));
    const replica = await restart(before);
    expect(replica.receipts.texts.size).toBe(0);
    const resumed = replica.revoker.resumeUnfinished();
    await pass(replica.clock, 4_000);
    await resumed;
    expect(verifyReceipt(replica.receipts.texts.get(id) ?? '', keyringOf(replica)).state).toBe('enforced');
    expect(replica.effects.unfinished()).toEqual([]);
  });

  it('is left to the replica that began it, and to nobody when this one is closing', async () => {
    const before = await start();
    const { id } = await before.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'accepted' }));
    const other = await restart(before, { name: 'b' });
    await other.revoker.resumeUnfinished();
    expect(other.effects.unfinished()).toEqual([id]);
    expect(other.revoker.openCount).toBe(0);
    const same = await restart(other, { seed: 3 });
    same.closing.abort();
    await same.revoker.resumeUnfinished();
    expect(same.revoker.openCount).toBe(0);
  });

  it('is open until it is taken up, through a store that is away', async () => {
    const before = await start();
    const { id } = await before.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'accepted' }));
    const replica = await restart(before);
    const roster = replica.store.roster.bind(replica.store);
    replica.store.roster = () => Promise.reject(new WritError('STORE_UNREACHABLE', 'away'));
    const resumed = replica.revoker.resumeUnfinished();
    await pass(replica.clock, 2_000);
    expect(replica.revoker.openCount).toBe(1);
    expect(replica.revoker.open(1)).toEqual([{ id, state: 'durable', replicas: [], sessions: 0, owing: [] }]);
    const said = replica.log.filter(({ sentence }) => sentence === 'an enforcement could not be taken up');
    expect(said).toMatchObject([{ revocation: id, code: 'STORE_UNREACHABLE' }]);
    replica.store.roster = roster;
    await pass(replica.clock, 5_000);
    await resumed;
    expect(replica.revoker.openCount).toBe(0);
    expect((await replica.revoker.status(id)).state).toBe('enforced');
  });

  it('is open no longer once it has ended: no credential that it names is valid', async () => {
    const replica = await start();
    const { position } = replica.cursor;
    runAtOnce(replica.effects.beginning({ id: 'rev_gone', position, reason: 'revoked', dead: [] }));
    replica.sessions.restoreCounts('rev_gone', { lost: 1, killed: 0 });
    expect(replica.effects.unfinished()).toEqual(['rev_gone']);
    expect(replica.revoker.openCount).toBe(0);
  });

  it('is enforced by a replica whose clock is behind the one that sealed it', async () => {
    const a = await start({ clock: new FakeClock((NOW_S + 3_600) * 1000), name: 'a' });
    const clock = new FakeClock(NOW_S * 1000);
    const b = await start({ clock, server: a.server, name: 'b', bootstrap: false });
    const { id } = await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'accepted' }));
    forget(a);
    await a.stop();
    await pass(clock, 1_000);
    await b.revoker.status(id);
    await pass(clock, 10_000);
    const { state, appendedAtMs, enforcedAtMs = 0 } = await b.revoker.status(id);
    expect(state).toBe('enforced');
    expect(appendedAtMs).toBeLessThanOrEqual(enforcedAtMs);
  });

  it('is open where it is coordinated, also while the session that is silent is another replica’s', async () => {
    const clock = new FakeClock(NOW_S * 1000);
    const a = await start({ clock, name: 'a' });
    const b = await start({ clock, server: a.server, name: 'b', bootstrap: false });
    await pass(clock, 1_000);
    await b.keeper.open({ kind: 'k', selfEnds: false, request: requestOf(tokenOf('billing', 'j1', NOW_S)) });
    const { id } = await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 5_000);
    expect((await a.revoker.status(id)).state).toBe('partial');
    expect([a.revoker.openCount, b.revoker.openCount]).toEqual([1, 1]);
    for (const one of [a, b])
      expect(one.revoker.open(10)).toEqual([
        { id, state: 'partial', replicas: [], sessions: 1, owing: ['b'] },
      ]);
    expect(a.revoker.open(0)).toEqual([]);
  });

  it('is open with the name of the replica that it waits for', async () => {
    const { clock, a, b } = await startPair();
    cut(b, true);
    const { id } = await a.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 1_000);
    expect(a.revoker.open(1)).toEqual([{ id, state: 'durable', replicas: ['b'], sessions: 0, owing: [] }]);
    await pass(clock, OVER_MS);
    expect(a.revoker.open(1)).toEqual([]);
  });

  it('that cannot be read is said, and the others are taken up', async () => {
    const before = await start();
    const { id } = await before.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'accepted' }));
    const replica = await restart(before);
    replica.ledger.read = () => Promise.reject(new Error('disk'));
    await replica.revoker.resumeUnfinished();
    expect(replica.log).toContainEqual({
      level: 'warn',
      sentence: 'an enforcement could not be taken up',
      revocation: id,
      code: 'INTERNAL',
    });
  });

  it('does not come to be enforced because a restart has forgotten who was let go without proof', async () => {
    const before = await start();
    const { clock } = before;
    const request = requestOf(tokenOf('billing', 'j1', NOW_S));
    await before.keeper.open({ kind: 'k', selfEnds: false, request });
    const { id } = await before.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(clock, 4_000);
    // An hour after its credential ended the silent session is let go.
    clock.advance(3 * 3_600_000);
    await pass(clock, 1_000);
    expect(before.sessions.size).toBe(0);
    expect(before.lostClaims).toEqual([id]);
    expect(await before.revoker.status(id)).toMatchObject({ state: 'partial', sessions: { unconfirmed: 1 } });
    forget(before);
    await before.stop();
    const replica = await restart(before);
    // As compose does before anything is acknowledged.
    replica.sessions.restoreCounts(id, { lost: 1, killed: 0 });
    await pass(clock, 1_000);
    await replica.revoker.resumeUnfinished();
    await replica.revoker.status(id);
    await pass(clock, 5_000);
    expect(await replica.revoker.status(id)).toMatchObject({
      state: 'partial',
      closure: 'PARTIAL',
      sessions: { matched: 1, unconfirmed: 1 },
    });
    expect(replica.revoker.openCount).toBe(1);
  });

  it('and is partial stays as it is, until the history it is partial in is gone', async () => {
    const before = await start();
    const request = requestOf(tokenOf('billing', 'j1', NOW_S));
    await before.keeper.open({ kind: 'k', selfEnds: false, request });
    const { id } = await before.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(before.clock, 4_000);
    expect((await before.revoker.status(id)).state).toBe('partial');
    // Gone for good, and the session that never answered with it.
    forget(before);
    await before.stop();
    const replica = await restart(before);
    await replica.revoker.resumeUnfinished();
    expect(replica.revoker.open(1)).toMatchObject([{ state: 'partial' }]);
    replica.server.restart();
    await pass(replica.clock, 1_000);
    const resumed = replica.revoker.resumeUnfinished();
    await pass(replica.clock, 5_000);
    await resumed;
    expect((await replica.revoker.status(id)).state).toBe('enforced');
  });
});
