/**
 * The decision log: one line for each decision, masked, to one sink, through a bounded queue. A sink that hangs, fills
 * up or dies costs lines, which are counted, and never time. Only where a line is required does an answer wait for it.
 * What a line says is taken down with the decision; masking and rendering may take longer than deciding did (a context of
 * 64 KiB with a token in it), and a batch has a thousand of them: that is done in slices, behind the answers.
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
  /** Of a batch, whose thousand lines must not push all others out of the queue. */
  batchLineBytesMax: 8 * 1024,
  chunkBytesMax: 1024 * 1024,
} as const;

/** How long lines are rendered before others have a turn. */
const SLICE_MS = 2;
/** Lines that wait to be rendered. */
const UNTOLD_MAX = 2_048;

interface Untold {
  readonly event: Event;
  readonly settled: ((isWritten: boolean) => void) | undefined;
}

/** Nobody may have asked since a line failed, because this replica is not ready: then it is worth another try. */
const FORGOTTEN_MS = 10_000;

export class DecisionLog {
  readonly #options: DecisionLogOptions;
  readonly #writer: BoundedWriter;
  readonly #untold: Untold[] = [];
  /** Monotonic milliseconds of the last line that was waited for in vain, while none was written since. */
  #failedMs: number | undefined;

  constructor(options: DecisionLogOptions) {
    const { sink, log, chunkLinesMax } = options;
    this.#options = options;
    this.#writer = new BoundedWriter(sink, {
      pendingBytesMax: this.#pendingBytesMax,
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

  get #pendingBytesMax(): number {
    return this.#options.pendingBytesMax ?? DECISION_LOG_LIMITS.pendingBytesMax;
  }

  /** Takes the line and returns at once. */
  write(decision: Observed, occasion: Occasion | ReviewOccasion): void {
    this.#take(decision, occasion);
  }

  /** True once the line is written; false when it was dropped or is not written in time. */
  async record(decision: Observed, occasion: Occasion): Promise<boolean> {
    const recorded = Promise.withResolvers<boolean>();
    const late = setTimeout(() => {
      this.#failedMs = performance.now();
      recorded.resolve(false);
    }, this.#options.recordMs);
    this.#take(decision, occasion, (isWritten) => {
      clearTimeout(late);
      this.#failedMs = isWritten ? undefined : performance.now();
      recorded.resolve(isWritten);
    });
    return recorded.promise;
  }

  /** Waits until the lines are out, `graceMs` at most. */
  drain(graceMs: number): Promise<void> {
    this.#tell(performance.now() + graceMs);
    return this.#writer.drain(graceMs);
  }

  #take(decision: Observed, occasion: Occasion | ReviewOccasion, settled?: Untold['settled']): void {
    // A policy that ends a hundred thousand sessions must leave room for the lines that answers wait for.
    const isCrowded = occasion.source === 'review' && this.#writer.pendingBytes > this.#pendingBytesMax / 2;
    if (isCrowded || this.#untold.length >= UNTOLD_MAX) {
      this.#writer.drop();
      settled?.(false);
      return;
    }
    this.#untold.push({ event: eventOf(decision, occasion, this.#options.sources), settled });
    if (this.#untold.length === 1) setImmediate(() => this.#tell(performance.now() + SLICE_MS));
  }

  #tell(untilMs: number): void {
    let told = 0;
    for (const one of this.#untold) {
      this.#tellOf(one);
      told += 1;
      if (performance.now() >= untilMs) break;
    }
    this.#untold.splice(0, told);
    if (this.#untold.length > 0) setImmediate(() => this.#tell(performance.now() + SLICE_MS));
  }

  /** Never throws: nobody above would catch it. */
  #tellOf({ event, settled }: Untold): void {
    try {
      this.#writer.write(this.#line(event), settled);
    } catch (error) {
      const detail = error instanceof Error ? error.name : 'unknown';
      this.#options.log.error('a decision could not be told of', {
        detail,
        decision: String(event['decision_id']),
      });
      this.#writer.drop();
      settled?.(false);
    }
  }

  #line(event: Event): string {
    const { mask } = this.#options;
    const { lineBytesMax, batchLineBytesMax } = DECISION_LOG_LIMITS;
    const charsMax = event['source'] === 'evaluations' ? batchLineBytesMax : lineBytesMax;
    const text = mask.render({ ...event });
    if (text.length <= charsMax) return `${text}\n`;
    return `${mask.render(withoutBulk(event))}\n`;
  }
}

/** A line that is too long keeps who, what and why, and loses what was sent along. */
function withoutBulk({ input: _input, result: _result, ...rest }: Event): Event {
  return { ...rest, erased: ['/input', '/result'] };
}
