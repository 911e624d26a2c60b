/**
 * One way in: every entry, whoever appended it, reaches this replica here, in this order: index -> disk -> kill.
 * Only then may the caller adopt the lease that came with it and acknowledge. Called by renew.ts and at start.
 */
import type { Cursor } from '../feed/cursor.ts';
import type { CrashPoint } from '../feed/crash-point.ts';
import type { FeedLine } from '../feed/entry.ts';
import { isLogSigned, isSignedBy } from '../feed/entry.ts';
import type { Ledger } from '../feed/ledger.ts';
import type { Members } from '../feed/members.ts';
import { renderPosition } from '../feed/position.ts';
import type { Clock } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import type { Log } from '../kernel/log.ts';
import type { AppliedRevocation, RevocationView } from '../revocation/view.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Effects } from './effects.ts';
import type { Identity } from './identity.ts';
import type { Tree } from './tree.ts';

export interface FollowPorts {
  readonly identity: Identity;
  readonly cursor: Cursor;
  readonly members: Members;
  readonly view: RevocationView;
  readonly tree: Tree;
  readonly effects: Effects;
  readonly sessions: SessionRegistry;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly crashPoint: CrashPoint;
}

export class Follower {
  readonly #ports: FollowPorts;
  /** True while lines are being applied, and for good once that has failed half-way: what is missing is not known. */
  #isTorn = false;

  constructor(ports: FollowPorts) {
    this.#ports = ports;
  }

  /**
   * Replays this replica's own ledger, which its chain vouches for; a signature costs a hundred microseconds.
   * PROOF_INVALID when the lines do not continue what was applied.
   */
  replay(lines: readonly FeedLine[]): void {
    this.#begin();
    this.#kill(lines.flatMap((line) => this.#index(line, true)));
    this.#isTorn = false;
  }

  /**
   * Applies what the store returned: when it resolves, everything is in the index, on disk, and every session it
   * reaches was told. PROOF_INVALID when the lines do not continue what was applied; INTERNAL ever after, for no lines
   * too: a view that was torn once must never be leased again.
   */
  async apply(lines: readonly FeedLine[]): Promise<void> {
    this.#begin();
    this.#ports.crashPoint('apply.before');
    const applied = lines.flatMap((line) => this.#index(line, false));
    await this.#ports.ledger.keep(lines);
    this.#kill(applied);
    this.#isTorn = false;
    this.#ports.crashPoint('apply.after');
  }

  /** INTERNAL for a view that was torn: what its cursor says was neither kept nor killed, so it may not be acknowledged. */
  assertWhole(): void {
    if (this.#isTorn) throw new WritError('INTERNAL', 'the view is torn: restart this replica');
  }

  #begin(): void {
    this.assertWhole();
    this.#isTorn = true;
  }

  #index(line: FeedLine, isOwnDisk: boolean): AppliedRevocation[] {
    const { cursor, members, view, tree, effects } = this.#ports;
    const opensEpoch = cursor.advance(line);
    tree.append(line, opensEpoch);
    if (!isOwnDisk && !this.#isGenuine(line)) return [];
    members.apply(line);
    effects.noteOutcome(line.sealed.entry);
    const applied = view.apply(line);
    if (applied === undefined) return [];
    effects.begin(applied);
    return [applied];
  }

  /** An entry that nobody with a key has signed has a place in the history and no effect, and it is said. */
  #isGenuine(line: FeedLine): boolean {
    const { identity, members, log } = this.#ports;
    const { entry } = line.sealed;
    const key = isLogSigned(entry) ? identity.logKey.public : members.keyOf(entry.by);
    if (key !== undefined && isSignedBy(line.sealed, key)) return true;
    log.error('an entry without a valid signature was ignored', {
      position: renderPosition(line.position),
      kind: entry.kind,
    });
    return false;
  }

  #kill(applied: readonly AppliedRevocation[]): void {
    const { sessions, clock } = this.#ports;
    const now = clock.now();
    for (const { id, dead, reason, position } of applied) {
      sessions.kill(id, dead, { reason, revocation: id, position: renderPosition(position) }, now);
    }
  }
}
