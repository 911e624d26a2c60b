/**
 * How a fleet goes on after its store forgot (DESIGN 3.4): everything this replica holds is put back into the closed
 * store, and then whoever may opens the next epoch on it: a witness, who heard that the epoch is closed while its lease
 * of it was good and so has everything that was `enforced`; or, when everyone on the roster has reported, the one of
 * those who held a lease that has most. Nobody else, ever: what is missing then may be what was enforced.
 */
import type { Certificate } from '../evidence/certificate.ts';
import { verifyCertificate } from '../evidence/certificate.ts';
import { demand } from '../evidence/demand.ts';
import type { EpochReportStatement } from '../evidence/epoch-report.ts';
import { readEpochReport, signEpochReport } from '../evidence/epoch-report.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { EpochEntry, FeedLine } from '../feed/entry.ts';
import type { FeedStore, RestoredHead, RestoreReply, Roster } from '../feed/feed-store.ts';
import type { Ledger } from '../feed/ledger.ts';
import { lineAt } from '../feed/ledger.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, comparePositions, parsePosition, renderPosition } from '../feed/position.ts';
import { isWritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import type { Follower } from './follow.ts';
import type { Identity } from './identity.ts';
import type { Joining, Lineage } from './lineage.ts';
import type { Loader } from './load.ts';
import type { Vouching } from './vouch.ts';

export interface ReopenPorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly ledger: Ledger;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly follower: Follower;
  readonly loader: Loader;
  readonly vouching: Vouching;
  readonly lineage: Lineage;
  readonly log: Log;
}

/** By which rule this replica may open the next epoch now, and on what. */
export interface Reopening {
  readonly rule: Extract<EpochEntry['rule'], 'witness' | 'roster'>;
  readonly restored: RestoredHead;
}

/** What a replica that may not open waits for. */
export interface Missing {
  /** Names of replicas that have not reported; where this one reports nothing, of all that may open it. */
  readonly replicas: readonly string[];
  /** Why it reports nothing: it has gone, or its data directory was never in the fleet. */
  readonly isForThem?: 'left' | 'forgotten' | 'new';
  /** Who reports what cannot be compared with what is here, and why. */
  readonly unjudged: readonly string[];
  /** Nobody is on the roster: what was enforced after the last of them left, if anything, is known to nobody here. */
  readonly hasEveryoneLeft: boolean;
}

export class Reopener {
  readonly #ports: ReopenPorts;
  #missing: Missing | undefined;

  constructor(ports: ReopenPorts) {
    this.#ports = ports;
  }

  /** Whom the fleet waits for, as of the last attempt; undefined while that is not known here. */
  get missing(): Missing | undefined {
    return this.#missing;
  }

  /** An epoch is open: what this one waited for is nothing that the next closing waits for. */
  opened(): void {
    this.#missing = undefined;
  }

  /**
   * Puts back what this replica holds, and says whether it may open. `witnessed`: the epoch whose closing it heard of
   * under a lease of it. Undefined: not now; ask again. Rejects as the store does.
   */
  async attempt(roster: Roster, witnessed: () => string | undefined): Promise<Reopening | undefined> {
    const { cursor } = this.#ports;
    const restored = await this.putBack(roster);
    if (restored === undefined) return undefined;
    if (cursor.epochId !== undefined && witnessed() === cursor.epochId) return { rule: 'witness', restored };
    return (await this.#isWholeRoster(roster)) ? { rule: 'roster', restored } : undefined;
  }

  /**
   * Puts everything that is here into the copy there is, or else into one beside it that others put back into too, and
   * takes over what that one has more: it then ends where this replica stands. Undefined: it does not, or the store is
   * not as `roster` says.
   */
  async putBack(roster: Roster): Promise<RestoredHead | undefined> {
    for (const copy of ['current', 'staged', 'new']) {
      const reply = await this.#putInto(copy, roster).catch(unlessUnreadable);
      if (reply.kind === 'restored') return reply.head;
      if (reply.kind === 'lost') break;
    }
    return undefined;
  }

  async #putInto(copy: string, { runId, closedEpochId }: Roster): Promise<RestoreReply> {
    const { store, ledger, cursor, loader } = this.#ports;
    let closed = closedEpochId;
    const restore = async (
      name: string,
      lines: readonly FeedLine[],
      begins?: string,
    ): Promise<RestoreReply> => {
      const page = { after: cursor.position, limit: LIMITS.pageEntriesMax };
      const given = await store.restore({ runId, closedEpochId: closed, copy: name, lines, begins, ...page });
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
      // Where nobody holds the beginning any more, the snapshot is the beginning: it has to be there first.
      const snapshot = comparePositions(after, ORIGIN) === 0 ? await ledger.snapshot() : undefined;
      if (snapshot !== undefined) await store.writeSnapshot(snapshot);
      reply = await restore(reply.head.copy, lines, snapshot?.epochId);
      // Up to the cursor everything is on this disk.
      after = (lines.at(-1) as FeedLine).position;
    }
    while (reply.kind === 'restored' && reply.newer.length > 0) {
      if (!(await this.#takes(reply.newer)))
        // Who was away for so long that the copy begins after what is here has it from the snapshot, as in an open epoch. Once
        // it has begun again, the next look finds where it goes on.
        return (await loader.load()) ? { kind: 'lost' } : { kind: 'other' };
      reply = await restore(reply.head.copy, []);
    }
    // A head with nothing before it: somebody has moved it alone.
    return reply.kind !== 'restored' || this.#standsAt(reply.head) ? reply : { kind: 'other' };
  }

  /** Whoever opens continues the very end of what is there. False for lines that do not continue what is here. */
  async #takes(lines: readonly FeedLine[]): Promise<boolean> {
    try {
      await this.#ports.follower.apply(lines);
      return true;
    } catch (error) {
      if (!isWritError(error, 'PROOF_INVALID')) throw error;
      this.#ports.log.error('the store holds what nobody may have written there', {});
      return false;
    }
  }

  /**
   * The last place up to which `head`'s copy is known to be ours; what this replica holds after it is put back. Undefined:
   * the copy is not ours. Of a copy that goes on after what is here, what it goes on with tells.
   */
  async #commonEnd({ position, chain }: RestoredHead): Promise<Position | undefined> {
    const { cursor } = this.#ports;
    if (comparePositions(position, ORIGIN) === 0 || comparePositions(cursor.position, ORIGIN) === 0)
      return ORIGIN;
    if (comparePositions(position, cursor.position) > 0) return cursor.position;
    return (await this.#holds(position, chain)) ? position : undefined;
  }

  #standsAt({ position, chain }: RestoredHead): boolean {
    const { cursor } = this.#ports;
    return comparePositions(position, cursor.position) === 0 && chain === cursor.chain;
  }

  /** Whether our own history has that chain there. */
  async #holds(position: Position, chain: string): Promise<boolean> {
    return (await lineAt(this.#ports.ledger, position))?.chain === chain;
  }

  /**
   * Reports, and judges whether everyone has, about this very closing, and whether all that they hold is held here:
   * whoever has most opens. A data directory counts, not a process: who goes on with one reports for the one before; a copy is
   * another one.
   */
  async #isWholeRoster({ closedEpochId, runId }: Roster): Promise<boolean> {
    const { store, cursor, identity, members, vouching } = this.#ports;
    const shown = this.#shown();
    const incarnation = shown.at(-1)?.entry.incarnation;
    const joined = members.list().filter(({ state }) => state === 'joined');
    if (incarnation === undefined) {
      // Nobody reports with this data directory: it is for the others to open.
      this.#note({
        replicas: joined.map(({ replica }) => replica),
        unjudged: [],
        isForThem: this.#goneAs ?? 'new',
        hasEveryoneLeft: joined.length === 0,
      });
      return false;
    }
    const { position, chain, epochId = NO_EPOCH } = cursor;
    const closing = { closedEpochId: closedEpochId ?? NO_EPOCH, runId };
    const at = { epochId, position: renderPosition(position), chain };
    const said = { v: 1, ...closing, incarnation, ...at } as const;
    const reports = await store.report({
      ...{ ...closing, incarnation, position, chain },
      // Nobody may have heard of it yet: so it shows that it was admitted, and after whom.
      statement: [...shown.map(({ sealed }) => sealed.text), signEpochReport(said, identity.key)].join('\n'),
    });
    const heard = reports
      .flatMap(({ statement = '' }) => this.#verified(statement, closing))
      // Whose joining nobody here has heard of is waited for by nobody, and held nothing that was enforced.
      .filter((report) => joined.some((one) => this.#covers(report, one.incarnation)));
    const awaited = joined.filter((one) => !heard.some((report) => this.#covers(report, one.incarnation)));
    const isHolder = cursor.opening !== undefined && vouching.isHolder(cursor.opening);
    const held = await Promise.all(heard.map(({ report }) => this.#holdsAllOf(report)));
    this.#note({
      replicas: awaited.map(({ replica }) => replica),
      unjudged: heard.filter((_, i) => held[i] === false).map((one) => this.#whyNot(one)),
      // Whose goodbye was written down here and heard by nobody opens nothing either.
      hasEveryoneLeft: !isHolder && joined.every(({ key }) => key.x === identity.key.public.x),
    });
    return isHolder && awaited.length === 0 && held.every(Boolean);
  }

  /** Where nothing is here that names anybody, it is not known who was in the epoch, nor that they have left. */
  #note(missing: Missing): void {
    this.#missing = this.#ports.members.list().length === 0 ? undefined : missing;
  }

  /** As whom this directory reports: by what it joined; nothing where the last of them has gone. */
  #shown(): readonly Joining[] {
    return this.#goneAs === undefined ? this.#ports.lineage.shown : [];
  }

  get #goneAs(): 'left' | 'forgotten' | undefined {
    const { members, lineage } = this.#ports;
    const state = members.lookup(lineage.last?.entry.incarnation ?? '')?.state;
    return state === 'left' || state === 'forgotten' ? state : undefined;
  }

  /** Whether `incarnation` was a process on the data directory that reports. */
  #covers({ shown }: Heard, incarnation: string): boolean {
    return shown
      .flatMap((one) => [one.incarnation, one.succeeds ?? ''])
      .some((one) => one === incarnation || this.#ports.members.goesOn(one, incarnation));
  }

  #verified(statement: string, closing: { closedEpochId: string; runId: string }): Heard[] {
    const { identity, log } = this.#ports;
    const end = statement.lastIndexOf('\n');
    try {
      const texts = statement.slice(0, Math.max(end, 0)).split('\n');
      const shown = texts.map((text) => verifyCertificate(text, identity.logKey.public));
      const by = shown.at(-1) as Certificate;
      demand(
        shown.every(({ succeeds }, i) => i === 0 || succeeds === shown[i - 1]?.incarnation),
        'report shows who does not go on with the one before',
      );
      const report = readEpochReport(statement.slice(end + 1), (one) =>
        one === by.incarnation ? by.key : undefined,
      );
      const isOfThis = report.closedEpochId === closing.closedEpochId && report.runId === closing.runId;
      return isOfThis ? [{ report, by, shown }] : [];
    } catch {
      log.warn('a report that does not verify was passed over', {});
      return [];
    }
  }

  async #holdsAllOf(report: EpochReportStatement): Promise<boolean> {
    return this.#holds(parsePosition(report.position), report.chain);
  }

  /** Why what is reported is not held here. Who has more puts it back before the report, so it is here with the next look. */
  #whyNot({ by, report: { epochId, position } }: Heard): string {
    const { cursor, ledger } = this.#ports;
    const { base } = ledger;
    const isBefore = base !== undefined && comparePositions(parsePosition(position), base.position) <= 0;
    const isKnown = [cursor, ...cursor.ends].some(({ opening }) => opening?.epochId === epochId);
    const why = isBefore
      ? 'which is before the snapshot that this ledger begins with'
      : isKnown
        ? 'where another line stands here, or none yet'
        : 'in an epoch that is not known here';
    return `${by.replica} reports ${position}, ${why}`;
  }
}

/** A line that is no entry is somebody else's, and nothing can follow it: the copy is as good as another one. */
function unlessUnreadable(error: unknown): RestoreReply {
  if (isWritError(error, 'PROOF_INVALID')) return { kind: 'other' };
  throw error;
}

/** Who reports, by the entry that admitted it. */
interface Heard {
  readonly report: EpochReportStatement;
  readonly by: Certificate;
  /** The entries of its data directory, each going on with the one before; the last is `by`. */
  readonly shown: readonly Certificate[];
}

/** Where a store that knows no epoch keeps reports. */
const NO_EPOCH = '-';
