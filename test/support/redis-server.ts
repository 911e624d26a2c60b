/** A real redis-server on a Unix socket in a directory of its own: started, stopped, restarted, and asked by tests. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { peerPath } from './peers.ts';

/** By what stores of one fleet name entries to the functions. */
export const NAME_KEY = new Uint8Array(32).fill(5);

interface Auth {
  readonly username?: string;
  readonly password?: string;
}

export interface RedisServerOptions {
  /** Whom `ask` asks as. */
  readonly auth?: Auth;
  /** A configuration file, in place of the settings that tests have otherwise; only its places are overridden. */
  readonly conf?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class RedisServer {
  readonly dir: string;
  readonly #args: readonly string[];
  readonly #auth: Auth;
  readonly #conf: string | undefined;
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;

  private constructor(
    dir: string,
    args: readonly string[],
    { auth = {}, conf, env = {} }: RedisServerOptions,
  ) {
    this.dir = dir;
    this.#args = args;
    this.#auth = auth;
    this.#conf = conf;
    this.#env = env;
  }

  static async start(args: readonly string[] = [], options: RedisServerOptions = {}): Promise<RedisServer> {
    const dir = await mkdtemp(join(tmpdir(), 'writ-redis-'));
    const server = new RedisServer(dir, args, options);
    await server.begin();
    return server;
  }

  get socket(): string {
    return join(this.dir, 'redis.sock');
  }

  /** Starts it on the disk it has. */
  async begin(): Promise<void> {
    const places = ['--port', '0', '--unixsocket', this.socket, '--dir', this.dir];
    const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction'];
    const args = this.#conf === undefined ? [...places, '--save', '', ...durable] : [this.#conf, ...places];
    this.#child = spawn(peerPath('redis-server'), [...args, ...this.#args], {
      stdio: 'ignore',
      env: { ...process.env, ...this.#env },
    });
    await this.ask(async (redis) => {
      while (!/^loading:0/m.test(await redis.info('persistence'))) await wait(5);
    });
  }

  /** With a connection that waits until the server is up. */
  async ask<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis({
      path: this.socket,
      ...this.#auth,
      retryStrategy: () => 5,
      maxRetriesPerRequest: null,
      maxLoadingRetryTime: 50,
      disableClientInfo: true,
    });
    redis.on('error', () => undefined);
    try {
      return await work(redis);
    } finally {
      redis.disconnect();
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }

  async remove(): Promise<void> {
    await this.stop('SIGKILL');
    await rm(this.dir, { recursive: true, force: true });
  }
}
