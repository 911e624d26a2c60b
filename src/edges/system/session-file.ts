/**
 * Live sessions on disk, so that a replica that was killed can still kill what it let in: JSON lines, appended before
 * a session is answered. That survives the process, and a machine that dies takes its holders along; fsynced only before it is
 * acknowledged that a kill has reached some.
 * Holds digests, handles and what each session was decided on (verified claims, request), never a session id and never
 * a credential.
 */
import { closeSync, fsync as fsyncCalled, fsyncSync, openSync } from 'node:fs';
import { readSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { promisify } from 'node:util';
import * as z from 'zod';
import type { Fingerprinter, Handle } from '../../credential/handle.ts';
import { WritError } from '../../kernel/error.ts';
import type { Log } from '../../kernel/log.ts';
import type { KillEvent, SessionRecord, SessionRef, SessionStore } from '../../session/session.ts';
import { KILL_REASONS } from '../../session/session.ts';
import { causeCode, syncDirectory } from './files.ts';

const told = z
  .object({ reason: z.enum(KILL_REASONS), revocation: z.string().optional(), position: z.string() })
  .transform(({ revocation, ...rest }): KillEvent =>
    revocation === undefined ? rest : { ...rest, revocation },
  );

const opened = z.object({
  ref: z.string(),
  kind: z.string(),
  subject: z.string(),
  handles: z.array(z.object({ kind: z.string(), parts: z.array(z.string()) })),
  issuedAtS: z.number().optional(),
  expiresAtS: z.number().optional(),
  selfEnds: z.boolean(),
  openedAtMs: z.number(),
  actor: z.string().optional(),
  grounds: z.object({ request: z.string(), credential: z.string() }).optional(),
  told: told.optional(),
});
const counts = z.record(z.string(), z.int().min(1));
const line = z.union([
  z.object({ opened, leaseMs: z.number().optional() }),
  z.object({ told: z.string(), event: told }),
  z.strictObject({ ended: z.string().optional(), lost: counts.optional(), killed: counts.optional() }),
]);

const fsync = promisify(fsyncCalled);

/** Of a line that does not say it: the longest that a configuration may give. */
const LEASE_MS_MAX = 60_000;

/** Below this many lines the file is not worth writing anew; above it, at most half of it is about what has ended. */
const COMPACT_AT_LINES = 10_000;

/** Read and written at once. */
const PART_CHARS = 1024 * 1024;

export class SessionFile implements SessionStore {
  readonly #path: string;
  readonly #open: Map<string, SessionRecord>;
  readonly restored: readonly SessionRecord[];
  /**
   * The longest lease of any run that let in a session which is still open: a holder keeps to what it was told then,
   * however short the lease is now.
   */
  readonly holderLeaseMs: number;
  #fd: number;
  #lines: number;
  /** Not known to survive the machine. */
  #isDirty = false;
  #hasFailed = false;
  /** Something was acknowledged on the strength of what is in it: a new file takes its place only when it is on disk too. */
  #isVouchedFor: boolean;
  /** Ends a line that was only written in part, so that it does not spoil the one after it. */
  #lead = '';
  readonly #tellings: string[] = [];
  readonly #lost: Map<string, number>;
  readonly #killed: Map<string, number>;

  /**
   * Reads what an earlier run left open and begins a new file with just that. INTERNAL when there is a file that
   * cannot be read: going on without it would forget sessions that can still be killed.
   */
  constructor(dataDir: string, fingerprinter: Fingerprinter, log: Log, leaseMs: number) {
    this.#path = join(dataDir, 'sessions.jsonl');
    const { open, lost, killed, longestLeaseMs } = readRecords(this.#path, fingerprinter, log);
    this.#open = open;
    this.#lost = lost;
    this.#killed = killed;
    this.holderLeaseMs = Math.max(leaseMs, longestLeaseMs);
    this.restored = [...this.#open.values()];
    this.#isVouchedFor = lost.size + killed.size + open.size > 0;
    this.#fd = this.#begin();
    this.#lines = this.#open.size;
  }

  /** STORE_UNREACHABLE when it cannot be written: then the session must not begin. What is there already costs nothing. */
  opened(record: SessionRecord): void {
    const before = this.#open.get(record.ref);
    const text = renderOpened(record, this.holderLeaseMs);
    if (before !== undefined && renderOpened(before, this.holderLeaseMs) === text) return;
    this.#write(text);
    this.#open.set(record.ref, record);
    this.#compact();
  }

  /**
   * In this turn, together with the others of it: a hundred thousand are told by one policy. Where it cannot be written, a
   * later run decides the session again.
   */
  told(ref: SessionRef, event: KillEvent): void {
    const record = this.#open.get(ref);
    if (record === undefined) return;
    this.#open.set(ref, { ...record, told: event });
    if (this.#tellings.length === 0) queueMicrotask(() => this.#writeTellings());
    this.#tellings.push(`${JSON.stringify({ told: ref, event })}\n`);
  }

  #writeTellings(): void {
    const tellings = this.#tellings.splice(0);
    if (tellings.length === 0) return;
    try {
      this.#write(tellings.join(''), tellings.length);
    } catch {
      // As above.
    }
  }

  /** What cannot be written here makes a later run kill a session that has ended already: harmless. */
  ended(ref: SessionRef, claims: readonly string[]): void {
    this.#close(ref, 'killed', claims);
  }

  /** As `ended`, in one line; where it cannot be written, a later run kills the session again. */
  lost(ref: SessionRef, claims: readonly string[]): void {
    this.#close(ref, 'lost', claims);
  }

  #close(ref: SessionRef, as: 'killed' | 'lost', claims: readonly string[]): void {
    // One that never was on disk (refused, or it could not be written) has no end to write either.
    if (!this.#open.delete(ref)) return;
    const all = as === 'lost' ? this.#lost : this.#killed;
    for (const claim of claims) all.set(claim, (all.get(claim) ?? 0) + 1);
    const counted =
      claims.length === 0 ? {} : { [as]: Object.fromEntries(claims.map((claim) => [claim, 1])) };
    try {
      this.#write(`${JSON.stringify({ ended: ref, ...counted })}\n`);
    } catch {
      return;
    }
    this.#compact();
  }

  /** What was written of it goes with the next compaction. */
  forgotten(claim: string): void {
    this.#lost.delete(claim);
    this.#killed.delete(claim);
  }

  /** By kill, how many sessions were let go without proof, and how many are proven to have ended. */
  *restoredCounts(): Generator<[string, { readonly lost: number; readonly killed: number }]> {
    for (const claim of new Set([...this.#lost.keys(), ...this.#killed.keys()]))
      yield [claim, { lost: this.#lost.get(claim) ?? 0, killed: this.#killed.get(claim) ?? 0 }];
  }

  async sync(): Promise<void> {
    this.#isVouchedFor = true;
    if (!this.#isDirty) return;
    try {
      // What a failed fsync has lost no second one brings back: all of it is written anew.
      if (this.#hasFailed) this.#replace();
      this.#isDirty = false;
      const fd = this.#fd;
      // Of one that is replaced meanwhile all is in the other, and that is on disk.
      await fsync(fd).catch((error: unknown) =>
        fd === this.#fd ? Promise.reject(error as Error) : undefined,
      );
      await syncDirectory(dirname(this.#path));
      this.#hasFailed = false;
    } catch (cause) {
      this.#isDirty = this.#hasFailed = true;
      throw new WritError('STORE_UNREACHABLE', 'the sessions cannot be put on disk', { cause });
    }
  }

  close(): void {
    this.#writeTellings();
    closeSync(this.#fd);
  }

  #write(text: string, lines = 1): void {
    const bytes = Buffer.from(this.#lead + text);
    try {
      // A disk that runs full takes a part and says so only by the count.
      if (writeSync(this.#fd, bytes) < bytes.length) throw new Error('short write');
    } catch (cause) {
      this.#lead = '\n';
      throw new WritError('STORE_UNREACHABLE', 'the session cannot be put on disk', { cause });
    }
    this.#lead = '';
    this.#isDirty = true;
    this.#lines += lines;
  }

  /**
   * The file is as long as what is open asks for, however many sessions come, go and are refreshed. Never throws: where
   * it cannot be written anew, the one there is goes on.
   */
  #compact(): void {
    if (this.#lines < COMPACT_AT_LINES || this.#lines < 2 * this.#open.size) return;
    // Also when it fails: a disk that is full is not asked again at every line.
    this.#lines = this.#open.size;
    try {
      this.#replace();
    } catch {
      // As above.
    }
  }

  #replace(): void {
    const before = this.#fd;
    this.#fd = this.#begin();
    closeSync(before);
  }

  /** Writes what is open aside and puts it in place, opened for appending. */
  #begin(): number {
    const aside = `${this.#path}.tmp`;
    writeFileSync(aside, '', { mode: 0o600 });
    const fd = openSync(aside, 'a', 0o600);
    try {
      this.#writeOpen(fd);
      if (this.#isVouchedFor) fsyncSync(fd);
      renameSync(aside, this.#path);
      this.#isDirty = true;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return fd;
  }

  #writeOpen(fd: number): void {
    const [lost, killed] = [this.#lost, this.#killed].map((all) => Object.fromEntries(all));
    let part = this.#lost.size + this.#killed.size === 0 ? '' : `${JSON.stringify({ lost, killed })}\n`;
    for (const record of this.#open.values()) {
      part += renderOpened(record, this.holderLeaseMs);
      // In parts: all sessions may be more than a string can hold.
      if (part.length < PART_CHARS) continue;
      writeFileSync(fd, part);
      part = '';
    }
    writeFileSync(fd, part);
  }
}

function renderOpened({ handles, ...record }: SessionRecord, leaseMs: number): string {
  return `${JSON.stringify({ opened: { ...record, handles: handles.handles }, leaseMs })}\n`;
}

interface Read {
  readonly open: Map<string, SessionRecord>;
  readonly lost: Map<string, number>;
  readonly killed: Map<string, number>;
  /** Of the runs that opened them; 0 when none is open. */
  readonly longestLeaseMs: number;
}

function readRecords(path: string, fingerprinter: Fingerprinter, log: Log): Read {
  const open = new Map<string, SessionRecord>();
  const lost = new Map<string, number>();
  const killed = new Map<string, number>();
  const leases = new Map<string, number>();
  // Sessions of one credential share its text, as they did before.
  const texts = new Map<string, string>();
  const shared = (text: string): string => texts.get(text) ?? (texts.set(text, text), text);
  for (const one of readLines(path)) {
    if (one === '') continue;
    const parsed = line.safeParse(parseOr(one));
    if (!parsed.success)
      log.warn('a line of the session file is damaged and was passed over', { file: path });
    else if ('told' in parsed.data) {
      const record = open.get(parsed.data.told);
      if (record !== undefined) open.set(record.ref, { ...record, told: parsed.data.event });
    } else if ('opened' in parsed.data) {
      const {
        handles,
        ref,
        issuedAtS,
        expiresAtS,
        actor,
        grounds,
        told: event,
        ...record
      } = parsed.data.opened;
      const printed = fingerprinter.print(handles as Handle[]);
      leases.set(ref, parsed.data.leaseMs ?? LEASE_MS_MAX);
      const credential = { issuedAtS, expiresAtS, handles: printed, actor };
      const kept = grounds && { request: grounds.request, credential: shared(grounds.credential) };
      const ending = event === undefined ? {} : { told: event };
      open.set(ref, { ...record, ref: ref as SessionRef, ...credential, grounds: kept, ...ending });
    } else {
      if (parsed.data.ended !== undefined) open.delete(parsed.data.ended);
      add(lost, parsed.data.lost);
      add(killed, parsed.data.killed);
    }
  }
  const longestLeaseMs = open.keys().reduce((longest, ref) => Math.max(longest, leases.get(ref) ?? 0), 0);
  return { open, lost, killed, longestLeaseMs };
}

function add(all: Map<string, number>, counted: Record<string, number> = {}): void {
  for (const [claim, count] of Object.entries(counted)) all.set(claim, (all.get(claim) ?? 0) + count);
}

/** In parts, as it is written. */
function* readLines(path: string): Generator<string> {
  const fd = openToRead(path);
  if (fd === undefined) return;
  const decoder = new StringDecoder('utf8');
  const buffer = Buffer.alloc(PART_CHARS);
  let rest = '';
  try {
    for (let bytes = readSync(fd, buffer); bytes > 0; bytes = readSync(fd, buffer)) {
      const lines = (rest + decoder.write(buffer.subarray(0, bytes))).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (cause) {
    throw unreadable(path, cause);
  } finally {
    closeSync(fd);
  }
  yield rest + decoder.end();
}

/** Undefined when there is no file. */
function openToRead(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    if (causeCode(cause) === 'ENOENT') return undefined;
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): WritError {
  return new WritError('INTERNAL', `${path} cannot be read (${causeCode(cause)})`, { cause });
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
