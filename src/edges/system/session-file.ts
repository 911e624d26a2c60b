/**
 * Live sessions on disk, so that a replica that was killed can still kill what it let in: JSON lines, appended before
 * a session is answered. Not fsynced: it has to survive the process, and a machine that dies takes its holders along.
 * Holds digests and handles, never a session id and never a credential.
 */
import { closeSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import type { Fingerprinter, Handle } from '../../credential/handle.ts';
import { WritError } from '../../kernel/error.ts';
import type { Log } from '../../kernel/log.ts';
import type { SessionRecord, SessionRef, SessionStore } from '../../session/session.ts';
import { causeCode } from './files.ts';

const opened = z.object({
  ref: z.string(),
  kind: z.string(),
  subject: z.string(),
  handles: z.array(z.object({ kind: z.string(), parts: z.array(z.string()) })),
  issuedAtS: z.number().optional(),
  expiresAtS: z.number().optional(),
  selfEnds: z.boolean(),
  openedAtMs: z.number(),
});
const line = z.union([z.object({ opened }), z.object({ ended: z.string() })]);

/** Below this many lines the file is not worth writing anew; above it, at most half of it is about what has ended. */
const COMPACT_AT_LINES = 10_000;

export class SessionFile implements SessionStore {
  readonly #path: string;
  readonly #open: Map<string, SessionRecord>;
  readonly restored: readonly SessionRecord[];
  #fd: number;
  #lines: number;
  /** Ends a line that was only written in part, so that it does not spoil the one after it. */
  #lead = '';

  /**
   * Reads what an earlier run left open and begins a new file with just that. INTERNAL when there is a file that
   * cannot be read: going on without it would forget sessions that can still be killed.
   */
  constructor(dataDir: string, fingerprinter: Fingerprinter, log: Log) {
    this.#path = join(dataDir, 'sessions.jsonl');
    this.#open = readRecords(this.#path, fingerprinter, log);
    this.restored = [...this.#open.values()];
    this.#fd = this.#begin();
    this.#lines = this.#open.size;
  }

  /** STORE_UNREACHABLE when it cannot be written: then the session must not begin. */
  opened(record: SessionRecord): void {
    this.#write(renderOpened(record));
    this.#open.set(record.ref, record);
  }

  /** What cannot be written here makes a later run kill a session that has ended already: harmless. */
  ended(ref: SessionRef): void {
    // One that never was on disk (refused, or it could not be written) has no end to write either.
    if (!this.#open.delete(ref)) return;
    try {
      this.#write(`${JSON.stringify({ ended: ref })}\n`);
      this.#compact();
    } catch {
      return;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(text: string): void {
    const bytes = Buffer.from(this.#lead + text);
    try {
      // A disk that runs full takes a part and says so only by the count.
      if (writeSync(this.#fd, bytes) < bytes.length) throw new Error('short write');
    } catch (cause) {
      this.#lead = '\n';
      throw new WritError('STORE_UNREACHABLE', 'the session cannot be put on disk', {
        cause,
        retryAfterS: 1,
      });
    }
    this.#lead = '';
    this.#lines += 1;
  }

  /** The file is as long as what is open asks for, however many sessions come and go. */
  #compact(): void {
    if (this.#lines < COMPACT_AT_LINES || this.#lines < 2 * this.#open.size) return;
    const before = this.#fd;
    this.#fd = this.#begin();
    this.#lines = this.#open.size;
    closeSync(before);
  }

  /** Writes what is open aside and puts it in place, opened for appending. */
  #begin(): number {
    const aside = `${this.#path}.tmp`;
    writeFileSync(aside, this.#open.values().map(renderOpened).toArray().join(''), { mode: 0o600 });
    const fd = openSync(aside, 'a', 0o600);
    renameSync(aside, this.#path);
    return fd;
  }
}

function renderOpened({ handles, ...record }: SessionRecord): string {
  return `${JSON.stringify({ opened: { ...record, handles: handles.handles } })}\n`;
}

function readRecords(path: string, fingerprinter: Fingerprinter, log: Log): Map<string, SessionRecord> {
  const open = new Map<string, SessionRecord>();
  for (const one of readText(path).split('\n')) {
    if (one === '') continue;
    const parsed = line.safeParse(parseOr(one));
    if (!parsed.success)
      log.warn('a line of the session file is damaged and was passed over', { file: path });
    else if ('ended' in parsed.data) open.delete(parsed.data.ended);
    else {
      const { handles, ref, issuedAtS, expiresAtS, ...record } = parsed.data.opened;
      const printed = fingerprinter.print(handles as Handle[]);
      open.set(ref, { ...record, ref: ref as SessionRef, issuedAtS, expiresAtS, handles: printed });
    }
  }
  return open;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (causeCode(cause) === 'ENOENT') return '';
    throw new WritError('INTERNAL', `${path} cannot be read (${causeCode(cause)})`, { cause });
  }
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
