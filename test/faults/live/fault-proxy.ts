/**
 * Between a replica and its Redis: a proxy that knows where a message ends. It can hold either direction without losing a
 * byte, slow it down, break connections, refuse them, and do to one call what a network or a broken server does to it.
 * It never puts one message before another.
 */
import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import type { Direction } from '../../support/holding-proxy.ts';
import { Frames, callOf } from './frames.ts';

/**
 * What becomes of a call. A lost request or reply takes the rest of its connection with it, which says nothing any more: a
 * stream has no holes. The last three are no network's but a broken server's, or a thief's in between.
 */
export type Fate =
  'lost request' | 'lost reply' | 'sent twice' | 'torn reply' | 'garbled reply' | 'answered twice';

interface Plan {
  readonly fate: Fate;
  /** The name of a function; of any call when it is missing. */
  readonly call: string | undefined;
  left: number;
}

/** One direction of one connection: in order, each message at its time. The end is one too. */
class Lane {
  readonly #to: Socket;
  readonly #waiting: { readonly atMs: number; readonly bytes: Buffer | 'end' }[] = [];
  #isHeld: boolean;
  #timer: NodeJS.Timeout | undefined;

  constructor(to: Socket, isHeld: boolean) {
    this.#to = to;
    this.#isHeld = isHeld;
  }

  push(bytes: Buffer | 'end', slowMs: number): void {
    const atMs = Math.max(performance.now() + slowMs, this.#waiting.at(-1)?.atMs ?? 0);
    this.#waiting.push({ atMs, bytes });
    this.#go();
  }

  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#go();
  }

  drop(): void {
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
  }

  #go(): void {
    clearTimeout(this.#timer);
    while (!this.#isHeld && (this.#waiting[0]?.atMs ?? Infinity) <= performance.now()) {
      const { bytes = 'end' } = this.#waiting.shift() ?? {};
      if (bytes === 'end') this.#to.end(() => this.#to.destroy());
      else if (this.#to.writable) this.#to.write(bytes);
    }
    const next = this.#waiting[0];
    if (next === undefined || this.#isHeld) return;
    this.#timer = setTimeout(() => this.#go(), next.atMs - performance.now());
  }
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  readonly lanes: Readonly<Record<Direction, Lane>>;
}

export class FaultProxy {
  /** Each message waits so long at most; each lane keeps its order. */
  slowMs = 0;
  isRefusing = false;
  /** Connections that were made so far. */
  connections = 0;
  /** What has been done to calls, by fate. */
  readonly done = new Map<Fate, number>();
  readonly #server: Server;
  readonly #target: () => string;
  readonly #chance: () => number;
  readonly #held = new Set<Direction>();
  readonly #pairs = new Set<Pair>();
  #plan: Plan | undefined;

  private constructor(target: () => string, chance: () => number) {
    this.#target = target;
    this.#chance = chance;
    this.#server = createServer((client) => this.#join(client));
  }

  /** Listens on a port of its own (only TCP can be reset), forwards to the Unix socket that `target` names at that time. `chance`: 0 <= x < 1. */
  static async open(target: () => string, chance: () => number): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, chance);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  hold(...directions: readonly Direction[]): void {
    for (const direction of directions) this.#held.add(direction);
    this.#apply();
  }

  /** What was held goes on, in its order. */
  release(): void {
    this.#held.clear();
    this.#apply();
  }

  /** The next `times` calls of that name, or of any. */
  meddle(fate: Fate, times: number, call?: string): void {
    this.#plan = { fate, call, left: times };
  }

  /** Every connection is reset; what was on its way is lost. */
  reset(): void {
    for (const { client, server, lanes } of [...this.#pairs]) {
      for (const lane of Object.values(lanes)) lane.drop();
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Everything is as it was. */
  mend(): void {
    this.slowMs = 0;
    this.isRefusing = false;
    this.#plan = undefined;
    this.release();
  }

  close(): void {
    this.#server.close();
    this.reset();
  }

  #apply(): void {
    for (const { lanes } of this.#pairs)
      for (const [direction, lane] of Object.entries(lanes))
        lane.hold(this.#held.has(direction as Direction));
  }

  #join(client: Socket): void {
    if (this.isRefusing) {
      client.resetAndDestroy();
      return;
    }
    this.connections += 1;
    const server = connect(this.#target());
    const lanes = {
      up: new Lane(server, this.#held.has('up')),
      down: new Lane(client, this.#held.has('down')),
    };
    const pair = { client, server, lanes };
    this.#pairs.add(pair);
    this.#forward(pair);
    for (const [from, lane] of [
      [client, lanes.up],
      [server, lanes.down],
    ] as const) {
      from.on('error', () => undefined);
      // What was sent before is still on its way: who gave up may be served all the same.
      from.on('close', () => {
        lane.push('end', 0);
        if (client.destroyed && server.destroyed) this.#pairs.delete(pair);
      });
    }
  }

  #forward({ client, server, lanes }: Pair): void {
    const [requests, replies] = [new Frames(), new Frames()];
    /** What becomes of the replies that are to come, in their order. */
    const fates: (Fate | 'swallowed' | undefined)[] = [];
    let isMute = false;
    const slowMs = (): number => this.slowMs * this.#chance();
    client.on('data', (chunk) => {
      for (const request of requests.push(chunk as Buffer)) {
        if (isMute) continue;
        const fate = this.#fateOf(callOf(request));
        isMute = fate === 'lost request';
        if (isMute) continue;
        lanes.up.push(request, slowMs());
        fates.push(fate);
        if (fate !== 'sent twice') continue;
        lanes.up.push(request, 0);
        fates.push('swallowed');
      }
    });
    server.on('data', (chunk) => {
      for (const reply of replies.push(chunk as Buffer)) {
        // News of a subscription are nobody's reply.
        const fate = isNews(reply) ? undefined : fates.shift();
        isMute ||= fate === 'lost reply';
        if (isMute || fate === 'swallowed') continue;
        lanes.down.push(changed(reply, fate), slowMs());
        if (fate === 'answered twice') lanes.down.push(reply, LATER_MS * this.#chance());
        if (fate !== 'torn reply') continue;
        isMute = true;
        lanes.down.push('end', 0);
      }
    });
  }

  #fateOf(name: string): Fate | undefined {
    const plan = this.#plan;
    if (plan === undefined || plan.left === 0 || (plan.call ?? name) !== name) return undefined;
    plan.left -= 1;
    this.done.set(plan.fate, (this.done.get(plan.fate) ?? 0) + 1);
    return plan.fate;
  }
}

/** A second reply may come when the next request has been sent. */
const LATER_MS = 400;

function isNews(reply: Buffer): boolean {
  return reply.toString('latin1', 0, 20).startsWith('*3\r\n$7\r\nmessage\r\n');
}

const NONSENSE = ['+OK\r\n', ':-1\r\n', '$-1\r\n', '*0\r\n', '*2\r\n$5\r\nlease\r\n*0\r\n', '-ERR what\r\n'];

function changed(reply: Buffer, fate: Fate | 'swallowed' | undefined): Buffer {
  if (fate === 'torn reply') return reply.subarray(0, Math.ceil(reply.length / 2));
  if (fate !== 'garbled reply') return reply;
  return Buffer.from(NONSENSE[reply.length % NONSENSE.length] ?? '');
}
