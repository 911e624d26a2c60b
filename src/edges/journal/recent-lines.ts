/**
 * The newest lines, as they were written: nearly every reading is of one that has just become durable, and reading a
 * thousand targets back from the disk costs a millisecond. Filled by DurableLog once a line is visible; bounded in bytes.
 * Never a reason to believe the file: DurableLog looks at that itself, before every grant.
 */
import type { FeedLine } from '../../feed/entry.ts';

interface Kept {
  readonly line: FeedLine;
  readonly sizeBytes: number;
}

export class RecentLines {
  readonly #bytesMax: number;
  /** By number, oldest first. */
  readonly #kept = new Map<number, Kept>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Line `number` has become visible; it is the one after the last. */
  push(number: number, line: FeedLine, sizeBytes: number): void {
    this.#kept.set(number, { line, sizeBytes });
    this.#bytes += sizeBytes;
    for (const [oldest, kept] of this.#kept) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#kept.delete(oldest);
      this.#bytes -= kept.sizeBytes;
    }
  }

  at(number: number): FeedLine | undefined {
    return this.#kept.get(number)?.line;
  }

  /** Lines from `first` on, at most `limit`; undefined when the first of them is not among the newest. */
  from(first: number, limit: number): readonly FeedLine[] | undefined {
    const lines: FeedLine[] = [];
    for (let number = first; lines.length < limit; number++) {
      const line = this.at(number);
      if (line === undefined) break;
      lines.push(line);
    }
    return lines.length > 0 ? lines : undefined;
  }
}
