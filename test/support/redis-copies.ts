/**
 * A Redis whose copy may take its place: master, a link that can be held, the copy behind it, and one below, without which
 * the copy would take no writes. For tests of a failover that loses what the copy had not heard of.
 */
import { freePort } from './free-port.ts';
import type { HoldingProxy } from './holding-proxy.ts';
import type { RedisFleet } from './redis-fleet.ts';
import { RedisServer } from './redis-server.ts';
import { eventually } from './scene.ts';

const DURABLE = ['--min-replicas-to-write', '1', '--min-replicas-max-lag', '4'];
const SOON = ['--repl-diskless-sync-delay', '0'];

/** What a server has to be started with, to be the master of copies. */
export function masterArgs(port: number): string[] {
  return ['--port', String(port), ...DURABLE, ...SOON];
}

export class RedisCopies {
  /** Between the master and the copy. */
  readonly link: HoldingProxy;
  readonly copy: RedisServer;
  readonly #below: RedisServer;

  private constructor(link: HoldingProxy, copy: RedisServer, below: RedisServer) {
    this.link = link;
    this.copy = copy;
    this.#below = below;
  }

  /** Of the fleet's own server, which listens at `port`. */
  static async follow(fleet: RedisFleet, port: number): Promise<RedisCopies> {
    const [linked, copied, below] = [await freePort(), await freePort(), await freePort()];
    const link = await fleet.proxy(String(linked), String(port));
    const copy = await follow(linked, copied);
    return new RedisCopies(link, copy, await follow(copied, below));
  }

  /** How many entries the fleet's server has that the copy has not. */
  async lag({ redis }: RedisFleet): Promise<number> {
    return (await entriesOf(redis)) - (await entriesOf(this.copy));
  }

  async promote(): Promise<void> {
    await this.copy.ask((redis) => redis.replicaof('NO', 'ONE'));
  }

  async remove(): Promise<void> {
    for (const server of [this.copy, this.#below]) await server.remove();
  }
}

/** A server that follows the one at `port`, and says so. */
async function follow(port: number, own: number): Promise<RedisServer> {
  const copy = await RedisServer.start([...masterArgs(own), '--replicaof', '127.0.0.1', String(port)]);
  await eventually(
    () => copy.ask((redis) => redis.info('replication')),
    (info) => info.includes('master_link_status:up'),
    30_000,
  );
  return copy;
}

/** How many entries its streams hold. */
const entriesOf = (server: RedisServer): Promise<number> =>
  server.ask(async (redis) => {
    const streams = await redis.keys('{writ:test}*:feed:*');
    const lengths = await Promise.all(streams.map((key) => redis.xlen(key)));
    return lengths.reduce((sum, length) => sum + length, 0);
  });
