/**
 * The high-water mark, `dataDir/journal.mark`: up to where the journal had answered. Written after the data is
 * durable and before the answer, so a journal that ends before it has lost something that was answered. It is never
 * ahead of what is durable. Two slots take turns, so that a torn write of one leaves the other; it is not fsynced
 * each time: it survives the process, and after a power cut it may be an older one, which is only less strict.
 */
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import type { Position } from '../../feed/position.ts';
import { comparePositions, parsePosition, renderPosition } from '../../feed/position.ts';
import { sha1Hex } from '../../kernel/digest.ts';
import { WritError } from '../../kernel/error.ts';
import type { Syscalls } from './syscalls.ts';

/** The chain covers the epoch's own entry, so equal chains at equal positions are one history. */
export interface Mark {
  readonly position: Position;
  readonly chain: string;
}

const SLOT_BYTES = 512;
const SLOTS = 2;
const SLOT = /^\{"chain":"([0-9a-f]{40})","position":"(\d+-\d+)","sum":"([0-9a-f]{40})"\} *\n$/;

export class HighWaterMark {
  readonly #file: FileHandle;
  readonly #syscalls: Syscalls;
  #slot: number;

  private constructor(file: FileHandle, syscalls: Syscalls, slot: number) {
    this.#file = file;
    this.#syscalls = syscalls;
    this.#slot = slot;
  }

  /** Opens the file, or makes it with its space reserved: a full disk must not keep a mark from being written. */
  static async open(path: string, syscalls: Syscalls): Promise<HighWaterMark> {
    const kept = await readSlots(path);
    const file = await open(path, kept === undefined ? 'w+' : 'r+', 0o600);
    if (kept === undefined) await file.write(' '.repeat(SLOT_BYTES * SLOTS), 0);
    return new HighWaterMark(file, syscalls, latest(kept ?? []).slot);
  }

  /** Moves the mark. When it rejects, what the file says is not known. */
  async write(mark: Mark): Promise<void> {
    const slot = (this.#slot + 1) % SLOTS;
    const bytes = Buffer.from(renderSlot(mark));
    const written = await this.#syscalls.write(this.#file, bytes, slot * SLOT_BYTES);
    if (written !== bytes.length) throw new WritError('INTERNAL', 'the mark was written in part');
    this.#slot = slot;
  }

  async sync(): Promise<void> {
    await this.#syscalls.sync(this.#file);
  }

  /** Whether the last mark reaches the disk does not matter here: an older one is only less strict. */
  async close(): Promise<void> {
    await this.sync().catch(() => undefined);
    await this.#file.close();
  }
}

/** The mark in `path`; undefined when there is none. JOURNAL_CORRUPT when there was one and no slot is readable. */
export async function readMark(path: string): Promise<Mark | undefined> {
  const slots = await readSlots(path);
  const { mark } = latest(slots ?? []);
  if (mark === undefined && slots?.some((slot) => slot.trim() !== '') === true)
    throw new WritError('JOURNAL_CORRUPT', `the journal's mark ${path} is damaged; nothing was changed`);
  return mark;
}

async function readSlots(path: string): Promise<readonly string[] | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SLOT_BYTES * SLOTS), 0, SLOT_BYTES * SLOTS, 0);
    const text = buffer.toString('latin1', 0, bytesRead);
    return [text.slice(0, SLOT_BYTES), text.slice(SLOT_BYTES)];
  } finally {
    await file.close();
  }
}

function latest(slots: readonly string[]): { readonly mark: Mark | undefined; readonly slot: number } {
  let best: { mark: Mark | undefined; slot: number } = { mark: undefined, slot: SLOTS - 1 };
  for (const [slot, text] of slots.entries()) {
    const mark = parseSlot(text);
    if (mark === undefined) continue;
    if (best.mark === undefined || comparePositions(mark.position, best.mark.position) > 0)
      best = { mark, slot };
  }
  return best;
}

function renderSlot({ position, chain }: Mark): string {
  const at = renderPosition(position);
  const text = `{"chain":"${chain}","position":"${at}","sum":"${sumOf(chain, at)}"}`;
  return `${text.padEnd(SLOT_BYTES - 1)}\n`;
}

function parseSlot(text: string): Mark | undefined {
  const match = SLOT.exec(text);
  if (match === null) return undefined;
  const [, chain = '', at = '', sum] = match;
  return sum === sumOf(chain, at) ? { chain, position: parsePosition(at) } : undefined;
}

function sumOf(chain: string, at: string): string {
  return sha1Hex(`${at} ${chain}`);
}
