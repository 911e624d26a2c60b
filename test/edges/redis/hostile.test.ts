/**
 * Keys that somebody else has written, swapped or restored under a store that goes on: no epoch is open then, nobody is
 * given a lease, and what is put back goes beside what is there. On a real server, asked as a hostile client would.
 */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Connection } from '../../../src/edges/redis/connection.ts';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { ENTRY_BYTES_MAX, nextChain } from '../../../src/feed/entry.ts';
import type { Snapshot } from '../../../src/feed/feed-store.ts';
import { ContractReplica } from '../../contract/contract-replica.ts';
import { epoch, replica, revocation } from '../../support/feed-entries.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';

const META = '{writ:f}:meta';

let server: RedisServer;
let store: RedisFeedStore;
let hostile: Redis;
let a: ContractReplica;
let runId: string;
beforeAll(async () => {
  server = await RedisServer.start();
  hostile = new Redis({ path: server.socket });
});
afterAll(async () => {
  hostile.disconnect();
  await server.remove();
});

/** Six lines; `inc_a` has a lease and knows all of them. */
beforeEach(async () => {
  await hostile.flushall();
  store = new RedisFeedStore({
    server: { host: '', port: 0, path: server.socket },
    fleet: 'f',
    replica: 'r',
    nameKey: NAME_KEY,
  });
  await store.open();
  await open();
  await store.append('ep_1', replica('joined', 'inc_a'));
  for (const id of ['r1', 'r2', 'r3', 'r4']) await store.append('ep_1', revocation(id));
  a = new ContractReplica(store, 'inc_a');
  await a.lease();
  return () => store.close();
});

/** `ep_1` on an empty store. */
async function open(): Promise<void> {
  ({ nextRunId: runId } = await store.roster());
  await store.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
}

/** Somebody who was cut off since before `r2`, and whose cursor is in any copy that has `r1`. */
function staleReplica(): ContractReplica {
  const stale = new ContractReplica(store, 'inc_a');
  const line = a.lines[2]!;
  return Object.assign(stale.copyOf(a), { position: line.position, chain: line.chain });
}

describe('a head that these functions did not write', () => {
  it.each<[string, (redis: Redis) => Promise<unknown>]>([
    ['is shorter', (redis) => redis.hset(META, 'sequence', '3', 'chain', a.lines[2]!.chain)],
    ['has another chain', (redis) => redis.hset(META, 'chain', 'f'.repeat(40))],
    ['is another epoch', (redis) => redis.hset(META, 'epoch', 'ep_0')],
    ['has a later number', (redis) => redis.hset(META, 'number', '101')],
    ['is of another copy', (redis) => redis.hset(META, 'generation', '7')],
    ['makes no sense', (redis) => redis.hset(META, 'sequence', 'x')],
    ['has a chain that is none', (redis) => redis.hset(META, 'chain', 'x')],
    ['is an epoch that nobody can name', (redis) => redis.hset(META, 'epoch', Buffer.of(0xff))],
    ['is nowhere', (redis) => redis.flushall()],
    ['was swapped for another database', (redis) => redis.swapdb(0, 1)],
  ])('that %s is no open epoch, for whoever comes first', async (_, write) => {
    await write(hostile);
    expect((await staleReplica().renew()).kind).toBe('closed');
    expect((await a.renew()).kind).toBe('closed');
    await expect(store.append('ep_1', revocation('r5'))).rejects.toMatchObject({ code: 'EPOCH_CLOSED' });
    expect((await store.roster()).epochId).toBeUndefined();
  });

  it('of an older copy of everything, restored while the server goes on, is none either', async () => {
    // As it was before r2, byte for byte, put in the place of what is there.
    await hostile.flushall();
    await open();
    await store.append('ep_1', replica('joined', 'inc_a'));
    await store.append('ep_1', revocation('r1'));
    const keys = await hostile.keys('*');
    const dumps = await Promise.all(keys.map(async (key) => [key, await hostile.dumpBuffer(key)] as const));
    for (const id of ['r2', 'r3', 'r4']) await store.append('ep_1', revocation(id));
    a = new ContractReplica(store, 'inc_a');
    await a.lease();
    await hostile.flushall();
    for (const [key, dump] of dumps) await hostile.restore(key, 0, dump);
    expect((await staleReplica().renew()).kind).toBe('closed');
    expect((await store.roster()).closedEpochId).toBe('ep_1');
    // What is missing continues it, and then the next epoch opens on all of it.
    ({ runId } = await store.roster());
    const request = { runId, closedEpochId: 'ep_1', copy: 'current', after: a.position, limit: 9 };
    const reply = await store.restore({ ...request, lines: a.lines.slice(3) });
    expect(reply).toMatchObject({ kind: 'restored', head: { position: a.position, chain: a.chain } });
  });

  it('is mended where the lines are there, and is open again with the next epoch', async () => {
    await hostile.hset(META, 'sequence', '3', 'chain', a.lines[2]!.chain);
    ({ runId } = await store.roster());
    const request = { runId, closedEpochId: 'ep_1', copy: 'current', after: a.position, limit: 9 };
    const reply = await store.restore({ ...request, lines: a.lines.slice(3) });
    if (reply.kind !== 'restored') throw new Error(reply.kind);
    expect(reply.head).toMatchObject({ position: a.position, chain: a.chain });
    const opened = await store.openEpoch({
      ...{ closedEpochId: 'ep_1', runId, epochS: 100, sealed: epoch('ep_2', runId) },
      restored: reply.head,
    });
    expect(opened.kind).toBe('opened');
    a.epochId = 'ep_2';
    expect((await a.lease()).lines).toHaveLength(1);
  });
});

describe('what one write can do that nobody can take back', () => {
  /** Closed, and put back as a replica does (flows/reopen.ts): the first copy that takes all of it. */
  async function putBack(lines = a.lines, begins?: string) {
    await hostile.hset(META, 'run', '-');
    const { closedEpochId, nextRunId } = await store.roster();
    const refused: string[] = [];
    for (const copy of ['current', 'staged', 'new']) {
      const request = { runId: nextRunId, copy, after: a.position, limit: 10 };
      const asked = await store.restore({ ...request, closedEpochId, lines: [] });
      const reply =
        asked.kind === 'restored' ? await store.restore({ ...request, closedEpochId, lines, begins }) : asked;
      if (reply.kind === 'restored') {
        const closed = copy === 'current' ? 'ep_1' : closedEpochId;
        const opening = { closedEpochId: closed, runId: nextRunId, epochS: 100 };
        const sealed = epoch('ep_2', nextRunId);
        return {
          refused,
          head: reply.head,
          open: (restored = reply.head) => store.openEpoch({ ...opening, sealed, restored }),
        };
      }
      refused.push(copy);
    }
    throw new Error('nowhere');
  }

  async function newcomer(): Promise<ContractReplica> {
    await store.append('ep_2', replica('joined', 'inc_b'));
    const one = new ContractReplica(store, 'inc_b', 'ep_2');
    await one.lease();
    return one;
  }

  it.each<[string, readonly string[], () => Promise<unknown>]>([
    ['a chain that is none', [], () => hostile.hset(META, 'chain', 'x')],
    ['an epoch that nobody can name', [], () => hostile.hset(META, 'epoch', Buffer.of(0xff))],
    ['another type under the heads of epochs', ['current'], () => hostile.zadd('{writ:f}:0:heads', 1, 'x')],
    [
      'an end of an epoch that is none',
      ['current'],
      () => hostile.zadd('{writ:f}:0:epochs', 7, '7').then(() => hostile.hset('{writ:f}:0:heads', '7', '3')),
    ],
    ['a stream that was emptied', ['current'], () => emptied('MAXLEN', '0')],
    ['a stream that begins later', ['current'], () => emptied('MINID', '100-5')],
  ])('%s: the fleet goes on with all of it, and lets newcomers in', async (_, refused, write) => {
    await write();
    const back = await putBack();
    expect(back.refused).toEqual(refused);
    expect(await back.open()).toMatchObject({ kind: 'opened' });
    expect((await newcomer()).lines).toHaveLength(8);
  });

  const emptied = (...by: string[]): Promise<unknown> =>
    hostile.call('XADD', '{writ:f}:0:feed:100', ...by, '100-900', 'c', 'x', 'e', '{}');

  it.each([
    ['another type', () => hostile.zadd('{writ:f}:0:heads', 1, 'x')],
    ['a stream that was emptied', () => emptied('MAXLEN', '1')],
  ])('no epoch is opened on %s, whoever has seen it whole', async (_, write) => {
    const back = await putBack();
    await write();
    expect(await back.open()).toEqual({ kind: 'lost' });
  });

  it('an open epoch whose heads cannot be written is ended by an operator, and the next one is on another copy', async () => {
    await hostile.zadd('{writ:f}:0:heads', 1, 'x');
    const { nextRunId } = await store.roster();
    const over = { closedEpochId: 'ep_1', runId: nextRunId, epochS: 100, sealed: epoch('ep_2', nextRunId) };
    const restored = { copy: 'current', epochId: 'ep_1', position: a.position, chain: a.chain };
    expect(await store.openEpoch({ ...over, restored })).toEqual({ kind: 'lost' });
    expect((await store.roster()).closedEpochId).toBe('ep_1');
    expect(await (await putBack()).open()).toMatchObject({ kind: 'opened' });
  });

  it('who is behind in a stream that was emptied closes the epoch, and nobody tells him that he lacks a snapshot', async () => {
    await emptied('MAXLEN', '1');
    expect(await staleReplica().renew()).toEqual({ kind: 'closed', epochId: undefined });
  });

  it('an end of an earlier epoch, written over, is no end: the copy is another', async () => {
    const { nextRunId } = await store.roster();
    await store.openEpoch({
      closedEpochId: 'ep_1',
      runId: nextRunId,
      epochS: 100,
      sealed: epoch('ep_2', nextRunId),
    });
    a.epochId = 'ep_2';
    await a.lease();
    for (const end of ['5', '7']) {
      await hostile.hset('{writ:f}:0:heads', '100', end);
      await hostile.hset(META, 'run', '-');
      const { closedEpochId, nextRunId: runId } = await store.roster();
      const request = { runId, closedEpochId, copy: 'current', lines: [], after: a.position, limit: 9 };
      expect(await store.restore(request)).toEqual({ kind: 'other' });
    }
  });

  it.each([':0:epochs', ':0:heads', ':0:roster', ':1:heads'])(
    '%s, before there is a fleet, keeps none from beginning',
    async (name) => {
      await hostile.flushall();
      await hostile.set(`{writ:f}${name}`, 'x');
      await open();
      await store.append('ep_1', replica('joined', 'inc_a'));
      expect((await new ContractReplica(store, 'inc_a').lease()).lines).toHaveLength(2);
    },
  );

  it.each([':1:roster', ':1:heads', ':1:feed:100', ':1:staged'])(
    '%s, of the copy that comes next, is left out',
    async (name) => {
      await hostile.zadd('{writ:f}:0:heads', 1, 'x');
      await hostile.zadd(`{writ:f}${name}`, 1, 'x');
      expect(await (await putBack()).open()).toMatchObject({ kind: 'opened' });
      expect((await newcomer()).lines).toHaveLength(8);
    },
  );

  it('what a snapshot stands for is not missed, and what comes after it is', async () => {
    for (let i = 5; i < 30; i++) await store.append('ep_1', revocation(`r${i}`));
    await a.lease();
    const mark = { ...a.position, sequence: 25 };
    await store.writeSnapshot({
      epochId: 'ep_1',
      position: mark,
      digest: 'd',
      entry: '{}',
      chunks: [Buffer.of(1)],
    });
    await store.trim({ position: mark, digest: 'd' }, 5);
    await store.append('ep_1', revocation('r30'));
    await a.lease();
    expect(await hostile.xrange('{writ:f}:0:feed:100', '-', '100-16')).toEqual([]);
    expect((await putBack([])).refused).toEqual([]);
    await hostile.call('XADD', '{writ:f}:0:feed:100', 'MINID', '100-26', '100-900', 'c', 'x', 'e', '{}');
    // Beside it, from the snapshot on.
    const back = await putBack(a.lines.slice(24), 'ep_1');
    expect(back.refused).toEqual(['current']);
    expect(await back.open()).toMatchObject({ kind: 'opened' });
  });

  it('another type under the snapshot is no snapshot, and the next one has a place', async () => {
    await hostile.zadd('{writ:f}:snapshot', 1, 'x');
    await hostile.zadd('{writ:f}:snapshot:1', 1, 'x');
    expect(await store.readSnapshot()).toBeUndefined();
    await store.trim({ position: a.position, digest: 'd' }, 1);
    const snapshot = {
      epochId: 'ep_1',
      position: a.position,
      digest: 'd',
      entry: '{}',
      chunks: [Buffer.of(1)],
    };
    await store.writeSnapshot(snapshot);
    expect(await store.readSnapshot()).toEqual(snapshot);
    await store.writeSnapshot({ ...snapshot, digest: 'e', position: { ...a.position, sequence: 5 } });
    expect(await store.readSnapshot()).toEqual(snapshot);
  });
});

describe('names of fleets that somebody invents', () => {
  it('are refused once they are many, and the fleet that is there goes on', async () => {
    const first = runId.replace(/\d+$/, '0');
    const openAs = (base: string): Promise<unknown> =>
      hostile
        .call('FCALL', 'writ1_open_epoch', '1', base, 'tag', '', first, '100', 'ep_x', '{}', '', '', '')
        .then(String, String);
    expect(await openAs('{writ:f}:x')).toContain('MALFORMED');
    const replies: unknown[] = [];
    for (let i = 0; i < 70; i++) replies.push(await openAs(`{writ:other-${i}}`));
    expect(replies[0]).toContain('opened');
    expect(replies.at(-1)).toMatch(/CROWDED: fleets have opened epochs in this Redis under 64 names/);
    expect(await store.append('ep_1', revocation('r5'))).toMatchObject({ duplicate: false });
    await hostile.flushall();
    await open();
    expect(await store.append('ep_1', revocation('r6'))).toMatchObject({ duplicate: false });
  });
});

describe('a thief who has our rights and no keys', () => {
  const fcall = async (name: string, ...args: string[]): Promise<unknown> =>
    ((await hostile.call('FCALL', `writ1_${name}`, '1', '{writ:f}', 'tag', ...args)) as unknown[])[1];

  it('writes the history up to an earlier moment once more, and it is bound to another opening', async () => {
    const [first, ...rest] = a.lines.slice(0, 3);
    // Another copy, in which nothing is yet, and our own words in it.
    await hostile.hset(META, 'generation', '9', 'epoch', '', 'number', '', 'sequence', '', 'chain', '');
    const { nextRunId } = await store.roster();
    const text = first!.sealed.text;
    expect(await fcall('open_epoch', '', nextRunId, '100', 'ep_1', text, '', '', '')).toEqual([
      'opened',
      '100-1',
      first!.chain,
    ]);
    await fcall('append', 'ep_1', 'joined_inc_a', rest[0]!.sealed.text, 'joined', 'inc_a');
    await fcall('append', 'ep_1', 'r1', rest[1]!.sealed.text, '', '');
    const reply = await staleReplica().renew();
    // Its signed entry names the run there was; a replica that is told another takes no lease (flows/renew.ts).
    expect(first!.sealed.entry).toMatchObject({ kind: 'epoch', runId });
    expect(reply).toMatchObject({ kind: 'lease', runId: nextRunId });
    expect(nextRunId).not.toBe(runId);
  });

  it('puts a beginning of it back, and binds it as he likes: nothing is open', async () => {
    await hostile.hset(META, 'generation', '9', 'epoch', '', 'number', '', 'sequence', '', 'chain', '');
    const { runId: closing } = await store.roster();
    const lines = a.lines.slice(0, 3);
    const request = {
      runId: closing,
      closedEpochId: undefined,
      copy: 'current',
      after: a.position,
      limit: 9,
    };
    expect((await store.restore({ ...request, lines })).kind).toBe('restored');
    for (const bound of [runId, closing]) {
      await hostile.hset(META, 'run', bound);
      expect((await staleReplica().renew()).kind).toBe('closed');
    }
  });

  it('opens an epoch that was closed again, bound as it was: it stays closed', async () => {
    const stranger = new ContractReplica(store, 'inc_a');
    Object.assign(stranger.copyOf(a), { position: { epoch: 100, sequence: 9 } });
    expect((await stranger.renew()).kind).toBe('closed');
    await hostile.hset(META, 'run', runId);
    expect((await staleReplica().renew()).kind).toBe('closed');
  });
});

describe('numbers that somebody has written so that they run out', () => {
  const LATE = '999999999999998';

  it.each<[string, () => Promise<unknown>]>([
    ['in the list of epochs', () => hostile.zadd('{writ:f}:0:epochs', LATE, LATE)],
    ['at the head', () => hostile.hset(META, 'number', LATE)],
    ['for the copy that is next', () => hostile.hset(META, 'run', '-', 'generations', '999999999999999')],
    ['for the copy that is there', () => hostile.hset(META, 'generation', '999999999999999')],
    ['for the copy that is next, as late as it can be', () => hostile.hset(META, 'generations', '999999999')],
  ])('are no epoch and no copy: %s', async (_, write) => {
    await write();
    await hostile.hset(META, 'run', '-');
    const { closedEpochId, nextRunId } = await store.roster();
    const where = { runId: nextRunId, closedEpochId, after: a.position, limit: 10 };
    const put = (copy: string) => store.restore({ ...where, copy, lines: a.lines });
    const [first, second] = [await put('new'), await put('staged')];
    if (first.kind !== 'restored') throw new Error(first.kind);
    // Others put back into the very same.
    expect(second).toEqual(first);
    const sealed = epoch('ep_2', nextRunId);
    const request = { closedEpochId, runId: nextRunId, epochS: 100, sealed, restored: first.head };
    expect(await store.openEpoch(request)).toMatchObject({ position: { epoch: 101, sequence: 1 } });
    expect(await store.roster()).toMatchObject({ epochId: 'ep_2', head: { epoch: 101, sequence: 1 } });
    expect(await hostile.hget(META, 'generation')).toBe('1');
  });

  it('are none where the history goes on as it is', async () => {
    await hostile.zadd('{writ:f}:0:epochs', LATE, LATE);
    const { nextRunId } = await store.roster();
    const request = {
      closedEpochId: 'ep_1',
      runId: nextRunId,
      epochS: 100,
      sealed: epoch('ep_2', nextRunId),
    };
    expect(await store.openEpoch(request)).toMatchObject({ position: { epoch: 101, sequence: 1 } });
  });
});

describe('the list of epochs, written over', () => {
  const EPOCHS = '{writ:f}:0:epochs';

  it('keeps no newcomer out by a number under which nothing stands', async () => {
    await hostile.zadd(EPOCHS, 5, '5', 6, '06', 7, 'x');
    await store.append('ep_1', replica('joined', 'inc_b'));
    const newcomer = new ContractReplica(store, 'inc_b');
    await newcomer.lease();
    expect(newcomer.lines).toEqual([...a.lines, newcomer.lines.at(-1)]);
  });

  it('hides no line from who is given a lease: neither of the open epoch nor of one before', async () => {
    await store.openEpoch({
      ...{ closedEpochId: 'ep_1', runId: (await store.roster()).nextRunId, epochS: 100 },
      sealed: epoch('ep_2', (await store.roster()).nextRunId),
    });
    const { position } = await store.append('ep_2', revocation('r5'));
    await hostile.zadd(EPOCHS, 1, '101', 999, '100');
    a.epochId = 'ep_2';
    expect((await a.lease()).lines.map(({ sealed }) => sealed.entry.id)).toEqual(['ent_ep_2', 'r5']);
    expect(a.position).toEqual(position);
    const newcomer = new ContractReplica(store, 'inc_b', 'ep_2');
    await store.append('ep_2', replica('joined', 'inc_b'));
    expect((await newcomer.lease()).lines).toHaveLength(9);
  });
});

describe('ids that can be foretold', () => {
  it('are taken by nobody: what a thief appends under one leaves room for the entry', async () => {
    const { text } = revocation('forged');
    await hostile.call('FCALL', 'writ1_append', '1', '{writ:f}', 'tag', 'ep_1', 'r5', text, '', '');
    const first = await store.append('ep_1', revocation('r5'));
    expect(first).toMatchObject({ position: { sequence: 8 }, duplicate: false });
    expect(await store.append('ep_1', revocation('r5'))).toEqual({ ...first, duplicate: true });
  });
});

it('who is on the roster with what makes no sense is not told that he was forgotten, and is there again in the next epoch', async () => {
  await hostile.hset('{writ:f}:0:roster', 'inc_a', '');
  expect(await a.renew()).toEqual({ kind: 'stale', reason: 'unknown' });
  const { nextRunId } = await store.roster();
  const sealed = epoch('ep_2', nextRunId);
  await store.openEpoch({ closedEpochId: 'ep_1', runId: nextRunId, epochS: 100, sealed });
  await store.append('ep_2', replica('joined', 'inc_a'));
  a.epochId = 'ep_2';
  await a.lease();
});

it('a report that is none keeps nobody from hearing the others', async () => {
  await hostile.hset(META, 'run', '-');
  const { runId: closedRun } = await store.roster();
  await hostile.hset(`{writ:f}:reports:closed:${closedRun}`, 'ep_1 thief', '000000000000001 junk');
  const { position, chain } = a;
  const report = { incarnation: 'inc_a', closedEpochId: 'ep_1', runId: closedRun, position, chain };
  expect(await store.report(report)).toEqual([report]);
});

describe('keys of another type', () => {
  it.each([':meta', ':0:roster', ':0:ids:100', ':0:feed:100'])(
    'under %s end in a refusal of the store’s, and no lease lacks what was appended',
    async (name) => {
      const key = `{writ:f}${name}`;
      await hostile.del(key);
      await hostile.lpush(key, 'x');
      const refused = (error: unknown): undefined => {
        expect(error).toMatchObject({
          code: expect.stringMatching(/^(STORE_UNREACHABLE|APPEND_UNCERTAIN|EPOCH_CLOSED)$/) as string,
        });
      };
      await store.roster(a.position).catch(refused);
      const appended = await store.append('ep_1', revocation('r5')).catch(refused);
      const reply = await a.renew().catch(refused);
      if (reply?.kind === 'lease')
        expect(a.lines.some(({ sealed }) => sealed.entry.id === 'r5')).toBe(appended !== undefined);
    },
  );
});

describe('an entry that no ledger could hold', () => {
  const text = (bytes: number): string => 'x'.repeat(bytes);
  const huge = { ...revocation('huge'), text: text(ENTRY_BYTES_MAX + 1) };

  it('is refused where it is appended, and the largest is not', async () => {
    await expect(store.append('ep_1', huge)).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining('MALFORMED') as string,
    });
    const { position } = await store.append('ep_1', {
      ...revocation('large'),
      text: text(ENTRY_BYTES_MAX),
    });
    expect(position.sequence).toBe(a.position.sequence + 1);
  });

  it('is refused where it is put back, and where it opens an epoch', async () => {
    const line = {
      position: { epoch: 100, sequence: 7 },
      sealed: huge,
      chain: nextChain(a.chain, huge.text),
    };
    await hostile.hset(META, 'run', '-');
    const request = { runId: (await store.roster()).nextRunId, closedEpochId: 'ep_1', copy: 'current' };
    const page = { after: a.position, limit: 10 };
    expect(await store.restore({ ...request, ...page, lines: [line] })).toEqual({ kind: 'other' });
    const opening = { ...epoch('ep_2', request.runId), text: huge.text };
    await expect(store.openEpoch({ ...request, epochS: 101, sealed: opening })).rejects.toMatchObject({
      message: expect.stringContaining('MALFORMED') as string,
    });
  });

  it('is taken from nobody who has put it there himself', async () => {
    const value = text(ENTRY_BYTES_MAX);
    const { text: large } = revocation('r5', { targets: [{ kind: 'jti', issuer: 'i', value }] });
    await hostile.xadd('{writ:f}:0:feed:100', '100-7', 'c', nextChain(a.chain, large), 'e', large);
    await hostile.hset(META, 'run', '-');
    const { nextRunId, closedEpochId } = await store.roster();
    await hostile.hset(META, 'sequence', '7', 'chain', nextChain(a.chain, large));
    const request = { runId: nextRunId, closedEpochId, copy: 'current', lines: [] };
    await expect(store.restore({ ...request, after: a.position, limit: 10 })).rejects.toMatchObject({
      code: 'PROOF_INVALID',
    });
  });
});

describe('a place written over that of the snapshot', () => {
  const SNAPSHOT = '{writ:f}:snapshot';
  const snapshotAt = (sequence: number): Snapshot => ({
    epochId: 'ep_1',
    position: { epoch: 100, sequence },
    digest: `d${sequence}`,
    entry: '{}',
    chunks: [Buffer.from([sequence])],
  });

  it.each(['x', '100-6', '999999999999999-1'])(
    'keeps nobody from reading, and the next snapshot takes its place, an older one does not: %s',
    async (place) => {
      await store.writeSnapshot(snapshotAt(3));
      await hostile.hset(SNAPSHOT, 'position', place);
      const read = await store.readSnapshot();
      expect(read?.digest).toBe(place === 'x' ? undefined : 'd3');
      await store.writeSnapshot(snapshotAt(2));
      expect(await hostile.hget(SNAPSHOT, 'digest')).toBe('d3');
      await store.writeSnapshot(snapshotAt(5));
      expect(await store.readSnapshot()).toEqual(snapshotAt(5));
    },
  );

  it.each(['x', '999999999999999-1'])(
    'with a digest of his own over its digest, keeps out no snapshot either: %s',
    async (place) => {
      await store.writeSnapshot(snapshotAt(3));
      await hostile.hset(SNAPSHOT, 'position', place, 'digest', 'other');
      await store.writeSnapshot(snapshotAt(5));
      expect(await store.readSnapshot()).toEqual(snapshotAt(5));
    },
  );
});

describe('an epoch with a higher number that was lost', () => {
  it('wakes nobody: who waits hears when the epoch that is open grows', async () => {
    await hostile.flushall();
    ({ nextRunId: runId } = await store.roster());
    const ahead = { closedEpochId: undefined, runId, epochS: 2_000 };
    await store.openEpoch({ ...ahead, sealed: epoch('ep_ahead', runId) });
    await hostile.flushall();
    await open();
    const { position } = await store.append('ep_1', revocation('r1'));
    const { signal } = new AbortController();
    let woken = 0;
    for (let i = 0; i < 20; i++) {
      const isWoken = await Promise.race([
        store.wake(position, signal).then(() => true),
        store.roster().then(() => false),
      ]);
      if (isWoken) woken += 1;
    }
    // Two openings and one entry are news, each once, whenever that comes.
    expect(woken).toBeLessThanOrEqual(3);
    const next = store.wake(position, signal);
    await store.append('ep_1', revocation('r2'));
    await next;
  });
});

describe('a connection that is lost while it listens again', () => {
  it('fails for nobody, so that the process goes on', async () => {
    let count = 0;
    const flapping = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        if (!data.toString().includes('subscribe')) socket.write('+OK\r\n');
        else if (count++ > 0) socket.destroy();
        else socket.end('*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n');
      });
    });
    await new Promise<void>((done) => flapping.listen(0, '127.0.0.1', done));
    const { port } = flapping.address() as AddressInfo;
    const connection = new Connection({ host: '127.0.0.1', port, name: 'x', callMs: 500 });
    await connection.listen('news', () => undefined).catch(() => undefined);
    await expect.poll(() => count, { timeout: 10_000 }).toBeGreaterThan(3);
    connection.close();
    flapping.close();
  });
});
