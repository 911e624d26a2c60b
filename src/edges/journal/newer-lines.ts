/**
 * Everything newer than one cursor, read before a lease is granted. Reading takes its time while appends land; so the
 * store reads on until this is not behind, and grants in that same step. It must not grant from what was true before.
 */
import type { FeedLine } from '../../feed/entry.ts';
import type { FeedPage } from '../../feed/lease-table.ts';
import type { Position } from '../../feed/position.ts';
import { ORIGIN, comparePositions } from '../../feed/position.ts';
import type { DurableLog } from './durable-log.ts';

export class NewerLines {
  readonly #log: DurableLog;
  readonly #limit: number;
  readonly #lines: FeedLine[] = [];
  /** Number of the line to read next. */
  #next: number;
  #cursorChain: string | undefined;
  #isFull: boolean;

  constructor(log: DurableLog, position: Position, limit: number) {
    const { history } = log;
    const cursor = comparePositions(position, ORIGIN) === 0 ? -1 : history.lineAt(position);
    this.#log = log;
    this.#limit = limit;
    this.#next = (cursor ?? -1) + 1;
    // Nothing is newer than a place that is not in this history.
    this.#isFull = cursor === undefined;
    this.#cursorChain = cursor === history.lines - 1 ? history.head.chain : undefined;
  }

  /** True while there is more to read and room for it. */
  get isBehind(): boolean {
    return !this.#isFull && this.#next < this.#log.history.lines;
  }

  async readOn(): Promise<void> {
    const page = await this.#log.readNewest(this.#next, this.#limit - this.#lines.length);
    this.#cursorChain ??= page.chain;
    this.#lines.push(...page.lines);
    this.#next += page.lines.length;
    this.#isFull = page.isFull;
  }

  get page(): Omit<FeedPage, 'runId'> {
    const { history } = this.#log;
    return {
      cursorChain: this.#cursorChain,
      lines: this.#lines,
      isLast: this.#next === history.lines,
      head: history.head.position,
    };
  }
}
