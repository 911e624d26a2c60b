/** An order that more than one replica follows to its end, or that who took it cannot prove any more. */
import { describe, expect, it } from 'vitest';
import { keyringOf } from '../../src/evidence/keyring.ts';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { NOT_COVERED } from '../../src/flows/enforce.ts';
import type { RevocationStatus } from '../../src/flows/revoke.ts';
import { NOT_COVERED_OF_ATTESTED } from '../../src/flows/revoke.ts';
import {
  GROWING,
  OVER_MS,
  NOW_S,
  cut,
  isFresh,
  jti,
  reasonOf,
  startPair,
  within,
} from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';

const ORDER = orderOf({ targets: [jti('j1')], waitMs: 60_000, idempotencyKey: 'k' });

async function openSession(by: TestReplica): Promise<string> {
  const request = requestOf(tokenOf('billing', 'j1', NOW_S));
  return (await by.keeper.open({ kind: 'k', selfEnds: false, request })).id ?? '';
}

async function receiptOf(by: TestReplica, id: string) {
  return verifyReceipt(await by.revoker.receipt(id), keyringOf('test', by.logKey.public));
}

const outcomesOf = ({ server }: TestReplica): string[] =>
  server.lines.flatMap(({ sealed: { entry } }) =>
    entry.kind === 'outcome' ? `${entry.by} ${entry.state}` : [],
  );

/** a takes an order that b's session holds up, and b is given it again. */
async function startBoth() {
  const { clock, server, a, b } = await startPair();
  const session = await openSession(b);
  const atA = a.revoker.revoke(ORDER);
  await pass(clock, 600);
  const atB = b.revoker.revoke(ORDER);
  await pass(clock, 600);
  return { clock, server, a, b, session, both: Promise.all([atA, atB]) };
}

describe('an order that is repeated on another replica before it is enforced', () => {
  it('is proven by the one that took it, and the other takes its word', async () => {
    const { clock, a, b, session, both } = await startBoth();
    b.keeper.closed(session);
    await pass(clock, 1_000);
    const [one, other] = await both;
    const sessions = { matched: 1, killed: 1, unconfirmed: 0 };
    expect(one).toMatchObject({ state: 'enforced', hasReceipt: true, sessions });
    expect(other).toMatchObject({ state: 'enforced', hasReceipt: false, sessions, isReached: true });
    expect(await receiptOf(a, one.id)).toMatchObject({ state: 'enforced', sessions });
    expect(await b.revoker.status(one.id)).toEqual(other);
    expect(outcomesOf(a)).toEqual(['inc_a1 enforced']);
    expect([a, b].map(({ revoker }) => revoker.openCount)).toEqual([0, 0]);
  });

  it('is proven in the next epoch by the line that stands there, though another replica sealed it and the store has let go of it', async () => {
    const { clock, server, a, b, session, both } = await startBoth();
    for (const { store } of [a, b]) {
      const roster = store.roster.bind(store);
      store.roster = async (at) => {
        const said = await roster(at);
        return said.line?.text.includes('"kind":"revocation"') === true ? { ...said, line: undefined } : said;
      };
    }
    server.restart();
    await pass(clock, 2_000);
    cut(a, true);
    b.keeper.closed(session);
    await pass(clock, 2 * OVER_MS);
    const [, { id }] = await within(clock, both, 60_000);
    expect(b.log.map(({ sentence }) => sentence)).not.toContain('a receipt that was made does not verify');
    expect(await receiptOf(b, id)).toMatchObject({ state: 'enforced' });
  });

  it('has its receipt where it was proven, and the other says where that is', async () => {
    const { clock, a, b, session, both } = await startBoth();
    b.keeper.closed(session);
    await pass(clock, 1_000);
    const [{ id }] = await both;
    expect(await b.revoker.status(id)).toMatchObject({ receiptOn: 'a' });
    expect(await a.revoker.status(id)).not.toHaveProperty('receiptOn');
    const refused = (text: string) => ({
      code: 'NOT_FOUND',
      message: expect.stringContaining(text) as string,
    });
    await expect(b.revoker.receipt(id)).rejects.toMatchObject(
      refused('inc_a1 made it, in the data directory of a;'),
    );
    // With a snapshot it comes without its signer.
    const { by: _by, ...said } = b.effects.outcome(id)!;
    b.effects.restoreOutcome(said);
    expect(await b.revoker.status(id)).not.toHaveProperty('receiptOn');
    await expect(b.revoker.receipt(id)).rejects.toMatchObject(refused('ask another one'));
    await expect(b.revoker.receipt('rev_none')).rejects.toMatchObject(refused('no such receipt'));
  });

  it('is said with a word for what only the receipt can say, and up to when what it names is dead', async () => {
    const { clock, a, b, session, both } = await startBoth();
    b.keeper.closed(session);
    await pass(clock, 1_000);
    const [, other] = await both;
    expect(other.notCovered).toEqual([...NOT_COVERED, ...NOT_COVERED_OF_ATTESTED]);
    const target = { kind: 'subject', issuer: 'https://i.example', value: 's', cutoffS: NOW_S } as const;
    const pending = a.revoker.revoke(orderOf({ targets: [target], waitMs: 60_000 }));
    await pass(clock, 2_000);
    const { id } = await pending;
    const limit = `credentials issued after the cutoff, ${new Date(NOW_S * 1000).toISOString()}`;
    expect((await b.revoker.status(id)).notCovered).toEqual([
      ...NOT_COVERED,
      limit,
      ...NOT_COVERED_OF_ATTESTED,
    ]);
    // Where its line is gone only the receipt can say.
    b.ledger.read = () => Promise.resolve([]);
    expect((await b.revoker.status(id)).notCovered).toEqual([...NOT_COVERED, ...NOT_COVERED_OF_ATTESTED]);
  });

  it('is not over on the word of another before it is for who follows it', async () => {
    const { clock, server, a, b } = await startPair({ barrier: 'wait' });
    const c = await startSettled({ clock, server, name: 'c', seed: 7, exclusive: false, bootstrap: false });
    await pass(clock, 4_000);
    const pending = a.revoker.revoke(ORDER);
    cut(c, true);
    await pass(clock, 100);
    const [revocation = ''] = a.effects.unfinished();
    const none = { matched: 0, killed: 0, unconfirmed: 0, receipt: '' };
    const said = { id: 'ent_said', kind: 'outcome', revocation, state: 'enforced', ...none } as const;
    server.append(a.cursor.epochId as string, b.appender.seal(said));
    await pass(clock, 400);
    expect(await a.revoker.status(revocation)).toMatchObject({ state: 'durable' });
    expect(await reasonOf(c, 'j1')).toBe('permitted');
    await pass(clock, OVER_MS);
    expect(await pending).toMatchObject({ state: 'enforced' });
    expect(await reasonOf(c, 'j1')).toBe('fenced');
  });

  it('is proven by the other where the one that took it does not get to it within a lease', async () => {
    const { clock, a, b, session, both } = await startBoth();
    a.receipts.write = () => Promise.reject(new Error('disk'));
    b.keeper.closed(session);
    await pass(clock, 1_000);
    expect(outcomesOf(a)).toEqual([]);
    await pass(clock, OVER_MS);
    expect(outcomesOf(a)).toEqual(['inc_b2 enforced']);
    const [one, other] = await both;
    expect(one).toMatchObject({ state: 'enforced', hasReceipt: false });
    expect(other).toMatchObject({ state: 'enforced', hasReceipt: true });
    expect(await receiptOf(b, one.id)).toMatchObject({
      state: 'enforced',
      sessions: { matched: 1, killed: 1 },
    });
  });

  it('is enforced within the stated bound by the other where the one that took it cannot, and a third is cut off', async () => {
    const { clock, server, a, b } = await startPair();
    const c = await startSettled({ clock, server, name: 'c', seed: 7, exclusive: false, bootstrap: false });
    await pass(clock, 4_000);
    a.receipts.write = () => Promise.reject(new Error('disk full'));
    cut(c, true);
    const order = orderOf({ targets: [jti('j1')], waitMs: 30_000, idempotencyKey: 'k' });
    const taken = a.revoker.revoke({ ...order, wait: 'durable' });
    await pass(clock, 200);
    const { id } = await taken;
    const askedMs = clock.now().monoMs;
    const { boundMs } = await b.revoker.status(id);
    let enforcedMs = 0;
    for (let i = 0; i < 200 && enforcedMs === 0; i++) {
      await pass(clock, 100);
      if ((await b.revoker.status(id)).state === 'enforced') enforcedMs = clock.now().monoMs - askedMs;
    }
    expect(enforcedMs).toBeGreaterThan(0);
    expect(enforcedMs).toBeLessThanOrEqual(boundMs + 200);
  });

  it('is partial on both, a lock too that is over by then, and the other says where it was said', async () => {
    const { clock, a, b } = await startPair();
    await openSession(b);
    const expiresAtMs = clock.now().wallMs + 15_000;
    const pending = a.revoker.revoke({ ...ORDER, expiresAtMs });
    await pass(clock, 12_000);
    const { id } = await pending;
    await pass(clock, 10_000);
    const owing = [{ replica: 'b', incarnation: b.identity.incarnation }];
    expect(await a.revoker.status(id)).toMatchObject({ state: 'partial', hasReceipt: true });
    expect(await b.revoker.status(id)).toMatchObject({
      ...{ state: 'partial', closure: 'PARTIAL', isReached: false, hasReceipt: false, owing },
      enforcedAtMs: undefined,
    });
  });

  it('has a receipt on each where both have said it at once, whichever the ledger names last', async () => {
    const { clock, a, b, session, both } = await startBoth();
    const waiting: (() => void)[] = [];
    for (const { appender } of [a, b]) {
      const append = appender.append.bind(appender);
      // Nobody hears of the other's outcome before he has appended his own.
      appender.append = async (sealed) => {
        if (sealed.entry.kind === 'outcome') await new Promise<void>((resolve) => waiting.push(resolve));
        return append(sealed);
      };
    }
    b.keeper.closed(session);
    await pass(clock, OVER_MS);
    expect(waiting).toHaveLength(2);
    for (const resolve of waiting) resolve();
    await pass(clock, 1_000);
    const [{ id }] = await both;
    expect(outcomesOf(a).toSorted()).toEqual(['inc_a1 enforced', 'inc_b2 enforced']);
    for (const one of [a, b]) {
      expect(await one.revoker.status(id)).toMatchObject({ state: 'enforced', hasReceipt: true });
      expect(await receiptOf(one, id)).toMatchObject({
        state: 'enforced',
        sessions: { matched: 1, killed: 1 },
      });
    }
  });

  it('is partial on both, with a receipt on each, and enforced by whoever is asked first once it can be', async () => {
    const { clock, a, b, session, both } = await startBoth();
    await pass(clock, 12_000);
    const [{ id, state }, other] = await both;
    expect([state, other.state]).toEqual(['partial', 'partial']);
    for (const one of [a, b]) expect(await receiptOf(one, id)).toMatchObject({ state: 'partial' });
    b.keeper.closed(session);
    await pass(clock, 1_000);
    await b.revoker.status(id);
    await pass(clock, 1_000);
    expect([a, b].map(({ revoker }) => revoker.openCount)).toEqual([0, 0]);
    expect(await receiptOf(b, id)).toMatchObject({ state: 'enforced', sessions: { matched: 1, killed: 1 } });
    // Nobody speaks of that session any more: a receipt that a made now would know of none.
    const said = await a.revoker.status(id);
    expect(said).toMatchObject({ state: 'enforced', hasReceipt: false, sessions: { matched: 1, killed: 1 } });
    expect(outcomesOf(a)).toEqual(['inc_a1 partial', 'inc_b2 partial', 'inc_b2 enforced']);
  });
});

const firstHeld = ({ server }: TestReplica): number => server.lines[0]?.position.sequence ?? 0;

/** `by` revokes until the store has let go what comes before `sequence`. */
async function trimTo(by: TestReplica, sequence: number): Promise<void> {
  for (let i = 0; i < 80 && firstHeld(by) <= sequence; i++) {
    await by.revoker.revoke(orderOf({ targets: [jti(`h${i}`)], wait: 'durable' }));
    await pass(by.clock, 600);
  }
  expect(firstHeld(by)).toBeGreaterThan(sequence);
}

describe('an order whose line the store has let go', () => {
  /** Partial for a session of b, which ends once the line is gone. */
  async function startGone() {
    const { clock, server, a, b } = await startPair(GROWING);
    const session = await openSession(b);
    const pending = a.revoker.revoke(ORDER);
    await pass(clock, 12_000);
    const { id, state, position } = await pending;
    expect(state).toBe('partial');
    await trimTo(a, position.sequence);
    b.keeper.closed(session);
    await pass(clock, 1_000);
    return { clock, server, a, b, id };
  }

  it('is enforced by the end of the history that has it in it', async () => {
    const { clock, a, b, id } = await startGone();
    const roster = a.store.roster.bind(a.store);
    const asked: string[] = [];
    a.store.roster = (at) => {
      asked.push(at === undefined ? 'table' : 'line');
      return roster(at);
    };
    const status = await a.revoker.status(id);
    // Nothing follows the final reading.
    expect(asked).toEqual(['table', 'line', 'table', 'line']);
    expect(status).toMatchObject({
      state: 'enforced',
      closure: 'CLOSED',
      sessions: { matched: 1, killed: 1 },
    });
    await pass(clock, 1_000);
    expect(await receiptOf(a, id)).toMatchObject({ state: 'enforced' });
    expect(await b.revoker.status(id)).toMatchObject({ state: 'enforced' });
  });

  it.each<readonly [string, (line: { chain: string; text: string }) => object | undefined]>([
    ['is another one', (line) => ({ ...line, chain: '0'.repeat(40) })],
    ['is gone as well', () => undefined],
  ])('is not, where that end %s', async (_, make) => {
    const { a, id } = await startGone();
    const roster = a.store.roster.bind(a.store);
    a.store.roster = async (at) => {
      const reading = await roster(at);
      if (reading.line === undefined) return reading;
      return { ...reading, line: make(reading.line) as typeof reading.line };
    };
    expect(await a.revoker.status(id)).toMatchObject({ state: 'accepted', closure: 'UNKNOWN' });
    a.store.roster = roster;
    expect(await a.revoker.status(id)).toMatchObject({ state: 'enforced' });
  });
});

describe('an order that who took it cannot prove, because its ledger begins after it', () => {
  /** a orders, and hears nothing more before it begins again at a snapshot which has the order in it. */
  async function startLoaded() {
    const { clock, server, a, b } = await startPair(GROWING);
    const appending = a.store.append.bind(a.store);
    a.store.append = async (...said) => {
      const reply = await appending(...said);
      cut(a, true);
      return reply;
    };
    const pending = a.revoker.revoke(ORDER);
    await pass(clock, OVER_MS);
    const { position } = server.lines.find(({ sealed }) => sealed.entry.kind === 'revocation')!;
    await trimTo(b, position.sequence);
    a.store.append = appending;
    cut(a, false);
    await pass(clock, 8_000);
    expect([a, b].map(isFresh), a.renewer.state).toEqual([true, true]);
    expect(a.ledger.base!.position.sequence).toBeGreaterThan(position.sequence);
    return { clock, server, a, b, pending };
  }

  const idOf = ({ view }: TestReplica): string =>
    view.records({ after: { epoch: 0, sequence: 0 }, limit: 1 })[0]!.id;

  it('waits, and says so, until another replica has: then it says what that one does, also where it is repeated', async () => {
    const { clock, a, b, pending } = await startLoaded();
    const id = idOf(b);
    expect(await a.revoker.status(id)).toMatchObject({ state: 'durable', closure: 'PARTIAL' });
    expect(a.revoker.open(1)).toMatchObject([{ id, state: 'durable' }]);
    expect(a.log.findLast(({ sentence }) => sentence === 'enforcement waits')).toMatchObject({
      code: 'NOT_FOUND',
      detail: expect.stringContaining('ask another replica') as string,
    });
    await b.revoker.status(id);
    await pass(clock, 8_000);
    const said = { id, state: 'enforced', closure: 'CLOSED' };
    expect(await b.revoker.status(id)).toMatchObject({ ...said, hasReceipt: true });
    const there: RevocationStatus = await a.revoker.status(id);
    expect(there).toMatchObject({ ...said, hasReceipt: false });
    expect(await pending).toEqual(there);
    expect(await a.revoker.revoke(ORDER)).toEqual(there);
    expect([a, b].map(({ revoker }) => revoker.openCount)).toEqual([0, 0]);
    await expect(
      a.revoker.revoke({ ...ORDER, targets: [jti('j2')], request: { targets: 'another' } }),
    ).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
  });

  it('is not found, with what to do, where it is asked for after a restart', async () => {
    const { clock, server, a, b, pending } = await startLoaded();
    pending.catch(() => undefined);
    forget(a);
    await a.stop();
    const again = await startSettled({ clock, server, name: 'a', seed: 9, ledger: a.ledger, ...GROWING });
    await pass(clock, OVER_MS);
    await expect(again.revoker.status(idOf(b))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('ask another one') as string,
    });
  });
});

describe('an outcome that the store loses before anybody has read it', () => {
  it('is said again in the next epoch, so that the order is under way nowhere', async () => {
    const { clock, server, a, b } = await startPair();
    const append = a.appender.append.bind(a.appender);
    let isLost = false;
    a.appender.append = async (sealed) => {
      const appended = await append(sealed);
      if (sealed.entry.kind === 'outcome' && !isLost) server.flush();
      isLost ||= sealed.entry.kind === 'outcome';
      return appended;
    };
    const pending = a.revoker.revoke(ORDER);
    await pass(clock, 20_000);
    const { id, state } = await pending;
    expect([state, isFresh(a), isFresh(b)]).toEqual(['enforced', true, true]);
    for (const one of [a, b]) expect(one.effects.outcome(id)?.state).toBe('enforced');
    expect([a, b].map(({ revoker }) => revoker.openCount)).toEqual([0, 0]);
  });
});

describe('an order that was enforced, that an operator has given up, and that comes back', () => {
  it('is not called enforced before it is so again', async () => {
    const { clock, server, a, b } = await startPair();
    const others = { clock, server, exclusive: false, bootstrap: false };
    const c = await startSettled({ ...others, name: 'c', seed: 7 });
    await pass(clock, 4_000);
    cut(c, true);
    await pass(clock, 300);
    const pending = b.revoker.revoke(ORDER);
    await pass(clock, 6_000);
    const { id, state } = await pending;
    expect(state).toBe('enforced');
    for (const one of [a, b]) cut(one, true);
    server.flush();
    cut(c, false);
    await pass(clock, OVER_MS);
    await c.replica.openEpoch('accept-amnesia', 'a and b are gone', 'admin');
    await pass(clock, 1_000);
    const d = await startSettled({ ...others, name: 'd', seed: 9 });
    await pass(clock, OVER_MS);
    // d has renewed just now, and hears nothing of what b brings back.
    cut(d, true);
    cut(b, false);
    const isBack = () => c.effects.unfinished().includes(id);
    for (let i = 0; i < 20 && !isBack(); i++) await pass(clock, 100);
    await pass(clock, 300);
    const { state: said } = await c.revoker.status(id);
    expect([said, await reasonOf(d, 'j1')]).toEqual(['durable', 'permitted']);
    await pass(clock, 2 * OVER_MS);
    expect(await c.revoker.status(id)).toMatchObject({ state: 'enforced' });
    expect(await reasonOf(d, 'j1')).toBe('fenced');
    expect(b.effects.folded()).toEqual(c.effects.folded());
  });
});
