/**
 * One record of the journal, checked against what comes before it. The chain is the check: an append wrote exactly
 * these bytes, and whoever replays compares the root (DESIGN 9). So the two kinds that come by the million are not
 * validated again, a thousand targets cost 3 ms; those the store itself acts on are. Never trusts a signature here.
 */
import { isUtf8 } from 'node:buffer';
import type { Entry, FeedLine, LineParts, SealedEntry } from '../../feed/entry.ts';
import { CHAIN_START, ENTRY_BYTES_MAX, nextChain, parseEntry, splitLine } from '../../feed/entry.ts';
import { WritError } from '../../kernel/error.ts';
import type { Head, Placed } from './history.ts';

/** Longer than any record can be, with what renderLine puts around an entry; what is longer is damage. */
export const RECORD_BYTES_MAX = ENTRY_BYTES_MAX + 256;

export interface Checked extends Placed {
  /** Parsed where the store acts on it, else undefined. */
  readonly line: FeedLine | undefined;
}

/** Checks the record `bytes` (no newline) that should follow `head`; PROOF_INVALID says what is wrong with it. */
export function checkRecord(bytes: Buffer, head: Head): Checked {
  if (!isUtf8(bytes)) throw new WritError('PROOF_INVALID', 'it is not UTF-8');
  const parts = splitLine(bytes.toString('utf8'));
  const { id, sealed } = lookInto(parts.text);
  const opens = sealed?.entry.kind === 'epoch' ? sealed.entry.epochId : undefined;
  checkPlace(parts, head, opens);
  const { chain, position } = parts;
  return {
    id,
    head: { epochId: opens ?? head.epochId, position, chain },
    sizeBytes: bytes.length + 1,
    line: sealed === undefined ? undefined : { chain, sealed, position },
  };
}

/** Reads a record that was checked before, at opening or when it was written, and that followed `chain`. */
export function restoreLine(bytes: Buffer, chain: string): FeedLine {
  const { chain: own, text, position } = splitLine(bytes.toString('utf8'));
  if (nextChain(position.sequence === 1 ? CHAIN_START : chain, text) !== own)
    throw new WritError('JOURNAL_CORRUPT', 'the journal no longer says what it said when it was opened');
  return { chain: own, sealed: { text, entry: JSON.parse(text) as Entry }, position };
}

/** The chain value a record states. */
export function chainOf(bytes: Buffer): string {
  return splitLine(bytes.toString('utf8')).chain;
}

// Canonical JSON sorts its members, and up to `kind` these two kinds have flat ones only: so the `id` found is the
// entry's own. What does not match is parsed in full: this is only ever a short cut.
const FLAT = String.raw`(?:"[a-zA-Z]+":(?:"(?:[^"\\]|\\.)*"|\d+),)*?`;
const BULK = new RegExp(
  String.raw`^\{${FLAT}"id":"([\w.:~-]{1,64})",${FLAT}"kind":"(?:outcome|revocation)",`,
  's',
);

function lookInto(text: string): { readonly id: string; readonly sealed: SealedEntry | undefined } {
  const bulkId = BULK.exec(text)?.[1];
  if (bulkId !== undefined) return { id: bulkId, sealed: undefined };
  const sealed = parseEntry(text);
  return { id: sealed.entry.id, sealed };
}

function checkPlace(parts: LineParts, head: Head, opensEpochId: string | undefined): void {
  const { epoch, sequence } = parts.position;
  const isNext =
    opensEpochId === undefined
      ? epoch === head.position.epoch && sequence === head.position.sequence + 1 && sequence > 1
      : epoch > head.position.epoch && sequence === 1 && opensEpochId !== head.epochId;
  if (!isNext) throw new WritError('PROOF_INVALID', 'its position does not follow');
  const before = opensEpochId === undefined ? head.chain : CHAIN_START;
  if (nextChain(before, parts.text) !== parts.chain)
    throw new WritError('PROOF_INVALID', 'its chain does not follow');
}
