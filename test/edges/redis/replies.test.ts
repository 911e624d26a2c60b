/**
 * Replies that are not what they have to be: of a Redis that is broken, or of somebody between it and us. Each call ends in a
 * refusal of the store's, whatever comes, and the next one is answered as ever.
 */
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { ORIGIN } from '../../../src/feed/position.ts';
import { epoch, replica, revocation } from '../../support/feed-entries.ts';
import { ContractReplica } from '../../contract/contract-replica.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';

let server: RedisServer;
let between: Server;
/** What the next answer of the server becomes; undefined for one that stays. */
let change: ((reply: string) => string | undefined) | undefined;
const sockets: Socket[] = [];
/** The newest connection of each kind. */
const clients = new Map<string, Socket>();
const stores: RedisFeedStore[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
  between = createServer((client) => {
    const upstream = connect(server.socket);
    sockets.push(client, upstream);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
    client.on('data', (bytes: Buffer) => {
      const name = /writ:r:(renew|append|feed)/.exec(bytes.toString('latin1'))?.[1];
      if (name !== undefined) clients.set(name, client);
      upstream.write(bytes);
    });
    upstream.on('data', (reply) => {
      const text = reply.toString('latin1');
      // News are no answer.
      const changed = text.includes('\r\nmessage\r\n') ? undefined : change?.(text);
      if (changed === undefined) client.write(reply);
      else {
        change = undefined;
        client.write(changed, 'latin1');
      }
    });
  });
  await once(between.listen(join(server.dir, 'between.sock')), 'listening');
});
afterEach(async () => {
  change = undefined;
  for (const store of stores.splice(0)) await store.close();
});
afterAll(async () => {
  between.close();
  for (const socket of sockets) socket.destroy();
  await server.remove();
});

async function open(): Promise<RedisFeedStore> {
  const store = new RedisFeedStore({
    server: { host: '', port: 0, path: join(server.dir, 'between.sock') },
    ...{ fleet: 'f', replica: 'r', nameKey: NAME_KEY, callMs: 300 },
  });
  stores.push(store);
  await store.open();
  return store;
}

const JUNK = {
  nothing: '$-1\r\n',
  'no list': '*-1\r\n',
  'an empty list': '*0\r\n',
  'a number': ':1\r\n',
  'a word': '+OK\r\n',
  'an error': '-ERR what\r\n',
  'a list of nothing': '*2\r\n$-1\r\n*-1\r\n',
  'lists in lists': `${'*1\r\n'.repeat(5_000)}:1\r\n`,
  'the beginning of a lease': '*5\r\n$5\r\nlease\r\n$5\r\n100-1\r\n*3\r\n$5\r\n100-1\r\n',
  'a lease with everything wrong': '*5\r\n$5\r\nlease\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n:1\r\n',
  'a lease with a line that is none':
    '*5\r\n$5\r\nlease\r\n$5\r\n100-1\r\n*3\r\n$5\r\n100-9\r\n$1\r\nx\r\n$2\r\n{}\r\n*0\r\n$1\r\nr\r\n',
  'an append that says nothing of where': '*2\r\n$8\r\nappended\r\n$-1\r\n',
  'no RESP at all': 'HTTP/1.1 400 Bad Request\r\n\r\n',
  'a list that is too long for any memory': '*4294967295\r\n',
} as const;

/** `ep_1` is open, and `inc_a` has a lease. */
async function begin(): Promise<{ store: RedisFeedStore; a: ContractReplica; runId: string }> {
  await server.ask((redis) => redis.flushall());
  const store = await open();
  const { nextRunId: runId } = await store.roster();
  await store.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
  await store.append('ep_1', replica('joined', 'inc_a'));
  const a = new ContractReplica(store, 'inc_a');
  await a.lease();
  return { store, a, runId };
}

async function goesOn(store: RedisFeedStore): Promise<void> {
  await expect
    .poll(() => store.roster().catch(() => undefined), { timeout: 5_000 })
    .toMatchObject({ epochId: 'ep_1' });
}

/** The list and the tag with which a function's answer begins; undefined for what is the answer of none. */
const tagOf = (reply: string): string | undefined => /^\*2\r\n\$36\r\n.{36}\r\n/.exec(reply)?.[0];

describe.each(Object.entries(JUNK))('an answer that is %s', (_, junk) => {
  it.each([
    ['as it is', () => junk],
    ['with the tag of what it answers', (tag: string) => tag + junk],
  ])('%s is a refusal of the store’s, and the next answer counts', async (_spelling, made) => {
    const { store, a, runId } = await begin();
    const { position, chain } = a;
    const report = { incarnation: 'inc_a', closedEpochId: 'ep_1', runId, position, chain };
    const forgotten = { epochId: 'ep_1', renewals: 0, sealed: replica('forgotten', 'inc_a') };
    const copy = { runId, closedEpochId: 'ep_1', copy: 'current', lines: [], after: ORIGIN, limit: 9 };
    const opening = { closedEpochId: 'ep_1', runId, epochS: 100, sealed: epoch('ep_2', runId) };
    const read = /^(STORE_UNREACHABLE|PROOF_INVALID)$/;
    // It was done: said again, it has its place.
    const written = /^APPEND_UNCERTAIN$/;
    const calls: readonly [name: string, code: RegExp, ask: () => Promise<unknown>][] = [
      ['renew', read, () => a.renew()],
      ['append', written, () => store.append('ep_1', revocation('r1'))],
      ['roster', read, () => store.roster(position)],
      // What is no report among them is passed over.
      ['report', /^(STORE_UNREACHABLE|none)$/, () => store.report(report).then(([one]) => one ?? 'none')],
      ['forget', written, () => store.forget(forgotten)],
      ['restore', read, () => store.restore(copy)],
      ['openEpoch', written, () => store.openEpoch(opening)],
      ['readSnapshot', /^(STORE_UNREACHABLE|none)$/, () => store.readSnapshot().then((one) => one ?? 'none')],
    ];
    for (const [name, code, ask] of calls) {
      change = (reply) => {
        const tag = tagOf(reply);
        return tag && made(tag);
      };
      const answer = await ask().catch((error: unknown) => (error as { code?: unknown }).code);
      expect([name, answer]).toEqual([name, expect.stringMatching(code)]);
      // It has come.
      expect([name, change]).toEqual([name, undefined]);
      await goesOn(store);
    }
    expect(await store.append('ep_1', revocation('r1'))).toMatchObject({ duplicate: true });
  });
});

describe('a lease that was granted before', () => {
  it('is none when it is answered again, not even to the same renewal', async () => {
    const { a } = await begin();
    let lease = '';
    // Whose answers are lost repeats its last nonce in the end, so that does not tell them apart.
    const request = a.request();
    change = (reply) => {
      lease ||= reply;
      return undefined;
    };
    expect(await a.store.renew(request)).toMatchObject({ kind: 'lease' });
    change = () => lease;
    await expect(a.store.renew(request)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
  });
});

describe('an answer that nobody asked for', () => {
  it.each([
    '$-1\r\n',
    '*0\r\n',
    '*1\r\n$-1\r\n',
    '*1\r\n$7\r\nmessage\r\n',
    '*1\r\n$9\r\nsubscribe\r\n',
    '*1\r\n$11\r\nunsubscribe\r\n',
    '>1\r\n$-1\r\n',
    '-ERR what\r\n',
    '%1\r\n+a\r\n+b\r\n',
  ])('ends no process, on whichever connection, and news come as ever: %j', async (bytes) => {
    const { store, a } = await begin();
    for (const name of ['renew', 'append', 'feed']) {
      clients.get(name)?.write(bytes);
      await goesOn(store);
    }
    await expect
      .poll(() => a.renew().catch(() => undefined), { timeout: 5_000 })
      .toMatchObject({ kind: 'lease' });
    const { position } = await store.append('ep_1', revocation('r1'));
    let isWoken = false;
    void store.wake(position, new AbortController().signal).then(() => (isWoken = true));
    const says = async (): Promise<boolean> => {
      await store.append('ep_1', revocation(`r${performance.now()}`));
      return isWoken;
    };
    await expect.poll(says, { timeout: 5_000 }).toBe(true);
  });
});

describe('a Redis that is too old', () => {
  it('is refused, and the version that is needed is named', async () => {
    change = (reply) =>
      reply.includes('redis_version:') ? reply.replace(/redis_version:\d/, 'redis_version:6') : undefined;
    await expect(open()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      field: 'store.url',
      message: 'Redis 7.0 or later is needed: functions',
    });
  });
});
