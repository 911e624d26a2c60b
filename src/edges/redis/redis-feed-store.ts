/**
 * The feed in Redis, shared by a fleet. Each call is one function there (functions.lua), which Redis runs alone: that is
 * the whole of its atomicity. Three connections: renewals, appends and readings, and the blocking read that only brings
 * news early. What the server says is taken apart in reply.ts; whether it is true is checked by who applies it.
 */
import { readFile } from 'node:fs/promises';
import type { Entry, FeedLine, SealedEntry } from '../../feed/entry.ts';
import type {
  AppendReply,
  EpochReport,
  FeedStore,
  OpenEpochReply,
  OpenEpochRequest,
  RenewReply,
  RenewRequest,
  RestoreReply,
  RestoreRequest,
  Roster,
  Snapshot,
  StoreFacts,
} from '../../feed/feed-store.ts';
import type { Position } from '../../feed/position.ts';
import { ORIGIN, comparePositions, renderPosition } from '../../feed/position.ts';
import { WritError } from '../../kernel/error.ts';
import type { Reply } from './connection.ts';
import { CommandFailure, Connection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { FeedWatch } from './feed-watch.ts';
import {
  broken,
  chainOf,
  linesOf,
  listOf,
  positionOf,
  renderReport,
  reportOf,
  rowsOf,
  snapshotHeadOf,
  textOf,
} from './reply.ts';
import { readServer } from './server-facts.ts';

export interface RedisFeedOptions {
  readonly server: Omit<ConnectionOptions, 'name' | 'callMs'>;
  readonly fleet: string;
  readonly replica: string;
  /** How long one command may take. */
  readonly callMs?: number;
}

const CALL_MS = 2_000;
const FUNCTIONS = new URL('./functions.lua', import.meta.url);

/** The functions' names carry their version: replicas of two versions may share one server. */
const PREFIX = 'writ1_';

type StoreCode = 'STORE_UNREACHABLE' | 'APPEND_UNCERTAIN';

export class RedisFeedStore implements FeedStore {
  readonly #base: string;
  readonly #renewing: Connection;
  readonly #asking: Connection;
  readonly #watch: FeedWatch;
  #head: Position = ORIGIN;

  constructor({ server, fleet, replica, callMs = CALL_MS }: RedisFeedOptions) {
    this.#base = `{writ:${fleet}}`;
    const connection = (what: string): Connection =>
      new Connection({ ...server, name: `writ:${replica}:${what}`, callMs });
    this.#renewing = connection('renew');
    this.#asking = connection('append');
    this.#watch = new FeedWatch(connection('feed'));
  }

  async open(): Promise<StoreFacts> {
    await this.#attempt('STORE_UNREACHABLE', async () => {
      await Promise.all([this.#renewing.connect(), this.#asking.connect()]);
    });
    await this.#watch.open(`${this.#base}:news`);
    const durability = await this.#attempt('STORE_UNREACHABLE', () => readServer(this.#asking));
    const { runId, head } = await this.roster();
    this.#note(head);
    return { runId, exclusive: false, durability };
  }

  async renew(request: RenewRequest): Promise<RenewReply> {
    const { incarnation, epochId, position, chain, nonces, acknowledgement = '', limit } = request;
    const at = renderPosition(position);
    const args = [incarnation, epochId, at, chain, nonces.join(' '), acknowledgement, String(limit)];
    const [kind, ...rest] = listOf(
      await this.#call('renew', args, 'STORE_UNREACHABLE', this.#renewing),
      'a renewal',
    );
    switch (kind) {
      case 'closed': {
        const open = textOf(rest[0], 'an epoch');
        return { kind: 'closed', epochId: open === '' ? undefined : open };
      }
      case 'stale':
        return { kind: 'stale', reason: reasonOf(rest[0]) };
      case 'more':
      case 'lease': {
        const head = this.#note(positionOf(rest[0]));
        const lines = await linesOf(rest[1]);
        return kind === 'more' ? { kind, head, lines } : { kind, head, lines, rows: rowsOf(rest[2]) };
      }
      default:
        throw broken('a renewal');
    }
  }

  async append(epochId: string, { entry, text }: SealedEntry): Promise<AppendReply> {
    if (entry.kind === 'epoch') throw new WritError('INTERNAL', 'an epoch is opened, not appended');
    const reply = listOf(
      await this.#call('append', [epochId, entry.id, text, ...admissionOf(entry)], 'APPEND_UNCERTAIN'),
      'an append',
    );
    if (reply[0] === 'closed') throw new WritError('EPOCH_CLOSED', 'that epoch is not the open one');
    const position = this.#note(positionOf(reply[1]));
    const [chain, runId] = [chainOf(reply[2]), textOf(reply[3], 'a run')];
    return { position, chain, epochId, runId, duplicate: reply[4] === '1' };
  }

  async openEpoch({
    closedEpochId,
    runId,
    epochS,
    sealed,
    restored,
  }: OpenEpochRequest): Promise<OpenEpochReply> {
    const { entry, text } = sealed;
    if (entry.kind !== 'epoch' || entry.runId !== runId || entry.epochId === closedEpochId)
      throw new WritError('INTERNAL', 'that entry opens no epoch of this run');
    const copy =
      restored === undefined
        ? ['', '', '']
        : [restored.copy, renderPosition(restored.position), restored.chain];
    const args = [closedEpochId ?? '', runId, String(epochS), entry.epochId, text, ...copy];
    const reply = listOf(await this.#call('open_epoch', args, 'APPEND_UNCERTAIN'), 'an opening');
    if (reply[0] === 'lost') return { kind: 'lost' };
    return { kind: 'opened', position: this.#note(positionOf(reply[1])), chain: chainOf(reply[2]) };
  }

  async restore({ runId, closedEpochId, copy, lines, begins }: RestoreRequest): Promise<RestoreReply> {
    const args = [runId, closedEpochId ?? '', copy === 'current' ? '' : copy];
    const reply = listOf(
      await this.#call(
        'restore',
        [...args, ...lines.flatMap((line, i) => restoredLine(line, i === 0 ? begins : undefined))],
        'STORE_UNREACHABLE',
      ),
      'a restored copy',
    );
    const [kind] = reply;
    if (kind === 'lost' || kind === 'other') return { kind };
    const head = {
      copy: textOf(reply[1], 'a copy'),
      epochId: textOf(reply[4], 'an epoch') || undefined,
      position: positionOf(reply[2]),
      chain: chainOf(reply[3]),
    };
    return { kind: 'restored', head };
  }

  async wake(after: Position, signal: AbortSignal): Promise<void> {
    if (signal.aborted || comparePositions(this.#head, after) > 0) return;
    await this.#watch.wait(signal);
  }

  async roster(at?: Position): Promise<Roster> {
    const args = [at === undefined ? '' : renderPosition(at)];
    const reply = listOf(await this.#call('roster', args, 'STORE_UNREACHABLE'), 'a roster');
    const [open, closed, runId] = reply.slice(0, 3).map((text) => textOf(text, 'a roster'));
    const head = this.#note(positionOf(reply[3]));
    const text = textOf(reply[6], 'a roster');
    const [line] =
      text === '' || at === undefined ? [] : await linesOf([renderPosition(at), reply[5] ?? '', text]);
    return {
      epochId: open === '' ? undefined : open,
      closedEpochId: closed === '' ? undefined : closed,
      runId: runId ?? '',
      head,
      rows: rowsOf(reply[4]),
      line,
    };
  }

  async report(report: EpochReport): Promise<readonly EpochReport[]> {
    const { incarnation, closedEpochId, runId } = report;
    const args = [incarnation, closedEpochId, runId, renderReport(report)];
    return listOf(await this.#call('report', args, 'STORE_UNREACHABLE'), 'reports').map(reportOf);
  }

  async readSnapshot(): Promise<Snapshot | undefined> {
    for (let tries = 0; tries < SNAPSHOT_TRIES; tries++) {
      const head = snapshotHeadOf(await this.#readSnapshot('', ''));
      if (head === undefined) return undefined;
      const { count, ...snapshot } = head;
      const chunks: Buffer[] = [];
      while (chunks.length < count) {
        const page = await this.#readSnapshot(snapshot.digest, String(chunks.length + 1));
        // Another one has taken its place meanwhile.
        if (page.length === 0) break;
        chunks.push(...page);
      }
      if (chunks.length === count) return { ...snapshot, chunks };
    }
    throw broken('a snapshot');
  }

  async writeSnapshot({ epochId, position, digest, entry, chunks }: Snapshot): Promise<void> {
    for (const { first, page } of pagesOf(chunks))
      await this.#call('stage_snapshot', [digest, String(first), ...page], 'STORE_UNREACHABLE');
    const head = [epochId, renderPosition(position), digest, entry, String(chunks.length)];
    await this.#call('write_snapshot', head, 'STORE_UNREACHABLE');
  }

  async trim({ position, digest }: Pick<Snapshot, 'position' | 'digest'>, keep: number): Promise<void> {
    await this.#call('trim', [renderPosition(position), digest, String(keep)], 'STORE_UNREACHABLE');
  }

  async close(): Promise<void> {
    this.#watch.close();
    this.#renewing.close();
    this.#asking.close();
    return Promise.resolve();
  }

  /** The furthest that was ever seen: only for waking. */
  #note(head: Position): Position {
    if (comparePositions(head, this.#head) > 0) this.#head = head;
    return head;
  }

  #readSnapshot(digest: string, from: string): Promise<readonly Buffer[]> {
    const command = ['FCALL_RO', `${PREFIX}read_snapshot`, '1', this.#base, digest, from] as const;
    return this.#attempt('STORE_UNREACHABLE', () =>
      this.#withFunctions(() => this.#asking.callBuffers(command)),
    );
  }

  #call(
    name: string,
    args: readonly (string | Buffer)[],
    lost: StoreCode,
    connection: Connection = this.#asking,
  ): Promise<Reply> {
    const command = name === 'roster' ? 'FCALL_RO' : 'FCALL';
    return this.#attempt(lost, () =>
      this.#withFunctions(() => connection.call([command, PREFIX + name, '1', this.#base, ...args])),
    );
  }

  /** An erased store has lost the functions too. Nothing was done by a function that is not there. */
  async #withFunctions<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof CommandFailure) || !/Function not found/i.test(error.message)) throw error;
      await this.#asking.call(['FUNCTION', 'LOAD', 'REPLACE', await readFile(FUNCTIONS, 'utf8')]);
      return await call();
    }
  }

  async #attempt<T>(lost: StoreCode, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw error instanceof CommandFailure ? explain(error, lost) : error;
    }
  }
}

/** What a server says before it runs a function at all. */
const BEFORE =
  /^(NOREPLICAS|OOM|READONLY|NOPERM|NOAUTH|WRONGPASS|LOADING|BUSY|MISCONF|MASTERDOWN|WRIT|ERR Function not found)/;

function explain({ kind, message, cause }: CommandFailure, lost: StoreCode): WritError {
  const isUndone = kind === 'unsent' || (kind === 'refused' && BEFORE.test(message));
  const said = kind === 'refused' ? `Redis refuses: ${message.slice(0, 200)}` : message;
  return new WritError(isUndone ? 'STORE_UNREACHABLE' : lost, said, { cause });
}

/** Of a snapshot that is replaced while it is read. */
const SNAPSHOT_TRIES = 3;
/** Of a snapshot in one command. */
const PAGE_BYTES = 4 * 1024 * 1024;

interface Page {
  /** From 1. */
  readonly first: number;
  readonly page: readonly Buffer[];
}

function pagesOf(chunks: readonly Uint8Array[]): readonly Page[] {
  const pages: { first: number; page: Buffer[] }[] = [];
  let bytes = PAGE_BYTES;
  for (const [i, chunk] of chunks.entries()) {
    if (bytes >= PAGE_BYTES) {
      pages.push({ first: i + 1, page: [] });
      bytes = 0;
    }
    pages.at(-1)?.page.push(Buffer.from(chunk));
    bytes += chunk.length;
  }
  return pages;
}

/** What a function has to know of an entry, which it does not parse. */
function admissionOf(entry: Entry): readonly [string, string, string] {
  if (entry.kind !== 'replica') return ['', '', ''];
  return [entry.event, entry.incarnation, entry.succeeds ?? '-'];
}

function restoredLine({ position, chain, sealed }: FeedLine, begins = ''): readonly string[] {
  const { entry, text } = sealed;
  const opens = entry.kind === 'epoch' ? entry.epochId : begins;
  return [renderPosition(position), chain, text, ...admissionOf(entry), opens];
}

const REASONS = ['cloned', 'forgotten', 'unknown', 'awaiting', 'diverged', 'trimmed'] as const;

function reasonOf(reply: Reply | undefined): (typeof REASONS)[number] {
  return REASONS.find((reason) => reason === reply) ?? 'diverged';
}
