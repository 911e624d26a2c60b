/**
 * What the functions answer, taken apart. A reply is the word of a server that may be broken and of clients that may be
 * hostile: whatever is not of its shape is no answer, `lost` (failure.ts), never an exception of another kind. Entries are
 * parsed here and believed by nobody before their signature is checked.
 */
import type { FeedLine } from '../../feed/entry.ts';
import { parseEntry } from '../../feed/entry.ts';
import type { EpochReport, LeaseRow, Snapshot } from '../../feed/feed-store.ts';
import type { Position } from '../../feed/position.ts';
import { parsePosition } from '../../feed/position.ts';
import { turns } from '../../kernel/turns.ts';
import type { Reply } from './connection.ts';
import { CommandFailure } from './failure.ts';

/** Whether what was asked has been done, it does not say. */
export function broken(what: string): CommandFailure {
  return new CommandFailure('lost', `Redis answered what it cannot have said: ${what}`);
}

/** The answer to the call `tag`: one that was given to another call, before or beside it, is none. */
export function answerTo<Text>(tag: string, reply: Reply<Text>): Reply<Text> {
  const [said, answer] = Array.isArray(reply) ? (reply as readonly Reply<Text>[]) : [];
  if (String(said) === tag && answer !== undefined) return answer;
  throw broken('an answer to something else');
}

/** Bytes, as a flat list. */
export function buffersOf(reply: Reply<Buffer>): readonly Buffer[] {
  if (Array.isArray(reply) && reply.every((one) => Buffer.isBuffer(one))) return reply;
  throw broken('a snapshot');
}

export function listOf(reply: Reply | undefined, what: string): readonly Reply[] {
  if (Array.isArray(reply)) return reply as readonly Reply[];
  throw broken(what);
}

export function textOf(reply: Reply | undefined, what: string): string {
  if (typeof reply === 'string') return reply;
  throw broken(what);
}

export function positionOf(reply: Reply | undefined): Position {
  const text = textOf(reply, 'a position');
  try {
    return parsePosition(text);
  } catch {
    throw broken('a position');
  }
}

const CHAIN = /^[0-9a-f]{40}$/;

export function chainOf(reply: Reply | undefined): string {
  const chain = textOf(reply, 'a chain value');
  if (CHAIN.test(chain)) return chain;
  throw broken('a chain value');
}

/** Of entries, parsed in one go: a thousand targets are 84 KB and take a millisecond. */
const PARSED_BYTES = 32 * 1024;

/**
 * Position, chain and text, one after the other, of `limit` lines at most. PROOF_INVALID for a text that is no entry. The loop turns meanwhile: a page
 * of bulk entries would hold it for a tenth of a second.
 */
export async function linesOf(reply: Reply | undefined, limit: number): Promise<readonly FeedLine[]> {
  const flat = listOf(reply, 'lines');
  if (flat.length % 3 !== 0 || flat.length > 3 * limit) throw broken('lines');
  const lines: FeedLine[] = [];
  let parsedBytes = 0;
  for (let i = 0; i < flat.length; i += 3) {
    const text = textOf(flat[i + 2], 'an entry');
    const sealed = parseEntry(text);
    lines.push({ position: positionOf(flat[i]), chain: chainOf(flat[i + 1]), sealed });
    parsedBytes += text.length;
    if (parsedBytes > PARSED_BYTES) {
      await turns.next('urgent');
      parsedBytes = 0;
    }
  }
  return lines;
}

/** Incarnation, renewals and acknowledgement, one after the other. */
export function rowsOf(reply: Reply | undefined): readonly LeaseRow[] {
  const flat = listOf(reply, 'rows');
  const rows: LeaseRow[] = [];
  for (let i = 0; i + 2 < flat.length; i += 3) {
    const renewals = Number(textOf(flat[i + 1], 'a counter'));
    if (!Number.isSafeInteger(renewals) || renewals < 0) throw broken('a counter');
    const acknowledgement = textOf(flat[i + 2], 'an acknowledgement');
    rows.push({
      incarnation: textOf(flat[i], 'an incarnation'),
      renewals,
      acknowledgement: acknowledgement === '' ? undefined : acknowledgement,
    });
  }
  return rows;
}

export function renderReport(report: EpochReport): string {
  const { closedEpochId, incarnation, runId, position, chain, statement } = report;
  return JSON.stringify({ closedEpochId, incarnation, runId, position, chain, statement });
}

/** Undefined for what somebody else has put among them: the others are to be heard all the same. */
export function reportOf(reply: Reply): EpochReport | undefined {
  try {
    const { closedEpochId, incarnation, runId, position, chain, statement } = JSON.parse(
      textOf(reply, 'a report'),
    ) as EpochReport;
    const { epoch, sequence } = position;
    const texts = [closedEpochId, incarnation, runId, chain];
    if (texts.every((text) => typeof text === 'string') && [epoch, sequence].every(Number.isSafeInteger))
      return {
        ...{ closedEpochId, incarnation, runId, position: { epoch, sequence }, chain },
        ...(typeof statement === 'string' ? { statement } : {}),
      };
  } catch {
    // Below.
  }
  return undefined;
}

export interface SnapshotHead extends Omit<Snapshot, 'chunks'> {
  /** Of its chunks. */
  readonly count: number;
}

/** Chunks are binary, so this reply has buffers. One that somebody has written over is none: the next one takes its place. */
export function snapshotHeadOf(reply: readonly Buffer[]): SnapshotHead | undefined {
  if (reply.length === 0) return undefined;
  const [epochId = '', position = '', digest = '', entry = '', chunks] = reply.map(String);
  const count = Number(chunks);
  if (!Number.isSafeInteger(count) || count < 1) return undefined;
  try {
    return { epochId, position: parsePosition(position), digest, entry, count };
  } catch {
    return undefined;
  }
}
