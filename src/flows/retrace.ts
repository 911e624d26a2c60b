/**
 * The way back for a replica whose ledger ends in epochs that the fleet did not go on with: the store lost them before
 * anybody else followed, and somebody opened another one on what was before. It finds the last end of an epoch from which
 * the open one is reached, and goes back to it. Called by renew.ts when lines do not continue what is here.
 *
 * Nothing that was enforced is lost by it. Whoever opens as a witness held a lease of the closed epoch a lease's length
 * ago, and by the roster's rule this replica would have been waited for: so what the lost epochs had was enforced nowhere,
 * or an operator has accepted the loss (DESIGN 3.4). It stays in force here, and is appended again before it leaves the
 * ledger. And no store or client can talk a replica out of its history: the open epoch is signed for this very run, and so
 * is the way to it.
 */
import type { Cursor, OwnLine, Place } from '../feed/cursor.ts';
import { TAIL_MAX, assertOpenedByUs } from '../feed/cursor.ts';
import type { EpochEntry, FeedLine } from '../feed/entry.ts';
import type { RenewReply } from '../feed/feed-store.ts';
import type { Ledger } from '../feed/ledger.ts';
import { linesBetween, pagesBetween } from '../feed/ledger.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, renderPosition } from '../feed/position.ts';
import type { Clock } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import type { Log } from '../kernel/log.ts';
import type { Carrier } from './carry.ts';
import type { Fold } from './fold.ts';
import type { Identity } from './identity.ts';
import type { Tree } from './tree.ts';

export interface RetracePorts {
  readonly identity: Identity;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly fold: Fold;
  readonly ledger: Ledger;
  readonly tree: Tree;
  readonly carrier: Carrier;
  readonly clock: Clock;
  readonly log: Log;
}

/** An end of an epoch that is tried, by its place among the cursor's, and how far the store's lines lead from there. */
interface Trial {
  readonly index: number;
  readonly reached: Cursor;
}

export class Retracer {
  readonly #ports: RetracePorts;
  #trial: Trial | undefined;

  constructor(ports: RetracePorts) {
    this.#ports = ports;
  }

  /** Whether a way back is looked for: what a renewal brings is then for `take`. */
  get isUnderWay(): boolean {
    return this.#trial !== undefined;
  }

  /** What the next renewal has to ask after. */
  get after(): Cursor {
    return this.#trial?.reached ?? this.#ports.cursor;
  }

  /** Lines did not continue: next is the end before the one that was tried; after the first there is none, then from the newest again. */
  async stepBack(): Promise<void> {
    const { cursor } = this.#ports;
    const index = (this.#trial?.index ?? cursor.ends.length) - 1;
    const end = cursor.ends[index];
    this.#trial = end === undefined ? undefined : { index, reached: await this.#cursorAt(end) };
  }

  /** The epoch is closed, or no lease is to be had at all. */
  stop(): void {
    this.#trial = undefined;
  }

  /** What a renewal after `after` brought. True when the open epoch is reached: this replica then stands where it began. */
  async take(reply: Extract<RenewReply, { readonly lines: readonly FeedLine[] }>): Promise<boolean> {
    const { index, reached } = this.#trial as Trial;
    try {
      this.#tryOn(reached, reply.lines);
    } catch {
      await this.stepBack();
      return false;
    }
    if (reply.kind !== 'lease') return false;
    this.stop();
    // It is at the end of an epoch, or after.
    const { runId, epochId } = reached.opening as EpochEntry;
    if (runId !== reply.runId) return false;
    await this.#goBackTo(this.#ports.cursor.ends[index] as Place, epochId);
    return true;
  }

  #tryOn(reached: Cursor, lines: readonly FeedLine[]): void {
    const { identity, clock } = this.#ports;
    const nowS = epochS(clock.now());
    for (const line of lines) {
      assertOpenedByUs(line, reached.position.epoch, identity.logKey.public, nowS);
      // What it brings is judged once more when this replica stands there.
      reached.advance(line, false);
    }
  }

  async #goBackTo(end: Place, epochId: string): Promise<void> {
    const { cursor, members, fold, ledger, tree, carrier, log } = this.#ports;
    const { position } = end;
    const beside = await this.#lines(position, cursor.position);
    // First of all: what leaves the ledger must be somewhere else.
    await carrier.carryAgain(
      beside.map(({ line }) => line),
      epochId,
    );
    const leading = await this.#lines({ ...position, sequence: 0 }, position);
    const earlier = cursor.at(end, leading.slice(-TAIL_MAX));
    await ledger.cut(end);
    cursor.goBackTo(earlier, beside);
    members.goBackTo(position);
    fold.lose(position);
    await this.#recall(position);
    tree.beginAgain(
      leading.map(({ line }) => line),
      ledger.base,
    );
    log.warn('what the fleet did not go on with was taken out of the ledger', {
      position: renderPosition(position),
      count: beside.length,
    });
  }

  /** What permits here, up to there: an epoch that is none of this history any more may have ended it. */
  async #recall(upTo: Position): Promise<void> {
    const { ledger, fold } = this.#ports;
    fold.recallBase((await ledger.snapshot())?.chunks.slice(1) ?? []);
    for await (const page of pagesBetween(ledger, ORIGIN, upTo))
      for (const line of page) if (!ledger.isForged(line)) fold.recall(line);
  }

  async #cursorAt(end: Place): Promise<Cursor> {
    const { epoch, sequence } = end.position;
    const leading = await this.#lines({ epoch, sequence: Math.max(0, sequence - TAIL_MAX) }, end.position);
    return this.#ports.cursor.at(end, leading);
  }

  async #lines(begin: Position, upTo: Position): Promise<readonly OwnLine[]> {
    const { ledger } = this.#ports;
    const lines = await linesBetween(ledger, begin, upTo);
    return lines.map((line) => ({ line, isGenuine: !ledger.isForged(line) }));
  }
}
