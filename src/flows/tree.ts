/** The ledger's Merkle tree as this replica computes it while applying: one tree per epoch (DESIGN sections 6 and 9). */
import type { Checkpoint } from '../evidence/checkpoint.ts';
import { checkpointOrigin, signCheckpoint } from '../evidence/checkpoint.ts';
import { logName } from '../evidence/keyring.ts';
import { MerkleTree, leafHash } from '../evidence/merkle.ts';
import type { FeedLine } from '../feed/entry.ts';
import { leafText } from '../feed/entry.ts';
import type { Position } from '../feed/position.ts';
import type { SnapshotBase } from '../feed/snapshot.ts';
import { WritError } from '../kernel/error.ts';
import type { Identity } from './identity.ts';

export class Tree {
  readonly #identity: Identity;
  #merkle = new MerkleTree();
  #epoch = 0;
  /** The smallest size of which the root is known. */
  #sizeMin = 0;
  #lastLeaf: Uint8Array = leafHash('');
  /** What was signed for may not be lost with this process: up to where everything is on disk. */
  #settled = { merkle: this.#merkle, epoch: 0, size: 0, sizeMin: 0 };

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  append(line: FeedLine, opensEpoch: boolean): void {
    if (opensEpoch) {
      this.#merkle = new MerkleTree();
      this.#epoch = line.position.epoch;
      this.#sizeMin = 0;
    }
    this.#lastLeaf = line.reading?.bulk?.leaf ?? leafHash(leafText(line));
    this.#merkle.append(this.#lastLeaf);
  }

  /** Goes on after `size` entries of an epoch, of which only the frontier is known. */
  begin(epoch: number, size: number, frontier: readonly Uint8Array[]): void {
    this.#merkle = MerkleTree.from(size, frontier);
    this.#epoch = epoch;
    this.#sizeMin = size;
    this.settle();
  }

  /** What was applied is on disk. */
  settle(): void {
    const { size } = this.#merkle;
    this.#settled = { merkle: this.#merkle, epoch: this.#epoch, size, sizeMin: this.#sizeMin };
  }

  /** The number of the epoch. */
  get epoch(): number {
    return this.#epoch;
  }

  get origin(): string {
    return checkpointOrigin(this.#identity.fleet, this.#epoch);
  }

  /** Is that of an epoch of which `lines`, one at least, are here: all of them, or those after `base`. */
  beginAgain(lines: readonly FeedLine[], base: SnapshotBase | undefined): void {
    const { epoch } = (lines[0] as FeedLine).position;
    const isAfterBase = base?.position.epoch === epoch;
    this.begin(epoch, isAfterBase ? base.position.sequence : 0, isAfterBase ? base.frontier : []);
    for (const line of lines) this.append(line, false);
    this.settle();
  }

  get size(): number {
    return this.#merkle.size;
  }

  /** Hash of the leaf that was applied last, in hex. */
  get lastLeafHex(): string {
    return Buffer.from(this.#lastLeaf).toString('hex');
  }

  /** Everything of an epoch that is on disk: up to the cursor's `settled`. */
  get head(): Checkpoint {
    const { merkle, epoch, size } = this.#settled;
    return { origin: checkpointOrigin(this.#identity.fleet, epoch), size, root: merkle.root(size) };
  }

  /** The signed note over it. */
  checkpoint(): string {
    const { fleet, logKey } = this.#identity;
    return signCheckpoint(this.head, logName(fleet), logKey);
  }

  /** What the tree of that origin and size is here; undefined for another one, and where it is not known (yet, or any more). */
  rootOf({ origin, size }: Pick<Checkpoint, 'origin' | 'size'>): Uint8Array | undefined {
    const isKnown = origin === this.origin && size >= this.#sizeMin && size <= this.#merkle.size;
    return isKnown ? this.#merkle.root(size) : undefined;
  }

  /**
   * Inclusion proof of the entry at `position` in the tree of `head`. INTERNAL for one that is not in it; NOT_FOUND for one before
   * the snapshot that this ledger begins with: whoever has all of the epoch can prove it.
   */
  proof(position: Position): { readonly index: number; readonly hashes: readonly Uint8Array[] } {
    const { merkle, epoch, size, sizeMin } = this.#settled;
    const index = position.sequence - 1;
    if (position.epoch !== epoch || index >= size) throw new WritError('INTERNAL', 'no such leaf');
    if (index < sizeMin)
      throw new WritError(
        'NOT_FOUND',
        'it is before the snapshot that this ledger begins with: ask another replica',
      );
    return { index, hashes: merkle.inclusionProof(index, size) };
  }

  /** The compact range before `size`, for an export that begins later than the epoch. */
  frontier(size: number): readonly Uint8Array[] {
    return this.#merkle.frontier(size);
  }
}
