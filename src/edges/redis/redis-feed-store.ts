/**
 * The feed in Redis, shared by a fleet. Each call is one function there (functions.lua), which Redis runs alone: that is
 * the whole of its atomicity. Three connections: renewals, appends and readings, and the blocking read that only brings
 * news early. What the server says is taken apart in reply.ts; whether it is true is checked by who applies it.
 */
import { randomUUID } from 'node:crypto';
import type { Entry, FeedLine, SealedEntry } from '../../feed/entry.ts';
import { forgottenIn } from '../../feed/entry.ts';
import type {
  AppendReply,
  EpochReport,
  FeedStore,
  ForgetReply,
  ForgetRequest,
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
import { hmacSha256, lengthPrefixed, toBase64Url } from '../../kernel/digest.ts';
import { WritError, isWritError } from '../../kernel/error.ts';
import type { Log } from '../../kernel/log.ts';
import type { Reply } from './connection.ts';
import type { ServerAddress } from './connection.ts';
import { Connection } from './connection.ts';
import type { StoreCode } from './failure.ts';
import { CommandFailure, explain } from './failure.ts';
import { FeedWatch } from './feed-watch.ts';
import { LIBRARY, ensureFunctions } from './functions.ts';
import { patienceOf } from './patience.ts';
import {
  answerTo,
  broken,
  buffersOf,
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
import type { SnapshotHead } from './reply.ts';
import type { ServerFacts } from './server-facts.ts';
import { COUNTING_S, lifetimeOf, readServer } from './server-facts.ts';

export interface RedisFeedOptions {
  readonly server: ServerAddress;
  /** Another server may take its place. */
  readonly failover?: boolean;
  readonly log?: Log;
  readonly fleet: string;
  readonly replica: string;
  /** How long a lease is: a renewal that hangs must leave time for another one. */
  readonly leaseMs?: number;
  /**
   * The same on every replica, and nobody else's: by what it makes of an entry's id the functions know whether it is there
   * already. An id that can be foretold is taken by nobody who only has the store's credential.
   */
  readonly nameKey: Uint8Array;
  /** How long one command may take. */
  readonly callMs?: number;
}

export class RedisFeedStore implements FeedStore {
  readonly #base: string;
  readonly #nameKey: Uint8Array;
  readonly #renewing: Connection;
  readonly #asking: Connection;
  readonly #watch: FeedWatch;
  readonly #failover: boolean;
  readonly #log: Log | undefined;
  /** What the server was when this store was opened: what is promised since then. */
  #first: ServerFacts | undefined;
  /** The lifetime of the server that was judged last. */
  #judged: string | undefined;
  #head: Position = ORIGIN;

  constructor(options: RedisFeedOptions) {
    const { server, fleet, replica, nameKey, failover = false, log } = options;
    const { callMs, renewMs } = patienceOf(options);
    this.#base = `{writ:${fleet}}`;
    this.#nameKey = nameKey;
    this.#failover = failover;
    this.#log = log;
    const connection = (what: string, ms: number): Connection =>
      new Connection({ ...server, name: `writ:${replica}:${what}`, callMs: ms });
    this.#renewing = connection('renew', renewMs);
    this.#asking = connection('append', callMs);
    this.#watch = new FeedWatch(connection('feed', callMs));
  }

  async open(): Promise<StoreFacts> {
    await this.#attempt('STORE_UNREACHABLE', async () => {
      await Promise.all([this.#renewing.connect(), this.#asking.connect()]);
    });
    await this.#watch.open(`${this.#base}:news`);
    this.#first = await this.#examine();
    const { lifetime, durability, splitMs, weakened } = this.#first;
    this.#judged = lifetime;
    const { nextRunId: runId } = await this.roster();
    return { runId, exclusive: false, durability, splitMs, weakened };
  }

  async renew(request: RenewRequest): Promise<RenewReply> {
    const { incarnation, epochId, position, chain, nonces, acknowledgement = '', limit } = request;
    const { cursorEpochId = '' } = request;
    const at = [renderPosition(position), chain];
    this.#watch.heard.forget();
    const args = [
      incarnation,
      epochId,
      ...at,
      nonces.join(' '),
      acknowledgement,
      String(limit),
      cursorEpochId,
    ];
    const parse = (reply: Reply): Promise<RenewReply> => this.#renewed(reply, limit);
    return this.#call('renew', args, 'STORE_UNREACHABLE', parse, this.#renewing);
  }

  async #renewed(reply: Reply, limit: number): Promise<RenewReply> {
    const [kind, ...rest] = listOf(reply, 'a renewal');
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
        const lines = await linesOf(rest[1], limit);
        if (kind === 'more' && rest.length === 2) return { kind, head, lines };
        const granted = { rows: rowsOf(rest[2]), runId: textOf(rest[3], 'a run') };
        return kind === 'lease' ? { kind, head, lines, ...granted } : { kind, head, lines, granted };
      }
      default:
        throw broken('a renewal');
    }
  }

  async append(epochId: string, { entry, text }: SealedEntry): Promise<AppendReply> {
    if (entry.kind === 'epoch') throw new WritError('INTERNAL', 'an epoch is opened, not appended');
    const args = [epochId, this.#nameOf(entry), text, ...admissionOf(entry)];
    return this.#call('append', args, 'APPEND_UNCERTAIN', (reply) => {
      const [kind, at, chain, runId, duplicate] = listOf(reply, 'an append');
      if (kind === 'closed') throw new WritError('EPOCH_CLOSED', 'that epoch is not the open one');
      const position = this.#note(positionOf(at));
      const place = { position, chain: chainOf(chain), epochId, runId: textOf(runId, 'a run') };
      return { ...place, duplicate: duplicate === '1' };
    });
  }

  async forget({ epochId, renewals, sealed }: ForgetRequest): Promise<ForgetReply> {
    const { entry, text } = sealed;
    forgottenIn(sealed);
    const args = [epochId, this.#nameOf(entry), text, ...admissionOf(entry), String(renewals)];
    return this.#call('forget', args, 'APPEND_UNCERTAIN', (reply) => {
      const [kind, at, chain] = listOf(reply, 'a forgetting');
      if (kind === 'closed') throw new WritError('EPOCH_CLOSED', 'that epoch is not the open one');
      if (kind === 'lost') return { kind };
      return { kind: 'forgotten', position: this.#note(positionOf(at)), chain: chainOf(chain) };
    });
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
        : [copyArg(restored.copy), renderPosition(restored.position), restored.chain];
    const args = [closedEpochId ?? '', runId, String(epochS), entry.epochId, text, ...copy];
    return this.#call('open_epoch', args, 'APPEND_UNCERTAIN', (reply) => {
      const [kind, at, chain] = listOf(reply, 'an opening');
      if (kind === 'lost') return { kind };
      return { kind: 'opened', position: this.#note(positionOf(at)), chain: chainOf(chain) };
    });
  }

  async restore(request: RestoreRequest): Promise<RestoreReply> {
    const { runId, closedEpochId = '', copy, lines, begins, after, limit } = request;
    const args = [runId, closedEpochId, copyArg(copy), renderPosition(after), String(limit)];
    args.push(...lines.flatMap((line, i) => restoredLine(line, i === 0 ? begins : undefined)));
    return this.#call('restore', args, 'STORE_UNREACHABLE', async (reply) => {
      const [kind, copyName, at, chain, epochId, newer] = listOf(reply, 'a restored copy');
      if (kind === 'lost' || kind === 'other') return { kind };
      const head = {
        copy: textOf(copyName, 'a copy'),
        epochId: textOf(epochId, 'an epoch') || undefined,
        position: positionOf(at),
        chain: chainOf(chain),
      };
      return { kind: 'restored', head, newer: await linesOf(newer, limit) };
    });
  }

  /** The furthest place of the epoch that was seen last. A hint. */
  get head(): Position {
    return this.#head;
  }

  /** Whether the feed may have grown past `after`. A hint. */
  hasGrown(after: Position): boolean {
    return this.#watch.heard.isAfter(after) || comparePositions(this.#head, after) > 0;
  }

  /** `onGrown` at each of the news, with the place that it is about. */
  onGrown(onGrown: (at: Position | undefined) => void): void {
    this.#watch.onGrown(onGrown);
  }

  async wake(after: Position, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.hasGrown(after)) return;
    await this.#watch.wait(signal);
  }

  async roster(at?: Position): Promise<Roster> {
    const args = [at === undefined ? '' : renderPosition(at)];
    return this.#call('roster', args, 'STORE_UNREACHABLE', (reply) => this.#rosterOf(reply, at));
  }

  async #rosterOf(answer: Reply, at: Position | undefined): Promise<Roster> {
    const reply = listOf(answer, 'a roster');
    const [open, closed, runId = ''] = reply.slice(0, 3).map((text) => textOf(text, 'a roster'));
    const lifetime = lifetimeOf(runId);
    if (lifetime !== this.#judged) await this.#examineAgain(lifetime);
    const head = this.#note(positionOf(reply[3]));
    const text = textOf(reply[6], 'a roster');
    const isThere = text !== '' && at !== undefined;
    return {
      epochId: open === '' ? undefined : open,
      closedEpochId: closed === '' ? undefined : closed,
      runId,
      nextRunId: textOf(reply[7], 'a roster'),
      head,
      rows: rowsOf(reply[4]),
      line: isThere ? { position: at, chain: chainOf(reply[5]), text } : undefined,
    };
  }

  async report(report: EpochReport): Promise<readonly EpochReport[]> {
    const { incarnation, closedEpochId, runId } = report;
    const args = [incarnation, closedEpochId, runId, renderReport(report)];
    const kept = await this.#call('report', args, 'STORE_UNREACHABLE', (reply) => listOf(reply, 'reports'));
    const reports = kept.flatMap((one) => reportOf(one) ?? []);
    if (reports.length < kept.length)
      this.#log?.warn('what is no report stands among the reports in the store');
    return reports;
  }

  async readSnapshot(): Promise<Snapshot | undefined> {
    for (let tries = 0; tries < SNAPSHOT_TRIES; tries++) {
      const head = await this.#snapshotHead();
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
    throw explain(broken('a snapshot'), 'STORE_UNREACHABLE');
  }

  async writeSnapshot({ epochId, position, digest, entry, chunks }: Snapshot): Promise<void> {
    const kept = await this.#snapshotHead();
    // Whether it is newer is judged there, where what stands in the key is not all that is known.
    if (kept?.digest === digest && comparePositions(kept.position, position) === 0) return;
    for (const { first, page } of pagesOf(chunks))
      await this.#call('stage_snapshot', [digest, String(first), ...page], 'STORE_UNREACHABLE', ignore);
    const head = [epochId, renderPosition(position), digest, entry, String(chunks.length)];
    await this.#call('write_snapshot', head, 'STORE_UNREACHABLE', ignore);
  }

  async trim({ position, digest }: Pick<Snapshot, 'position' | 'digest'>, keep: number): Promise<void> {
    await this.#call('trim', [renderPosition(position), digest, String(keep)], 'STORE_UNREACHABLE', ignore);
  }

  async close(): Promise<void> {
    this.#watch.close();
    this.#renewing.close();
    this.#asking.close();
    return Promise.resolve();
  }

  /** The furthest of the epoch that was seen last, which may have a lower number than one that was lost: only for waking. */
  #note(head: Position): Position {
    if (head.epoch !== this.#head.epoch || comparePositions(head, this.#head) > 0) this.#head = head;
    return head;
  }

  /** The functions keep it in memory, and show it to nobody. */
  #nameOf({ id }: Entry): string {
    return toBase64Url(hmacSha256(this.#nameKey, lengthPrefixed([id])).subarray(0, 16));
  }

  async #snapshotHead(): Promise<SnapshotHead | undefined> {
    return snapshotHeadOf(await this.#readSnapshot('', ''));
  }

  #readSnapshot(digest: string, from: string): Promise<readonly Buffer[]> {
    const tag = randomUUID();
    const command = ['FCALL_RO', `${LIBRARY}_read_snapshot`, '1', this.#base, tag, digest, from] as const;
    return this.#attempt('STORE_UNREACHABLE', () =>
      this.#withFunctions(async () =>
        buffersOf(this.#answer(tag, await this.#asking.callBuffers(command), this.#asking)),
      ),
    );
  }

  /**
   * Calls one function; `parse` takes its answer apart. `lost`: what it is when nobody knows whether it was carried out,
   * because there is no answer, or none that it can have given.
   */
  #call<T>(
    name: string,
    args: readonly (string | Buffer)[],
    lost: StoreCode,
    parse: (reply: Reply) => T | Promise<T>,
    connection: Connection = this.#asking,
  ): Promise<T> {
    const tag = randomUUID();
    const command = ['FCALL', `${LIBRARY}_${name}`, '1', this.#base, tag, ...args] as const;
    return this.#attempt(lost, () =>
      this.#withFunctions(async () => parse(this.#answer(tag, await connection.call(command), connection))),
    );
  }

  /** One that is out of step, or made up: whatever comes after it answers nothing either. */
  #answer<Text>(tag: string, reply: Reply<Text>, connection: Connection): Reply<Text> {
    try {
      return answerTo(tag, reply);
    } catch (error) {
      connection.renew();
      throw error;
    }
  }

  /** An erased store has lost the functions too. Nothing was done by a function that is not there. */
  async #withFunctions<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof CommandFailure) || !/Function not found/i.test(error.message)) throw error;
      await unavailable(() => ensureFunctions(this.#asking));
      return await call();
    }
  }

  /** Judges this lifetime of the server: CONFIG_INVALID for one under which promises would be lies. */
  #examine(): Promise<ServerFacts> {
    return this.#attempt('STORE_UNREACHABLE', async () => {
      const facts = await readServer(this.#asking, this.#failover);
      if ((await ensureFunctions(this.#asking)) === 'other')
        this.#log?.warn('the functions in the store were those of another build, and were replaced');
      return facts;
    });
  }

  /** After a restart or a failover: nothing is read out of a server that is not judged, or weaker than the first one. */
  async #examineAgain(lifetime: string): Promise<void> {
    const now = await unavailable(() => this.#examine());
    if (now.lifetime !== lifetime)
      throw new WritError('STORE_UNREACHABLE', 'the Redis has just become another one');
    const less = this.#first === undefined ? '' : lessOf(now, this.#first);
    if (less !== '')
      throw new WritError(
        'STORE_UNREACHABLE',
        `this Redis promises less than the one with which this replica was started (${less}): set it as it was, or start the replica again to go on with less`,
      );
    this.#judged = lifetime;
  }

  async #attempt<T>(lost: StoreCode, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof CommandFailure)) throw error;
      // A server that does not answer on one connection has nothing to say on the one that only listens.
      if (error.kind === 'lost') this.#watch.renew();
      throw explain(error, lost);
    }
  }
}

/** While running, what the server is not now it may be again. */
async function unavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isWritError(error, 'CONFIG_INVALID')) throw error;
    throw new WritError('STORE_UNREACHABLE', error.message, { cause: error });
  }
}

/** The settings, and the values that they had; empty where none is weaker. */
function lessOf(now: ServerFacts, first: ServerFacts): string {
  return [
    ...(first.durability === 'durable' && now.durability !== 'durable'
      ? ['appendonly must be yes and appendfsync always']
      : []),
    ...(now.splitMs > first.splitMs
      ? [`min-replicas-max-lag must be ${first.splitMs / 1000 - COUNTING_S} at most`]
      : []),
  ].join(', ');
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
function admissionOf(entry: Entry): readonly [string, string] {
  return entry.kind === 'replica' ? [entry.event, entry.incarnation] : ['', ''];
}

function copyArg(copy: string): string {
  return copy === 'current' ? '' : copy;
}

function restoredLine({ position, chain, sealed }: FeedLine, begins = ''): readonly string[] {
  const { entry, text } = sealed;
  const opens = entry.kind === 'epoch' ? entry.epochId : begins;
  return [renderPosition(position), chain, text, ...admissionOf(entry), opens];
}

/** Of what nobody waits for but that it is done. */
const ignore = (): undefined => undefined;

const REASONS = ['cloned', 'forgotten', 'unknown', 'trimmed'] as const;

function reasonOf(reply: Reply | undefined): (typeof REASONS)[number] {
  return REASONS.find((reason) => reason === reply) ?? 'unknown';
}
