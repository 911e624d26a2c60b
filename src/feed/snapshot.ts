/**
 * The form of a snapshot: the fold at a mark, packed into chunks of bounded size (DESIGN 3.6). Two replicas that have
 * applied the same entries make the same bytes, so one digest is how each checks the other. What is in the chunks is
 * made and read by flows/fold.ts; nobody believes one before its digest, and the signature on that, are checked.
 */
import * as z from 'zod';
import { sha256, sha256Hex, toBase64Url, parseBase64Url } from '../kernel/digest.ts';
import { WritError } from '../kernel/error.ts';
import { canonicalJson } from '../kernel/json.ts';
import type { Steps } from '../kernel/pace.ts';
import type { EpochEntry, FeedLine } from './entry.ts';
import { nextChain, parseEntry } from './entry.ts';
import type { Position } from './position.ts';
import { parsePosition, renderPosition } from './position.ts';

/** Where a ledger or a tree that does not begin with its epoch begins. */
export interface SnapshotBase {
  /** The entry that opened the epoch it is in. */
  readonly opening: EpochEntry;
  /** As Cursor has it. */
  readonly amnesia: EpochEntry | undefined;
  /** The last position that is left out. */
  readonly position: Position;
  /** The chain there. */
  readonly chain: string;
  /** The frontier of the epoch's tree up to and with it. */
  readonly frontier: readonly Uint8Array[];
}

export interface SnapshotHeader {
  readonly base: SnapshotBase;
  /** The mark, which follows the base. */
  readonly mark: FeedLine;
  /** What ended before it is not in the snapshot (epoch seconds). */
  readonly endedBeforeS: number;
}

/** What a chunk holds, in its first byte. */
export const CHUNK = { header: 0, items: 1, plain: 2, cutoff: 3 } as const;
export type ChunkKind = keyof typeof CHUNK;

/** A chunk is closed by the piece that takes it beyond this. */
const CHUNK_BYTES = 256 * 1024;

const hash = z.string().regex(/^[\w-]{43}$/);

const header = z.strictObject({
  v: z.literal(1),
  opening: z.string(),
  amnesia: z.string().optional(),
  chain: z.string().regex(/^[0-9a-f]{40}$/),
  mark: z.string(),
  position: z.string(),
  endedBeforeS: z.int().min(0),
  frontier: z.array(hash).max(64),
});

export function renderHeader({ base, mark, endedBeforeS }: SnapshotHeader): string {
  return canonicalJson({
    v: 1,
    opening: canonicalJson(base.opening),
    ...(base.amnesia === undefined ? {} : { amnesia: canonicalJson(base.amnesia) }),
    chain: base.chain,
    mark: mark.sealed.text,
    position: renderPosition(mark.position),
    endedBeforeS,
    frontier: base.frontier.map(toBase64Url),
  });
}

/** PROOF_INVALID for what is no header. */
export function parseHeader(chunk: Uint8Array = new Uint8Array()): SnapshotHeader {
  const parsed = header.safeParse(jsonOf(chunk));
  if (chunk[0] !== CHUNK.header || !parsed.success) throw refused('its header is of no known shape');
  const { chain, mark: text, position: at, endedBeforeS, frontier } = parsed.data;
  const position = placeOf(at);
  const sealed = parseEntry(text);
  if (sealed.entry.kind !== 'mark') throw refused('it is of no mark');
  const opening = epochOf(parsed.data.opening);
  const amnesia = parsed.data.amnesia === undefined ? undefined : epochOf(parsed.data.amnesia);
  const before = { ...position, sequence: position.sequence - 1 };
  const base = { opening, amnesia, position: before, chain, frontier: frontier.map(hashOf) };
  return { base, mark: { position, chain: nextChain(chain, text), sealed }, endedBeforeS };
}

function epochOf(text: string): EpochEntry {
  const { entry } = parseEntry(text);
  if (entry.kind !== 'epoch') throw refused('it is of no epoch');
  return entry;
}

function hashOf(text: string): Uint8Array {
  const bytes = parseBase64Url(text);
  if (bytes === undefined) throw refused('its frontier is none');
  return bytes;
}

function placeOf(text: string): Position {
  try {
    return parsePosition(text);
  } catch (cause) {
    throw new WritError('PROOF_INVALID', 'the snapshot names no position', { cause });
  }
}

function jsonOf(chunk: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(chunk).toString('utf8', 1));
  } catch {
    return undefined;
  }
}

/** Gathers pieces of one kind into chunks: the same pieces make the same chunks. */
export class ChunkWriter {
  readonly chunks: Uint8Array[] = [];
  #kind: ChunkKind = 'header';
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  add(kind: ChunkKind, piece: Uint8Array): void {
    if (kind !== this.#kind || this.#bytes >= CHUNK_BYTES) this.flush();
    this.#kind = kind;
    this.#pieces.push(piece);
    this.#bytes += piece.length;
  }

  /** Closes the chunk under way, in which something is. */
  flush(): void {
    this.chunks.push(Buffer.concat([Buffer.of(CHUNK[this.#kind]), ...this.#pieces]));
    this.#pieces = [];
    this.#bytes = 0;
  }
}

/** Of all chunks: their number, sizes and bytes. */
export function* digesting(chunks: readonly Uint8Array[]): Steps<string> {
  const hashes: Uint8Array[] = [];
  for (const chunk of chunks) {
    yield;
    hashes.push(sha256(chunk));
  }
  return sha256Hex(Buffer.concat(hashes));
}

export function refused(why: string): WritError {
  return new WritError('PROOF_INVALID', `the snapshot is refused: ${why}`);
}
