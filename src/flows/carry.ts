/**
 * Appends again what a store had lost and nobody else had: lines of this replica's own ledger that the present epoch does
 * not continue (feed/cursor.ts, `tail`), or that were taken out of it (flows/retrace.ts). They are in force here all along; from then on everywhere. Called by renew.ts
 * whenever there is a lease; what was not appended is tried again with the next one.
 */
import type { Cursor, Tail } from '../feed/cursor.ts';
import type { EntryKind, FeedLine, SealedEntry } from '../feed/entry.ts';
import type { Ledger } from '../feed/ledger.ts';
import { comparePositions } from '../feed/position.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import type { Appender } from './append.ts';

export interface CarryPorts {
  readonly cursor: Cursor;
  readonly ledger: Ledger;
  readonly appender: Appender;
  readonly log: Log;
}

/** What binds; who joined or left, and what was reached, is of the epoch that is over. */
const FACTS: ReadonlySet<EntryKind> = new Set(['revocation', 'lock', 'lift', 'grant', 'ungrant']);

export class Carrier {
  readonly #ports: CarryPorts;
  #running: Promise<void> | undefined;
  /** Of lines that are in no history any more. */
  #owed: readonly SealedEntry[] = [];

  constructor(ports: CarryPorts) {
    this.#ports = ports;
  }

  /** What binds of `lines`, which were taken out of the ledger. This run owes it; a later one does not know of it. */
  owe(lines: readonly FeedLine[]): void {
    this.#owed = [...this.#owed, ...factsOf(lines)];
  }

  /** Never rejects, and returns at once where nothing is to be carried. */
  carry(): Promise<void> {
    const { tail } = this.#ports.cursor;
    if (tail === undefined && this.#owed.length === 0) return Promise.resolve();
    this.#running ??= this.#carry(tail)
      .catch(() => undefined)
      .finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #carry(tail: Tail | undefined): Promise<void> {
    const { cursor, appender, log } = this.#ports;
    const owed = this.#owed;
    const facts = [...owed, ...(tail === undefined ? [] : factsOf(await this.#linesOf(tail)))];
    for (const sealed of facts) await appender.append(sealed);
    this.#owed = this.#owed.slice(owed.length);
    if (tail !== undefined) cursor.dropTail(tail);
    log.warn('what the store had lost was appended again', { count: facts.length });
  }

  async #linesOf({ after: begin, upTo }: Tail): Promise<FeedLine[]> {
    const { ledger } = this.#ports;
    const lines: FeedLine[] = [];
    let after = begin;
    while (comparePositions(after, upTo) < 0) {
      const page = await ledger.read(after, LIMITS.pageEntriesMax);
      lines.push(...page.filter(({ position }) => comparePositions(position, upTo) <= 0));
      after = (page.at(-1) as FeedLine).position;
    }
    return lines;
  }
}

function factsOf(lines: readonly FeedLine[]): SealedEntry[] {
  return lines.map(({ sealed }) => sealed).filter(({ entry }) => FACTS.has(entry.kind));
}
