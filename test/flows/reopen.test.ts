/**
 * What a fleet does after its store forgot: it goes on where somebody has everything that was enforced and can say so,
 * and stays closed where nobody can. On the memory store, with time moved by hand.
 */
import { describe, expect, it } from 'vitest';
import { signEpochReport } from '../../src/evidence/epoch-report.ts';
import { FakeClock } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { OVER_MS, cut, enforce, epochOf, isFresh, jti, reasonOf } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { MemoryLedger, orderOf } from '../support/replica-harness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';

interface Fleet {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  readonly replicas: TestReplica[];
}

async function start(...names: string[]): Promise<Fleet> {
  const clock = new FakeClock();
  const server = new MemoryFeedServer();
  const replicas: TestReplica[] = [];
  for (const [i, name] of names.entries()) {
    replicas.push(await startSettled({ clock, server, name, seed: i + 1 }));
    await pass(clock, 1_000);
  }
  await pass(clock, 2_000);
  for (const replica of replicas) expect(isFresh(replica)).toBe(true);
  return { clock, server, replicas };
}

const rulesOf = ({ server }: Fleet): string[] =>
  server.lines.flatMap(({ sealed: { entry } }) => (entry.kind === 'epoch' ? [entry.rule] : []));

describe('a witness', () => {
  it('reopens a store that was flushed, with all that it held, before its lease is over', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await enforce(a, 'j1');
    const { lines } = fleet.server;
    fleet.server.flush();
    await pass(fleet.clock, 1_500);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'witness']);
    expect(fleet.server.lines.slice(0, lines.length)).toEqual(lines);
    for (const one of [a, b]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
    const c = await startSettled({ clock: fleet.clock, server: fleet.server, name: 'c', seed: 9 });
    await pass(fleet.clock, 1_500);
    expect(isFresh(c)).toBe(true);
    expect(await reasonOf(c, 'j1')).toBe('revoked');
  });

  it('extends an older copy that came back, and leaves a damaged one beside', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    await enforce(a, 'j1');
    fleet.server.restart(2);
    await pass(fleet.clock, 1_000);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'witness']);
    expect(await reasonOf(a, 'j1')).toBe('revoked');
    await enforce(a, 'j2');
    fleet.server.damage();
    await pass(fleet.clock, 1_500);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'witness', 'witness']);
    const c = await startSettled({ clock: fleet.clock, server: fleet.server, name: 'c', seed: 9 });
    await pass(fleet.clock, 1_500);
    for (const value of ['j1', 'j2']) expect(await reasonOf(c, value)).toBe('revoked');
  });

  it('leaves a copy beside whose head somebody has moved to where no line is', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    await enforce(a, 'j1');
    const { server, clock } = fleet;
    const restore = server.restore.bind(server);
    server.restore = (request) => {
      const reply = restore(request);
      if (reply.kind !== 'restored' || request.copy !== 'current') return reply;
      return { ...reply, head: { ...reply.head, position: { epoch: 999_999_999_999_998, sequence: 1 } } };
    };
    server.restart();
    await pass(clock, 1_500);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'witness']);
    expect(isFresh(a)).toBe(true);
    expect(await reasonOf(a, 'j1')).toBe('revoked');
  });

  it('leaves it to another that is faster, and takes what that one had more', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    cut(a, true);
    await pass(fleet.clock, 500);
    await b.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await pass(fleet.clock, 600);
    cut(a, false);
    fleet.server.restart();
    await pass(fleet.clock, 1_500);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'witness']);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  });
});

describe('a replica whose store is closed', () => {
  it('says so until the next epoch is open', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    const before = epochOf(a);
    for (let i = 0; i < 2; i++) a.store.next('restore', 'lose-request');
    fleet.server.flush();
    await pass(fleet.clock, 700);
    expect(epochOf(a)).toBe(
      `${before} is closed; who is missing is not known here yet: of the replicas that had a lease then and were not stopped first, the one that holds most opens the next epoch by itself`,
    );
    await pass(fleet.clock, 1_500);
    expect(epochOf(a)).toMatch(/^ep_[\w-]+$/);
    expect(epochOf(a)).not.toBe(before);
  });
});

describe('a roster', () => {
  async function outage(fleet: Fleet, over: () => void = () => undefined): Promise<void> {
    fleet.server.isReachable = false;
    await pass(fleet.clock, OVER_MS);
    for (const one of fleet.replicas) expect(isFresh(one)).toBe(false);
    over();
    fleet.server.restart();
    fleet.server.isReachable = true;
  }

  it('reopens when everyone on it is back, and not before', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await enforce(a, 'j1');
    await outage(fleet, () => cut(b, true));
    await pass(fleet.clock, OVER_MS);
    expect(rulesOf(fleet)).toEqual(['bootstrap']);
    expect(isFresh(a)).toBe(false);
    expect(a.reopener.missing?.replicas).toEqual(['b']);
    expect(epochOf(a)).toMatch(/is closed; it waits for b$/);
    // Once, and not at each attempt; a minute later it says what to do.
    const said = () => a.log.filter(({ sentence }) => sentence === 'no epoch is open');
    expect(said()).toMatchObject([{ level: 'warn', detail: epochOf(a) }]);
    await pass(fleet.clock, 60_000);
    expect(said()).toMatchObject([{}, { detail: epochOf(a) }]);
    expect(epochOf(a)).toContain('--accept-amnesia');
    cut(b, false);
    await pass(fleet.clock, 2_000);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'roster']);
    for (const one of [a, b]) {
      expect(isFresh(one)).toBe(true);
      expect(await reasonOf(one, 'j1')).toBe('revoked');
    }
  });

  it('is opened by whoever has most, on what everyone has: a replica that was away is given it (THREATS 10.10)', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    cut(a, true);
    await pass(fleet.clock, OVER_MS);
    await enforce(b, 'j1');
    await outage(fleet, () => cut(b, true));
    fleet.server.forget();
    cut(a, false);
    await pass(fleet.clock, 2_000);
    // It has put back what it holds, and knows nothing of what b enforced.
    expect(fleet.server.lines.length).toBeGreaterThan(0);
    expect(isFresh(a)).toBe(false);
    cut(b, false);
    await pass(fleet.clock, 2_000);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'roster']);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    expect(isFresh(a)).toBe(true);
  });

  it('waits for who has less, too, and gives it all', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    cut(a, true);
    await pass(fleet.clock, OVER_MS);
    await enforce(b, 'j1');
    await outage(fleet);
    fleet.server.forget();
    await pass(fleet.clock, 1_500);
    expect(b.reopener.missing?.replicas).toEqual(['a']);
    cut(a, false);
    await pass(fleet.clock, 2_000);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'roster']);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  });

  it('counts the disk, not the process: whoever goes on with it reports for the one before', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await enforce(a, 'j1');
    fleet.server.isReachable = false;
    await pass(fleet.clock, OVER_MS);
    forget(b);
    await b.stop();
    fleet.server.restart();
    fleet.server.isReachable = true;
    await pass(fleet.clock, 2_000);
    expect(a.reopener.missing?.replicas).toEqual(['b']);
    const again = await startSettled({
      ...{ clock: fleet.clock, server: fleet.server, name: 'b', seed: 12, bootstrap: false },
      ledger: b.ledger,
    });
    await pass(fleet.clock, 3_000);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'roster']);
    expect(isFresh(again)).toBe(true);
    expect(await reasonOf(again, 'j1')).toBe('revoked');
  });

  it('has nobody on it who never joined, and is not put together from a disk that lacks its beginning', async () => {
    const fleet = await start('a');
    const [a] = fleet.replicas as [TestReplica];
    fleet.server.isReachable = false;
    await pass(fleet.clock, OVER_MS);
    forget(a);
    await a.stop();
    fleet.server.forget();
    fleet.server.isReachable = true;
    const onDisk = (name: string, from: number) => {
      const ledger = new MemoryLedger();
      ledger.lines.push(...a.ledger.lines.slice(from));
      return makeReplica({
        ...{ clock: fleet.clock, server: fleet.server, name, seed: 7, ledger },
        bootstrap: false,
      });
    };
    const stranger = onDisk('c', 0);
    await stranger.start();
    await pass(fleet.clock, 1_000);
    expect(rulesOf(fleet)).toEqual(['bootstrap']);
    expect(isFresh(stranger)).toBe(false);
    fleet.server.flush();
    const roster = await a.store.roster();
    a.ledger.lines.shift();
    expect(await a.reopener.attempt(roster, () => a.cursor.epochId)).toBeUndefined();
    expect(await a.reopener.attempt({ ...roster, runId: 'run-0' }, () => a.cursor.epochId)).toBeUndefined();
  });

  it('is opened once where several may', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    a.store.next('openEpoch', 'hold-request');
    b.store.next('openEpoch', 'lose-reply');
    fleet.server.flush();
    await pass(fleet.clock, 1_500);
    fleet.server.release();
    await pass(fleet.clock, 1_500);
    expect(rulesOf(fleet)).toEqual(['bootstrap', 'witness']);
    for (const one of [a, b]) expect(isFresh(one)).toBe(true);
  });

  it('is spoken for by nobody without its keys', async () => {
    const fleet = await start('a', 'b');
    const [a, b] = fleet.replicas as [TestReplica, TestReplica];
    await outage(fleet, () => cut(b, true));
    await pass(fleet.clock, 1_000);
    const { closedEpochId = '', runId, head } = fleet.server.roster();
    const { incarnation } = b.identity;
    const forged = { closedEpochId, runId, incarnation, position: head, chain: b.cursor.chain };
    fleet.server.report(forged);
    const { statement } =
      fleet.server
        .report({ ...forged, incarnation: 'x' })
        .find((one) => one.incarnation === a.identity.incarnation) ?? {};
    fleet.server.report({ ...forged, statement: statement ?? '' });
    // In b's own words, about another run of the store.
    const at = { epochId: closedEpochId, position: '1-1', chain: b.cursor.chain };
    const said = { v: 1, closedEpochId, incarnation, ...at } as const;
    const late = signEpochReport({ ...said, runId: 'run-0' }, b.identity.key);
    fleet.server.report({ ...forged, incarnation: 'y', statement: `${b.ledger.lastJoined.word}\n${late}` });
    // Under b's entry, in the name of another.
    const other = signEpochReport({ ...said, runId, incarnation: 'inc_z' }, b.identity.key);
    fleet.server.report({ ...forged, incarnation: 'z', statement: `${b.ledger.lastJoined.word}\n${other}` });
    // Of a, who shows b's entry before its own.
    const own = signEpochReport({ ...said, runId, incarnation: a.identity.incarnation }, a.identity.key);
    const shown = [b, a].map(({ ledger }) => ledger.lastJoined.word).join('\n');
    fleet.server.report({ ...forged, incarnation: 'w', statement: `${shown}\n${own}` });
    await pass(fleet.clock, 2_000);
    expect(rulesOf(fleet)).toEqual(['bootstrap']);
    expect(a.reopener.missing?.replicas).toEqual(['b']);
    expect(a.log.map(({ sentence }) => sentence)).toContain('a report that does not verify was passed over');
  });
});
