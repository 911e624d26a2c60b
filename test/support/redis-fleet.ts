/** A fleet of real processes on one real Redis, one fleet key and one issuer whose tokens all of them take. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes, randomUUID } from 'node:crypto';
import { HoldingProxy } from './holding-proxy.ts';
import type { RedisServerOptions } from './redis-server.ts';
import { RedisServer } from './redis-server.ts';
import { keyFor, mintToken } from './tokens.ts';
import type { WritProcess, WritProcessOptions } from './writ-process.ts';
import { startWrit } from './writ-process.ts';

const ISSUER = 'https://idp.example';

export interface FleetOptions {
  readonly lease?: string;
  readonly bootstrap?: boolean;
  readonly redis?: { readonly args?: readonly string[] } & RedisServerOptions;
  /** A server that is there already, in place of one of its own; whoever brought it removes it. */
  readonly server?: RedisServer;
  /** For node, before the program. */
  readonly execArgv?: readonly string[];
}

export interface FleetToken {
  readonly token: string;
  readonly jti: string;
  readonly issuer: string;
}

export class RedisFleet {
  readonly redis: RedisServer;
  readonly #dir: string;
  readonly #options: FleetOptions;
  readonly #running = new Set<WritProcess>();
  readonly #proxies: HoldingProxy[] = [];

  private constructor(redis: RedisServer, dir: string, options: FleetOptions) {
    this.redis = redis;
    this.#dir = dir;
    this.#options = options;
  }

  static async start(options: FleetOptions = {}): Promise<RedisFleet> {
    const dir = await mkdtemp(join(tmpdir(), 'writ-fleet-'));
    await writeFile(join(dir, 'fleet.key'), `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 });
    await writeFile(join(dir, 'keys.json'), JSON.stringify({ keys: [keyFor('ES256').jwk] }));
    const redis = options.server ?? (await RedisServer.start(options.redis?.args, options.redis));
    return new RedisFleet(redis, dir, options);
  }

  /** Where everything of this fleet is but its Redis. */
  get dir(): string {
    return this.#dir;
  }

  /** Starts a replica; the same name again goes on with its data directory. */
  async replica(
    name: string,
    set: readonly string[] = [],
    process: Partial<WritProcessOptions> = {},
  ): Promise<WritProcess> {
    const { lease = '1s', bootstrap = true, execArgv = [] } = this.#options;
    const { dataDir = join(this.#dir, name) } = process;
    await mkdir(dataDir, { recursive: true });
    const issuer = {
      issuer: ISSUER,
      audiences: ['api'],
      jwks: { file: join(this.#dir, 'keys.json') },
      algorithms: ['ES256'],
    };
    const writ = await startWrit({
      dev: false,
      execArgv,
      ...process,
      dataDir,
      set: [
        `replica=${name}`,
        'fleet=test',
        'store.kind=redis',
        `store.url=unix:${this.redis.socket}`,
        `fleetKeyFile=${join(this.#dir, 'fleet.key')}`,
        `lease=${lease}`,
        `bootstrap=${bootstrap}`,
        `issuers=${JSON.stringify([issuer])}`,
        ...set,
      ],
    });
    this.#running.add(writ);
    return writ;
  }

  /** A way to the Redis, or to what is at `target`, that can be held; closed with the fleet. */
  async proxy(
    path = join(this.#dir, `proxy-${this.#proxies.length}.sock`),
    target = this.redis.socket,
  ): Promise<HoldingProxy> {
    const proxy = await HoldingProxy.open(path, target);
    this.#proxies.push(proxy);
    return proxy;
  }

  mint(sub = 'billing'): FleetToken {
    const jti = randomUUID();
    const nowS = Math.floor(Date.now() / 1000);
    const claims = { sub, jti, scope: 'invoice:read', iat: nowS, exp: nowS + 3600 };
    return { token: mintToken({ claims }), jti, issuer: ISSUER };
  }

  async remove(): Promise<void> {
    for (const writ of this.#running) await writ.kill('SIGKILL');
    for (const proxy of this.#proxies) proxy.close();
    if (this.#options.server === undefined) await this.redis.remove();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
