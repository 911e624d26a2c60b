/** Starts and drives processes of naive-replica.ts, on the same Redis as the fleet that is measured beside them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { hostMs } from '../../src/edges/redis/host-clock.ts';
import type { RedisServer } from '../support/redis-server.ts';
import { eventually } from '../support/scene.ts';
import { stopChild } from './contender.ts';

/** Where things are in Redis. */
const AT = { revoked: 'naive:revoked', news: 'naive:news', entries: 'bare:entries', acks: 'bare:acks' };

export interface NaiveSettings extends Readonly<typeof AT> {
  readonly socket: string;
  readonly name: string;
  /** Live sessions that it holds. */
  readonly sessions: number;
}

export interface NaiveNews {
  readonly ids: readonly string[];
  /** All sessions of it are told. */
  readonly issuer?: string;
  /** Asks for a line that says when this was taken. */
  readonly say?: string;
}

export interface NaiveReplica {
  readonly pid: number;
  readonly log: readonly string[];
  readonly startedInMs: number;
  stop(): Promise<void>;
}

export async function startNaive(
  { socket }: RedisServer,
  name: string,
  { sessions = 0, execArgv = [] }: { readonly sessions?: number; readonly execArgv?: readonly string[] } = {},
): Promise<NaiveReplica> {
  const path = fileURLToPath(new URL('naive-replica.ts', import.meta.url));
  const startedMs = performance.now();
  const settings: NaiveSettings = { ...AT, socket, name, sessions };
  const child = spawn(process.execPath, [...execArgv, path, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] ?? '' },
  });
  const log: string[] = [];
  const lines = createInterface({ input: child.stdout }).on('line', (line) => log.push(line));
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the naive replica ended with ${String(code)}`);
  });
  ended.catch(() => undefined);
  await Promise.race([once(lines, 'line'), ended]);
  const startedInMs = performance.now() - startedMs;
  return { pid: child.pid ?? 0, log, startedInMs, stop: () => stopChild(child) };
}

/** The one who orders, and who waits for a bare barrier. */
export class NaiveCaller {
  readonly #asking: Redis;
  readonly #hearing: Redis;
  #heard: (ack: string) => void = () => undefined;

  private constructor(path: string) {
    const options = { path, disableClientInfo: true } as const;
    this.#asking = new Redis(options);
    this.#hearing = new Redis(options);
    this.#hearing.on('message', (_channel, ack: string) => this.#heard(ack));
  }

  static async open({ socket }: RedisServer): Promise<NaiveCaller> {
    const caller = new NaiveCaller(socket);
    await caller.#hearing.subscribe(AT.acks);
    return caller;
  }

  /** Milliseconds of one round trip that does nothing. */
  async ping(): Promise<number> {
    const sentMs = hostMs();
    await this.#asking.ping();
    return hostMs() - sentMs;
  }

  /** Resolves to when it was sent, once Redis has it and has sent it on. */
  async revoke(news: NaiveNews): Promise<number> {
    const sentMs = hostMs();
    const told = this.#asking.multi();
    if (news.ids.length > 0) told.sadd(AT.revoked, ...news.ids);
    await told.publish(AT.news, JSON.stringify(news)).exec();
    return sentMs;
  }

  /** Milliseconds from the sending of an entry until `replicas` processes have said that they have it. */
  async barrier(replicas: number): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const names = new Set<string>();
    let id: string | null = null;
    const acks: string[] = [];
    const judge = (): void => {
      // An acknowledgement may be here before the reply that names the entry.
      for (const ack of acks.splice(0)) if (ack.endsWith(` ${id}`)) names.add(ack);
      if (names.size >= replicas) resolve();
    };
    this.#heard = (ack) => {
      acks.push(ack);
      if (id !== null) judge();
    };
    const sentMs = hostMs();
    id = await this.#asking.xadd(AT.entries, '*', 'e', ENTRY);
    judge();
    await promise;
    return hostMs() - sentMs;
  }

  close(): void {
    this.#asking.disconnect();
    this.#hearing.disconnect();
  }
}

/** As large as the entry of one revocation. */
const ENTRY = 'x'.repeat(500);

/** When the naive replica had taken what asked it to `say` that. */
export async function takenAt({ log }: NaiveReplica, say: string): Promise<number> {
  const find = (): Promise<string | undefined> =>
    Promise.resolve(log.find((line) => line.includes(`"applied","id":"${say}"`)));
  const line = await eventually(find, (found) => found !== undefined);
  if (line === undefined) throw new Error('the naive replica has not taken what was published');
  return (JSON.parse(line) as { ms: number }).ms;
}
