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
import { renderPosition } from '../feed/position.ts';
import type { Tail } from '../feed/tail.ts';
import { namesOf } from '../feed/tail.ts';
import { WritError } from '../kernel/error.ts';
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
  /** Where something else stands under the id of a fact: said once. */
  readonly #said = new Set<string>();

  constructor(ports: CarryPorts) {
    this.#ports = ports;
  }

  /**
   * Into the epoch `epochId`, with a lease or without. When it resolves the store has all of it there. Rejects as the store
   * does, and with IDEMPOTENCY_CONFLICT once all is appended but those under whose ids something else stands.
   */
  async carry(epochId: string): Promise<void> {
    // One at a time. What was appended to another epoch, which may be over, is not in this one.
    while (this.#running !== undefined && this.#running.epochId !== epochId)
      await this.#running.run.catch(() => undefined);
    this.#running ??= { epochId, run: this.#carry(epochId).finally(() => (this.#running = undefined)) };
    return this.#running.run;
  }

  /** All that binds in this replica's ledger after `begin`: nobody else has it. Returns how much that is; rejects as `carry`. */
  async carryAgain(begin: Position, epochId: string): Promise<number> {
    const { ledger, cursor } = this.#ports;
    return this.#append(await linesBetween(ledger, begin, cursor.position), epochId);
  }

  async #carry(epochId: string): Promise<void> {
    if (this.#carried.epochId !== epochId) this.#carried = { epochId, tails: new Set() };
    const { cursor, log } = this.#ports;
    const tails = cursor.tails.filter((tail) => !this.#carried.tails.has(tail));
    if (tails.length === 0) return;
    const missing = await Promise.all(tails.map((tail) => this.#missingOf(tail)));
    const count = await this.#append(missing.flat(), epochId);
    for (const tail of tails) this.#carried.tails.add(tail);
    log.warn('what the store had lost was appended again', { count });
  }

  async #missingOf({ after, upTo, missing, beside }: Tail): Promise<readonly FeedLine[]> {
    const lines = beside ?? (await linesBetween(this.#ports.ledger, after, upTo));
    return lines.filter(({ sealed }) => missing.has(nameOf(sealed)));
  }

  /** Those that bind and that whoever may has signed; in their order: who joined comes before what it signed. */
  async #append(lines: readonly FeedLine[], epochId: string): Promise<number> {
    const { identity, members } = this.#ports;
    const log = identity.logKey.public;
    const facts = lines.flatMap(({ sealed }) =>
      nameOf(sealed) !== '' && members.haveSigned(sealed, log) ? [sealed] : [],
    );
    let blocked = 0;
    for (const sealed of facts) if (!(await this.#isAppended(sealed, epochId))) blocked += 1;
    if (blocked > 0)
      throw new WritError('IDEMPOTENCY_CONFLICT', `something else stands under the ids of ${blocked} facts`);
    return facts.length;
  }

  /** False where something else stands under its id: in this epoch nobody can append it. The next one has room for it. */
  async #isAppended(sealed: SealedEntry, epochId: string): Promise<boolean> {
    const { appender, log } = this.#ports;
    const appended = await appender.appendUnfenced(epochId, sealed);
    if (await appender.isThere(appended)) return true;
    const position = renderPosition(appended.position);
    if (!this.#said.has(position))
      log.error('something else was appended under the id of a fact that only this replica has', {
        position,
        kind: sealed.entry.kind,
      });
    this.#said.add(position);
    return false;
  }
}

function nameOf({ entry }: SealedEntry): string {
  return namesOf(entry)[0] ?? '';
}
