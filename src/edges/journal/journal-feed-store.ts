/**
 * The feed on one fsynced local file: the embedded default. It speaks the port for every incarnation inside this one
 * process; nobody else can hold the directory. It must never grant a lease from, or answer an append into, a journal
 * that is not surely this one. The ledger is the journal itself.
 */
import type { CrashPoint } from '../../feed/crash-point.ts';
import type { FeedLine, SealedEntry } from '../../feed/entry.ts';
import { ENTRY_BYTES_MAX, forgottenIn, partsOf } from '../../feed/entry.ts';
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
  RestoreReply,
  Roster,
  StoreFacts,
} from '../../feed/feed-store.ts';
import { LeaseTable } from '../../feed/lease-table.ts';
import type { Ledger } from '../../feed/ledger.ts';
import type { Position } from '../../feed/position.ts';
import { comparePositions } from '../../feed/position.ts';
import { ReportTable } from '../../feed/report-table.ts';
import { toBase64Url } from '../../kernel/digest.ts';
import { WritError } from '../../kernel/error.ts';
import { Growth } from '../../kernel/growth.ts';
import type { Random } from '../../kernel/random.ts';
import { within } from './deadline.ts';
import type { DurableLog } from './durable-log.ts';
import { GroupCommit } from './group-commit.ts';
import type { LinePage } from './journal-file.ts';
import { NewerLines } from './newer-lines.ts';
import { openLog } from './open-log.ts';
import type { Syscalls } from './syscalls.ts';
import { SYSCALLS } from './syscalls.ts';
import type { Tip } from './tip.ts';

export interface JournalOptions {
  readonly dataDir: string;
  readonly random: Random;
  readonly crashPoint: CrashPoint;
  /** How long a call may take before its caller is told that it did not come back. */
  readonly callMs?: number;
  readonly syscalls?: Syscalls;
}

interface Opened {
  readonly log: DurableLog;
  readonly commits: GroupCommit;
  readonly leases: LeaseTable;
  readonly reports: ReportTable;
  readonly runId: string;
}

type Settle<T> = PromiseWithResolvers<T>;

const CALL_MS = 5_000;

export class JournalFeedStore implements FeedStore, Ledger {
  readonly #options: JournalOptions;
  readonly #callMs: number;
  readonly #growth = new Growth();
  #opened: Opened | undefined;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#callMs = options.callMs ?? CALL_MS;
  }

  async open(): Promise<StoreFacts> {
    const { dataDir, random, crashPoint, syscalls = SYSCALLS } = this.#options;
    const leases = new LeaseTable();
    const reports = new ReportTable();
    let runId: string | undefined;
    const onScanned = (line: FeedLine): void => {
      leases.note(line);
      if (line.sealed.entry.kind === 'epoch') runId ??= line.sealed.entry.runId;
    };
    const onVisible = (lines: readonly FeedLine[]): void => {
      for (const line of lines) {
        leases.note(line);
        if (line.sealed.entry.kind === 'epoch') reports.clear();
      }
      this.#growth.tell();
    };
    const { log, cutTail } = await openLog({
      dataDir,
      syscalls,
      crashPoint,
      onScanned,
      onVisible,
      isOwn: true,
    });
    // One lifetime for as long as the journal keeps its first entry; until it has one, this opening is.
    runId ??= `run_${toBase64Url(random.bytes(16))}`;
    this.#opened = { log, commits: new GroupCommit(log), leases, reports, runId };
    return { runId, exclusive: true, durability: 'durable', ...(cutTail === undefined ? {} : { cutTail }) };
  }

  async renew(request: RenewRequest): Promise<RenewReply> {
    const opened = this.#use();
    const renewal = opened.log.recover().then(() => renew(opened, request));
    return this.#timely(renewal, 'STORE_UNREACHABLE');
  }

  async append(epochId: string, sealed: SealedEntry): Promise<AppendReply> {
    if (sealed.entry.kind === 'epoch') throw new WritError('INTERNAL', 'an epoch is opened, not appended');
    const { log, runId } = this.#use();
    return this.#submit<AppendReply>(sealed, (tip, { resolve, reject }) => {
      if (tip.head.epochId !== epochId)
        return () => reject(new WritError('EPOCH_CLOSED', 'that epoch is not the open one'));
      const answer = (duplicate: boolean, { position, chain }: FeedLine): void =>
        resolve({ position, chain, epochId, runId, duplicate });
      const known = tip.find(sealed.entry.id);
      if (known === undefined) return answer.bind(undefined, false, tip.append(sealed));
      if (typeof known !== 'number') return answer.bind(undefined, true, known);
      return () =>
        void this.#page(log, known, 1).then((page) => page.lines.map((line) => answer(true, line)), reject);
    });
  }

  async forget({ epochId, renewals, sealed }: ForgetRequest): Promise<ForgetReply> {
    const incarnation = forgottenIn(sealed);
    const { leases } = this.#use();
    return this.#submit<ForgetReply>(sealed, (tip, { resolve, reject }) => {
      if (tip.head.epochId !== epochId)
        return () => reject(new WritError('EPOCH_CLOSED', 'that epoch is not the open one'));
      if (!leases.retire(incarnation, renewals)) return () => resolve({ kind: 'lost' });
      const { position, chain } = tip.append(sealed);
      return () => resolve({ kind: 'forgotten', position, chain });
    });
  }

  async openEpoch(request: OpenEpochRequest): Promise<OpenEpochReply> {
    const { entry } = request.sealed;
    if (entry.kind !== 'epoch' || entry.runId !== request.runId || entry.epochId === request.closedEpochId)
      throw new WritError('INTERNAL', 'that entry opens no epoch of this run');
    const { runId } = this.#use();
    return this.#submit<OpenEpochReply>(request.sealed, (tip, { resolve }) => {
      const isCurrent = tip.head.epochId === request.closedEpochId && runId === request.runId;
      if (!isCurrent) return () => resolve({ kind: 'lost' });
      const { position, chain } = tip.openEpoch(request.sealed, entry.epochId, request.epochS);
      return () => resolve({ kind: 'opened', position, chain });
    });
  }

  /** Nothing to put back: it keeps what it has answered, and it is never closed. */
  async restore(): Promise<RestoreReply> {
    return Promise.resolve({ kind: 'lost' });
  }

  async wake(after: Position, signal: AbortSignal): Promise<void> {
    const { log } = this.#use();
    if (comparePositions(log.history.head.position, after) <= 0) await this.#growth.wait(signal);
  }

  async roster(at?: Position): Promise<Roster> {
    const { log, leases, runId } = this.#use();
    const { epochId, position: head } = log.history.head;
    const number = at === undefined ? undefined : log.history.lineAt(at);
    const reading = { epochId, closedEpochId: undefined, runId, nextRunId: runId, head, rows: leases.rows() };
    // The line is the same whenever it is read, so this is one reading although something is awaited in it.
    const line = number === undefined ? undefined : (await this.#page(log, number, 1)).lines[0];
    log.assertIntact();
    return { ...reading, line: line && partsOf(line) };
  }

  async report(report: EpochReport): Promise<readonly EpochReport[]> {
    const { reports, runId } = this.#use();
    return reports.keep(report, runId);
  }

  /** None: the journal replays. */
  async readSnapshot(): Promise<undefined> {
    return undefined;
  }

  /** Declined: nothing is ever trimmed here. */
  async writeSnapshot(): Promise<void> {
    return Promise.resolve();
  }

  async trim(): Promise<void> {
    return Promise.resolve();
  }

  /** None, ever: this ledger is the store, and it begins with the feed. */
  readonly base = undefined;

  async snapshot(): Promise<undefined> {
    return undefined;
  }

  async begin(): Promise<void> {
    return Promise.reject(new WritError('INTERNAL', 'a journal begins with its feed'));
  }

  async cut(): Promise<void> {
    return Promise.reject(new WritError('INTERNAL', 'a journal is the only history there is'));
  }

  /** Nobody else appends here. */
  isForged(): boolean {
    return false;
  }

  /** Nothing to do: an append was durable on this disk before anybody could apply it. */
  async keep(): Promise<void> {
    return Promise.resolve();
  }

  async read(after: Position, limit: number): Promise<readonly FeedLine[]> {
    const { log } = this.#use();
    const first = log.history.lineAfter(after);
    return first < log.history.lines ? (await this.#page(log, first, limit)).lines : [];
  }

  /** What was submitted is written and answered first; nothing is accepted any more. */
  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    this.#growth.tell();
    await opened?.commits.drain();
    await opened?.log.close();
  }

  #use(): Opened {
    if (this.#opened === undefined) throw new WritError('STORE_UNREACHABLE', 'the journal is not open');
    return this.#opened;
  }

  async #submit<T>(sealed: SealedEntry, plan: (tip: Tip, settle: Settle<T>) => () => void): Promise<T> {
    const sizeBytes = Buffer.byteLength(sealed.text);
    if (sizeBytes > ENTRY_BYTES_MAX) throw new WritError('INTERNAL', 'the entry is too large for a line');
    const settle = Promise.withResolvers<T>();
    this.#use().commits.submit({ sizeBytes, plan: (tip) => plan(tip, settle), fail: settle.reject });
    return this.#timely(settle.promise, 'APPEND_UNCERTAIN');
  }

  #page(log: DurableLog, first: number, limit: number): Promise<LinePage> {
    return this.#timely(log.read(first, limit), 'STORE_UNREACHABLE');
  }

  #timely<T>(work: Promise<T>, code: 'STORE_UNREACHABLE' | 'APPEND_UNCERTAIN'): Promise<T> {
    return within(work, this.#callMs, () => new WritError(code, 'the journal did not answer in time'));
  }
}

/**
 * Everything newer than the cursor is read first, however long that takes. Then, with nothing awaited in between: is
 * this still everything, is the journal still ours, the grant. An append that lands while reading is read as well; one
 * that lands later was not answered when the lease was granted.
 */
async function renew({ log, leases, runId }: Opened, request: RenewRequest): Promise<RenewReply> {
  const newer = new NewerLines(log, request.position, request.limit);
  while (newer.isBehind) await newer.readOn();
  log.assertIntact();
  return leases.renew(request, { ...newer.page, runId });
}
