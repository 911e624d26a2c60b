/**
 * The decision log: one line for each decision, masked, to one sink, through a bounded queue. A sink that hangs, fills
 * up or dies costs lines, which are counted, and never time. Only where a line is required does an answer wait for it.
 * Masking and rendering a line may take longer than its decision did (a context of 64 KiB with a token in it), and a batch
 * has a thousand of them: what those say is taken down with the decision, and rendered in slices, behind the answers.
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
/** Lines that wait to be rendered, and what they hold of the bodies that brought them. */
const UNTOLD_MAX = 2_048;
const HELD_CHARS_MAX = 8 * 1024 * 1024;
const PAUSE_MS = 5;

interface Untold {
  readonly event: Event;
  /** Its share of the body that brought it. */
  readonly chars: number;
  readonly settled: ((isWritten: boolean) => void) | undefined;
}

/** Nobody may have asked since a line failed, because this replica is not ready: then it is worth another try. */
const FORGOTTEN_MS = 10_000;

export class DecisionLog {
  readonly #options: DecisionLogOptions;
  readonly #writer: BoundedWriter;
  readonly #untold: Untold[] = [];
  #heldChars = 0;
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

  /** Waits until the lines are out, `graceMs` at most; what is not by then is lost, and counted. */
  async drain(graceMs: number): Promise<void> {
    const untilMs = performance.now() + graceMs;
    while (this.#untold.length > 0 && performance.now() < untilMs) {
      if (!this.#isCrowded) this.#tell();
      await new Promise((resolve) => setTimeout(resolve, this.#isCrowded ? PAUSE_MS : 0));
    }
    for (const { settled } of this.#untold.splice(0)) this.#lose(settled);
    await this.#writer.drain(Math.max(0, untilMs - performance.now()));
  }

  #take(decision: Observed, occasion: Occasion | ReviewOccasion, settled?: Untold['settled']): void {
    // A policy that ends a hundred thousand sessions must leave room for the lines that answers wait for.
    if (occasion.source === 'review' && this.#isCrowded) {
      this.#lose(settled);
      return;
    }
    const chars = occasion.source === 'review' ? 0 : (occasion.bodyChars ?? 0);
    const one = { event: eventOf(decision, occasion, this.#options.sources), settled, chars };
    if (occasion.source !== 'evaluations') {
      this.#tellOf(one);
      return;
    }
    // Whoever asks for more than is written waits for it: no line is lost for want of time.
    while (
      this.#untold.length >= UNTOLD_MAX ||
      (this.#untold.length > 0 && this.#heldChars + chars > HELD_CHARS_MAX)
    )
      this.#tell();
    this.#heldChars += chars;
    if (this.#untold.push(one) === 1) setImmediate(() => this.#tellOn());
  }

  /** What waits for the sink has half of the queue. */
  get #isCrowded(): boolean {
    return this.#writer.pendingBytes > this.#pendingBytesMax / 2;
  }

  #tellOn(): void {
    if (!this.#isCrowded) this.#tell();
    if (this.#untold.length === 0) return;
    if (this.#isCrowded) setTimeout(() => this.#tellOn(), PAUSE_MS);
    else setImmediate(() => this.#tellOn());
  }

  /** One slice: at least one line. */
  #tell(): void {
    const untilMs = performance.now() + SLICE_MS;
    let told = 0;
    for (const one of this.#untold) {
      this.#heldChars -= one.chars;
      this.#tellOf(one);
      told += 1;
      if (performance.now() >= untilMs) break;
    }
    this.#untold.splice(0, told);
  }

  #lose(settled: Untold['settled']): void {
    this.#writer.drop();
    settled?.(false);
  }

  /** Never throws: nobody above would catch it. */
  #tellOf({ event, settled }: Pick<Untold, 'event' | 'settled'>): void {
    try {
      this.#writer.write(this.#line(event), settled);
    } catch (error) {
      const detail = error instanceof Error ? error.name : 'unknown';
      this.#options.log.error('a decision could not be told of', {
        detail,
        decision: String(event['decision_id']),
      });
      this.#lose(settled);
    }
  }

  #line(event: Event): string {
    const { mask } = this.#options;
    const { lineBytesMax, batchLineBytesMax } = DECISION_LOG_LIMITS;
    const bytesMax = event['source'] === 'evaluations' ? batchLineBytesMax : lineBytesMax;
    const text = mask.render({ ...event });
    if (Buffer.byteLength(text) <= bytesMax) return `${text}\n`;
    return `${mask.render(withoutBulk(event))}\n`;
  }
}

/** A line that is too long keeps who, what and why, each cut short, and loses what was sent along. */
function withoutBulk({ input, result, ...rest }: Event): Event {
  const { subject, action, resource } = membersOf(input);
  const { allow, reason, policyReason } = membersOf(result);
  return {
    ...rest,
    input: { subject: shortOf(subject), action: shortOf(action), resource: shortOf(resource) },
    result: { allow: shortOf(allow), reason: shortOf(reason), policyReason: shortOf(policyReason) },
    erased: ['/input', '/result'],
  };
}

const SHORT_CHARS = 256;

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** A text's beginning; of an entity its type, id and name. */
function shortOf(value: unknown): unknown {
  if (typeof value === 'string') return value.slice(0, SHORT_CHARS);
  if (typeof value !== 'object' || value === null) return value;
  const { type, id, name } = membersOf(value);
  return Object.fromEntries(
    Object.entries({ type, id, name })
      .filter(([, one]) => typeof one === 'string')
      .map(([key, one]) => [key, shortOf(one)]),
  );
}
