/**
 * Cosigns this replica's ledger, and compares what the others have cosigned with it: so a ledger that was forked (two
 * replicas were shown two histories) is seen by both. In the background: a cosignature rides on an acknowledgement, and
 * no answer waits for one. Called by renew.ts.
 */
import { cosignedIn } from '../evidence/acknowledgement.ts';
import type { Cosignature } from '../evidence/cosignature.ts';
import { readCosignature, signCosignature } from '../evidence/cosignature.ts';
import { renderPosition } from '../feed/position.ts';
import type { Clock, Instant } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import type { Log } from '../kernel/log.ts';
import type { LeaseTable } from './barrier.ts';
import type { Identity } from './identity.ts';
import type { Tree } from './tree.ts';

/** At most one cosignature in so long. */
const EVERY_MS = 1_000;

export interface CosignPorts {
  readonly identity: Identity;
  readonly tree: Tree;
  readonly table: LeaseTable;
  readonly clock: Clock;
  readonly log: Log;
}

/** Another incarnation holds another ledger of this epoch. */
export interface Fork {
  readonly replica: string;
  readonly incarnation: string;
  /** The ledgers differ here or before. */
  readonly position: string;
}

interface Own {
  readonly note: string;
  readonly origin: string;
  readonly size: number;
  readonly at: Instant;
}

export class Cosigner {
  readonly #ports: CosignPorts;
  #own: Own | undefined;
  /** What was found the same, by incarnation. */
  #compared = new Map<string, string>();
  readonly #forks = new Map<string, Fork>();

  constructor(ports: CosignPorts) {
    this.#ports = ports;
  }

  /** Until this process ends: a ledger that was forked stays one, whatever is opened after it. */
  get forks(): readonly Fork[] {
    return [...this.#forks.values()];
  }

  /** The ledger has grown, and the newest cosignature is not of just now. */
  isDue(now: Instant): boolean {
    if (this.#own === undefined) return true;
    const { origin, size } = this.#ports.tree;
    const isMoved = this.#own.size !== size || this.#own.origin !== origin;
    return isMoved && now.monoMs - this.#own.at.monoMs >= EVERY_MS;
  }

  /** The newest cosignature of this epoch, a new one where one is due. Only while all that was applied is on disk. */
  cosign(now: Instant): string | undefined {
    const { identity, tree } = this.#ports;
    if (this.isDue(now)) {
      const { origin, size } = tree;
      this.#own = { note: signCosignature(tree.head, identity, epochS(now)), origin, size, at: now };
    }
    return this.#own?.origin === tree.origin ? this.#own.note : undefined;
  }

  /** Compares what the newest reading of the lease table has brought with our own ledger. */
  compare(): void {
    const { table } = this.#ports;
    const compared = new Map<string, string>();
    for (const { incarnation, replica, cosigned } of table.acknowledgements()) {
      if (cosigned === undefined || this.#forks.has(incarnation)) continue;
      const isSame = this.#compared.get(incarnation) === cosigned || this.#isOurs(readCosignature(cosigned));
      // What is not known here (yet) is looked at again.
      if (isSame === true) compared.set(incarnation, cosigned);
      if (isSame === false) this.#note(incarnation, replica, readCosignature(cosigned));
    }
    this.#compared = compared;
  }

  #isOurs(cosigned: Cosignature): boolean | undefined {
    const own = this.#ports.tree.rootOf(cosigned);
    return own === undefined ? undefined : Buffer.compare(own, cosigned.root) === 0;
  }

  #note(incarnation: string, replica: string, { size }: Cosignature): void {
    const { tree, table, log } = this.#ports;
    const position = renderPosition({ epoch: tree.epoch, sequence: size });
    this.#forks.set(incarnation, { replica, incarnation, position });
    table.disown(incarnation);
    log.error('the ledger is forked: another replica has cosigned another one', { replica, position });
  }

  /** The newest one of each replica, in this epoch; of forked ledgers too. */
  cosignatures(): readonly Cosignature[] {
    const { table, tree } = this.#ports;
    const newest = new Map<string, Cosignature>();
    for (const cosigned of table.acknowledgements().flatMap((said) => cosignedIn(said) ?? [])) {
      const known = newest.get(cosigned.name);
      if (cosigned.origin !== tree.origin || (known !== undefined && known.size > cosigned.size)) continue;
      newest.set(cosigned.name, cosigned);
    }
    return [...newest.values()];
  }
}
