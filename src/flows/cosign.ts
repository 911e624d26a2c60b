/**
 * Cosigns this replica's ledger, and compares what the others have cosigned with it: so a ledger that was forked (two
 * replicas were shown two histories) is seen by both. In the background: a cosignature rides on an acknowledgement, and
 * no answer waits for one. Called by renew.ts, and before anything is called enforced.
 */
import type { Acknowledgement } from '../evidence/acknowledgement.ts';
import { cosignedIn } from '../evidence/acknowledgement.ts';
import type { Cosignature } from '../evidence/cosignature.ts';
import { readCosignature, signCosignature } from '../evidence/cosignature.ts';
import { logName } from '../evidence/keyring.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { Position } from '../feed/position.ts';
import { parsePosition, renderPosition } from '../feed/position.ts';
import type { Clock, Instant } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import type { Log } from '../kernel/log.ts';
import type { LeaseTable } from './barrier.ts';
import type { Identity } from './identity.ts';
import type { Tree } from './tree.ts';

/** At most one cosignature, and one look at that of another, in so long. */
const EVERY_MS = 1_000;

export interface CosignPorts {
  readonly identity: Identity;
  readonly tree: Tree;
  readonly table: LeaseTable;
  readonly cursor: Cursor;
  readonly clock: Clock;
  readonly log: Log;
}

/** Another incarnation holds, or held, another ledger of an epoch. */
export interface Fork {
  readonly replica: string;
  readonly incarnation: string;
  /** The ledgers differ here or before. */
  readonly position: string;
}

interface Own {
  readonly note: string;
  /** Two epochs that were opened in one second have one number, and so one origin. */
  readonly epochId: string | undefined;
  readonly size: number;
  readonly at: Instant;
}

export class Cosigner {
  readonly #ports: CosignPorts;
  #own: Own | undefined;
  #watchedMs = Number.NEGATIVE_INFINITY;
  /** How many were looked at in turn. */
  #watched = 0;
  /** The cosignature that was compared last, by incarnation. */
  readonly #compared = new Map<string, string>();
  /** By epoch and incarnation. */
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
    const { tree, cursor } = this.#ports;
    const isMoved = this.#own.size !== tree.size || this.#own.epochId !== cursor.epochId;
    return isMoved && now.monoMs - this.#own.at.monoMs >= EVERY_MS;
  }

  /** The newest cosignature of this epoch, a new one where one is due. Only while all that was applied is on disk. */
  cosign(now: Instant): string | undefined {
    const { identity, tree, cursor } = this.#ports;
    const { epochId } = cursor;
    if (this.isDue(now)) {
      const note = signCosignature(tree.head, identity, epochS(now));
      this.#own = { note, epochId, size: tree.size, at: now };
    }
    return this.#own?.epochId === epochId ? this.#own?.note : undefined;
  }

  /** As `compare`, where nothing is judged by it: one of them in so long, in turn, because reading what somebody says costs most. */
  watch(now: Instant): void {
    if (now.monoMs - this.#watchedMs < EVERY_MS) return;
    this.#watchedMs = now.monoMs;
    const { table } = this.#ports;
    const { incarnations } = table;
    const next = incarnations[this.#watched++ % incarnations.length];
    const said = table.row(next as string)?.acknowledgement;
    if (said !== undefined) this.#look(said);
  }

  /** Compares what the others have acknowledged and cosigned, by the newest reading of the lease table, with our ledger. */
  compare(): void {
    for (const said of this.#ports.table.acknowledgements()) this.#look(said);
  }

  #look(said: Acknowledgement): void {
    if (said.epochId !== this.#ports.cursor.epochId || this.#forks.has(forkKeyOf(said))) return;
    const chain = this.#otherChain(said);
    const other = chain ?? this.#otherRoot(said);
    if (other !== undefined)
      this.#note(said, renderPosition(other), chain !== undefined || this.#isOfOurLog(said));
  }

  /** Each acknowledgement has a chain: a fork is seen before the next cosignature, and before it counts for anything. */
  #otherChain({ position, chain }: Acknowledgement): Position | undefined {
    const at = parsePosition(position);
    const own = this.#ports.cursor.chainAt(at) ?? chain;
    return own === chain ? undefined : at;
  }

  /** Of another tree than this epoch's no root is compared: by its own word it has another ledger, and no receipt can hold it. */
  #otherRoot({ incarnation, position, cosigned }: Acknowledgement): Position | undefined {
    if (cosigned === undefined || this.#compared.get(incarnation) === cosigned) return undefined;
    const { tree } = this.#ports;
    const said = readCosignature(cosigned);
    if (said.origin !== tree.origin) return parsePosition(position);
    const own = tree.rootOf(said);
    // Not known here yet: looked at again.
    if (own === undefined) return undefined;
    this.#compared.set(incarnation, cosigned);
    return Buffer.compare(own, said.root) === 0 ? undefined : { epoch: tree.epoch, sequence: said.size };
  }

  /** No store makes a replica sign for another fleet: whoever does lies, and nobody waits for its word. */
  #isOfOurLog({ cosigned }: Acknowledgement): boolean {
    return readCosignature(cosigned as string).origin.startsWith(`${logName(this.#ports.identity.fleet)}/`);
  }

  #note(said: Acknowledgement, position: string, isForked: boolean): void {
    const { table, log } = this.#ports;
    const { incarnation, replica } = said;
    this.#forks.set(forkKeyOf(said), { replica, incarnation, position });
    table.disown(incarnation, isForked);
    log.error('the ledger is forked: another replica holds another one', { replica, position });
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

function forkKeyOf({ epochId, incarnation }: Acknowledgement): string {
  return `${epochId} ${incarnation}`;
}
