import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CompactRange,
  MerkleTree,
  frontierLength,
  leafHash,
  rootFromFrontier,
  verifyInclusion,
} from '../../src/evidence/merkle.ts';
import { sha256 } from '../../src/kernel/digest.ts';

/** The reference tree of RFC 6962 implementations: its leaves, and its roots by size. */
const INPUTS = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
/** Audit paths of the reference tree: leaf index, size, path. */
const PATHS = [
  [0, 1, []],
  [
    0,
    8,
    [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  ],
  [
    5,
    8,
    [
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  ],
  [2, 3, ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125']],
  [
    1,
    5,
    [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  ],
] as const;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function treeOf(leaves: readonly Uint8Array[]): MerkleTree {
  const tree = new MerkleTree();
  for (const leaf of leaves) tree.append(leaf);
  return tree;
}

function leavesOf(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => leafHash(`leaf ${i}`));
}

const referenceLeaves = INPUTS.map((input) => leafHash(Buffer.from(input, 'hex')));

/** RFC 6962 section 2.1, word for word. */
function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves;
  if (only === undefined) return sha256('');
  if (leaves.length === 1) return only;
  const k = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1);
  return naiveNode(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

/** RFC 6962 section 2.1.1, word for word. */
function naivePath(index: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return [];
  const k = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1);
  return index < k
    ? [...naivePath(index, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
    : [...naivePath(index - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))];
}

function naiveNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([Buffer.of(1), left, right]));
}

const sizes = fc.integer({ min: 1, max: 300 });

describe('the Merkle tree', () => {
  it('has the roots of the RFC 6962 reference tree at every size', () => {
    const tree = treeOf(referenceLeaves);
    expect(tree.size).toBe(8);
    expect(ROOTS.map((_, size) => hex(tree.root(size)))).toEqual(ROOTS);
    expect(hex(tree.root())).toBe(ROOTS[8]);
  });

  it('has the audit paths of the RFC 6962 reference tree', () => {
    const tree = treeOf(referenceLeaves);
    for (const [index, size, path] of PATHS) expect(tree.inclusionProof(index, size).map(hex)).toEqual(path);
  });

  it('hashes leaves and nodes apart, text as UTF-8', () => {
    expect(hex(leafHash(Buffer.from('L123456')))).toBe(
      '395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56',
    );
    expect(leafHash('é€')).toEqual(leafHash(Buffer.from('é€')));
  });

  it('agrees with the definition at every size it went through', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), (total, at) => {
        const leaves = leavesOf(total);
        const size = at % (total + 1);
        const tree = treeOf(leaves);
        expect(hex(tree.root(size))).toBe(hex(naiveRoot(leaves.slice(0, size))));
        expect(tree.frontier(size)).toHaveLength(frontierLength(size));
        expect(hex(rootFromFrontier(tree.frontier(size)))).toBe(hex(tree.root(size)));
      }),
      { numRuns: 60 },
    );
  });

  it('makes the audit paths of the definition, and they verify', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), (size, at) => {
        const leaves = leavesOf(size);
        const index = at % size;
        const hashes = treeOf([...leaves, ...leavesOf(7)]).inclusionProof(index, size);
        expect(hashes.map(hex)).toEqual(naivePath(index, leaves).map(hex));
        expect(
          verifyInclusion({ leaf: leafHash(`leaf ${index}`), index, size, hashes }, naiveRoot(leaves)),
        ).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('keeps its word over the border of a chunk of storage', () => {
    const leaves = leavesOf(2_100);
    const tree = treeOf(leaves);
    for (const size of [1_023, 1_024, 1_025, 2_047, 2_048, 2_049, 2_100]) {
      expect(hex(tree.root(size))).toBe(hex(naiveRoot(leaves.slice(0, size))));
    }
    expect(tree.inclusionProof(1_024, 2_049).map(hex)).toEqual(
      naivePath(1_024, leaves.slice(0, 2_049)).map(hex),
    );
  });

  it('hands out copies: writing into a proof does not change the tree', () => {
    const tree = treeOf(leavesOf(5));
    const before = hex(tree.root());
    for (const hash of [...tree.inclusionProof(4, 5), ...tree.inclusionProof(0, 2), ...tree.frontier(5)])
      hash.fill(0);
    expect(hex(tree.root())).toBe(before);
  });

  it('refuses to speak of leaves that it does not have', () => {
    const tree = treeOf(leavesOf(3));
    expect(() => tree.root(4)).toThrow(RangeError);
    expect(() => tree.frontier(5_000)).toThrow(RangeError);
    expect(() => tree.inclusionProof(3, 4)).toThrow(RangeError);
    expect(() => tree.inclusionProof(2, 2)).toThrow(RangeError);
    expect(() => tree.inclusionProof(-1, 2)).toThrow(RangeError);
  });
});

describe('verifying an inclusion proof', () => {
  const leaves = leavesOf(13);
  const tree = treeOf(leaves);
  const proofOf = (index: number, size = 13) => ({
    leaf: leafHash(`leaf ${index}`),
    index,
    size,
    hashes: tree.inclusionProof(index, size),
  });

  it('refuses another index, size, leaf or root', () => {
    const right = proofOf(6);
    expect(verifyInclusion(right, tree.root())).toBe(true);
    for (const index of [-1, 0, 5, 7, 12, 13]) {
      expect(verifyInclusion({ ...right, index }, tree.root())).toBe(false);
    }
    expect(verifyInclusion({ ...right, size: 6 }, tree.root())).toBe(false);
    expect(verifyInclusion({ ...right, size: 32 }, tree.root())).toBe(false);
    expect(verifyInclusion({ ...right, leaf: leafHash('other') }, tree.root())).toBe(false);
    expect(verifyInclusion(right, tree.root(12))).toBe(false);
    expect(verifyInclusion(right, new Uint8Array(0))).toBe(false);
  });

  it('refuses a path that is longer, shorter, reordered or altered', () => {
    fc.assert(
      fc.property(fc.nat(12), fc.nat(), fc.nat(255), (index, at, bit) => {
        const right = proofOf(index);
        const { hashes } = right;
        const place = at % hashes.length;
        const flipped = hashes.map((hash, i) => (i === place ? flip(hash, bit) : hash));
        const wrong = [
          hashes.slice(1),
          hashes.slice(0, -1),
          [...hashes, leaves[0]!],
          [leaves[0]!, ...hashes],
          hashes.toReversed(),
          flipped,
        ];
        for (const path of wrong)
          expect(verifyInclusion({ ...right, hashes: path }, tree.root())).toBe(false);
      }),
      { numRuns: 50 },
    );
  });

  it('refuses hashes of another length, wherever they are', () => {
    const right = proofOf(3);
    expect(verifyInclusion({ ...right, leaf: right.leaf.subarray(1) }, tree.root())).toBe(false);
    const hashes = right.hashes.map((hash, i) => (i === 1 ? Buffer.concat([hash, hash]) : hash));
    expect(verifyInclusion({ ...right, hashes }, tree.root())).toBe(false);
  });

  it('works beyond 2^32 leaves, where bit operations would not', () => {
    const size = 2 ** 40;
    const leaf = leafHash('first');
    const hashes = leavesOf(40);
    const root = hashes.reduce((hash, sibling) => naiveNode(hash, sibling), leaf);
    expect(verifyInclusion({ leaf, index: 0, size, hashes }, root)).toBe(true);
    expect(verifyInclusion({ leaf, index: 2 ** 32, size, hashes }, root)).toBe(false);
  });
});

describe('a compact range', () => {
  it('has the root of the whole tree, wherever it begins', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), (size, at) => {
        const start = at % size;
        const tree = treeOf(leavesOf(size));
        const range = new CompactRange(start);
        for (const leaf of leavesOf(size).slice(start)) range.append(leaf);
        expect(range.end).toBe(size);
        expect(hex(range.root(tree.frontier(start)))).toBe(hex(tree.root()));
        // Asking does not change it.
        expect(hex(range.root(tree.frontier(start)))).toBe(hex(tree.root()));
      }),
      { numRuns: 60 },
    );
  });

  it('has another root with another frontier before it', () => {
    const tree = treeOf(leavesOf(11));
    const range = new CompactRange(6);
    for (const leaf of leavesOf(11).slice(6)) range.append(leaf);
    expect(hex(range.root(tree.frontier(6).toReversed()))).not.toBe(hex(tree.root()));
    expect(hex(range.root([]))).not.toBe(hex(tree.root()));
  });
});

describe('a tree of which only the frontier is known', () => {
  it('has the same root, frontier and proofs as the whole one, from there on', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), (size, at) => {
        const start = at % size;
        const leaves = leavesOf(size);
        const whole = treeOf(leaves);
        const tree = MerkleTree.from(start, whole.frontier(start));
        expect(tree.size).toBe(start);
        for (const leaf of leaves.slice(start)) tree.append(leaf);
        expect(hex(tree.root())).toBe(hex(whole.root()));
        for (let index = start; index < size; index++)
          expect(tree.inclusionProof(index, size).map(hex)).toEqual(
            whole.inclusionProof(index, size).map(hex),
          );
        for (let count = start; count <= size; count++)
          expect(tree.frontier(count).map(hex)).toEqual(whole.frontier(count).map(hex));
      }),
      { numRuns: 60 },
    );
  });

  it('knows nothing of what came before, and takes no frontier of another size', () => {
    const whole = treeOf(leavesOf(11));
    const tree = MerkleTree.from(8, whole.frontier(8));
    tree.append(leavesOf(11)[8]!);
    expect(() => tree.inclusionProof(3, 9)).toThrow(RangeError);
    expect(() => tree.frontier(7)).toThrow(RangeError);
    expect(() => MerkleTree.from(8, whole.frontier(7))).toThrow(RangeError);
  });
});

function flip(hash: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(hash);
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}
