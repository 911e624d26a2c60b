/**
 * How a fleet goes on after its store forgot (DESIGN 3.4): everything this replica holds is put back into the closed
 * store, and then whoever may opens the next epoch on it: a witness, who heard that the epoch is closed while its lease
 * of it was good and so has everything that was `enforced`; or, when everyone on the roster has reported, the one who
 * has most. Nobody else, ever: what is missing then may be what was enforced.
 */
import type { EpochReportStatement } from '../evidence/epoch-report.ts';
import { readEpochReport, signEpochReport } from '../evidence/epoch-report.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { EpochEntry, FeedLine } from '../feed/entry.ts';
import type { FeedStore, RestoredHead, RestoreReply, Roster } from '../feed/feed-store.ts';
import type { Ledger } from '../feed/ledger.ts';
import type { Member, Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, comparePositions, parsePosition, renderPosition } from '../feed/position.ts';
import type { PublicKey } from '../kernel/key.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import type { Identity } from './identity.ts';

export interface ReopenPorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly ledger: Ledger;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly log: Log;
}

/** By which rule this replica may open the next epoch now, and on what. */
export interface Reopening {
  readonly rule: Extract<EpochEntry['rule'], 'witness' | 'roster'>;
  readonly restored: RestoredHead;
}

/** What a replica that may not open waits for. */
export interface Missing {
  /** Names of replicas that have not reported. */
  readonly replicas: readonly string[];
}

export class Reopener {
  readonly #ports: ReopenPorts;
  #missing: Missing = { replicas: [] };

  constructor(ports: ReopenPorts) {
    this.#ports = ports;
  }

  /** Whom the fleet waits for, as of the last attempt. */
  get missing(): Missing {
    return this.#missing;
  }

  /**
   * Puts back what this replica holds, and says whether it may open. `witnessed`: the epoch whose closing it heard of
   * under a lease of it. Undefined: not now; ask again. Rejects as the store does.
   */
  async attempt(roster: Roster, witnessed: string | undefined): Promise<Reopening | undefined> {
    const { cursor, store, ledger } = this.#ports;
    // Where nobody holds the beginning any more, this is the beginning.
    const snapshot = await ledger.snapshot();
    if (snapshot !== undefined) await store.writeSnapshot(snapshot);
    const restored = await this.#putBack(roster);
    if (restored === undefined) return undefined;
    if (witnessed !== undefined && witnessed === cursor.epochId) return { rule: 'witness', restored };
    return (await this.#isWholeRoster(roster)) ? { rule: 'roster', restored } : undefined;
  }

  /** Into the copy there is, or else into one beside it that others put back into too. Undefined: not as `roster` says. */
  async #putBack(roster: Roster): Promise<RestoredHead | undefined> {
    for (const copy of ['current', 'staged', 'new']) {
      const reply = await this.#putInto(copy, roster);
      if (reply.kind === 'restored') return reply.head;
      if (reply.kind === 'lost') break;
    }
    return undefined;
  }

  async #putInto(copy: string, { runId, closedEpochId }: Roster): Promise<RestoreReply> {
    const { store, ledger, cursor } = this.#ports;
    let closed = closedEpochId;
    const restore = async (
      name: string,
      lines: readonly FeedLine[],
      begins?: string,
    ): Promise<RestoreReply> => {
      const given = await store.restore({ runId, closedEpochId: closed, copy: name, lines, begins });
      // What is put into the copy there is, is what is closed from then on.
      if (given.kind === 'restored' && copy === 'current') closed = given.head.epochId;
      return given;
    };
    let reply = await restore(copy, []);
    if (reply.kind !== 'restored') return reply;
    let after = await this.#commonEnd(reply.head);
    if (after === undefined) return { kind: 'other' };
    while (reply.kind === 'restored' && comparePositions(after, cursor.position) < 0) {
      const lines = await ledger.read(after, LIMITS.pageEntriesMax);
      const isFirst = comparePositions(after, ORIGIN) === 0;
      reply = await restore(reply.head.copy, lines, isFirst ? ledger.base?.epochId : undefined);
      // Up to the cursor everything is on this disk.
      after = (lines.at(-1) as FeedLine).position;
    }
    return reply;
  }

  /**
   * The last place up to which `head`'s copy is known to be ours; what this replica holds after it is put back. Undefined:
   * the copy is not ours. A copy that goes on after what is here is asked for our last line, which it then has.
   */
  async #commonEnd({ position, chain }: RestoredHead): Promise<Position | undefined> {
    const { cursor } = this.#ports;
    if (comparePositions(position, ORIGIN) === 0) return ORIGIN;
    if (comparePositions(position, cursor.position) > 0) return before(cursor.position);
    return (await this.#holds(position, chain)) ? position : undefined;
  }

  /** Whether our own history has that chain there. */
  async #holds(position: Position, chain: string): Promise<boolean> {
    const lines = await this.#ports.ledger.read(before(position), 1);
    return lines.some((line) => line.chain === chain);
  }

  /**
   * Reports, and judges whether everyone has, about this very closing, and whether all that they hold is held here:
   * whoever has most opens. A data directory counts, not a process: who goes on with one reports for the one before.
   */
  async #isWholeRoster({ closedEpochId, runId }: Roster): Promise<boolean> {
    const { store, cursor, identity, members } = this.#ports;
    const own = members.lookup(identity.incarnation) ?? members.predecessorOf(identity.key.public.x);
    if (own === undefined) return false;
    const { incarnation } = own;
    const { position, chain } = cursor;
    const closing = { closedEpochId: closedEpochId ?? NO_EPOCH, runId };
    const said = { v: 1, ...closing, incarnation, position: renderPosition(position), chain } as const;
    const reports = await store.report({
      ...{ ...closing, incarnation, position, chain },
      statement: signEpochReport(said, identity.key),
    });
    const heard = reports.flatMap(({ statement = '' }) => this.#verified(statement, closing));
    const disks = new Set(heard.map(({ key }) => key.x));
    const awaited = members.list().filter(({ state, key }) => state === 'joined' && !disks.has(key.x));
    this.#missing = { replicas: awaited.map(({ replica }) => replica) };
    const isHeld = await Promise.all(heard.map(({ report }) => this.#holdsAllOf(report)));
    return awaited.length === 0 && isHeld.every(Boolean);
  }

  #verified(statement: string, closing: { closedEpochId: string; runId: string }): Heard[] {
    const { members, log } = this.#ports;
    try {
      const report = readEpochReport(statement, (one) => members.keyOf(one));
      const isOfThis = report.closedEpochId === closing.closedEpochId && report.runId === closing.runId;
      // Verified: whoever signed is a member.
      const { key } = members.lookup(report.incarnation) as Member;
      return isOfThis ? [{ report, key }] : [];
    } catch {
      log.warn('a report that nobody signed was passed over', {});
      return [];
    }
  }

  async #holdsAllOf({ position, chain }: EpochReportStatement): Promise<boolean> {
    const at = parsePosition(position);
    return comparePositions(at, this.#ports.cursor.position) <= 0 && (await this.#holds(at, chain));
  }
}

interface Heard {
  readonly report: EpochReportStatement;
  readonly key: PublicKey;
}

/** Where a store that knows no epoch keeps reports. */
const NO_EPOCH = '-';

function before({ epoch, sequence }: Position): Position {
  return { epoch, sequence: sequence - 1 };
}
