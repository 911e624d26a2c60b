/**
 * The first part of a receipt, and a whole proof by itself for any tool that reads c2sp.org/tlog-proof: index,
 * audit path, checkpoint. Text in and out; receipt.ts judges it.
 */
import { parseBase64, toBase64 } from '../kernel/digest.ts';
import { demand } from './demand.ts';
import { HASH_BYTES } from './merkle.ts';

export interface TlogProof {
  /** Zero-based. */
  readonly index: number;
  /** From the leaf's sibling up to the root's child. */
  readonly hashes: readonly Uint8Array[];
  /** The signed note, verbatim. */
  readonly checkpoint: string;
}

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';

export function renderTlogProof({ index, hashes, checkpoint }: TlogProof): string {
  const path = hashes.map((hash) => `${toBase64(hash)}\n`).join('');
  return `${FIRST_LINE}\nindex ${index}\n${path}\n${checkpoint}`;
}

const INDEX = /^index (0|[1-9]\d{0,14})$/;

/** Parses a proof; PROOF_INVALID when it is malformed or has an `extra` line, which nothing would authenticate. */
export function parseTlogProof(text: string): TlogProof {
  const end = text.indexOf('\n\n');
  const [first, second = '', ...path] = text.slice(0, Math.max(end, 0)).split('\n');
  demand(first === FIRST_LINE, 'receipt does not begin with a tlog-proof');
  const index = INDEX.exec(second)?.[1];
  demand(index !== undefined, 'inclusion proof has no index');
  return { index: Number(index), hashes: path.map(parseHash), checkpoint: text.slice(end + 2) };
}

function parseHash(line: string): Uint8Array {
  const hash = parseBase64(line);
  demand(hash?.length === HASH_BYTES, 'inclusion proof has a line that is no hash');
  return hash;
}
