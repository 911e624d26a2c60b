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
import { LIMITS } from '../kernel/limits.ts';
import type { Appender } from './append.ts';
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

  /** FENCED, EPOCH_CLOSED, STORE_UNREACHABLE: nothing was appended. APPEND_UNCERTAIN: repeat it, it is one entry. */
  async publish(sealed: SealedEntry): Promise<Published> {
    const { position, at } = await this.#ports.appender.append(sealed);
    const isApplied = await this.#untilApplied(position);
    return { position, isApplied, boundMs: this.#boundMs(at, position) };
  }

  #boundMs(at: Instant, position?: Position): number {
    return enforcedByWaitMs(this.#ports.table.longest(at, position));
  }

  #untilApplied(position: Position): Promise<boolean> {
    const { cursor } = this.#ports;
    const isApplied = (): boolean => comparePositions(cursor.settled, position) >= 0;
    return waitUntil(isApplied, { ...this.#ports, waitMs: LIMITS.waitMsDefault });
  }
}
