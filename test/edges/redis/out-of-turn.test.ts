/** Replies that are not those of their requests: what a broken server, or whoever stands before it, can do to a stream of them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Connection } from '../../../src/edges/redis/connection.ts';
import { FaultProxy } from '../../faults/live/fault-proxy.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { eventually } from '../../support/scene.ts';

let server: RedisServer;
let proxy: FaultProxy;
let connection: Connection;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.remove());

beforeEach(async () => {
  proxy = await FaultProxy.open(
    () => server.socket,
    () => 0,
  );
  const { hostname, port } = new URL(proxy.url);
  connection = new Connection({ host: hostname, port: Number(port), name: 'test', callMs: 2_000 });
  await connection.connect();
  await server.ask((redis) => redis.set('count', '0'));
});
afterEach(() => {
  connection.close();
  proxy.close();
});

const increment = (): Promise<unknown> => connection.call(['incr', 'count']);

describe('a connection on which a reply comes twice', () => {
  it('believes none that may be an earlier one, and is made anew', async () => {
    expect(await increment()).toBe(1);
    proxy.meddle('answered twice', 1, 'INCR');
    // The second of two that are under way would be told what the first one did.
    const both = await Promise.allSettled([increment(), increment()]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(both[0]).toMatchObject({ reason: { kind: 'lost', message: 'Redis answered out of turn' } });
    expect(
      await eventually(
        () => increment().catch(() => undefined),
        (count) => count === 4,
      ),
    ).toBe(4);
  });
});
