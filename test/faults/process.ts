/**
 * One replica's process in the simulation: the real flows over a clock, a disk and a connection that can be stopped, lost
 * and set wrong. What reaches it comes as a step of the agenda; a process that is dead gets nothing, one that is paused gets
 * it when it wakes, in any order.
 */
import type { Place } from '../../src/feed/cursor.ts';
import { FlooredClock } from '../../src/edges/system/clock.ts';
import type { FeedLine } from '../../src/feed/entry.ts';
import type { RenewReply, RenewRequest, RestoreReply, RestoreRequest } from '../../src/feed/feed-store.ts';
import type { Position } from '../../src/feed/position.ts';
import type { Instant } from '../../src/kernel/clock.ts';
import { WritError } from '../../src/kernel/error.ts';
import { FakeClock } from '../support/fake-time.ts';
import type { Command, MemoryFeedServer } from '../support/memory-feed-store.ts';
import { MemoryFeedStore, lostError } from '../support/memory-feed-store.ts';
import { MemoryLedger, MemoryReceipts, TestReplica } from '../support/replica-harness.ts';
import type { Agenda } from './agenda.ts';
import type { Chances } from './random.ts';

/** What the processes of one run share. */
export interface World {
  readonly agenda: Agenda;
  readonly chances: Chances;
  readonly server: MemoryFeedServer;
  /** Entries that a page holds at most. */
  readonly pageMax: number;
  /** That a fault had an effect. */
  readonly effect: (fault: string) => void;
  /** A receipt that says `enforced` is on disk. */
  enforced(process: SimProcess, id: string, text: string): void;
  /** The store has answered a renewal: a moment later there may be another lease. */
  renewed(process: SimProcess): void;
  /** A process has died by itself, at an armed point. */
  died(process: SimProcess): void;
}

/** How this process reaches the store, and is reached. */
export interface Link {
  isCutOut: boolean;
  isCutIn: boolean;
  /** Per command. */
  loss: number;
  late: number;
  duplicate: number;
  /** How long a command, or its answer, is on its way at most. */
  slowMs: number;
}

/** Nothing is the matter. */
export const GOOD: Link = { isCutOut: false, isCutIn: false, loss: 0, late: 0, duplicate: 0, slowMs: 2 };

export interface StartOptions {
  readonly name: string;
  readonly start: number;
  readonly disk: Disk;
  readonly bootstrap: boolean;
  /** Of a process that is a copy of another, memory included. */
  readonly salt?: string;
}

/** A caller waits so long for the store. */
const DEADLINE_MS = 500;
const WALL_MS = 1_800_000_000_000;

/** What outlives a process. */
export class Disk {
  readonly lines: FeedLine[] = [];
  readonly receipts = new Map<string, string>();
  readonly held = { epochId: undefined as string | undefined, isLeft: false };
  floorMs = 0;

  copy(): Disk {
    const other = new Disk();
    other.lines.push(...this.lines);
    for (const [id, text] of this.receipts) other.receipts.set(id, text);
    Object.assign(other.held, this.held);
    other.floorMs = this.floorMs;
    return other;
  }
}

export class SimProcess {
  readonly name: string;
  readonly disk: Disk;
  readonly live: TestReplica;
  readonly link: Link = { ...GOOD };
  readonly clock: SimClock;
  readonly #world: World;
  #isAlive = true;
  #isPaused = false;
  #backlog: (() => void)[] = [];
  #writing = 0;
  /** Dies at the next write to its disk: before it is durable, or after, when nobody has been told. */
  armed: 'before fsync' | 'after fsync' | undefined;

  constructor(world: World, options: StartOptions) {
    const { name, start, disk, bootstrap, salt } = options;
    this.#world = world;
    this.name = name;
    this.disk = disk;
    this.clock = new SimClock(this, world);
    const ledger = new SimLedger(this, world);
    this.live = new TestReplica({
      ...{
        clock: this.clock,
        server: world.server,
        store: new SimStore(this, world),
        ledger,
        name,
        bootstrap,
      },
      ...{ seed: start, exclusive: false, receipts: new SimReceipts(this, world), rosterForgetMs: 60_000 },
      ...(salt === undefined ? {} : { salt }),
    });
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get isFresh(): boolean {
    return this.#isAlive && !this.#isPaused && this.live.lease.isFresh(this.clock.now());
  }

  /** How many steps wait for it to wake. */
  get waiting(): number {
    return this.#backlog.length;
  }

  start(): void {
    this.deliver(() => void this.live.start().catch(() => this.#die()));
  }

  /** Runs `step` in this process, now or when it wakes; never once it is dead. */
  deliver(step: () => void): void {
    if (!this.#isAlive) return;
    if (this.#isPaused) this.#backlog.push(step);
    else step();
  }

  later(ms: number, step: () => void): () => void {
    return this.#world.agenda.after(ms, () => this.deliver(step));
  }

  pause(): void {
    this.#isPaused = true;
  }

  wake(): void {
    this.#isPaused = false;
    for (const step of this.#world.chances.shuffled(this.#backlog.splice(0))) this.later(0, step);
  }

  /** True when something was on its way to the disk and is lost. */
  kill(): boolean {
    this.#isAlive = false;
    this.#backlog = [];
    this.disk.floorMs = this.clock.now().wallMs;
    return this.#writing > 0;
  }

  /** One write: durable after a while, and told after that. */
  write(run: () => void): Promise<void> {
    const { agenda, chances, effect } = this.#world;
    const done = Promise.withResolvers<undefined>();
    const { armed } = this;
    this.#writing += 1;
    agenda.after(chances.is(0.02) ? chances.between(20, 300) : chances.between(0.1, 4), () => {
      this.#writing -= 1;
      if (!this.#isAlive) return;
      if (armed !== undefined) effect(`crash ${armed}`);
      if (armed !== 'before fsync') run();
      if (armed === undefined) this.deliver(() => done.resolve(undefined));
      else this.#die();
    });
    return done.promise;
  }

  #die(): void {
    this.kill();
    this.#world.died(this);
  }
}

/** Both clocks of one machine. Wall time has the product's own floor. */
export class SimClock extends FakeClock {
  readonly #process: SimProcess;
  readonly #floored: FlooredClock;
  /** What a suspended machine's monotonic clock did not count. */
  frozenMs = 0;
  /** Somebody has set the wall clock. */
  offsetMs = 0;

  constructor(process: SimProcess, { agenda, chances }: World) {
    super();
    this.#process = process;
    // Two clocks differ by 500 ppm at most.
    const rate = 1 + chances.between(-240e-6, 240e-6);
    const bootMs = chances.between(1_000, 1_000_000);
    const sources = {
      monoMs: () => bootMs + (agenda.nowMs - this.frozenMs) * rate,
      wallMs: () => WALL_MS + agenda.nowMs * rate + this.offsetMs,
    };
    this.#floored = new FlooredClock(sources, process.disk.floorMs);
  }

  get skewBackMs(): number {
    return this.#floored.skewBackMs;
  }

  override now(): Instant {
    return this.#floored.now();
  }

  override sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    const slept = Promise.withResolvers<void>();
    const cancel = this.#process.later(ms, slept.resolve);
    const wake = (): void => {
      cancel();
      slept.resolve();
    };
    signal.addEventListener('abort', wake, { once: true });
    return slept.promise.then(() => signal.removeEventListener('abort', wake));
  }

  override yield(): Promise<void> {
    return new Promise((resolve) => void this.#process.later(0, resolve));
  }
}

/** The ledger and what stands beside it in the data directory. */
class SimLedger extends MemoryLedger {
  readonly #process: SimProcess;
  readonly #pageMax: number;

  constructor(process: SimProcess, { pageMax }: World) {
    super(process.disk.lines);
    this.#process = process;
    this.#pageMax = pageMax;
    const { held } = process.disk;
    Object.assign(this.held, held);
    this.held.keep = (epochId, isLeft) =>
      process.write(() => {
        Object.assign(held, { epochId, isLeft });
        Object.assign(this.held, held);
      });
  }

  override keep(lines: readonly FeedLine[]): Promise<void> {
    if (lines.length === 0) return Promise.resolve();
    return this.#process.write(() => void this.lines.push(...lines));
  }

  override cut(after: Place): Promise<void> {
    return this.#process.write(() => this.cutNow(after));
  }

  override read(after: Position, limit: number): Promise<readonly FeedLine[]> {
    return super.read(after, Math.min(limit, this.#pageMax));
  }
}

class SimReceipts extends MemoryReceipts {
  readonly #process: SimProcess;
  readonly #world: World;

  constructor(process: SimProcess, world: World) {
    super();
    this.#process = process;
    this.#world = world;
    for (const [id, text] of process.disk.receipts) this.texts.set(id, text);
  }

  override write(id: string, text: string): Promise<void> {
    const { texts } = this;
    return this.#process.write(() => {
      texts.set(id, text);
      this.#process.disk.receipts.set(id, text);
      if (!id.endsWith('-partial')) this.#world.enforced(this.#process, id, text);
    });
  }
}

/** The memory store, which passes the contract of the port, behind a network. */
class SimStore extends MemoryFeedStore {
  readonly #process: SimProcess;
  readonly #world: World;

  constructor(process: SimProcess, world: World) {
    super(world.server);
    this.#process = process;
    this.#world = world;
  }

  override async renew(request: RenewRequest): Promise<RenewReply> {
    const reply = await super.renew({ ...request, limit: Math.min(request.limit, this.#world.pageMax) });
    if (reply.kind === 'more') this.#world.effect('page boundary');
    this.#world.renewed(this.#process);
    return reply;
  }

  override restore(request: RestoreRequest): Promise<RestoreReply> {
    return super.restore({ ...request, limit: Math.min(request.limit, this.#world.pageMax) });
  }

  override wake(after: Position, signal: AbortSignal): Promise<void> {
    const woken = Promise.withResolvers<void>();
    const { link } = this.#process;
    void this.#world.server.wake(after, signal).then(() => {
      if (!link.isCutIn && this.#world.server.isReachable)
        this.#process.later(this.#latencyMs(), () => woken.resolve());
    });
    signal.addEventListener('abort', () => woken.resolve(), { once: true });
    return woken.promise;
  }

  protected override send<T>(command: Command, run: () => T): Promise<T> {
    const { agenda, chances, server, effect } = this.#world;
    const { link } = this.#process;
    const answered = Promise.withResolvers<T>();
    let isGivenUp = false;
    const answeredInTime = this.#process.later(DEADLINE_MS, () => {
      isGivenUp = true;
      answered.reject(lostError(command));
    });
    if (link.isCutOut) return answered.promise;
    if (chances.is(link.loss)) {
      effect('lost request');
      return answered.promise;
    }
    const isLate = chances.is(link.late);
    const arrive = (): void => {
      if (!server.isReachable) {
        const refused = new WritError('STORE_UNREACHABLE', 'nobody listens there');
        if (chances.is(0.5)) this.#process.later(0.1, () => answered.reject(refused));
        return;
      }
      if (isGivenUp) effect('executed after the caller gave up');
      const answer = attempt(run);
      if (chances.is(link.duplicate)) {
        effect('executed twice');
        agenda.after(chances.between(0.1, 1_500), () => {
          if (server.isReachable) attempt(run);
        });
      }
      if (link.isCutIn) return;
      if (chances.is(link.loss)) {
        effect('lost reply');
        return;
      }
      const backMs = chances.is(link.late) ? chances.between(100, 2 * DEADLINE_MS) : this.#latencyMs();
      if (backMs > 100) effect('slow answer');
      this.#process.later(backMs, () => {
        answeredInTime();
        if ('error' in answer) answered.reject(answer.error);
        else answered.resolve(answer.value);
      });
    };
    agenda.after(isLate ? chances.between(100, 12_000) : this.#latencyMs(), arrive);
    return answered.promise;
  }

  #latencyMs(): number {
    return this.#world.chances.between(0.1, this.#process.link.slowMs);
  }
}

function attempt<T>(run: () => T): { readonly value: T } | { readonly error: unknown } {
  try {
    return { value: run() };
  } catch (error) {
    return { error };
  }
}
