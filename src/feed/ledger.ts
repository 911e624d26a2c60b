/**
 * The port to the entries a replica keeps on its own disk: what an export, a receipt and a restart read. On the
 * journal store it is the journal itself; beside a shared store it is `dataDir/ledger/`, the same lines.
 */
import { LIMITS } from '../kernel/limits.ts';
import type { Place } from './cursor.ts';
import type { FeedLine, LinePlace } from './entry.ts';
import type { Snapshot } from './feed-store.ts';
import type { Position } from './position.ts';
import { comparePositions } from './position.ts';
import type { SnapshotBase } from './snapshot.ts';

export interface Ledger {
  /**
   * Keeps what was applied; durable when it resolves. Nothing to do where the store already keeps it on this disk. `forged`:
   * those of them that nobody with a key has signed.
   */
  keep(lines: readonly FeedLine[], forged: readonly FeedLine[]): Promise<void>;
  /** Whether it was kept as forged: it has no effect when it is replayed either. */
  isForged(line: LinePlace): boolean;
  /** Lines after `after`, oldest first, at most `limit`. Fewer do not mean the end, a page has a size too; none do. */
  read(after: Position, limit: number): Promise<readonly FeedLine[]>;
  /** What comes before the first line, where that is not everything. */
  readonly base: SnapshotBase | undefined;
  /** The snapshot that it begins with, if it does. */
  snapshot(): Promise<Snapshot | undefined>;
  /** Begins again at `snapshot`, whose next line is its mark; durable when it resolves. Never on the journal store. */
  begin(snapshot: Snapshot): Promise<void>;
  /** Takes out what comes after `after`, a line that is here, and keeps it beside; durable when it resolves. Never on the journal store. */
  cut(after: Omit<Place, 'amnesia'>): Promise<void>;
}

type Readable = Pick<Ledger, 'read'>;

/** The line at that very place; undefined where it is not, or not any more. */
export async function lineAt(ledger: Readable, { epoch, sequence }: Position): Promise<FeedLine | undefined> {
  const [line] = await ledger.read({ epoch, sequence: sequence - 1 }, 1);
  return line !== undefined && comparePositions(line.position, { epoch, sequence }) === 0 ? line : undefined;
}

/** The lines after `begin`, up to `upTo`, one that is there. */
export async function linesBetween(ledger: Readable, begin: Position, upTo: Position): Promise<FeedLine[]> {
  const lines: FeedLine[] = [];
  for await (const page of pagesBetween(ledger, begin, upTo)) lines.push(...page);
  return lines;
}

/** The same, where they may be all that there are. */
export async function* pagesBetween(
  ledger: Readable,
  begin: Position,
  upTo: Position,
): AsyncGenerator<readonly FeedLine[]> {
  for (let after = begin; comparePositions(after, upTo) < 0;) {
    const page = await ledger.read(after, LIMITS.pageEntriesMax);
    yield page.filter(({ position }) => comparePositions(position, upTo) <= 0);
    after = (page.at(-1) as FeedLine).position;
  }
}
