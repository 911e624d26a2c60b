/**
 * Lifts a lock: the only thing that can be undone. Appends the tombstone and waits until this replica has applied it.
 * A revocation is never lifted; lifting twice is harmless and says so.
 */
import type { Clock } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import type { LockRecord } from '../revocation/locks.ts';
import type { RevocationView } from '../revocation/view.ts';
import type { Appender } from './append.ts';
import type { Publisher } from './publish.ts';

export interface LiftPorts {
  readonly view: RevocationView;
  readonly appender: Appender;
  readonly publisher: Publisher;
  readonly clock: Clock;
}

export interface LiftStatus {
  /** As it is now. */
  readonly lock: LockRecord;
  /** Without a lock any more on this replica. */
  readonly isApplied: boolean;
  /** It was over before: nothing was appended. */
  readonly wasOver: boolean;
  readonly boundMs: number;
}

export class Lifter {
  readonly #ports: LiftPorts;

  constructor(ports: LiftPorts) {
    this.#ports = ports;
  }

  /** The lock `id`; NOT_FOUND when this replica knows none, NOT_LIFTABLE for a revocation. */
  find(id: string): LockRecord {
    const { view } = this.#ports;
    const lock = view.locks.record(id);
    if (lock !== undefined) return lock;
    if (view.record(id) === undefined) throw new WritError('NOT_FOUND', 'no such lock');
    throw new WritError('NOT_LIFTABLE', 'this is a revocation');
  }

  /** As `find`, and as Publisher.publish. */
  async lift(id: string, caller: string): Promise<LiftStatus> {
    const { view, appender, publisher, clock } = this.#ports;
    const { expiresAtS } = this.find(id);
    if (!view.locks.isInForce(id, epochS(clock.now())))
      return { lock: this.find(id), isApplied: true, wasOver: true, boundMs: publisher.boundMs };
    // One lock, one tombstone: two who lift it at once write the same entry.
    const facts = {
      kind: 'lift',
      id: id.replace(/^lck/, 'lft'),
      lock: id,
      untilS: expiresAtS,
      caller,
    } as const;
    const { isApplied, boundMs } = await publisher.publish(() => appender.seal(facts));
    return { lock: this.find(id), isApplied, wasOver: false, boundMs };
  }
}
