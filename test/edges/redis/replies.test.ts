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
import { RedisServer } from '../../support/redis-server.ts';

let server: RedisServer;
let between: Server;
/** What the next answer of the server becomes; undefined for one that stays. */
let change: ((reply: string) => string | undefined) | undefined;
const sockets: Socket[] = [];
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
    client.pipe(upstream);
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
    ...{ fleet: 'f', replica: 'r', callMs: 300 },
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

describe.each(Object.entries(JUNK))('an answer that is %s', (_, junk) => {
  it('is a refusal of the store’s, to whatever it answers, and the next answer counts', async () => {
    await server.ask((redis) => redis.flushall());
    const store = await open();
    const { nextRunId: runId } = await store.roster();
    await store.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
    await store.append('ep_1', replica('joined', 'inc_a'));
    const a = new ContractReplica(store, 'inc_a');
    await a.lease();
    const { position, chain } = a;
    const report = { incarnation: 'inc_a', closedEpochId: 'ep_1', runId, position, chain };
    const forgotten = { epochId: 'ep_1', renewals: 0, sealed: replica('forgotten', 'inc_a') };
    const copy = { runId, closedEpochId: 'ep_1', copy: 'current', lines: [], after: ORIGIN, limit: 9 };
    const opening = { closedEpochId: 'ep_1', runId, epochS: 100, sealed: epoch('ep_2', runId) };
    const calls: Record<string, () => Promise<unknown>> = {
      renew: () => a.renew(),
      append: () => store.append('ep_1', revocation('r1')),
      roster: () => store.roster(position),
      report: () => store.report(report),
      forget: () => store.forget(forgotten),
      restore: () => store.restore(copy),
      openEpoch: () => store.openEpoch(opening),
    };
    for (const [name, ask] of Object.entries(calls)) {
      change = () => junk;
      const answer = await ask().then(
        (value: unknown) => value,
        (error: unknown) => error,
      );
      if (answer instanceof Error)
        expect([name, (answer as { code?: unknown }).code]).toEqual([
          name,
          expect.stringMatching(/^(STORE_UNREACHABLE|APPEND_UNCERTAIN|EPOCH_CLOSED|PROOF_INVALID)$/),
        ]);
      else expect([name, JSON.stringify(answer)]).not.toContain('"lease"');
      // It has come.
      expect([name, change]).toEqual([name, undefined]);
      await expect
        .poll(() => store.roster().catch(() => undefined), { timeout: 5_000 })
        .toMatchObject({ epochId: 'ep_1' });
    }
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
