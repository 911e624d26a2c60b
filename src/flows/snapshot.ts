/**
 * Growth (DESIGN 3.6). Every so many entries, or where they weigh more than the last snapshot, somebody with a lease appends
 * a mark. At the mark every replica lets go what had ended by then, takes its fold down and says its digest in its
 * acknowledgements; whose mark it was writes the snapshot to the store and, once every live incarnation has said that digest, lets the store drop what came before.
 * Who finds something else says so aloud, and nothing is dropped. It never waits for anything and nobody waits for it.
 */
import type { EpochEntry, SnapshotEntry, FeedLine, SealedEntry } from '../feed/entry.ts';
import type { CrashPoint } from '../feed/crash-point.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { FeedStore } from '../feed/feed-store.ts';
import type { Lease } from '../feed/lease.ts';
import { leaseOverMs } from '../feed/lease.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, comparePositions, renderPosition } from '../feed/position.ts';
import type { SnapshotBase, SnapshotHeader } from '../feed/snapshot.ts';
import { digesting } from '../feed/snapshot.ts';
import type { Clock, Timer } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import { codeOf } from '../kernel/error.ts';
import type { Log } from '../kernel/log.ts';
import type { Steps } from '../kernel/pace.ts';
import { Pace } from '../kernel/pace.ts';
import type { Appender } from './append.ts';
import type { LeaseTable } from './barrier.ts';
import type { Captured, Fold } from './fold.ts';
import { rendering } from './fold.ts';
import type { Identity } from './identity.ts';
import type { News } from './news.ts';
import { firstOf } from './news.ts';
import type { Tree } from './tree.ts';

export interface SnapshotPorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly lease: Lease;
  readonly table: LeaseTable;
  readonly appender: Appender;
  readonly fold: Fold;
  readonly tree: Tree;
  /** Entries from one mark to the next at most, and the window that the store keeps; undefined where it holds everything. */
  readonly every: number | undefined;
  /** For tests: LINES_BYTES_MIN. */
  readonly linesBytesMin?: number | undefined;
  readonly clock: Clock;
  readonly timer: Timer;
  /** For tests: 0 lets the loop turn after each piece. */
  readonly sliceMs?: number;
  readonly crashPoint: CrashPoint;
  readonly log: Log;
  /** Something here is to be acknowledged. */
  readonly owing: News;
  /** A renewal was answered. */
  readonly news: News;
}

/** This replica's own fold at the newest mark. */
interface Own {
  readonly position: Position;
  readonly digest: string;
  readonly epochId: string;
  /** Kept by who appended the mark, until the store has them. */
  chunks: readonly Uint8Array[];
  sealed: SealedEntry | undefined;
  step: 'state' | 'write' | 'trim' | 'done';
}

/** So much of lines may follow a snapshot that is smaller: to read them takes a newcomer seconds. */
const LINES_BYTES_MIN = 32 * 1024 * 1024;

/** How far a mark's time is behind its clock, so that a clock that is a little behind does not refuse it. */
const BEHIND_S = 60;

export class Snapshotter {
  readonly #ports: SnapshotPorts;
  /** Entries since the newest mark, and of what size. */
  #entries = 0;
  #bytes = 0;
  /** Entries from the mark before to the newest one. */
  #window = 0;
  #mark: Position = ORIGIN;
  #endedBeforeS = 0;
  #own: Own | undefined;
  #stated: SnapshotEntry | undefined;
  /** Of the snapshot that was written last. */
  #sizeBytes = 0;
  #isOther = false;
  #rendering: Promise<void> = Promise.resolve();
  #said = '';

  constructor(ports: SnapshotPorts) {
    this.#ports = ports;
  }

  /** Up to which time what has ended may leave memory: between marks nothing may, where a fleet compares. */
  forgetS(nowS: number): number {
    return this.#ports.every === undefined ? nowS : 0;
  }

  get entriesSinceMark(): number {
    return this.#entries;
  }

  /** False once the snapshot of the newest mark turned out to be something else than what this replica holds. */
  get agrees(): boolean {
    return !this.#isOther;
  }

  /** What the acknowledgement says of the newest mark. */
  get statement(): { readonly mark: string; readonly digest: string } | undefined {
    if (this.#own === undefined) return undefined;
    return { mark: renderPosition(this.#own.position), digest: this.#own.digest };
  }

  /**
   * Called with each line that was applied and is genuine. `before` is where the cursor was. At a mark the fold is pruned and,
   * unless the line is from this replica's own disk, taken down: nothing else may be applied meanwhile.
   */
  *noting(line: FeedLine, before: Pick<SnapshotBase, 'position' | 'chain'>, isOwnDisk: boolean): Steps<void> {
    const { entry } = line.sealed;
    this.#entries += 1;
    this.#bytes += line.sealed.text.length;
    if (entry.kind === 'snapshot') {
      this.#stated = entry;
      this.#sizeBytes = entry.sizeBytes;
      this.#compare();
    }
    if (entry.kind !== 'mark') return;
    const { cursor, fold, tree, log } = this.#ports;
    this.#window = this.#entries;
    this.#entries = this.#bytes = 0;
    this.#mark = line.position;
    this.#own = this.#stated = undefined;
    this.#isOther = false;
    const position = renderPosition(line.position);
    if (entry.endedBeforeS > epochS(yield)) {
      log.error('a mark is ahead of this clock and was passed over', { position });
      return;
    }
    // It never goes back, so whoever begins at a snapshot ends with the same as who was there from the beginning.
    this.#endedBeforeS = Math.max(this.#endedBeforeS, entry.endedBeforeS);
    yield* fold.pruning(this.#endedBeforeS);
    if (isOwnDisk) return;
    const captured = yield* fold.capturing();
    // No mark is followed where no epoch is.
    const opening = cursor.opening as EpochEntry;
    const { amnesia } = cursor;
    const base = {
      opening,
      // That a fleet began anew over something else is known to those alone who had that.
      amnesia: amnesia?.rule === 'accept-amnesia' ? amnesia : undefined,
      ...before,
      frontier: tree.frontier(before.position.sequence),
    };
    this.#rendering = this.#render({ base, mark: line, endedBeforeS: this.#endedBeforeS }, captured);
  }

  /** A snapshot was loaded: what had ended by its time is not in it. */
  begin(endedBeforeS: number): void {
    this.#endedBeforeS = Math.max(this.#endedBeforeS, endedBeforeS);
  }

  /** Does what is to be done, after each answered renewal, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { news, timer, every } = this.#ports;
    if (every === undefined) return;
    while (!signal.aborted) {
      const next = news.next();
      await this.tend();
      await firstOf(signal, (over) => [next, timer.sleep(IDLE_MS, over)]);
    }
    await this.#rendering;
  }

  /** The next step, if there is one. Never rejects: what failed is tried again. */
  async tend(): Promise<void> {
    const { log } = this.#ports;
    try {
      if (this.#isDue()) await this.#appendMark();
      if (this.#own !== undefined) await this.#go(this.#own);
      this.#said = '';
    } catch (error) {
      const code = codeOf(error);
      if (code !== this.#said) log.warn('a snapshot waits', { code });
      this.#said = code;
    }
  }

  #isDue(): boolean {
    const { every, linesBytesMin = LINES_BYTES_MIN, lease, clock } = this.#ports;
    const isHeavy = this.#bytes >= Math.max(linesBytesMin, this.#sizeBytes);
    if (every === undefined || !lease.isFresh(clock.now())) return false;
    return isHeavy || this.#entries >= every;
  }

  /** Two at once, or one twice, append one: the id says which mark it follows. */
  async #appendMark(): Promise<void> {
    const { appender, clock } = this.#ports;
    const id = `mrk_${renderPosition(this.#mark)}`;
    const endedBeforeS = Math.max(0, epochS(clock.now()) - BEHIND_S);
    await appender.append(appender.seal({ id, kind: 'mark', endedBeforeS }));
  }

  async #go(own: Own): Promise<void> {
    const { store, appender, cursor, every, crashPoint } = this.#ports;
    const { position, digest, epochId, chunks } = own;
    if (epochId !== cursor.epochId) own.step = 'done';
    const mark = renderPosition(position);
    if (own.step === 'state') {
      const sizeBytes = chunks.reduce((sum, { length }) => sum + length, 0);
      const id = `snp_${mark}_${digest.slice(0, 16)}`;
      own.sealed ??= appender.seal({ id, kind: 'snapshot', mark, digest, sizeBytes });
      crashPoint('snapshot.before-entry');
      await appender.append(own.sealed);
      own.step = 'write';
    }
    if (own.step === 'write') {
      const entry = (own.sealed as SealedEntry).text;
      crashPoint('snapshot.before-write');
      await store.writeSnapshot({ epochId, position, digest, entry, chunks });
      own.step = 'trim';
    }
    if (own.step === 'trim' && this.#isConfirmed(mark, digest)) {
      crashPoint('snapshot.before-trim');
      await store.trim({ position, digest }, Math.min(this.#window, every as number));
      own.step = 'done';
    }
    if (own.step === 'done') own.chunks = [];
  }

  /** By every incarnation that may hold a lease, as the reading says that came with our own. */
  #isConfirmed(mark: string, digest: string): boolean {
    const { table, members, clock, lease } = this.#ports;
    const now = clock.now();
    const overMs = leaseOverMs(table.longest(now));
    const live = members
      .list()
      .map(({ incarnation }) => table.row(incarnation))
      .filter((row) => row !== undefined && now.monoMs - row.since.monoMs < overMs);
    const said = live.map((row) => row?.acknowledgement?.snapshot);
    return lease.isFresh(now) && said.every((one) => one?.mark === mark && one.digest === digest);
  }

  async #render(header: SnapshotHeader, captured: Captured): Promise<void> {
    const { identity, owing, log } = this.#ports;
    const { position, sealed } = header.mark;
    try {
      const pace = new Pace(this.#ports);
      const chunks = await pace.run(rendering(header, captured));
      const digest = await pace.run(digesting(chunks));
      if (comparePositions(this.#mark, position) !== 0) return;
      const isMine = sealed.entry.by === identity.incarnation;
      const { epochId } = header.base.opening;
      const step = isMine ? 'state' : 'done';
      this.#own = { position, digest, epochId, chunks: isMine ? chunks : [], sealed: undefined, step };
      this.#compare();
      owing.notify();
    } catch (error) {
      log.error('a snapshot could not be made', { code: codeOf(error) });
    }
  }

  #compare(): void {
    const { statement } = this;
    if (statement === undefined || this.#stated?.mark !== statement.mark) return;
    if (this.#stated.digest === statement.digest) return;
    this.#isOther = true;
    this.#ports.log.error('the snapshot is not what this replica holds: nothing will be trimmed', {
      position: statement.mark,
    });
  }
}

/** A renewal may have been answered before anybody listened. */
const IDLE_MS = 10_000;
