/**
 * Appends again what a store had lost and nobody else had: lines of this replica's own ledger that the epoch after them does
 * not continue (feed/tail.ts), or that are not the fleet's (flows/retrace.ts, mend.ts). They are in force here all along; from
 * then on everywhere, and once they have come back by the feed the folds are the same again. Called by renew.ts whenever
 * there is a lease, and before they leave the ledger; what was not appended is tried again then.
 */
import type { Cursor } from '../feed/cursor.ts';
import type { FeedLine } from '../feed/entry.ts';
import type { Ledger } from '../feed/ledger.ts';
import { linesBetween, pagesBetween } from '../feed/ledger.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, renderPosition } from '../feed/position.ts';
import type { Tail } from '../feed/tail.ts';
import { factOf, nameOf } from '../feed/tail.ts';
import type { Log } from '../kernel/log.ts';
import type { Appender } from './append.ts';
import type { Identity } from './identity.ts';

export interface CarryPorts {
  readonly identity: Identity;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly ledger: Ledger;
  readonly appender: Appender;
  readonly log: Log;
}

export class Carrier {
  readonly #ports: CarryPorts;
  #running: { readonly epochId: string; readonly run: Promise<void> } | undefined;
  /** What was appended again already, and in which epoch: that may have been lost as well. */
  #carried = { epochId: '', tails: new Set<Tail>() };

  constructor(ports: CarryPorts) {
    this.#ports = ports;
  }

  /** Into the epoch `epochId`, with a lease or without. When it resolves the store has all of it there. Rejects as the store does. */
  async carry(epochId: string): Promise<void> {
    // One at a time. What was appended to another epoch, which may be over, is not in this one.
    while (this.#running !== undefined && this.#running.epochId !== epochId)
      await this.#running.run.catch(() => undefined);
    this.#running ??= { epochId, run: this.#carry(epochId).finally(() => (this.#running = undefined)) };
    return this.#running.run;
  }

  /**
   * All that binds in `lines`, of this replica's ledger, and that whoever may has signed, in their order: who joined comes
   * before what it signed. Returns how much that is; rejects as the store does.
   */
  async carryAgain(lines: readonly FeedLine[], epochId: string): Promise<number> {
    const { ledger, appender } = this.#ports;
    let count = 0;
    for (const line of lines) {
      const { sealed } = line;
      if (nameOf(sealed.entry) === undefined || ledger.isForged(line)) continue;
      await appender.appendUnfenced(epochId, sealed);
      count += 1;
    }
    return count;
  }

  /**
   * Every fact in the ledger up to `upTo` that `isMissing` there, under this incarnation: where the fleet began anew, nobody
   * knows who signed it. Orders are proven anew. Returns how many; rejects as the store does.
   */
  async carryGivenUp(
    upTo: Position,
    epochId: string,
    isMissing: (name: string) => boolean = () => true,
  ): Promise<number> {
    const { ledger, appender, log } = this.#ports;
    if (ledger.base !== undefined)
      log.error(
        'what came with a snapshot is in force here alone and cannot be appended again: order it anew',
        {
          position: renderPosition(ledger.base.position),
        },
      );
    let count = 0;
    for await (const page of pagesBetween(ledger, ORIGIN, upTo)) {
      for (const line of page) {
        const { sealed } = line;
        const name = factOf(sealed.entry);
        if (name === undefined || !isMissing(name) || ledger.isForged(line)) continue;
        await appender.appendUnfenced(epochId, appender.sealAgain(sealed.entry));
        count += 1;
      }
    }
    return count;
  }

  async #carry(epochId: string): Promise<void> {
    if (this.#carried.epochId !== epochId) this.#carried = { epochId, tails: new Set() };
    const { cursor, log } = this.#ports;
    const tails = cursor.tails.filter((tail) => !this.#carried.tails.has(tail));
    if (tails.length === 0) return;
    let count = 0;
    for (const tail of tails) {
      count += await this.#carryTail(tail, epochId);
      this.#carried.tails.add(tail);
    }
    log.warn('what the store had lost was appended again', { count });
  }

  async #carryTail({ after, upTo, missing, beside, isGivenUp }: Tail, epochId: string): Promise<number> {
    if (isGivenUp) return this.carryGivenUp(upTo, epochId, (name) => missing.has(name));
    const lines = beside ?? (await linesBetween(this.#ports.ledger, after, upTo));
    return this.carryAgain(
      lines.filter(({ sealed }) => missing.has(nameOf(sealed.entry) ?? '')),
      epochId,
    );
  }
}
