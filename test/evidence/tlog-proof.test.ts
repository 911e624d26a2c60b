import { describe, expect, it } from 'vitest';
import { leafHash } from '../../src/evidence/merkle.ts';
import { parseTlogProof, renderTlogProof } from '../../src/evidence/tlog-proof.ts';
import { toBase64 } from '../../src/kernel/digest.ts';

const hashes = [new Uint8Array(leafHash('a')), new Uint8Array(leafHash('b'))];
const checkpoint = 'origin\n7\nroot\n\n— name AAAA\n';
const text = `c2sp.org/tlog-proof@v1\nindex 3\n${hashes.map(toBase64).join('\n')}\n\n${checkpoint}`;

describe('a tlog-proof', () => {
  it('is index, path and checkpoint, as the specification writes them', () => {
    expect(renderTlogProof({ index: 3, hashes, checkpoint })).toBe(text);
    expect(parseTlogProof(text)).toEqual({ index: 3, hashes, checkpoint });
  });

  it('may have no path: the tree has one leaf', () => {
    const alone = `c2sp.org/tlog-proof@v1\nindex 0\n\n${checkpoint}`;
    expect(renderTlogProof({ index: 0, hashes: [], checkpoint })).toBe(alone);
    expect(parseTlogProof(alone)).toEqual({ index: 0, hashes: [], checkpoint });
  });

  it.each([
    ['nothing', ''],
    ['another version', text.replace('@v1', '@v2')],
    ['no empty line', text.replaceAll('\n\n', '\n')],
    ['an extra line, which nothing authenticates', text.replace('index', 'extra AAAA\nindex')],
    ['no index', text.replace('index 3\n', '')],
    ['nothing but its first line', 'c2sp.org/tlog-proof@v1\n\n'],
    ['an index with a zero before it', text.replace('index 3', 'index 03')],
    ['a hash that is too short', text.replace(toBase64(hashes[0]!), 'AAAA')],
    ['a hash that is not canonical', text.replace(toBase64(hashes[0]!), toBase64(hashes[0]!).slice(0, -1))],
  ])('is refused with %s', (_, wrong) => {
    expect(() => parseTlogProof(wrong)).toThrow(expect.objectContaining({ code: 'PROOF_INVALID' }));
  });
});
