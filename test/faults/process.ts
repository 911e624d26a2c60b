/**
 * One replica's process in the simulation: the real flows over a clock, a disk and a connection that can be stopped, lost
 * and set wrong. What reaches it comes as a step of the agenda; a process that is dead gets nothing, one that is paused gets
 * it when it wakes, in any order.
 */
import type { Place } from '../../src/feed/cursor.ts';
import { FlooredClock } from '../../src/edges/system/clock.ts';
import type { FeedLine, SealedEntry } from '../../src/feed/entry.ts';
import type {
  AppendReply,
  FeedStore,
  RenewReply,
  RenewRequest,
  RestoreReply,
  RestoreRequest,
  Snapshot,
} from '../../src/feed/feed-store.ts';
import { EPS_MS } from '../../src/feed/lease.ts';
import type { Position } from '../../src/feed/position.ts';
import type { SnapshotBase } from '../../src/feed/snapshot.ts';
import { parseHeader } from '../../src/feed/snapshot.ts';
import type { Clock, Instant } from '../../src/kernel/clock.ts';
import { WritError } from '../../src/kernel/error.ts';
import type { SessionRecord } from '../../src/session/session.ts';
import { FakeClock } from '../support/fake-time.ts';
import type { Command, MemoryFeedServer } from '../support/memory-feed-store.ts';
import { MemoryFeedStore, lostError } from '../support/memory-feed-store.ts';
import { makePrepare } from '../support/preparing.ts';
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
  /** Entries from mark to mark; none: no snapshots. */
  readonly snapshotEvery: number | undefined;
  /** Renewals are prepared, and sent with the news. */
  readonly isPreparing: boolean;
  /** That a fault had an effect. */
  readonly effect: (fault: string) => void;
  /** A receipt that says `enforced` is on disk. */
  enforced(process: SimProcess, id: string, text: string): void;
  /** It has adopted a lease: from now on it may say yes. */
  leased(process: SimProcess): void;
  /** The store has carried out a command of its; `news`: a renewal that brought lines. */
  passed(moment: Moment, process: SimProcess): void;
  /** It asks the store to take this in. */
  appending(sealed: SealedEntry): void;
  /** A process has died by itself, at an armed point. */
  died(process: SimProcess): void;
}

export type Moment = Command | 'news' | 'write' | 'note' | 'joined';

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
  readonly leaseMs: number;
  /** Of a process that is a copy of another, memory included. */
  readonly salt?: string;
  readonly barrier?: 'acknowledged' | 'wait';
}

/** A caller waits so long for the store. */
const DEADLINE_MS = 500;
const WALL_MS = 1_800_000_000_000;

/** What outlives a process. */
export class Disk {
  readonly lines: FeedLine[] = [];
  /** Chains of those of them that nobody who may has signed. */
  readonly forged = new Set<string>();
  readonly receipts = new Map<string, string>();
  readonly held = { epochId: undefined as string | undefined, isLeft: false, isNew: true };
  /** By which a process on it joined last. */
  joined: string | undefined;
  /** What the lines go on from. */
  snapshot: Snapshot | undefined;
  floorMs = 0;
  sessions: readonly SessionRecord[] = [];
  /** Claims of sessions that were let go without proof. */
  lostClaims: readonly string[] = [];
  /** And how many are proven to have ended, by claim. */
  proven: readonly (readonly [string, number])[] = [];
  /** The longest lease by which a holder was let in. */
  holderLeaseMs = 0;

  copy(): Disk {
    const other = new Disk();
    other.lines.push(...this.lines);
    for (const chain of this.forged) other.forged.add(chain);
    for (const [id, text] of this.receipts) other.receipts.set(id, text);
    Object.assign(other.held, this.held);
    other.joined = this.joined;
    other.snapshot = this.snapshot;
    other.floorMs = this.floorMs;
    other.keepSessions(this);
    return other;
  }

  keepSessions({ sessions, lostClaims, proven, holderLeaseMs }: Disk): void {
    Object.assign(this, { sessions, lostClaims, proven, holderLeaseMs });
  }
}

export class SimProcess {
  readonly name: string;
  readonly disk: Disk;
  readonly live: TestReplica;
  readonly link: Link = { ...GOOD };
  readonly clock: SimClock;
  /** As configured, for this life. */
  readonly leaseMs: number;
  readonly #world: World;
  /** Who goes on with its disk. */
  successor: SimProcess | undefined;
  #isAlive = true;
  #isServing = false;
  #isPaused = false;
  #isSuspended = false;
  /** When its newest lease is over; undefined once it has heard that this one is. */
  leaseEndsMs: number | undefined;
  #backlog: (() => void)[] = [];
  #writing = 0;
  /** Dies at the next write to its disk: before it is durable, or after, when nobody has been told. */
  armed: 'before fsync' | 'after fsync' | undefined;
  /** Its data directory has been copied: what it does from then on is not in the copy. */
  isCopied = false;

  constructor(world: World, options: StartOptions) {
    const { name, start, disk, bootstrap, leaseMs, salt, barrier } = options;
    this.#world = world;
    this.name = name;
    this.leaseMs = leaseMs;
    this.disk = disk;
    this.clock = new SimClock(this, world);
    const ledger = new SimLedger(this, world);
    const store = new SimStore(this, world);
    if (world.isPreparing) store.makePrepare(this.clock);
    this.live = new TestReplica({
      ...{
        clock: this.clock,
        server: world.server,
        store,
        ledger,
        name,
        bootstrap,
        leaseMs,
      },
      ...{
        seed: start,
        exclusive: false,
        receipts: new SimReceipts(this, world),
        rosterForgetMs: 60_000,
        lastAcceptsMax: 256,
      },
      ...(salt === undefined ? {} : { salt }),
      ...(barrier === undefined ? {} : { barrier }),
      ...(world.snapshotEvery === undefined ? {} : { snapshotEvery: world.snapshotEvery }),
    });
    this.#restoreSessions();
    const { lease } = this.live;
    const adopt = lease.adopt.bind(lease);
    lease.adopt = (sentAt) => {
      adopt(sentAt);
      world.leased(this);
    };
  }

  #restoreSessions(): void {
    const { disk, leaseMs, live } = this;
    disk.holderLeaseMs = Math.max(disk.holderLeaseMs, leaseMs);
    const now = this.clock.now();
    live.records.push(...disk.sessions);
    live.lostClaims.push(...disk.lostClaims);
    for (const record of disk.sessions) live.sessions.restore(record, now.monoMs + disk.holderLeaseMs, now);
    for (const [claim, killed] of disk.proven) live.proven.set(claim, killed);
    const lost = Map.groupBy(disk.lostClaims, (claim) => claim);
    for (const claim of new Set([...lost.keys(), ...live.proven.keys()]))
      live.sessions.restoreCounts(claim, {
        lost: lost.get(claim)?.length ?? 0,
        killed: live.proven.get(claim) ?? 0,
      });
  }

  /** Whoever goes on with its disk now. */
  get newest(): SimProcess {
    return this.successor?.newest ?? this;
  }

  /** Its own, and those of all who have gone on with its disk since. */
  get incarnations(): readonly string[] {
    return [this.live.identity.incarnation, ...(this.successor?.incarnations ?? [])];
  }

  /** What the answer to a renewal said that was sent at `sentMs`. */
  heard(reply: RenewReply, sentMs: number): void {
    const { kind } = reply;
    const isGranted = kind === 'lease' || (kind === 'more' && reply.granted !== undefined);
    // Its clock may be slower than ours, by less than a millisecond in the longest lease.
    if (isGranted) this.leaseEndsMs = sentMs + this.leaseMs - EPS_MS + 1;
    if (kind === 'closed' || kind === 'stale') this.leaseEndsMs = undefined;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Its clocks may be read: those of a machine that sleeps show what they show when it wakes. */
  get isAwake(): boolean {
    return this.#isAlive && !this.#isSuspended;
  }

  get isFresh(): boolean {
    return this.#isAlive && !this.#isPaused && this.live.lease.isFresh(this.clock.now());
  }

  /** How many steps wait for it to wake. */
  get waiting(): number {
    return this.#backlog.length;
  }

  /** Has replayed what is on its disk, and tried to join. */
  get isServing(): boolean {
    return this.#isServing;
  }

  start(): void {
    const start = async (): Promise<void> => {
      await this.live.start();
      this.#isServing = true;
    };
    this.deliver(() => void start().catch(() => this.#die()));
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

  pause(isSuspended: boolean): void {
    this.#isPaused = true;
    this.#isSuspended = isSuspended;
  }

  wake(): void {
    this.#isPaused = this.#isSuspended = false;
    for (const step of this.#world.chances.shuffled(this.#backlog.splice(0))) this.later(0, step);
  }

  /** As it is now. */
  copyDisk(): Disk {
    this.isCopied = true;
    this.#saveSessions();
    return this.disk.copy();
  }

  /** They are on its disk as they are here. */
  #saveSessions(): void {
    const { sessions, records, lostClaims, proven } = this.live;
    this.disk.sessions = records.filter(({ ref }) => sessions.lookup(ref) !== undefined);
    this.disk.lostClaims = [...lostClaims];
    this.disk.proven = [...proven];
  }

  /** True when something was on its way to the disk and is lost. */
  kill(): boolean {
    if (this.#isAlive) this.#saveSessions();
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
    this.#world.passed('write', this);
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
  readonly #effect: World['effect'];

  constructor(process: SimProcess, world: World) {
    super(process.disk.lines);
    this.#process = process;
    this.#pageMax = world.pageMax;
    this.#effect = world.effect;
    const { disk } = process;
    const { held } = disk;
    this.lastJoined.word = disk.joined;
    this.lastJoined.keep = (text) => {
      world.passed('note', process);
      return process.write(() => void (this.lastJoined.word = disk.joined = text));
    };
    Object.assign(this.held, held);
    this.held.keep = (epochId, isLeft) =>
      process.write(() => {
        Object.assign(held, { epochId, isLeft, isNew: false });
        Object.assign(this.held, held);
      });
  }

  override keep(lines: readonly FeedLine[], forged: readonly FeedLine[]): Promise<void> {
    if (lines.length === 0) return Promise.resolve();
    return this.#process.write(() => {
      for (const { chain } of forged) this.#process.disk.forged.add(chain);
      this.lines.push(...lines);
    });
  }

  override isForged({ chain }: Pick<FeedLine, 'chain'>): boolean {
    return this.#process.disk.forged.has(chain);
  }

  override cut(after: Place): Promise<void> {
    return this.#process.write(() => this.cutNow(after));
  }

  override get base(): SnapshotBase | undefined {
    const { snapshot } = this.#process.disk;
    return snapshot && parseHeader(snapshot.chunks[0]).base;
  }

  override snapshot(): Promise<Snapshot | undefined> {
    return Promise.resolve(this.#process.disk.snapshot);
  }

  override begin(snapshot: Snapshot): Promise<void> {
    const { disk } = this.#process;
    this.#effect('a ledger begins at a snapshot');
    return this.#process.write(() => {
      disk.snapshot = snapshot;
      this.lines.length = 0;
    });
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

  /** What was prepared is sent here, and heard of by the replica when it takes the answer. */
  makePrepare(clock: Clock): void {
    const sentMs = new Map<RenewReply, number>();
    const send = async (request: RenewRequest): Promise<RenewReply> => {
      const { nowMs } = this.#world.agenda;
      const reply = await this.#renew(request);
      sentMs.set(reply, nowMs);
      return reply;
    };
    makePrepare(this, clock, send, ({ reply }) => this.#process.heard(reply, sentMs.get(reply) ?? 0));
  }

  override async renew(request: RenewRequest): Promise<RenewReply> {
    const sentMs = this.#world.agenda.nowMs;
    const reply = await this.#renew(request);
    this.#process.heard(reply, sentMs);
    return reply;
  }

  async #renew(request: RenewRequest): Promise<RenewReply> {
    const { pageMax, effect } = this.#world;
    const reply = await super.renew({ ...request, limit: Math.min(request.limit, pageMax) });
    if (reply.kind === 'more') effect('page boundary');
    return reply;
  }

  override append(epochId: string, sealed: SealedEntry): Promise<AppendReply> {
    this.#world.appending(sealed);
    if (sealed.entry.kind === 'replica' && sealed.entry.event === 'joined')
      this.#world.passed('joined', this.#process);
    return super.append(epochId, sealed);
  }

  override async trim(...given: Parameters<FeedStore['trim']>): Promise<void> {
    const { server, effect } = this.#world;
    const { length } = server.lines;
    await super.trim(...given);
    if (server.lines.length < length) effect('the store is trimmed');
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
      this.#world.passed(isNews(answer) ? 'news' : command, this.#process);
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

type Answer<T> = { readonly value: T } | { readonly error: unknown };

function isNews(answer: Answer<unknown>): boolean {
  const lines = 'value' in answer ? (answer.value as { lines?: unknown[] } | undefined)?.lines : undefined;
  return lines !== undefined && lines.length > 0;
}

function attempt<T>(run: () => T): Answer<T> {
  try {
    return { value: run() };
  } catch (error) {
    return { error };
  }
}
