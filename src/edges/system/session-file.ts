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

export class SessionFile implements SessionStore {
  readonly #path: string;
  readonly #fd: number;
  readonly restored: readonly SessionRecord[];

  /** Reads what an earlier run left open and begins a new file with just that. */
  constructor(dataDir: string, fingerprinter: Fingerprinter, log: Log) {
    this.#path = join(dataDir, 'sessions.jsonl');
    this.restored = readRecords(this.#path, fingerprinter, log);
    const aside = `${this.#path}.tmp`;
    writeFileSync(aside, this.restored.map(renderOpened).join(''), { mode: 0o600 });
    renameSync(aside, this.#path);
    this.#fd = openSync(this.#path, 'a', 0o600);
  }

  /** STORE_UNREACHABLE when it cannot be written: then the session must not begin. */
  opened(record: SessionRecord): void {
    this.#write(renderOpened(record));
  }

  /** What cannot be written here makes a later run kill a session that has ended already: harmless. */
  ended(ref: SessionRef): void {
    try {
      this.#write(`${JSON.stringify({ ended: ref })}\n`);
    } catch {
      return;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(text: string): void {
    try {
      writeSync(this.#fd, text);
    } catch (cause) {
      throw new WritError('STORE_UNREACHABLE', 'the session cannot be put on disk', {
        cause,
        retryAfterS: 1,
      });
    }
  }
}

function renderOpened({ handles, ...record }: SessionRecord): string {
  return `${JSON.stringify({ opened: { ...record, handles: handles.handles } })}\n`;
}

function readRecords(path: string, fingerprinter: Fingerprinter, log: Log): SessionRecord[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  const open = new Map<string, SessionRecord>();
  for (const one of text.split('\n')) {
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
  return [...open.values()];
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
