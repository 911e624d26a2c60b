/**
 * Three replicas in processes of their own, a real Redis, a fault proxy between each and it, and callers in this process that
 * ask all the time and write down what they saw (THREATS 7.1). What a replica says of itself is no part of the history.
 */
import { randomUUID } from 'node:crypto';
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { call } from '../../support/client.ts';
import type { FleetToken } from '../../support/redis-fleet.ts';
import type { RedisFleet } from '../../support/redis-fleet.ts';
import type { RedisCopies } from '../../support/redis-copies.ts';
import type { RedisServer } from '../../support/redis-server.ts';
import { jtiOrder, question, revoke } from '../../support/scene.ts';
import type { WritProcess, WritProcessOptions } from '../../support/writ-process.ts';
import type { Asked, Revoked } from '../history.ts';
import type { Chances } from '../random.ts';
import { FaultProxy } from './fault-proxy.ts';
import type { SetClocks } from './set-clocks.ts';

/** Between two requests to one replica. */
const GAP_MS = 8;
/** Of a replica that owes so many answers, less is asked, and in the end nothing; until then what is asked waits for it. */
const OWED_MANY = 24;
const OWED_MAX = 400;
const SELDOM = 0.15;
/** What is enforced is asked for as often as what is being revoked, for so long. */
const ASKED_AFTER_MS = 1_500;
const STARTS_MAX = 20;

export interface LiveAsked extends Asked {
  /** When the request was sent by the wall clock, which signed statements go by. */
  readonly sentWallMs: number;
  readonly answeredMs: number;
}

export interface LiveRevoked extends Revoked {
  /** When the caller first heard that the store has it. */
  durableMs: number | undefined;
  boundMs: number | undefined;
  id: string | undefined;
  /** Who answered last. */
  by: string;
}

export class LiveReplica {
  readonly name: string;
  readonly proxy: FaultProxy;
  readonly agent = new Agent({ keepAlive: true });
  process: WritProcess | undefined;
  /** Its lives so far. */
  starts = 0;
  open = 0;
  isStopped = false;

  constructor(name: string, proxy: FaultProxy) {
    this.name = name;
    this.proxy = proxy;
  }

  get running(): WritProcess {
    if (this.process === undefined) throw new Error(`${this.name} does not run`);
    return this.process;
  }

  /** False where there is no such process any more. */
  signal(signal: NodeJS.Signals): boolean {
    this.isStopped = signal === 'SIGSTOP';
    try {
      return process.kill(this.running.pid, signal);
    } catch {
      return false;
    }
  }
}

/** Of which clocks can be set. */
export interface LiveClocks {
  readonly replica: SetClocks;
  readonly redis: SetClocks;
  remove(): Promise<void>;
}

export interface LiveFleetOptions {
  readonly chances: Chances;
  /** Of every replica's configuration. */
  readonly sets: readonly string[];
  /** How the process of that name is started. */
  readonly process: (name: string) => Partial<WritProcessOptions>;
  readonly clocks: LiveClocks | undefined;
  readonly say: (line: string) => void;
}

export class LiveFleet {
  readonly fleet: RedisFleet;
  readonly chances: Chances;
  readonly replicas: LiveReplica[] = [];
  readonly asked: LiveAsked[] = [];
  readonly revoked: LiveRevoked[] = [];
  /** What did not hold, as sentences. */
  readonly violations: string[] = [];
  /** Replicas whose clock is not the machine's, or that were two: what they sign is not held against this clock. */
  readonly apart = new Set<string>();
  /** When the store last lost something that it had taken. */
  forgotMs = -Infinity;
  isAmnesiac = false;
  redis: RedisServer;
  /** When a process was last started, and was there. */
  startedMs = 0;
  readonly clocks: LiveClocks | undefined;
  /** Where a copy may take over. */
  copies: RedisCopies | undefined;
  readonly #sets: readonly string[];
  readonly #process: LiveFleetOptions['process'];
  readonly #say: (line: string) => void;
  readonly #tokens = new Map<string, FleetToken>();
  readonly #beganMs = performance.now();
  /** What callers ask about now; as often again about what is being revoked. */
  #live: string[] = [];
  #hot: string[] = [];
  #isOver = false;
  readonly #work: Promise<void>[] = [];

  constructor(fleet: RedisFleet, { chances, sets, process, clocks, say }: LiveFleetOptions) {
    this.fleet = fleet;
    this.redis = fleet.redis;
    this.chances = chances;
    this.#sets = sets;
    this.#process = process;
    this.#say = say;
    this.clocks = clocks;
  }

  /** Milliseconds of this machine's monotonic clock since the fleet began. */
  get nowMs(): number {
    return performance.now() - this.#beganMs;
  }

  say(text: string): void {
    this.#say(`${(this.nowMs / 1000).toFixed(3).padStart(9)} s  ${text}`);
  }

  async add(name: string): Promise<LiveReplica> {
    const proxy = await FaultProxy.open(
      () => this.redis.socket,
      () => this.chances.next(),
    );
    const replica = new LiveReplica(name, proxy);
    await this.start(replica);
    this.replicas.push(replica);
    this.#work.push(this.#keepAsking(replica));
    return replica;
  }

  /** The process; again on the data directory that it had. */
  async start(replica: LiveReplica, more: Partial<WritProcessOptions> = {}): Promise<void> {
    const { name, proxy } = replica;
    const set = [`store.url=${proxy.url}`, ...this.#sets, ...(more.set ?? [])];
    const { set: _, ...process } = { ...this.#process(name), ...more };
    replica.starts += 1;
    replica.process = await this.#begun(() => this.fleet.replica(name, set, process));
    replica.isStopped = false;
    this.startedMs = this.nowMs;
    this.say(`${name} runs as process ${replica.process.pid}`);
    // Whose end is not planned has a fault of its own.
    if (more.main === undefined) void this.#watch(replica, replica.process);
  }

  /** As whoever keeps a service running does: it ends where Redis does not answer, and is started again. */
  async #begun(start: () => Promise<WritProcess>): Promise<WritProcess> {
    for (let tries = 1; ; tries++)
      try {
        return await start();
      } catch (error) {
        if (tries === STARTS_MAX || !String(error).includes('STORE_UNREACHABLE')) throw error;
        await sleep(500);
      }
  }

  async #watch(replica: LiveReplica, running: WritProcess): Promise<void> {
    const code = await running.exited;
    if (replica.process !== running) return;
    replica.process = undefined;
    this.violations.push(
      `DIED: ${replica.name} ended by itself, with ${code}\n${running.log.slice(-20).join('\n')}`,
    );
  }

  async kill(replica: LiveReplica, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { process } = replica;
    replica.process = undefined;
    this.say(`${replica.name} gets ${signal}`);
    await process?.kill(signal);
  }

  /** In order or not, for good; its callers stop. */
  async remove(replica: LiveReplica, signal: NodeJS.Signals): Promise<void> {
    this.replicas.splice(this.replicas.indexOf(replica), 1);
    await this.kill(replica, signal);
    replica.proxy.close();
  }

  /** That server is the fleet's from now on. */
  moveTo(server: RedisServer): void {
    this.redis = server;
    for (const { proxy } of this.replicas) proxy.reset();
  }

  get running(): readonly LiveReplica[] {
    return this.replicas.filter(({ process, isStopped }) => process !== undefined && !isStopped);
  }

  /** A credential that callers ask about from now on. */
  mint(): string {
    const token = this.fleet.mint();
    const name = `c${this.#tokens.size + 1}`;
    this.#tokens.set(name, token);
    this.#live.push(name);
    return name;
  }

  /** How many answers of that reason there were since `sinceMs`, of one replica or all. */
  count(reason: string, sinceMs: number, replica?: LiveReplica): number {
    let count = 0;
    for (let i = this.asked.length - 1; i >= 0; i--) {
      const one = this.asked[i];
      if (one === undefined || one.answeredMs < sinceMs) break;
      if (one.reason === reason && (replica === undefined || one.replica === replica.name)) count += 1;
    }
    return count;
  }

  /** Why `replica` does not permit that credential, or `permitted`; `unknown` where there is no answer. */
  async ask(replica: LiveReplica, credential: string): Promise<string> {
    const { name, process, agent, starts } = replica;
    const token = this.#tokens.get(credential)?.token ?? '';
    if (process === undefined) return 'unknown';
    const [sentMs, sentWallMs] = [this.nowMs, Date.now()];
    replica.open += 1;
    const reason = await call(`${process.urls.data}/access/v1/evaluation`, {
      body: question(token),
      agent,
    }).then(
      ({ body }) => String((body['context'] as Record<string, unknown> | undefined)?.['reason']),
      () => 'unknown',
    );
    replica.open -= 1;
    const asked = {
      credential,
      replica: name,
      incarnation: `${name}#${starts}`,
      sentMs,
      decidedMs: sentMs,
      // Callers do not see leases.
      leaseEndsMs: Infinity,
    };
    this.asked.push({ ...asked, sentWallMs, answeredMs: this.nowMs, reason });
    return reason;
  }

  /** Ordered from `replica`, and again with the same key, from another when it is gone, until it is enforced or all is over. */
  revoke(replica: LiveReplica, credential: string, isUndisturbed: boolean): Promise<void> {
    const order: LiveRevoked = {
      ...{ credential, by: replica.name, sentMs: this.nowMs, isUndisturbed },
      ...{ enforcedMs: undefined, answered: undefined, durableMs: undefined },
      // How long it takes is the machine's.
      ...{ dueMs: Infinity, boundMs: undefined, id: undefined },
    };
    this.revoked.push(order);
    this.#hot.push(credential);
    this.say(`${replica.name} is told to revoke ${credential}`);
    const work = this.#pursue(replica, order);
    const cooling = work.then(async () => {
      if (!this.#isOver) await sleep(ASKED_AFTER_MS);
      this.#hot = this.#hot.filter((one) => one !== credential);
    });
    this.#work.push(cooling);
    return work;
  }

  async #pursue(first: LiveReplica, order: LiveRevoked): Promise<void> {
    let replica = first;
    while (!this.#isOver && order.enforcedMs === undefined) {
      const answer = replica.process === undefined ? 'gone' : await this.#order(replica, order);
      if (answer !== 'gone') continue;
      order.isUndisturbed = false;
      await sleep(100);
      // Who is down or does not know comes last.
      replica = this.running.find((one) => one !== replica) ?? replica;
    }
  }

  async #order(replica: LiveReplica, order: LiveRevoked): Promise<'answered' | 'gone'> {
    const { urls, adminToken } = replica.running;
    const token = this.#tokens.get(order.credential) as FleetToken;
    const body = jtiOrder(token, { waitMs: 10_000 });
    const headers = { 'idempotency-key': `order-${order.credential}` };
    try {
      const { status, body: said } = await call(`${urls.control}/v1/revocations`, {
        ...{ body, headers, token: adminToken },
      });
      if (![201, 202].includes(status)) {
        order.answered ??= `${status} ${String(said['code'])}`;
        return 'gone';
      }
      const state = String(said['state']);
      const nowMs = this.nowMs;
      if (state === 'enforced') order.enforcedMs ??= nowMs;
      if (state !== 'accepted') order.durableMs ??= nowMs;
      order.answered = state;
      order.by = replica.name;
      order.boundMs = Number(said['boundMs']);
      order.id = said['id'] as string;
      this.say(
        `${replica.name} answers ${state} for ${order.credential} after ${(nowMs - order.sentMs).toFixed(0)} ms`,
      );
      return 'answered';
    } catch {
      return 'gone';
    }
  }

  /** What nobody asks about. */
  async revokeOthers({ running }: LiveReplica, count: number): Promise<void> {
    const { issuer } = this.fleet.mint();
    const selectors = Array.from({ length: count }, () => ({ kind: 'jti', issuer, value: randomUUID() }));
    await revoke(running, { selectors, wait: 'durable' }).catch(() => undefined);
  }

  /** Open loop, so that requests queue up where nobody answers. */
  async #keepAsking(replica: LiveReplica): Promise<void> {
    while (!this.#isOver && this.replicas.includes(replica)) {
      const isDue = replica.open < OWED_MANY || (replica.open < OWED_MAX && Math.random() < SELDOM);
      for (const about of isDue ? [this.#live, this.#hot] : []) {
        const credential = about[Math.floor(Math.random() * about.length)];
        if (credential !== undefined && replica.process !== undefined) void this.ask(replica, credential);
      }
      await sleep(GAP_MS);
    }
  }

  /** Nobody asks about these any more. */
  retire(credentials: readonly string[]): void {
    const isLeft = (one: string): boolean => !credentials.includes(one);
    [this.#live, this.#hot] = [this.#live.filter(isLeft), this.#hot.filter(isLeft)];
  }

  /** No more requests or orders; what is under way comes to its end. */
  async close(): Promise<void> {
    this.#isOver = true;
    for (const replica of this.replicas) {
      replica.proxy.close();
      await this.kill(replica);
      replica.agent.destroy();
    }
    await Promise.all(this.#work);
  }
}
