/**
 * The feed store of tests: one server in memory that runs commands one at a time, and any number of connections to
 * it. It loses, holds and repeats what a network would, restarts, forgets, and comes back from an older copy. It has
 * no timers and no randomness of its own: a run is repeated by repeating its fates.
 */
import type { FeedLine, SealedEntry } from '../../src/feed/entry.ts';
import { CHAIN_START, forgottenIn, nextChain, partsOf } from '../../src/feed/entry.ts';
import type {
  AppendReply,
  EpochReport,
  FeedStore,
  ForgetReply,
  ForgetRequest,
  OpenEpochReply,
  OpenEpochRequest,
  RenewReply,
  RenewRequest,
  RestoredHead,
  RestoreReply,
  RestoreRequest,
  Roster,
  Snapshot,
  StoreFacts,
} from '../../src/feed/feed-store.ts';
import { LeaseTable } from '../../src/feed/lease-table.ts';
import type { Position } from '../../src/feed/position.ts';
import { ORIGIN, comparePositions } from '../../src/feed/position.ts';
import { ReportTable } from '../../src/feed/report-table.ts';
import { WritError } from '../../src/kernel/error.ts';

/** What becomes of one command on its way. */
export type Fate =
  | 'deliver'
  /** It never arrives; the caller's deadline passes at once. */
  | 'lose-request'
  /** It is carried out; the caller's deadline passes at once. */
  | 'lose-reply'
  /** The caller's deadline passes at once; it is carried out when it is released. */
  | 'delay-request'
  /** It is carried out when it is released; the caller waits. */
  | 'hold-request'
  /** It is carried out; the caller gets the reply when it is released. */
  | 'hold-reply'
  /** It is carried out twice; the caller gets the second reply. */
  | 'duplicate';

export type Command =
  | 'open'
  | 'renew'
  | 'append'
  | 'forget'
  | 'roster'
  | 'report'
  | 'restore'
  | 'openEpoch'
  | 'readSnapshot'
  | 'writeSnapshot'
  | 'trim';

export interface MemoryServerOptions {
  readonly durability?: StoreFacts['durability'];
  readonly exclusive?: boolean;
  /** Names the runs: `run-1`, `run-2`, … */
  readonly name?: string;
}

export class MemoryFeedServer {
  readonly #options: MemoryServerOptions;
  readonly #held: (() => void)[] = [];
  readonly #wakers = new Set<() => void>();
  #runs = 0;
  #runId = '';
  /** In this run. */
  #openings = 0;
  #lines: FeedLine[] = [];
  /** The lines of the newest epoch, by what each was called when it was appended. */
  readonly #named = new Map<string, FeedLine>();
  #newestEpochId: string | undefined;
  #isOpen = false;
  #leases = new LeaseTable();
  #reports = new ReportTable();
  #snapshot: Snapshot | undefined;
  /** Where the lines begin, if not at their beginning. */
  #floor: Position = ORIGIN;
  /** Beside the lines: what is being put back. */
  readonly #copies = new Map<string, readonly FeedLine[]>();
  /** The epoch in which a copy begins that lacks its beginning. */
  readonly #begins = new Map<string, string>();
  isReachable = true;

  constructor(options: MemoryServerOptions = {}) {
    this.#options = options;
    this.#begin();
  }

  /** What the open epoch is bound to, or else the next one. */
  get runId(): string {
    return this.#isOpen ? `${this.#runId}.${this.#openings - 1}` : this.nextRunId;
  }

  get nextRunId(): string {
    return `${this.#runId}.${this.#openings}`;
  }

  get lines(): readonly FeedLine[] {
    return this.#lines;
  }

  get head(): Position {
    return this.#lines.at(-1)?.position ?? ORIGIN;
  }

  /** How many requests and replies are held. */
  get held(): number {
    return this.#held.length;
  }

  /** Lets the oldest `count` held requests and replies go on, in the order in which they were held. */
  release(count = this.#held.length): void {
    for (const go of this.#held.splice(0, count)) go();
  }

  hold(go: () => void): void {
    this.#held.push(go);
  }

  /** The process restarts and kept its disk, or only the first `keepLines` lines of it: its epoch is closed. */
  restart(keepLines = this.#lines.length): void {
    const kept = this.#lines.slice(0, keepLines);
    const isWhole = kept.length === this.#lines.length;
    this.#begin();
    if (isWhole) {
      this.#leases.closeEpoch();
      return;
    }
    this.#load(kept, this.#begins.get('current'));
    // It was written after what is kept.
    if (this.#snapshot !== undefined && comparePositions(this.#snapshot.position, this.head) > 0)
      this.#snapshot = undefined;
  }

  /** A hostile client shows an earlier moment, with the epoch of then open, in this very run and to everyone from now on. */
  rollBack(keepLines: number): void {
    this.#load(this.#lines.slice(0, keepLines), this.#begins.get('current'));
    this.pretend();
  }

  /** A hostile client says that what is there is open, in this run. */
  pretend(): void {
    this.#leases = new LeaseTable();
    for (const line of this.#lines) this.#leases.note(line);
    this.#isOpen = true;
  }

  /** A lost disk: it begins again, with nothing. */
  forget(): void {
    this.#begin();
    this.#load([], undefined);
    this.#snapshot = undefined;
  }

  /** FLUSHALL: the same process, with nothing in it. */
  flush(): void {
    this.#isOpen = false;
    this.#reports.clear();
    this.#copies.clear();
    this.#load([], undefined);
    this.#snapshot = undefined;
    this.#wakeAll();
  }

  /** A hostile client has written over the newest lines; the epoch that was open is closed. */
  damage(): void {
    const [first] = this.#lines;
    if (first === undefined) return;
    this.#isOpen = false;
    this.#load([{ ...first, chain: 'd'.repeat(40) }], this.#begins.get('current'));
    this.#wakeAll();
  }

  facts(): StoreFacts {
    const { exclusive = false, durability = 'durable' } = this.#options;
    return { runId: this.nextRunId, exclusive, durability };
  }

  renew(request: RenewRequest): RenewReply {
    const { position, limit } = request;
    const cursorChain = this.#chainAt(position);
    const isElsewhere = cursorChain !== request.chain;
    const newer = this.#lines.filter((line) =>
      isElsewhere ? line.position.epoch > position.epoch : comparePositions(line.position, position) > 0,
    );
    const lines = newer.slice(0, limit);
    const isLast = lines.length === newer.length;
    const reply = this.#leases.renew(request, {
      ...{ cursorChain, lines, isLast },
      head: this.head,
      isTrimmed: comparePositions(position, this.#floor) < 0,
      runId: this.runId,
    });
    this.#isOpen = this.#leases.openEpochId !== undefined;
    return reply;
  }

  /** What a hostile client appends, who knows every id and not by which name the server is told of it. */
  forge(epochId: string, sealed: SealedEntry): AppendReply {
    return this.append(epochId, sealed, `forged ${this.#lines.length}`);
  }

  append(epochId: string, sealed: SealedEntry, name = sealed.entry.id): AppendReply {
    const { epoch, sequence } = this.head;
    if (sealed.entry.kind === 'epoch') throw new WritError('INTERNAL', 'an epoch is opened, not appended');
    if (!this.#isOpen || epochId !== this.#newestEpochId)
      throw new WritError('EPOCH_CLOSED', 'that epoch is not the open one');
    const known = this.#named.get(name);
    const line =
      known ?? this.#put(sealed, { epoch, sequence: sequence + 1 }, this.#lines.at(-1)?.chain ?? CHAIN_START);
    this.#named.set(name, line);
    const { position, chain } = line;
    return { position, chain, epochId, runId: this.runId, duplicate: known !== undefined };
  }

  forgetReplica({ epochId, renewals, sealed }: ForgetRequest): ForgetReply {
    const incarnation = forgottenIn(sealed);
    if (!this.#isOpen || epochId !== this.#newestEpochId)
      throw new WritError('EPOCH_CLOSED', 'that epoch is not the open one');
    if (!this.#leases.retire(incarnation, renewals)) return { kind: 'lost' };
    const { position, chain } = this.append(epochId, sealed);
    return { kind: 'forgotten', position, chain };
  }

  openEpoch({ closedEpochId, runId, epochS, sealed, restored }: OpenEpochRequest): OpenEpochReply {
    const { entry } = sealed;
    if (entry.kind !== 'epoch' || entry.runId !== runId || entry.epochId === closedEpochId)
      throw new WritError('INTERNAL', 'that entry opens no epoch of this run');
    if (closedEpochId !== this.#newestEpochId || runId !== this.nextRunId) return { kind: 'lost' };
    if (restored !== undefined && !this.#adopt(restored)) return { kind: 'lost' };
    this.#newestEpochId = entry.epochId;
    this.#isOpen = true;
    this.#openings += 1;
    this.#reports.clear();
    this.#named.clear();
    const epoch = Math.max(epochS, this.head.epoch + 1);
    const { position, chain } = this.#put(sealed, { epoch, sequence: 1 }, CHAIN_START);
    return { kind: 'opened', position, chain };
  }

  restore({ runId, closedEpochId, copy, lines, begins, after, limit }: RestoreRequest): RestoreReply {
    if (this.#isOpen || runId !== this.runId || closedEpochId !== this.#newestEpochId)
      return { kind: 'lost' };
    const newest = [...this.#copies.keys()].at(-1);
    const another = `copy-${this.#copies.size + 1}`;
    const name = copy === 'new' ? another : copy === 'staged' ? (newest ?? another) : copy;
    const held = name === 'current' ? this.#lines : (this.#copies.get(name) ?? []);
    const whole = [...held];
    const follows = lines.every((line) => {
      const there = whole.find(({ position }) => comparePositions(position, line.position) === 0);
      if (there !== undefined) return there.chain === line.chain;
      const isBase = whole.length === 0 && begins !== undefined && line.position.sequence > 1;
      if (!isBase && !continues(whole.at(-1), line)) return false;
      whole.push(line);
      return true;
    });
    if (begins !== undefined && whole.length === lines.length) this.#begins.set(name, begins);
    if (name === 'current') this.#load(whole, this.#begins.get(name));
    else this.#copies.set(name, whole);
    if (!follows) return { kind: 'other' };
    const last = whole.at(-1);
    return {
      kind: 'restored',
      head: {
        copy: name,
        epochId: epochIdOf(whole) ?? this.#begins.get(name),
        position: last?.position ?? ORIGIN,
        chain: last?.chain ?? CHAIN_START,
      },
      newer: whole.filter(({ position }) => comparePositions(position, after) > 0).slice(0, limit),
    };
  }

  roster(at?: Position): Roster {
    const newest = this.#newestEpochId;
    const line = at === undefined ? undefined : this.#lineAt(at);
    return {
      epochId: this.#isOpen ? newest : undefined,
      closedEpochId: this.#isOpen ? undefined : newest,
      runId: this.runId,
      nextRunId: this.nextRunId,
      head: this.head,
      rows: this.#leases.rows(),
      line: line && partsOf(line),
    };
  }

  report(report: EpochReport): readonly EpochReport[] {
    return this.#reports.keep(report, this.runId);
  }

  readSnapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  writeSnapshot(snapshot: Snapshot): void {
    if (this.#snapshot === undefined || comparePositions(snapshot.position, this.#snapshot.position) > 0)
      this.#snapshot = snapshot;
  }

  trim({ position, digest }: Pick<Snapshot, 'position' | 'digest'>, keep: number): void {
    const { epoch, sequence } = position;
    const isKept =
      this.#isOpen &&
      this.head.epoch === epoch &&
      sequence > keep &&
      this.#snapshot?.digest === digest &&
      comparePositions(this.#snapshot.position, position) === 0;
    const floor = { epoch, sequence: sequence - keep };
    if (!isKept || comparePositions(floor, this.#floor) <= 0) return;
    this.#floor = floor;
    this.#begins.set('current', this.#newestEpochId ?? '');
    this.#lines = this.#lines.filter((line) => comparePositions(line.position, floor) >= 0);
    for (const [name, line] of this.#named)
      if (comparePositions(line.position, floor) < 0) this.#named.delete(name);
  }

  /** Resolves when the feed grows, the server restarts, or `signal` aborts. */
  wake(after: Position, signal: AbortSignal): Promise<void> {
    if (signal.aborted || comparePositions(this.head, after) > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wakers.delete(wake);
        resolve();
      };
      this.#wakers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** False unless that is how the copy ends. */
  #adopt({ copy, position, chain }: RestoredHead): boolean {
    const lines = copy === 'current' ? this.#lines : (this.#copies.get(copy) ?? []);
    const last = lines.at(-1);
    const isThat =
      comparePositions(last?.position ?? ORIGIN, position) === 0 && (last?.chain ?? CHAIN_START) === chain;
    if (!isThat || (this.#isOpen && copy !== 'current')) return false;
    if (copy !== 'current') this.#load(lines, this.#begins.get(copy));
    this.#copies.clear();
    for (const name of this.#begins.keys()) if (name !== 'current') this.#begins.delete(name);
    return true;
  }

  #begin(): void {
    this.#runs += 1;
    this.#runId = `${this.#options.name ?? 'run'}-${this.#runs}`;
    this.#openings = 0;
    this.#isOpen = false;
    this.#reports.clear();
    this.#wakeAll();
  }

  /** Another history than the one in memory, without the lease table that stood beside it. */
  #load(lines: readonly FeedLine[], begins: string | undefined): void {
    this.#lines = [...lines];
    if (lines.length === 0 || begins === undefined) this.#begins.delete('current');
    else this.#begins.set('current', begins);
    this.#named.clear();
    for (const line of lines)
      if (line.position.epoch === this.head.epoch) this.#named.set(line.sealed.entry.id, line);
    const [first] = lines;
    this.#floor = first !== undefined && first.position.sequence > 1 ? first.position : ORIGIN;
    this.#leases = new LeaseTable();
    this.#newestEpochId = lines.length === 0 ? undefined : begins;
    for (const line of lines) {
      this.#leases.note(line);
      if (line.sealed.entry.kind === 'epoch') this.#newestEpochId = line.sealed.entry.epochId;
    }
    this.#leases.closeEpoch();
  }

  #put(sealed: SealedEntry, position: Position, before: string): FeedLine {
    const line = { position, chain: nextChain(before, sealed.text), sealed };
    this.#lines.push(line);
    this.#leases.note(line);
    this.#wakeAll();
    return line;
  }

  #chainAt(position: Position): string | undefined {
    return comparePositions(position, ORIGIN) === 0 ? CHAIN_START : this.#lineAt(position)?.chain;
  }

  #lineAt(position: Position): FeedLine | undefined {
    return this.#lines.find((line) => comparePositions(line.position, position) === 0);
  }

  #wakeAll(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}

/** One connection: what a replica holds. `fate` decides, for each command, what becomes of it. */
export class MemoryFeedStore implements FeedStore {
  readonly #server: MemoryFeedServer;
  readonly #fates: { readonly command: Command; readonly fate: Fate }[] = [];
  /** Only where a test makes it so (preparing.ts). */
  prepare?: NonNullable<FeedStore['prepare']>;
  /** Consulted when nothing was set with `next`. */
  fate: (command: Command) => Fate = () => 'deliver';

  constructor(server: MemoryFeedServer) {
    this.#server = server;
  }

  /** Decides the fate of the next `command`; several in a row are used in this order. */
  next(command: Command, fate: Fate): void {
    this.#fates.push({ command, fate });
  }

  open(): Promise<StoreFacts> {
    return this.send('open', () => this.#server.facts());
  }

  renew(request: RenewRequest): Promise<RenewReply> {
    return this.send('renew', () => this.#server.renew(request));
  }

  append(epochId: string, sealed: SealedEntry): Promise<AppendReply> {
    return this.send('append', () => this.#server.append(epochId, sealed));
  }

  forget(request: ForgetRequest): Promise<ForgetReply> {
    return this.send('forget', () => this.#server.forgetReplica(request));
  }

  roster(at?: Position): Promise<Roster> {
    return this.send('roster', () => this.#server.roster(at));
  }

  report(report: EpochReport): Promise<readonly EpochReport[]> {
    return this.send('report', () => this.#server.report(report));
  }

  restore(request: RestoreRequest): Promise<RestoreReply> {
    return this.send('restore', () => this.#server.restore(request));
  }

  openEpoch(request: OpenEpochRequest): Promise<OpenEpochReply> {
    return this.send('openEpoch', () => this.#server.openEpoch(request));
  }

  readSnapshot(): Promise<Snapshot | undefined> {
    return this.send('readSnapshot', () => this.#server.readSnapshot());
  }

  writeSnapshot(snapshot: Snapshot): Promise<void> {
    return this.send('writeSnapshot', () => this.#server.writeSnapshot(snapshot));
  }

  trim(snapshot: Pick<Snapshot, 'position' | 'digest'>, keep: number): Promise<void> {
    return this.send('trim', () => this.#server.trim(snapshot, keep));
  }

  async wake(after: Position, signal: AbortSignal): Promise<void> {
    if (!this.#server.isReachable)
      throw new WritError('STORE_UNREACHABLE', 'the memory store does not answer');
    await this.#server.wake(after, signal);
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }

  /** The way of one command: whoever extends this makes another network. */
  protected async send<T>(command: Command, run: () => T): Promise<T> {
    // The request is on its way: what the caller does next comes before it is carried out.
    await Promise.resolve();
    const fate = this.#fateOf(command);
    const server = this.#server;
    switch (fate) {
      case 'deliver':
        return run();
      case 'duplicate':
        run();
        return run();
      case 'lose-request':
        throw lostError(command);
      case 'lose-reply':
        run();
        throw lostError(command);
      case 'delay-request':
        server.hold(() => attempt(run));
        throw lostError(command);
      case 'hold-request':
        await new Promise<void>((go) => server.hold(go));
        return run();
      case 'hold-reply': {
        const reply = run();
        await new Promise<void>((go) => server.hold(go));
        return reply;
      }
    }
  }

  #fateOf(command: Command): Fate {
    if (!this.#server.isReachable)
      throw new WritError('STORE_UNREACHABLE', 'the memory store is unreachable');
    const index = this.#fates.findIndex((one) => one.command === command);
    const [set] = index === -1 ? [] : this.#fates.splice(index, 1);
    return set?.fate ?? this.fate(command);
  }
}

function epochIdOf(lines: readonly FeedLine[]): string | undefined {
  const entry = lines.findLast(({ sealed }) => sealed.entry.kind === 'epoch')?.sealed.entry;
  return entry?.kind === 'epoch' ? entry.epochId : undefined;
}

function continues(last: FeedLine | undefined, { position, chain, sealed }: FeedLine): boolean {
  const opens = sealed.entry.kind === 'epoch';
  const { epoch, sequence } = last?.position ?? ORIGIN;
  const isNext = opens
    ? position.epoch > epoch && position.sequence === 1
    : position.epoch === epoch && position.sequence === sequence + 1;
  return isNext && nextChain(opens ? CHAIN_START : (last?.chain ?? CHAIN_START), sealed.text) === chain;
}

/** Nobody waits for the outcome any more. */
function attempt(run: () => unknown): void {
  try {
    run();
  } catch {
    // The caller gave up before it was carried out.
  }
}

/** What a caller is told whose deadline has passed. */
export function lostError(command: Command): WritError {
  const isWrite = ['append', 'forget', 'openEpoch'].includes(command);
  return new WritError(isWrite ? 'APPEND_UNCERTAIN' : 'STORE_UNREACHABLE', `${command} was not answered`);
}
