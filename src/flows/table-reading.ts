/**
 * Reads the lease table for whoever waits for a barrier: one reading for all of them. Renewals read it too, but only every
 * sixth of a lease; an acknowledgement by another replica is to be seen within milliseconds.
 */
import type { Cursor } from '../feed/cursor.ts';
import type { FeedStore } from '../feed/feed-store.ts';
import type { Clock } from '../kernel/clock.ts';
import { SharedWork } from '../kernel/shared-work.ts';
import type { LeaseTable } from './barrier.ts';

export interface TableReadingPorts {
  readonly store: FeedStore;
  readonly table: LeaseTable;
  readonly cursor: Cursor;
  readonly clock: Clock;
}

export class TableReading {
  readonly #ports: TableReadingPorts;
  readonly #readings = new SharedWork(() => this.#read());

  constructor(ports: TableReadingPorts) {
    this.#ports = ports;
  }

  /** Resolves once a reading that is sent after this call was taken in. Rejects as the store does. */
  read(): Promise<void> {
    return this.#readings.run();
  }

  async #read(): Promise<void> {
    const { store, table, cursor, clock } = this.#ports;
    const number = table.send();
    const { epochId, rows } = await store.roster();
    // Of an epoch that this replica does not follow yet nothing can be judged.
    if (epochId === undefined || epochId !== cursor.epochId) return;
    table.observe(epochId, rows, { number, at: clock.now() });
  }
}
