/**
 * A master, its replicas and three Sentinels, all real, by the files of deploy/redis: places, ports, users and patience are
 * overridden, because a test has no minute to wait.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './free-port.ts';
import { peerPath } from './peers.ts';
import { RedisServer } from './redis-server.ts';
import { eventually } from './scene.ts';
import { ROOT } from './writ-process.ts';

const DEPLOY = `${ROOT}deploy/redis/`;
const ADMIN = { username: 'admin', password: 'x' };
/** Of the Sentinels themselves. */
export const SENTINEL_PASSWORD = 'sentinels-only';

export interface Server {
  readonly redis: RedisServer;
  readonly port: number;
}

export class Sentinels {
  readonly dir: string;
  /** The first one is the master at the beginning. */
  readonly servers: readonly Server[];
  readonly ports: readonly number[];
  readonly #children: readonly ChildProcess[];

  private constructor(
    dir: string,
    servers: readonly Server[],
    ports: readonly number[],
    children: readonly ChildProcess[],
  ) {
    this.dir = dir;
    this.servers = servers;
    this.ports = ports;
    this.#children = children;
  }

  /** `args`: settings of every server. Resolves when a failover would be possible. */
  static async start(replicas: number, args: readonly string[]): Promise<Sentinels> {
    const dir = await mkdtemp(join(tmpdir(), 'writ-sentinels-'));
    const users = await readFile(`${DEPLOY}users.acl`, 'utf8');
    await writeFile(join(dir, 'users.acl'), `${users}user admin on nopass ~* &* +@all\n`);
    await writeFile(
      join(dir, 'redis.conf'),
      `include ${DEPLOY}redis.conf\ninclude ${DEPLOY}failover.conf\naclfile ${join(dir, 'users.acl')}\n`,
    );
    const servers: Server[] = [];
    for (let i = 0; i <= replicas; i++) {
      const port = await freePort();
      const master = servers[0] === undefined ? [] : ['--replicaof', '127.0.0.1', String(servers[0].port)];
      const options = { conf: join(dir, 'redis.conf'), auth: ADMIN };
      const redis = await RedisServer.start(['--port', String(port), ...args, ...master], options);
      servers.push({ redis, port });
    }
    const master = servers[0]!;
    await eventually(
      () => master.redis.ask((redis) => redis.info('replication')),
      (info) => info.includes(`min_slaves_good_slaves:${replicas}`),
      30_000,
    );
    const ports: number[] = [];
    const children: ChildProcess[] = [];
    for (let i = 0; i < 3; i++) {
      const port = await freePort();
      const file = join(dir, `sentinel-${i}.conf`);
      await writeFile(file, await sentinelConf(port, master.port));
      children.push(spawn(peerPath('redis-sentinel'), [file], { stdio: 'ignore' }));
      ports.push(port);
    }
    const sentinels = new Sentinels(dir, servers, ports, children);
    for (const port of ports)
      await eventually(
        () => askSentinel(port, ['SENTINEL', 'MASTER', 'writ']),
        (state) =>
          fieldOf(state, 'num-other-sentinels') === '2' && fieldOf(state, 'num-slaves') === String(replicas),
        30_000,
      );
    return sentinels;
  }

  /** Where the Sentinels say that the master is. */
  async masterPort(): Promise<number> {
    const address = await askSentinel(this.ports[0]!, ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'writ']);
    return Number((address as string[])[1]);
  }

  async remove(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    for (const { redis } of this.servers) await redis.remove();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** deploy/redis/sentinel.conf with other ports, and the patience of a test. */
async function sentinelConf(port: number, masterPort: number): Promise<string> {
  const text = await readFile(`${DEPLOY}sentinel.conf`, 'utf8');
  const replaced: [string, string][] = [
    [
      'port 26379',
      `port ${port}\nrequirepass ${SENTINEL_PASSWORD}\nsentinel sentinel-pass ${SENTINEL_PASSWORD}`,
    ],
    ['monitor writ 127.0.0.1 6379 2', `monitor writ 127.0.0.1 ${masterPort} 2`],
    ['down-after-milliseconds writ 3000', 'down-after-milliseconds writ 500'],
    ['failover-timeout writ 30000', 'failover-timeout writ 5000'],
  ];
  return replaced.reduce((conf, [from, to]) => {
    if (!conf.includes(from)) throw new Error(`sentinel.conf has no ${from}`);
    return conf.replace(from, to);
  }, text);
}

async function askSentinel(port: number, [command, ...args]: [string, ...string[]]): Promise<unknown> {
  const redis = new Redis({
    port,
    password: SENTINEL_PASSWORD,
    retryStrategy: () => 20,
    maxRetriesPerRequest: null,
    disableClientInfo: true,
  });
  redis.on('error', () => undefined);
  try {
    return await redis.call(command, ...args);
  } finally {
    redis.disconnect();
  }
}

function fieldOf(flat: unknown, name: string): unknown {
  if (!Array.isArray(flat)) return undefined;
  return (flat as unknown[])[flat.indexOf(name) + 1];
}
