/**
 * The decision log: one line for each decision, masked, to one sink, through a bounded queue. A sink that hangs, fills
 * up or dies costs lines, which are counted, and never time. Only where a line is required does an answer wait for it.
 */
import type { Observed, Occasion, ReviewOccasion } from '../../decision/observer.ts';
import type { Log } from '../../kernel/log.ts';
import { BoundedWriter } from './bounded-writer.ts';
import type { WriteChunk } from './bounded-writer.ts';
import type { EventSources } from './decision-event.ts';
import { eventOf } from './decision-event.ts';
import type { DecisionMask, Event } from './decision-mask.ts';

export interface DecisionLogOptions {
  readonly sink: WriteChunk;
  readonly sources: EventSources;
  readonly mask: DecisionMask;
  readonly log: Log;
  /** How long `record` waits for its line. */
  readonly recordMs: number;
  readonly chunkLinesMax: number;
  readonly pendingBytesMax?: number;
}

export const DECISION_LOG_LIMITS = {
  pendingBytesMax: 8 * 1024 * 1024,
  lineBytesMax: 128 * 1024,
  chunkBytesMax: 1024 * 1024,
} as const;

/** Nobody may have asked since a line failed, because this replica is not ready: then it is worth another try. */
const FORGOTTEN_MS = 10_000;

export class DecisionLog {
  readonly #options: DecisionLogOptions;
  readonly #writer: BoundedWriter;
  /** Monotonic milliseconds of the last line that was waited for in vain, while none was written since. */
  #failedMs: number | undefined;

  constructor(options: DecisionLogOptions) {
    const { sink, log, chunkLinesMax, pendingBytesMax = DECISION_LOG_LIMITS.pendingBytesMax } = options;
    this.#options = options;
    this.#writer = new BoundedWriter(sink, {
      pendingBytesMax,
      chunkLinesMax,
      chunkBytesMax: DECISION_LOG_LIMITS.chunkBytesMax,
      onDropping: () => log.warn('lines of the decision log are being dropped'),
      onRecovered: (count) =>
        log.warn('the decision log is whole again; lines of it were dropped', { count }),
    });
  }

  get counts(): { readonly written: number; readonly dropped: number; readonly pendingBytes: number } {
    const { writtenLines, droppedLines, pendingBytes } = this.#writer;
    return { written: writtenLines, dropped: droppedLines, pendingBytes };
  }

  /** False while lines that are waited for are not written: some are still waiting, or it was moments ago. */
  get isRecording(): boolean {
    if (this.#failedMs === undefined) return true;
    return this.#writer.pendingBytes === 0 && performance.now() - this.#failedMs > FORGOTTEN_MS;
  }

  /** Takes the line and returns at once. */
  write(decision: Observed, occasion: Occasion | ReviewOccasion): void {
    this.#writer.write(this.#line(decision, occasion));
  }

  /** True once the line is written; false when it was dropped or is not written in time. */
  async record(decision: Observed, occasion: Occasion): Promise<boolean> {
    const line = this.#line(decision, occasion);
    const recorded = Promise.withResolvers<boolean>();
    const late = setTimeout(() => {
      this.#failedMs = performance.now();
      recorded.resolve(false);
    }, this.#options.recordMs);
    this.#writer.write(line, (isWritten) => {
      clearTimeout(late);
      this.#failedMs = isWritten ? undefined : performance.now();
      recorded.resolve(isWritten);
    });
    return recorded.promise;
  }

  /** Waits until the lines are out, `graceMs` at most. */
  drain(graceMs: number): Promise<void> {
    return this.#writer.drain(graceMs);
  }

  #line(decision: Observed, occasion: Occasion | ReviewOccasion): string {
    const { mask, sources } = this.#options;
    const event = eventOf(decision, occasion, sources);
    const text = mask.render({ ...event });
    if (text.length <= DECISION_LOG_LIMITS.lineBytesMax) return `${text}\n`;
    return `${mask.render(withoutBulk(event))}\n`;
  }
}

/** A line that is too long keeps who, what and why, and loses what was sent along. */
function withoutBulk({ input: _input, result: _result, ...rest }: Event): Event {
  return { ...rest, erased: ['/input', '/result'] };
}
