/**
 * One way in: every entry, whoever appended it, reaches this replica here, in this order: index -> disk -> kill.
 * Only then may the caller adopt the lease that came with it and acknowledge. Called by renew.ts and at start.
 *
 * It works in slices: requests are answered in between. A decision made there may see a part of an entry, which is
 * harmless (the view is a union, and the entry is not acknowledged yet), but no position whose handles are not all in it.
 */
import type { GrantTable } from '../decision/grants.ts';
import type { Cursor } from '../feed/cursor.ts';
import { assertOpenedByUs } from '../feed/cursor.ts';
import type { CrashPoint } from '../feed/crash-point.ts';
import type { Entry, FeedLine, SealedEntry } from '../feed/entry.ts';
import { isPermitting, isSignedBy } from '../feed/entry.ts';
import type { Snapshot } from '../feed/feed-store.ts';
import type { Ledger } from '../feed/ledger.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { parsePosition, renderPosition } from '../feed/position.ts';
import type { SnapshotHeader } from '../feed/snapshot.ts';
import type { Clock, Timer } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import { FEED_BOUNDS_S, Histogram } from '../kernel/histogram.ts';
import type { Log } from '../kernel/log.ts';
import type { Steps } from '../kernel/pace.ts';
import { Pace, runAtOnce } from '../kernel/pace.ts';
import type { AppliedRevocation, RevocationView } from '../revocation/view.ts';
import { reasonOf } from '../revocation/view.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Effects } from './effects.ts';
import { unpacked } from './effects.ts';
import type { Fold } from './fold.ts';
import type { Identity } from './identity.ts';
import type { Snapshotter } from './snapshot.ts';
import type { Tree } from './tree.ts';

/** Told once what changed is in force and on disk: live sessions of these subjects may stand on it no longer. */
export interface GrantListener {
  subjectsChanged(subjectIds: readonly string[]): void;
}

export interface FollowPorts {
  readonly identity: Identity;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly view: RevocationView;
  readonly grants: GrantTable;
  readonly grantListener: GrantListener;
  readonly tree: Tree;
  readonly effects: Effects;
  readonly sessions: SessionRegistry;
  readonly ledger: Ledger;
  readonly fold: Fold;
  readonly snapshots: Snapshotter;
  readonly clock: Clock;
  readonly timer: Timer;
  /** For tests: 0 lets the loop turn after each piece. */
  readonly sliceMs?: number;
  readonly log: Log;
  readonly crashPoint: CrashPoint;
}

export class Follower {
  /** From the sealing of a revocation, by its own replica's clock, until it was in force here, sessions told. */
  readonly propagationS = new Histogram(FEED_BOUNDS_S);
  readonly #ports: FollowPorts;
  /** True while lines are being applied, and for good once that has failed half-way: what is missing is not known. */
  #isTorn = false;
  readonly #changedSubjects = new Set<string>();
  /** Of the lines that are being applied. */
  readonly #forged: FeedLine[] = [];

  constructor(ports: FollowPorts) {
    this.#ports = ports;
  }

  /**
   * Replays this replica's own ledger, which its chain vouches for, and which knows what nobody has signed: to verify that
   * again would cost a hundred microseconds a line. In one go: nobody is served yet. PROOF_INVALID when the lines do not
   * continue what was applied. KEY_INVALID when its epochs are not signed by the log key: they were when they came.
   */
  replay(lines: readonly FeedLine[]): void {
    const now = this.#ports.clock.now();
    runAtOnce(this.#ports.cursor.checking(lines), now);
    for (const { sealed } of lines) this.#assertSameKey(sealed);
    this.#begin();
    const applied = lines.flatMap((line) => runAtOnce(this.#index(line, true), now));
    // A lock that a later line lifts, or that is over, must kill nobody who came after it: `replayed` looks at the end.
    runAtOnce(this.#kill(applied.filter(({ reason }) => reason !== 'locked')), now);
    // Whoever lived by what was lost was ended then.
    this.#ports.fold.takeLost();
    this.#end();
  }

  /** After the last line of the replay: what is locked now has no live session. */
  replayed(): void {
    const now = this.#ports.clock.now();
    runAtOnce(this.#kill(this.#ports.view.lockedNow(epochS(now))), now);
  }

  /**
   * Applies what the store returned: when it resolves, everything is in the index, on disk, and every session it
   * reaches was told. PROOF_INVALID when the lines do not continue what was applied: none of them is, then. INTERNAL once
   * it has failed half-way, for no lines too: a view that was torn once must never be leased again.
   */
  async apply(lines: readonly FeedLine[]): Promise<void> {
    this.assertWhole();
    const { cursor, ledger, crashPoint } = this.#ports;
    const pace = new Pace({ ...this.#ports, haste: 'urgent' });
    await pace.run(cursor.checking(lines));
    const { public: log } = this.#ports.identity.logKey;
    const nowS = epochS(this.#ports.clock.now());
    for (const [i, line] of lines.entries()) {
      assertOpenedByUs(line, (lines[i - 1] ?? cursor).position.epoch, log, nowS);
    }
    this.#begin();
    crashPoint('apply.before');
    const applied: AppliedRevocation[] = [];
    for (const line of lines) applied.push(...(await pace.run(this.#index(line, false))));
    await ledger.keep(lines, this.#forged.splice(0));
    await pace.run(this.#kill(applied));
    this.#end();
    this.#measure(lines);
    crashPoint('apply.after');
  }

  /**
   * Merges a snapshot that was judged, and goes on after its base: its mark is the next line. With what is held here and
   * `missing` in it, by name, it takes the place of the ledger, and whoever lives is ended: it is not known all that has changed,
   * and without a lease it has to be anyway; and of what was proven it is known what the snapshot says. Without, the ledger begins
   * at it already. PROOF_INVALID for one that is not whole:
   * then it has at most revoked more.
   */
  async load(
    snapshot: Snapshot,
    { base, endedBeforeS }: SnapshotHeader,
    missing?: ReadonlySet<string>,
  ): Promise<void> {
    this.assertWhole();
    const { cursor, tree, fold, snapshots, sessions, ledger, clock } = this.#ports;
    if (missing !== undefined) fold.begin();
    await new Pace(this.#ports).run(fold.loading(snapshot.chunks.slice(1), base.position));
    this.#begin();
    snapshots.begin(endedBeforeS);
    if (missing !== undefined) await ledger.begin(snapshot);
    cursor.jump(base, missing);
    tree.begin(base.position.epoch, base.position.sequence, base.frontier);
    await new Pace(this.#ports).run(this.#killLoaded(missing === undefined));
    const position = renderPosition(base.position);
    if (missing !== undefined) sessions.killWhere(() => true, { reason: 'fenced', position }, clock.now());
    this.#end();
  }

  /** INTERNAL for a view that was torn: what its cursor says was neither kept nor killed, so it may not be acknowledged. */
  assertWhole(): void {
    if (this.#isTorn) throw new WritError('INTERNAL', 'the view is torn: restart this replica');
  }

  #begin(): void {
    this.assertWhole();
    this.#isTorn = true;
  }

  /** Nobody may be told that a position is done before this: a look between index and kill would miss the kill. */
  #end(): void {
    const { cursor, tree, fold } = this.#ports;
    this.#tellOfGrants();
    if (fold.takeLost()) this.#endAll();
    cursor.settle();
    tree.settle();
    this.#isTorn = false;
  }

  /** Whoever lives by what was lost, which nobody here knows any more. */
  #endAll(): void {
    const { sessions, cursor, clock, log } = this.#ports;
    const position = renderPosition(cursor.position);
    log.warn('what was granted or lifted in a history that was lost is over here: do it again', { position });
    sessions.killWhere(() => true, { reason: 'fenced', position }, clock.now());
  }

  *#index(line: FeedLine, isOwnDisk: boolean): Steps<AppliedRevocation[]> {
    const { cursor, members, view, grants, tree, effects, fold, snapshots, ledger } = this.#ports;
    const { position, chain } = cursor;
    const isGenuine = isOwnDisk ? !ledger.isForged(line) : this.#isGenuine(line);
    if (!isGenuine && !isOwnDisk) this.#forged.push(line);
    if (isGenuine) effects.resume();
    const applied = isGenuine ? yield* view.applying(line) : undefined;
    // Only now, and in one step: a decision that names this position has all of its handles.
    tree.append(
      line,
      cursor.advance(line, isGenuine, () => fold.beginAnew()),
    );
    if (!isGenuine) return [];
    members.apply(line);
    this.#noteLost(line.sealed.entry);
    effects.noteOutcome(line.sealed.entry, (id) => this.#placeOf(id));
    const subjectId = grants.apply(line);
    if (subjectId !== undefined) this.#changedSubjects.add(subjectId);
    if (applied !== undefined) yield* effects.beginning(applied);
    yield* snapshots.noting(line, { position, chain }, isOwnDisk);
    return applied === undefined ? [] : [applied];
  }

  /** What was enforced is in every epoch, unless an operator has given up what is missing. */
  #noteLost(entry: Entry): void {
    if (entry.kind !== 'epoch' || entry.base === undefined) return;
    this.#ports.fold.leave(parsePosition(entry.base.head), entry.rule === 'accept-amnesia');
  }

  /** Where an order stands in this history; what was lost or given up stands nowhere in it until it has come again. */
  #placeOf(id: string): Position | undefined {
    const { cursor, view } = this.#ports;
    return cursor.isMissing(id) ? undefined : view.placeOf(id)?.position;
  }

  #assertSameKey(sealed: SealedEntry): void {
    if (sealed.entry.kind !== 'epoch' || isSignedBy(sealed, this.#ports.identity.logKey.public)) return;
    throw new WritError(
      'KEY_INVALID',
      'the ledger in dataDir was begun under another fleet key: put the one it had back where fleetKeyFile says (without that: dataDir/fleet.key)',
    );
  }

  /** An entry that nobody with a key has signed has a place in the history and no effect, and it is said. */
  #isGenuine(line: FeedLine): boolean {
    const { identity, members, cursor, log } = this.#ports;
    const { entry } = line.sealed;
    const said = { position: renderPosition(line.position), kind: entry.kind };
    if (!members.haveSigned(line.sealed, identity.logKey.public, line.reading?.signedBy)) {
      log.error('an entry without a valid signature was ignored', said);
      return false;
    }
    // It may have been taken back where it was said: who says it again in another epoch knows nothing of that.
    if (isPermitting(entry) && entry.epochId !== cursor.epochId) {
      log.error('an entry that permits in another epoch was ignored', said);
      return false;
    }
    return true;
  }

  #measure(lines: readonly FeedLine[]): void {
    const { wallMs } = this.#ports.clock.now();
    for (const { sealed } of lines) {
      if (sealed.entry.kind !== 'revocation') continue;
      this.propagationS.record((wallMs - Date.parse(sealed.entry.at)) / 1000);
    }
  }

  *#kill(applied: readonly AppliedRevocation[]): Steps<void> {
    const { sessions, view, effects } = this.#ports;
    for (const { id, dead, reason, position } of applied) {
      const now = yield;
      // A lock that a line after it has lifted is over before it killed anybody.
      if (reason === 'locked' && !view.locks.isInForce(id, epochS(now))) continue;
      yield* sessions.killing(id, dead, { reason, revocation: id, position: renderPosition(position) });
      effects.killed(id);
    }
  }

  /**
   * What came with a snapshot reaches the sessions here as its entries would have: under each order that is not enforced, which
   * waits for them. What was enforced waits for nobody: who is dead by it is found when it is decided again. `isOwnDisk`:
   * locks wait for `replayed`.
   */
  *#killLoaded(isOwnDisk: boolean): Steps<void> {
    const { effects, view } = this.#ports;
    for (const [id, packed] of effects.unfinishedDead()) {
      const position = view.record(id)?.position;
      // A lock, what has ended, or one of which a version before this one did not say it.
      if (position === undefined || packed.length === 0) continue;
      const dead = unpacked(packed);
      const applied = { id, position, reason: reasonOf(dead), dead };
      yield* effects.beginning(applied);
      yield* this.#kill([applied]);
    }
    const locked = view.lockedNow(epochS(yield));
    for (const one of locked) yield* effects.beginning(one);
    if (!isOwnDisk) yield* this.#kill(locked);
  }

  #tellOfGrants(): void {
    if (this.#changedSubjects.size === 0) return;
    this.#ports.grantListener.subjectsChanged([...this.#changedSubjects]);
    this.#changedSubjects.clear();
  }
}
