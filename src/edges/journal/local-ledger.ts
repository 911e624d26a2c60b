/**
 * The ledger of a replica beside a shared store: the same lines as a journal, kept as they come from the feed and fsynced
 * before a lease is adopted. It grants nothing and orders nothing; what it keeps was checked by who applies it.
 *
 * It begins with the feed (`<path>`), or with a snapshot (`<path>-<number>-<position of its mark>`: the snapshot and the lines
 * from its mark on). Of several the one that was begun last is the ledger, wherever it stands: positions of two histories say
 * nothing about each other. What an earlier one holds stays where it is. Lines that the fleet did not go on with are in
 * `beside-…jsonl`, and read by nobody.
 */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { CrashPoint } from '../../feed/crash-point.ts';
import type { Place } from '../../feed/cursor.ts';
import type { FeedLine, LinePlace } from '../../feed/entry.ts';
import { renderLine } from '../../feed/entry.ts';
import type { Snapshot, StoreFacts } from '../../feed/feed-store.ts';
import type { Ledger } from '../../feed/ledger.ts';
import type { Position } from '../../feed/position.ts';
import { comparePositions, renderPosition } from '../../feed/position.ts';
import type { SnapshotBase } from '../../feed/snapshot.ts';
import { parseHeader } from '../../feed/snapshot.ts';
import { WritError } from '../../kernel/error.ts';
import { LIMITS } from '../../kernel/limits.ts';
import { createDirectory } from './directory.ts';
import { ForgedLines } from './forged-lines.ts';
import type { DurableLog } from './durable-log.ts';
import type { OpenedLog } from './open-log.ts';
import { openLog } from './open-log.ts';
import { readSnapshotFile, removeUnfinished, writeSnapshotFile } from './snapshot-file.ts';
import { writeWhole } from './whole-file.ts';
import { SYSCALLS } from './syscalls.ts';

export interface OpenedLedger {
  readonly ledger: LocalLedger;
  readonly cutTail: StoreFacts['cutTail'];
}

interface Directory {
  readonly directory: string;
  readonly base: SnapshotBase | undefined;
}

/** A directory that may be a ledger which begins with a snapshot. */
interface Begun {
  readonly directory: string;
  /** One more than any that was there when it was begun; 0 where it was begun before there were numbers. */
  readonly number: number;
  readonly position: Position;
}

export class LocalLedger implements Ledger {
  readonly #path: string;
  readonly #crashPoint: CrashPoint;
  #at: Directory;
  #log: DurableLog;
  #forged: ForgedLines;

  private constructor(
    { path, crashPoint }: { path: string; crashPoint: CrashPoint },
    at: Directory,
    log: DurableLog,
    forged: ForgedLines,
  ) {
    this.#path = path;
    this.#crashPoint = crashPoint;
    this.#at = at;
    this.#log = log;
    this.#forged = forged;
  }

  /** DATA_DIR_LOCKED, JOURNAL_CORRUPT, or STORE_UNREACHABLE when the directory cannot be used. */
  static async open(path: string, crashPoint: CrashPoint): Promise<OpenedLedger> {
    const at = await newestAt(path);
    const { log, cutTail } = await openAt(at, crashPoint);
    const forged = await ForgedLines.open(at.directory);
    return { ledger: new LocalLedger({ path, crashPoint }, at, log, forged), cutTail };
  }

  get base(): SnapshotBase | undefined {
    return this.#at.base;
  }

  /** Durable when it resolves; as DurableLog.commit otherwise. */
  async keep(lines: readonly FeedLine[], forged: readonly FeedLine[]): Promise<void> {
    if (lines.length === 0) return;
    await this.#log.recover();
    if (forged.length > 0) await this.#forged.add(forged);
    await this.#log.commit(lines);
  }

  isForged(line: LinePlace): boolean {
    return this.#forged.has(line);
  }

  async read(after: Position, limit: number): Promise<readonly FeedLine[]> {
    const log = this.#log;
    const { history, cuts } = log;
    const first = history.lineAfter(after);
    if (first >= history.lines) return [];
    try {
      return (await log.read(first, limit)).lines;
    } catch (error) {
      // It was cut while this read it.
      if (cuts !== log.cuts) return this.read(after, limit);
      throw error;
    }
  }

  snapshot(): Promise<Snapshot | undefined> {
    return readSnapshotFile(this.#at.directory);
  }

  async begin(snapshot: Snapshot): Promise<void> {
    const { base } = parseHeader(snapshot.chunks[0]);
    const begun = await begunAt(this.#path);
    const number = 1 + Math.max(0, ...begun.map((one) => one.number));
    const at = { directory: `${this.#path}-${number}-${renderPosition(snapshot.position)}`, base };
    const crashPoint = this.#crashPoint;
    // Each try has a directory of its own: without this, a replica that dies here again and again would fill the disk.
    for (const { directory } of begun) await removeUnfinished(directory);
    await createDirectory(at.directory);
    crashPoint('begin.before-lines');
    // The lines first: with the snapshot in place this is the ledger, whatever happens.
    const { log } = await openAt(at, crashPoint);
    const before = this.#log;
    [this.#at, this.#log] = [at, log];
    this.#forged = await ForgedLines.open(at.directory);
    try {
      crashPoint('begin.before-snapshot');
      await writeSnapshotFile(at.directory, snapshot, () => crashPoint('begin.before-name'));
    } finally {
      // Not earlier: until the snapshot stands, a second process would find this one, and must find it locked.
      await before.close();
    }
    crashPoint('begin.before-mark');
  }

  async cut({ opening, position, chain }: Omit<Place, 'amnesia'>): Promise<void> {
    const { history } = this.#log;
    const kept = history.lineAfter(position);
    const beside: FeedLine[] = [];
    while (kept + beside.length < history.lines)
      beside.push(...(await this.#log.read(kept + beside.length, LIMITS.pageEntriesMax)).lines);
    if (beside[0] === undefined) return;
    const name = `beside-${renderPosition(beside[0].position)}-${beside[0].chain.slice(0, 8)}.jsonl`;
    await writeWhole(
      join(this.#at.directory, name),
      beside.map((line) => `${renderLine(line)}\n`),
    );
    await this.#log.cut(kept, { epochId: opening?.epochId, position, chain });
  }

  close(): Promise<void> {
    return this.#log.close();
  }
}

function openAt({ directory, base }: Directory, crashPoint: CrashPoint): Promise<OpenedLog> {
  const nobody = (): void => undefined;
  const options = {
    dataDir: directory,
    syscalls: SYSCALLS,
    crashPoint,
    onScanned: nobody,
    onVisible: nobody,
    // A feed forgets the ids of what it lets go, so what is carried again may come a second time in one epoch.
    isOwn: false,
  };
  return openLog({ ...options, base });
}

async function newestAt(path: string): Promise<Directory> {
  for (const { directory } of (await begunAt(path)).toSorted(newestFirst)) {
    const snapshot = await readSnapshotFile(directory);
    if (snapshot !== undefined) return { directory, base: parseHeader(snapshot.chunks[0]).base };
  }
  return { directory: path, base: undefined };
}

async function begunAt(path: string): Promise<readonly Begun[]> {
  const parent = dirname(path);
  const prefix = `${basename(path)}-`;
  return (await namesIn(parent)).flatMap((name) => {
    const match = name.startsWith(prefix) ? BEGUN.exec(name.slice(prefix.length)) : null;
    if (match === null) return [];
    const [, number = '0', epoch, sequence] = match;
    const position = { epoch: Number(epoch), sequence: Number(sequence) };
    return [{ directory: join(parent, name), number: Number(number), position }];
  });
}

const BEGUN = /^(?:(\d+)-)?(\d+)-(\d+)$/;

function newestFirst(left: Begun, right: Begun): number {
  return right.number - left.number || comparePositions(right.position, left.position);
}

/** None where there is no such directory yet. One that cannot be read must not make an old ledger the newest. */
function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new WritError('STORE_UNREACHABLE', `the data directory ${directory} cannot be read`, { cause });
  });
}
