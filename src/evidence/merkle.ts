/**
 * The Merkle tree of RFC 6962 section 2.1 (RFC 9162 section 2.1), SHA-256: what a replica appends to as it applies
 * the feed, and what a verifier computes. Sizes and indexes are plain integers below 2^53. Nothing here signs.
 */
import { sha256 } from '../kernel/digest.ts';

/** Bytes of a hash. */
export const HASH_BYTES = 32;
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;
/** 1,024 hashes: what an almost empty level costs at most, and small enough never to stall the loop. */
const CHUNK_HASHES = 1_024;

/** H(0x00 ‖ data): the prefix keeps a leaf from ever being taken for a node. */
export function leafHash(data: string | Uint8Array): Uint8Array {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const prefixed = new Uint8Array(1 + bytes.length);
  prefixed[0] = LEAF_PREFIX;
  prefixed.set(bytes, 1);
  return sha256(prefixed);
}

const scratch = new Uint8Array(1 + 2 * HASH_BYTES);

/** H(0x01 ‖ left ‖ right), of two hashes. */
function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  scratch[0] = NODE_PREFIX;
  scratch.set(left, 1);
  scratch.set(right, 1 + HASH_BYTES);
  return sha256(scratch);
}

/** The root of a tree from the roots of its perfect subtrees, left to right; H("") when there are none. */
export function rootFromFrontier(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.length === 0 ? sha256('') : hashes.reduceRight((right, left) => nodeHash(left, right));
}

/** How many hashes the frontier of a tree of `size` leaves has: one for each bit that is set. */
export function frontierLength(size: number): number {
  return perfectSubtrees(size).length;
}

export interface InclusionProof {
  readonly leaf: Uint8Array;
  readonly index: number;
  readonly size: number;
  /** From the leaf's sibling up to the root's child. */
  readonly hashes: readonly Uint8Array[];
}

/** True when `leaf` is at `index` of the tree of `size` leaves whose root is `root` (RFC 9162 section 2.1.3.2). */
export function verifyInclusion(proof: InclusionProof, root: Uint8Array): boolean {
  const { leaf, index, size, hashes } = proof;
  if (index < 0 || index >= size || [leaf, ...hashes].some(({ length }) => length !== HASH_BYTES))
    return false;
  let at = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of hashes) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(sibling, hash);
      // The rightmost node of an incomplete level has no sibling there: it goes up as it is.
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && Buffer.compare(hash, root) === 0;
}

/** The append-only tree: one typed store for each level, no object for each leaf, 64 bytes a leaf in all. */
export class MerkleTree {
  /** Level k holds the roots of the perfect subtrees of 2^k leaves. */
  readonly #levels: Level[] = [];

  /**
   * A tree of `size` leaves of which only the frontier is known: it appends and proves what comes after them. RangeError
   * when that is no frontier of so many.
   */
  static from(size: number, frontier: readonly Uint8Array[]): MerkleTree {
    const tree = new MerkleTree();
    const parts = perfectSubtrees(size);
    if (parts.length !== frontier.length) throw new RangeError('that is no frontier of so many leaves');
    for (let height = 0; 2 ** height <= size; height++)
      tree.#levels.push(new Level(Math.floor(size / 2 ** height)));
    for (const [i, { height, index }] of parts.entries())
      tree.#levels[height] = new Level(index, frontier[i]);
    return tree;
  }

  get size(): number {
    return this.#level(0).length;
  }

  /** Appends one leaf by its hash (32 bytes). */
  append(leaf: Uint8Array): void {
    let hash = leaf;
    let level = this.#level(0);
    for (let height = 1; level.push(hash) % 2 === 0; height++) {
      hash = nodeHash(level.at(level.length - 2), hash);
      level = this.#level(height);
    }
  }

  /** The root over the first `size` leaves. RangeError when there are fewer, here and below. */
  root(size = this.size): Uint8Array {
    return rootFromFrontier(this.frontier(size));
  }

  /** The roots of the perfect subtrees of the first `size` leaves, left to right: its compact range. */
  frontier(size: number): Uint8Array[] {
    return perfectSubtrees(size).map(({ height, index }) => this.#level(height).at(index).slice());
  }

  /** The audit path of the leaf at `index` in the tree of the first `size` leaves (RFC 6962 section 2.1.1). */
  inclusionProof(index: number, size: number): Uint8Array[] {
    if (index < 0 || index >= size || size > this.size) throw new RangeError('the tree has no such leaf');
    const hashes: Uint8Array[] = [];
    let start = 0;
    let count = size;
    while (count > 1) {
      const left = powerBelow(count);
      if (index - start < left) {
        hashes.push(this.#rangeRoot(start + left, count - left));
        count = left;
      } else {
        hashes.push(this.#rangeRoot(start, left));
        [start, count] = [start + left, count - left];
      }
    }
    return hashes.reverse();
  }

  /** MTH(D[start : start + count]); `start` is a multiple of a power of two that is not below `count`. */
  #rangeRoot(start: number, count: number): Uint8Array {
    const parts = perfectSubtrees(count).map(({ height, index }) =>
      this.#level(height).at(start / 2 ** height + index),
    );
    return rootFromFrontier(parts).slice();
  }

  #level(height: number): Level {
    return (this.#levels[height] ??= new Level());
  }
}

/** The tree's frontier alone, kept while leaves go by: what a verifier of an export needs, whatever its length. */
export class CompactRange {
  /** Roots of maximal perfect subtrees of the range, left to right. */
  readonly #nodes: RangeNode[] = [];
  readonly #start: number;
  #end: number;

  /** A range that begins at leaf `start`; what is left of it is named later, in `root`. */
  constructor(start: number) {
    this.#start = start;
    this.#end = start;
  }

  /** One past the last leaf: the size of the whole tree. */
  get end(): number {
    return this.#end;
  }

  /** As it is now; it does not grow with this one. */
  copy(): CompactRange {
    const copy = new CompactRange(this.#start);
    copy.#nodes.push(...this.#nodes);
    copy.#end = this.#end;
    return copy;
  }

  append(leaf: Uint8Array): void {
    pushNode(this.#nodes, { height: 0, index: this.#end, hash: leaf });
    this.#end += 1;
  }

  /** The root of the tree over leaves 0 to `end`; `before` is the whole frontier of the leaves left of the range. */
  root(before: readonly Uint8Array[]): Uint8Array {
    const nodes: RangeNode[] = perfectSubtrees(this.#start).flatMap((subtree, i) =>
      before.slice(i, i + 1).map((hash) => ({ ...subtree, hash })),
    );
    for (const node of this.#nodes) pushNode(nodes, node);
    return rootFromFrontier(nodes.map(({ hash }) => hash));
  }
}

interface Subtree {
  readonly height: number;
  /** Which of the subtrees of this height, counted from the left. */
  readonly index: number;
}

interface RangeNode extends Subtree {
  readonly hash: Uint8Array;
}

/** Adds a node right of the others and joins it with its left siblings as long as it is a right child. */
function pushNode(nodes: RangeNode[], added: RangeNode): void {
  let node = added;
  for (let left = nodes.at(-1); left?.height === node.height && node.index % 2 === 1; left = nodes.at(-1)) {
    nodes.pop();
    node = { height: node.height + 1, index: (node.index - 1) / 2, hash: nodeHash(left.hash, node.hash) };
  }
  nodes.push(node);
}

/** The perfect subtrees that make up `size` leaves, left to right. */
function perfectSubtrees(size: number): Subtree[] {
  const subtrees: Subtree[] = [];
  for (let height = 0, rest = size; rest > 0; height++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) subtrees.push({ height, index: rest - 1 });
  }
  return subtrees.reverse();
}

/** The largest power of two below `count` (which is above 1). */
function powerBelow(count: number): number {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}

/** A growing row of hashes in fixed chunks: growth never copies and never stalls. */
class Level {
  /** Hashes before the first that is held. */
  readonly #base: number;
  readonly #chunks: Uint8Array[] = [];
  #last = new Uint8Array(0);
  #length = 0;

  constructor(base = 0, first?: Uint8Array) {
    this.#base = base;
    if (first !== undefined) this.push(first);
  }

  get length(): number {
    return this.#base + this.#length;
  }

  /** Appends and returns the new length. */
  push(hash: Uint8Array): number {
    const offset = this.#length % CHUNK_HASHES;
    if (offset === 0) {
      this.#last = new Uint8Array(CHUNK_HASHES * HASH_BYTES);
      this.#chunks.push(this.#last);
    }
    this.#last.set(hash, offset * HASH_BYTES);
    this.#length += 1;
    return this.length;
  }

  /** A view, not a copy. */
  at(index: number): Uint8Array {
    const held = index - this.#base;
    const chunk = this.#chunks[Math.floor(held / CHUNK_HASHES)];
    if (chunk === undefined || held >= this.#length) throw new RangeError('the tree holds no such hash');
    const from = (held % CHUNK_HASHES) * HASH_BYTES;
    return chunk.subarray(from, from + HASH_BYTES);
  }
}
