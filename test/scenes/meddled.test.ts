/**
 * Somebody between a replica and its Redis, who says what no Redis would: the replica says no yes on the strength of it, and
 * goes on when he is gone.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { RedisFleet } from '../support/redis-fleet.ts';
import { evaluate, jtiOrder, reasonOf, revoke, untilPermitted } from '../support/scene.ts';

const SCENE_MS = 60_000;

let fleet: RedisFleet;
const closing: (() => void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await fleet.remove();
});

interface Connection {
  /** As the replica calls it: renew, append or feed. */
  name: string;
  readonly client: Socket;
}

interface Meddler {
  readonly path: string;
  readonly connections: Connection[];
  /** Each renewal is answered by an earlier answer, and reaches nobody. */
  isReplaying: boolean;
}

async function meddle(): Promise<Meddler> {
  const meddler: Meddler = {
    path: join(fleet.redis.dir, 'between.sock'),
    connections: [],
    isReplaying: false,
  };
  let lease: Buffer | undefined;
  const server = createServer((client) => {
    const upstream = connect(fleet.redis.socket);
    const connection = { name: '', client };
    meddler.connections.push(connection);
    client.on('data', (bytes: Buffer) => {
      connection.name ||= /writ:\w+:(renew|append|feed)/.exec(bytes.toString('latin1'))?.[1] ?? '';
      if (!meddler.isReplaying) upstream.write(bytes);
      else if (connection.name === 'renew' && lease !== undefined) client.write(lease);
    });
    upstream.on('data', (bytes: Buffer) => {
      if (bytes.toString('latin1').includes('\r\nlease\r\n')) lease = bytes;
      if (!meddler.isReplaying) client.write(bytes);
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await once(server.listen(meddler.path), 'listening');
  closing.push(() => server.close());
  return meddler;
}

describe('a lease that was granted before', () => {
  it(
    'is none when it is answered again',
    async () => {
      fleet = await RedisFleet.start();
      const meddler = await meddle();
      const first = await fleet.replica('r1');
      const second = await fleet.replica('r2', [`store.url=unix:${meddler.path}`]);
      const token = fleet.mint();
      expect(await untilPermitted(second, token.token)).toBe('permitted');
      meddler.isReplaying = true;
      const { body } = await revoke(first, jtiOrder(token, { waitMs: 20_000 }));
      expect(body).toMatchObject({ state: 'enforced' });
      expect(reasonOf(await evaluate(second, token.token))).not.toBe('permitted');
    },
    SCENE_MS,
  );
});

describe('an answer that nobody asked for', () => {
  it.each([
    '$-1\r\n',
    '*0\r\n',
    '*1\r\n$-1\r\n',
    '*1\r\n$7\r\nmessage\r\n',
    '*1\r\n$9\r\nsubscribe\r\n',
    '>1\r\n$-1\r\n',
  ])(
    'ends no process: %j',
    async (bytes) => {
      fleet = await RedisFleet.start();
      const meddler = await meddle();
      const writ = await fleet.replica('r1', [`store.url=unix:${meddler.path}`]);
      expect(await untilPermitted(writ, fleet.mint().token)).toBe('permitted');
      for (const { name, client } of meddler.connections) if (name === 'feed') client.write(bytes);
      const isOver = await Promise.race([
        writ.exited.then(() => true),
        new Promise<boolean>((resolve) => setTimeout(resolve, 2_000, false)),
      ]);
      expect(isOver).toBe(false);
      expect(await untilPermitted(writ, fleet.mint().token)).toBe('permitted');
    },
    SCENE_MS,
  );
});
