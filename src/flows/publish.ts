/**
 * Appends a fact that needs no enforcement (a lift, a grant) and waits until this replica has applied it: whoever is
 * answered finds it in force here. The other replicas have it with their next lease at the latest.
 */
import type { Cursor } from '../feed/cursor.ts';
import type { SealedEntry } from '../feed/entry.ts';
import { enforcedByWaitMs } from '../feed/lease.ts';
import type { Position } from '../feed/position.ts';
import { comparePositions } from '../feed/position.ts';
import type { Clock, Instant, Timer } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Appended, Appender } from './append.ts';
import type { LeaseTable } from './barrier.ts';
import type { News } from './news.ts';
import { waitUntil } from './news.ts';

export interface PublishPorts {
  readonly appender: Appender;
  readonly cursor: Cursor;
  readonly table: LeaseTable;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly news: News;
  /** Aborted when the process closes. */
  readonly closing: AbortSignal;
}

export interface Published {
  readonly position: Position;
  /** False when that has not come back in time: it will. */
  readonly isApplied: boolean;
  /** After the append replied: from then on no replica decides without it. */
  readonly boundMs: number;
}

export class Publisher {
  readonly #ports: PublishPorts;

  constructor(ports: PublishPorts) {
    this.#ports = ports;
  }

  get boundMs(): number {
    return this.#boundMs(this.#ports.clock.now());
  }

  /**
   * `say` seals it for the epoch that is open here then. FENCED, EPOCH_CLOSED, STORE_UNREACHABLE: nothing was appended.
   * APPEND_UNCERTAIN: repeat it, it is one entry.
   */
  async publish(say: () => SealedEntry): Promise<Published> {
    const { cursor, clock } = this.#ports;
    const endMs = clock.now().monoMs + LIMITS.waitMsDefault;
    let { epochId, position, at } = await this.#append(say);
    while (!(await this.#untilApplied(epochId, position, endMs)) && cursor.epochId !== epochId)
      ({ epochId, position, at } = await this.#again(say));
    const isApplied = this.#isApplied(epochId, position);
    return { position, isApplied, boundMs: this.#boundMs(at, position) };
  }

  /** The epoch is over, and may have been lost before this was read: in the next one it is the same entry. */
  #again(say: () => SealedEntry): Promise<Appended> {
    return this.#append(say).catch((cause: unknown) => {
      const message = 'the store was restarted before this had come back from it: repeat it, it is one entry';
      throw new WritError('APPEND_UNCERTAIN', message, { cause });
    });
  }

  /** To the epoch that it was sealed for: nothing is waited for between the two. */
  async #append(say: () => SealedEntry): Promise<Appended> {
    return this.#ports.appender.append(say());
  }

  #boundMs(at: Instant, position?: Position): number {
    return enforcedByWaitMs(this.#ports.table.longest(at, position));
  }

  /** False once that epoch is over here, or the time. */
  async #untilApplied(epochId: string, position: Position, endMs: number): Promise<boolean> {
    const { cursor, clock } = this.#ports;
    const isSettled = (): boolean => cursor.epochId !== epochId || this.#isApplied(epochId, position);
    await waitUntil(isSettled, { ...this.#ports, waitMs: endMs - clock.now().monoMs });
    return this.#isApplied(epochId, position);
  }

  /** Numbers of two epochs are not compared. */
  #isApplied(epochId: string, position: Position): boolean {
    const { cursor } = this.#ports;
    return cursor.epochId === epochId && comparePositions(cursor.settled, position) >= 0;
  }
}
