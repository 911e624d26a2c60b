/**
 * Appends again what a store had lost and nobody else had: lines of this replica's own ledger that the epoch after them does
 * not continue (feed/tail.ts), or that are not the fleet's (flows/retrace.ts, mend.ts). They are in force here all along; from
 * then on everywhere, and once they have come back by the feed the folds are the same again. Called by renew.ts whenever
 * there is a lease, and before they leave the ledger; what was not appended is tried again then.
 */
import type { Cursor } from '../feed/cursor.ts';
import type { FeedLine, SealedEntry } from '../feed/entry.ts';
import type { Ledger } from '../feed/ledger.ts';
import { linesBetween } from '../feed/ledger.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import type { Tail } from '../feed/tail.ts';
import { namesOf } from '../feed/tail.ts';
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
  #running: Promise<void> | undefined;
  /** What was appended again already, and in which epoch: that may have been lost as well. */
  #carried = { epochId: '', tails: new Set<Tail>() };

  constructor(ports: CarryPorts) {
    this.#ports = ports;
  }

  /** Into the epoch `epochId`, with a lease or without. Rejects as the store does. */
  async carry(epochId: string): Promise<void> {
    this.#running ??= this.#carry(epochId).finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** All that binds in this replica's ledger after `begin`: nobody else has it. Returns how much that is. */
  async carryAgain(begin: Position, epochId: string): Promise<number> {
    const { ledger, cursor } = this.#ports;
    return this.#append(await linesBetween(ledger, begin, cursor.position), epochId);
  }

  async #carry(epochId: string): Promise<void> {
    if (this.#carried.epochId !== epochId) this.#carried = { epochId, tails: new Set() };
    const { cursor, ledger, log } = this.#ports;
    for (const tail of cursor.tails) {
      if (this.#carried.tails.has(tail)) continue;
      const lines = tail.beside ?? (await linesBetween(ledger, tail.after, tail.upTo));
      const missing = lines.filter(({ sealed }) => tail.missing.has(nameOf(sealed)));
      const count = await this.#append(missing, epochId);
      this.#carried.tails.add(tail);
      log.warn('what the store had lost was appended again', { count });
    }
  }

  /** Those that bind and that whoever may has signed; in their order: who joined comes before what it signed. */
  async #append(lines: readonly FeedLine[], epochId: string): Promise<number> {
    const { identity, members, appender } = this.#ports;
    const log = identity.logKey.public;
    const facts = lines.filter(({ sealed }) => nameOf(sealed) !== '' && members.haveSigned(sealed, log));
    for (const { sealed } of facts) await appender.appendUnfenced(epochId, sealed);
    return facts.length;
  }
}

function nameOf({ entry }: SealedEntry): string {
  return namesOf(entry)[0] ?? '';
}
