/**
 * How a replica comes into the feed: replay its own ledger, find or open an epoch, say `joined`. Until that is
 * done it holds no lease and answers `fenced`. Called at start, and again whenever the epoch it knew is closed.
 */
import type { Cursor } from '../feed/cursor.ts';
import type { EpochEntry } from '../feed/entry.ts';
import { isSignedBy, parseEntry } from '../feed/entry.ts';
import type { FeedStore, RestoredHead, Roster } from '../feed/feed-store.ts';
import type { Ledger } from '../feed/ledger.ts';
import type { Lease, LeaseTerm } from '../feed/lease.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { ORIGIN, comparePositions, renderPosition } from '../feed/position.ts';
import type { Clock } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import { WritError, isWritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import type { Random } from '../kernel/random.ts';
import { newId } from '../kernel/random.ts';
import type { Appender } from './append.ts';
import type { Follower } from './follow.ts';
import type { Identity } from './identity.ts';
import type { Lineage } from './lineage.ts';
import type { Loader } from './load.ts';
import type { Joined } from './renew.ts';
import type { Reopener } from './reopen.ts';
import type { Tree } from './tree.ts';
import type { HeldEpoch } from './vouch.ts';

export interface JoinPorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly ledger: Ledger;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly follower: Follower;
  readonly appender: Appender;
  readonly tree: Tree;
  readonly reopener: Reopener;
  readonly loader: Loader;
  readonly lease: Lease;
  readonly term: LeaseTerm;
  readonly held: HeldEpoch;
  readonly lineage: Lineage;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** An empty store may open by itself (API.md, `bootstrap`). */
  readonly bootstrap: boolean;
  /** As configured. */
  readonly credentialLifeMaxMs: number;
}

/** The epoch that is open, or else the newest one; neither: nothing was ever there, or nothing is left of it. */
export type Found = Pick<Roster, 'epochId' | 'closedEpochId'>;

interface Opening {
  readonly rule: EpochEntry['rule'];
  /** Which run the right to open was judged in: in a later one somebody may have opened, enforced, and lost it. */
  readonly runId: string;
  readonly reason?: string | undefined;
  readonly caller?: string | undefined;
  /** What it goes on from: where this replica stands. */
  readonly restored?: RestoredHead;
  /** The open epoch that it ends. */
  readonly over?: string;
}

export type OpenRule = Extract<EpochEntry['rule'], 'bootstrap' | 'new-fleet' | 'accept-amnesia'>;

export class Joiner {
  readonly #ports: JoinPorts;
  #joined: Joined | undefined;
  #found: Found | undefined;

  constructor(ports: JoinPorts) {
    this.#ports = ports;
  }

  /** What the store had when it was asked last; undefined before it answered. */
  get found(): Found | undefined {
    return this.#found;
  }

  /** Applies everything on this replica's own disk. */
  async replay(): Promise<void> {
    const { ledger, cursor, follower, loader } = this.#ports;
    await loader.restore();
    for (;;) {
      const lines = await ledger.read(cursor.position, LIMITS.pageEntriesMax);
      if (lines.length === 0) break;
      follower.replay(lines);
    }
    follower.replayed();
  }

  /**
   * Joins the open epoch; undefined when there is none, and others or an operator are needed. `witnessed`: as Renewer
   * has it.
   */
  async join(witnessed: () => string | undefined): Promise<Joined | undefined> {
    const { store, cursor, held, bootstrap } = this.#ports;
    const roster = await store.roster();
    let { epochId } = roster;
    this.#found = { epochId, closedEpochId: roster.closedEpochId };
    const isEmpty = epochId === undefined && roster.closedEpochId === undefined;
    // An empty store and one that lost its data look the same, unless this disk remembers: then it is the latter.
    if (isEmpty && bootstrap && cursor.epochId === undefined) epochId = await this.open('bootstrap');
    await this.#assertOurs(roster);
    // Whoever has nothing begins with what the fleet has written down, if it has.
    if (!isEmpty && cursor.epochId === undefined) await this.#ports.loader.load();
    // Who has said `joined` is on the roster, and has to report, though it may have been given nothing yet: this run of it, or
    // one that was killed before its first line was on disk. Where the disk held anything once, nothing is reported without it.
    if (epochId === undefined && (cursor.epochId !== undefined || this.#joined !== undefined || held.isNew))
      epochId = await this.#reopen(roster, witnessed);
    if (epochId === undefined) return undefined;
    this.#found = { epochId, closedEpochId: undefined };
    this.#ports.reopener.opened();
    if (this.#joined?.epochId !== epochId) this.#joined = { epochId, at: await this.#announce(epochId) };
    return this.#joined;
  }

  /** A store that forgot: what is here is put back, and the next epoch opened where this replica may. */
  async #reopen(roster: Roster, witnessed: () => string | undefined): Promise<string | undefined> {
    const reopening = await this.#ports.reopener.attempt(roster, witnessed);
    if (reopening === undefined) return undefined;
    try {
      return await this.#open({ ...reopening, runId: roster.nextRunId });
    } catch (error) {
      // Somebody was first: the next look finds what they opened.
      if (isWritError(error, 'ALREADY_OPEN')) return undefined;
      throw error;
    }
  }

  /**
   * Opens a new epoch by `rule` and returns its id, after everything that is here was put back. ALREADY_OPEN when there
   * is one (where nobody lets this replica in, `accept-amnesia` ends it), or somebody was first; NOT_NEW for `new-fleet`
   * where an epoch is remembered.
   */
  async open(rule: OpenRule, reason?: string, caller?: string): Promise<string> {
    const { store, lease, clock } = this.#ports;
    const roster = await store.roster();
    const { nextRunId: runId } = roster;
    const said = { rule, runId, reason, caller };
    await this.#assertOurs(roster);
    if (roster.epochId === undefined) {
      this.#assertMayBe(rule, roster);
      return this.#open({ ...said, ...(await this.#goOn(roster)) });
    }
    if (rule !== 'accept-amnesia' || lease.isFresh(clock.now())) throw alreadyOpen();
    const { epochId, position, chain } = this.#ports.cursor;
    if (comparePositions(position, roster.head) !== 0) throw notAtItsEnd(position, roster.head);
    return this.#open({
      ...{ ...said, over: roster.epochId },
      restored: { copy: 'current', epochId, position, chain },
    });
  }

  /** Where anything is remembered, an epoch by the word of one accepts that something is lost: it has to be said so. */
  #assertMayBe(rule: OpenRule, { closedEpochId }: Roster): void {
    const known = this.#ports.cursor.epochId ?? closedEpochId;
    if (rule !== 'new-fleet' || known === undefined) return;
    throw new WritError('NOT_NEW', `${known} is closed, and /readyz says what it waits for`);
  }

  /**
   * Who holds nothing looks first at who signed the newest epoch there. KEY_INVALID: not this replica's log key; nothing was
   * said then, because a row in the lease table of somebody whom nobody knows would keep everyone from acknowledging.
   */
  async #assertOurs({ head }: Roster): Promise<void> {
    const { store, cursor, identity } = this.#ports;
    if (cursor.epochId !== undefined || comparePositions(head, ORIGIN) === 0) return;
    const { line } = await store.roster({ epoch: head.epoch, sequence: 1 });
    // Where it was trimmed there is a snapshot, which is judged as well.
    if (line === undefined || isSignedBy(parseEntry(line.text), identity.logKey.public)) return;
    throw new WritError('KEY_INVALID', OTHER_FLEET_KEY);
  }

  /** What an operator's epoch goes on from. */
  async #goOn(roster: Roster): Promise<Pick<Opening, 'restored'>> {
    const { cursor, reopener } = this.#ports;
    if (roster.closedEpochId === undefined && cursor.epochId === undefined) return {};
    const restored = await reopener.putBack(roster);
    if (restored === undefined) throw alreadyOpen();
    return { restored };
  }

  async #open({ rule, runId, reason, caller, restored, over }: Opening): Promise<string> {
    const { store, appender, identity, clock, random, log } = this.#ports;
    const { epochId: current, closedEpochId = over, nextRunId } = await store.roster();
    if (current !== over || nextRunId !== runId) throw alreadyOpen();
    const epochId = newId('ep', random);
    const by = { ...(reason === undefined ? {} : { reason }), ...(caller === undefined ? {} : { caller }) };
    const said = {
      ...by,
      ...this.#base(),
      key: identity.key.public.x,
      credentialLifeMaxMs: this.#lifeMaxMs(rule),
    };
    const sealed = appender.seal({ id: newId('ent', random), kind: 'epoch', epochId, runId, rule, ...said });
    const reply = await store.openEpoch({
      closedEpochId,
      runId,
      epochS: epochS(clock.now()),
      sealed,
      ...(restored === undefined ? {} : { restored }),
    });
    if (reply.kind === 'lost') throw alreadyOpen();
    log.warn('an epoch was opened', { kind: rule, epoch: epochId });
    return epochId;
  }

  /** Revocations have been kept for no longer lives than were said before: only an operator, or who begins anew, says more. */
  #lifeMaxMs(rule: EpochEntry['rule']): number {
    const { cursor, credentialLifeMaxMs } = this.#ports;
    const kept = cursor.credentialLifeMaxMs(credentialLifeMaxMs);
    return rule === 'witness' || rule === 'roster' ? kept : Math.max(kept, credentialLifeMaxMs);
  }

  /** The epoch this replica knew, and how far: what the new one continues. */
  #base(): Pick<EpochEntry, 'base'> {
    const { cursor, tree } = this.#ports;
    if (cursor.epochId === undefined) return {};
    const { epochId, position, chain } = cursor;
    return { base: { epochId, head: renderPosition(position), chain, checkpoint: tree.checkpoint() } };
  }

  /** Where it was said. */
  async #announce(epochId: string): Promise<Position> {
    const { identity, appender, lineage, term, random } = this.#ports;
    const { leaseMs, splitMs = 0 } = term;
    const { before } = lineage;
    for (const unheard of lineage.unheard) await appender.appendUnfenced(epochId, unheard.sealed);
    const sealed = appender.seal({
      id: newId('ent', random),
      kind: 'replica',
      event: 'joined',
      replica: identity.replica,
      incarnation: identity.incarnation,
      key: identity.key.public.x,
      term: { leaseMs, splitMs },
      ...(before === undefined ? {} : { succeeds: before }),
    });
    await lineage.note(sealed);
    const { position } = await appender.appendUnfenced(epochId, sealed);
    return position;
  }
}

/** What is most likely where our log key has signed nothing. */
export const OTHER_FLEET_KEY =
  'what this store holds is not signed by the fleet key here: is `fleetKeyFile` the same file as on the other replicas, and `fleet` and `store.url` theirs?';

/** How an operator gives up what only others have. */
export const AMNESIA = "writ epoch open --accept-amnesia --reason '…'";

/** It goes on from where this replica stands, and nothing that anybody may have applied is to be left out. */
function notAtItsEnd(position: Position, head: Position): WritError {
  const [here, there] = [renderPosition(position), renderPosition(head)];
  return new WritError(
    'ALREADY_OPEN',
    `an epoch is already open up to ${there}, and this replica has it up to ${here}: ask one that has all of it; where /readyz of each says that nobody may have written what comes next, restart the store, and the fleet goes on with what its replicas hold`,
  );
}

function alreadyOpen(): WritError {
  return new WritError('ALREADY_OPEN', 'an epoch is already open, or another replica is about to open one');
}
