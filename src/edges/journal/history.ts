/**
 * What the journal keeps in memory of its lines: where each begins, the head, and the ids of the open epoch, about
 * 8 bytes a line and 100 an id. Filled by the scan at opening, then by each commit; must hold durable lines only.
 */
import { CHAIN_START } from '../../feed/entry.ts';
import type { SnapshotBase } from '../../feed/snapshot.ts';
import type { Position } from '../../feed/position.ts';
import { ORIGIN } from '../../feed/position.ts';

export interface Head {
  /** The newest epoch's id; undefined while the journal is empty. */
  readonly epochId: string | undefined;
  readonly position: Position;
  readonly chain: string;
}

/** The head of an empty journal. */
export const EMPTY_HEAD: Head = { epochId: undefined, position: ORIGIN, chain: CHAIN_START };

/** What remains of a line once it is on the disk. */
export interface Placed {
  readonly id: string;
  /** The head once this line is in. */
  readonly head: Head;
  /** With its newline. */
  readonly sizeBytes: number;
}

export class History {
  #offsets = new Float64Array(1024);
  #lines = 0;
  #endBytes = 0;
  #head: Head;
  /** Where each epoch's first line is, and how many of its lines are not here. */
  readonly #epochs: { readonly epoch: number; readonly line: number; readonly before: number }[] = [];
  #ids = new Map<string, number>();
  /** The chain before the first line. */
  readonly startChain: string;

  /** `base`: what comes before the first line, where that is not everything. */
  constructor(base?: SnapshotBase) {
    this.#head = EMPTY_HEAD;
    if (base !== undefined) {
      const { opening, position, chain } = base;
      this.#head = { epochId: opening.epochId, position, chain };
      this.#epochs.push({ epoch: position.epoch, line: 0, before: position.sequence });
    }
    this.startChain = this.#head.chain;
  }

  get head(): Head {
    return this.#head;
  }

  /** How many lines there are; the first is line 0. */
  get lines(): number {
    return this.#lines;
  }

  get endBytes(): number {
    return this.#endBytes;
  }

  /** The next line, and where it begins: at what was the end. */
  push({ id, head, sizeBytes }: Placed): void {
    if (head.epochId !== this.#head.epochId) {
      this.#epochs.push({ epoch: head.position.epoch, line: this.#lines, before: 0 });
      this.#ids = new Map();
    }
    this.#ids.set(id, this.#lines);
    if (this.#lines === this.#offsets.length) this.#grow();
    this.#offsets[this.#lines] = this.#endBytes;
    this.#lines += 1;
    this.#endBytes += sizeBytes;
    this.#head = head;
  }

  /** Goes back to `head`, after the first `lines` lines. The ids of what epoch is then open are not known. */
  cut(lines: number, head: Head): void {
    this.#endBytes = this.offsetOf(lines);
    this.#lines = lines;
    this.#head = head;
    const begun = this.#epochs.findLastIndex(({ line }) => line < lines);
    this.#epochs.length = begun + 1;
    this.#ids = new Map();
  }

  /** Byte at which `line` begins; the end for the line after the last. */
  offsetOf(line: number): number {
    return line < this.#lines ? (this.#offsets[line] ?? 0) : this.#endBytes;
  }

  /** The line of the open epoch that holds the entry `id`. */
  lineOfId(id: string): number | undefined {
    return this.#ids.get(id);
  }

  /** The line at `position`, or undefined when this history has none there. */
  lineAt(position: Position): number | undefined {
    const line = this.lineAfter(position) - 1;
    const epoch = this.#epochs.findLast((begun) => begun.line <= line);
    if (epoch?.epoch !== position.epoch) return undefined;
    return line - epoch.line + epoch.before + 1 === position.sequence ? line : undefined;
  }

  /** The first line after `position`, held or not. */
  lineAfter({ epoch, sequence }: Position): number {
    const at = this.#epochs.findLastIndex((begun) => begun.epoch <= epoch);
    const begun = this.#epochs[at];
    if (begun === undefined) return 0;
    const end = this.#epochs[at + 1]?.line ?? this.#lines;
    return begun.epoch === epoch ? Math.min(begun.line + Math.max(0, sequence - begun.before), end) : end;
  }

  #grow(): void {
    const larger = new Float64Array(this.#offsets.length * 2);
    larger.set(this.#offsets);
    this.#offsets = larger;
  }
}
