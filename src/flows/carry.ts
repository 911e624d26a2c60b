/**
 * Appends again what a store had lost and nobody else had: lines of this replica's own ledger that the epoch after them does
 * not continue (feed/tail.ts), or that are not the fleet's (flows/retrace.ts, mend.ts, load.ts). They are in force here all
 * along; from then on everywhere, and once they have come back by the feed the folds are the same again. Called by renew.ts
 * whenever there is a lease, and before they leave the ledger; what was not appended is tried again then.
 *
 * What permits is put back by nobody (D-195): it may have been taken back since, by who is not heard here.
 */
import type { GrantTable } from '../decision/grants.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { FeedLine } from '../feed/entry.ts';
import { isPermitting } from '../feed/entry.ts';
import type { Ledger } from '../feed/ledger.ts';
import { linesBetween, pagesBetween } from '../feed/ledger.ts';
import type { Members } from '../feed/members.ts';
import { ORIGIN } from '../feed/position.ts';
import type { Tail } from '../feed/tail.ts';
import { isLostProof, nameOf, provenAt } from '../feed/tail.ts';
import type { Log } from '../kernel/log.ts';
import type { RevocationView } from '../revocation/view.ts';
import type { Appender, Said } from './append.ts';

export interface CarryPorts {
  readonly cursor: Cursor;
  readonly ledger: Ledger;
  readonly members: Members;
  readonly view: RevocationView;
  readonly grants: GrantTable;
  readonly appender: Appender;
  readonly log: Log;
}

/** How many were appended, and by name those that cannot be: revocations that came with a snapshot, which names no targets. */
export interface Carried {
  readonly count: number;
  readonly left: ReadonlySet<string>;
}

/** By name, what was said in an epoch of what was given up, and what cannot be. */
interface SaidIn {
  readonly epochId: string;
  readonly names: Set<string>;
  readonly left: Set<string>;
}

/** As in a tail (feed/tail.ts). */
export type GivenUp = Pick<Tail, 'missing' | 'upTo' | 'beside'>;

export class Carrier {
  readonly #ports: CarryPorts;
  #running: { readonly epochId: string; readonly run: Promise<void> } | undefined;
  /** What was appended again already, and in which epoch: that may have been lost as well. */
  #carried = { epochId: '', tails: new Set<Tail>() };

  #said: SaidIn = { epochId: '', names: new Set(), left: new Set() };

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
   * All that binds in `lines`, of this replica's ledger, and that whoever may has signed. Not that one of them is enforced: it is
   * proven anew. Returns how much that is; rejects as the store does.
   */
  async carryAgain(lines: readonly FeedLine[], epochId: string): Promise<number> {
    const { ledger, members, appender } = this.#ports;
    const { epoch, sequence } = lines[0]?.position ?? ORIGIN;
    const after = { epoch, sequence: sequence - 1 };
    let count = 0;
    for (const line of lines) {
      const { sealed } = line;
      if (nameOf(sealed.entry) === undefined || ledger.isForged(line)) continue;
      if (isLostProof(provenAt(sealed.entry), after)) continue;
      // Who signed it may be known to nobody there, or not yet: then it would be ignored.
      const said = members.knowsSignerOf(sealed.entry) ? sealed : appender.sealAgain(sealed.entry);
      await appender.appendUnfenced(epochId, said);
      count += 1;
    }
    return count;
  }

  /**
   * Every fact that is held here and `missing` there, by name, under this incarnation: where the fleet began anew nobody knows
   * who signed it. Orders are proven anew. Revocations are those `beside` and in the ledger up to `upTo`, all else is in the
   * fold, from whatever it came. Rejects as the store does.
   */
  async carryGivenUp(given: GivenUp, epochId: string): Promise<Carried> {
    const { view, grants } = this.#ports;
    if (this.#said.epochId !== epochId) this.#said = { epochId, names: new Set(), left: new Set() };
    const said = this.#said;
    const { names, left } = said;
    const before = names.size;
    // What was said in this epoch comes back by the feed, or with its next snapshot.
    const missing = given.missing.difference(names).difference(left);
    for (const { entry } of [...view.locks.folded(), ...grants.folded()])
      if (!isPermitting(entry) && missing.has(entry.id)) await this.#sayAgain(entry, said);
    const revocations = new Set([...missing].filter((name) => view.record(name) !== undefined));
    await this.#carryRevocations(revocations, given, said);
    for (const name of revocations) left.add(name);
    return { count: names.size - before, left: left.intersection(given.missing) };
  }

  async #sayAgain(entry: Said, { epochId, names }: SaidIn): Promise<void> {
    const { appender } = this.#ports;
    await appender.appendUnfenced(epochId, appender.sealAgain(entry));
    names.add(entry.id);
  }

  /** Those in `wanted` whose lines are here; takes them out of it. */
  async #carryRevocations(wanted: Set<string>, given: GivenUp, said: SaidIn): Promise<void> {
    if (wanted.size === 0) return;
    const { ledger } = this.#ports;
    for await (const page of this.#pagesOf(given)) {
      for (const line of page) {
        const { entry } = line.sealed;
        if (!wanted.has(entry.id) || ledger.isForged(line)) continue;
        await this.#sayAgain(entry, said);
        wanted.delete(entry.id);
      }
    }
  }

  async *#pagesOf({ beside = [], upTo }: GivenUp): AsyncGenerator<readonly FeedLine[]> {
    yield beside;
    yield* pagesBetween(this.#ports.ledger, ORIGIN, upTo);
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

  async #carryTail(tail: Tail, epochId: string): Promise<number> {
    const { ledger, log } = this.#ports;
    const { after, upTo, missing, beside } = tail;
    if (tail.isGivenUp) {
      const { count, left } = await this.carryGivenUp(tail, epochId);
      if (left.size > 0)
        log.error(
          'revocations that came with a snapshot are in force here alone and cannot be appended again: order them anew',
          { count: left.size },
        );
      return count;
    }
    const lines = beside ?? (await linesBetween(ledger, after, upTo));
    return this.carryAgain(
      lines.filter(({ sealed }) => missing.has(nameOf(sealed.entry) ?? '')),
      epochId,
    );
  }
}
