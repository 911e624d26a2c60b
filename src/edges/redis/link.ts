/**
 * The feed in Redis, by a thread of its own that has the connections (link-thread.ts): what arrives there is parsed, verified
 * and fingerprinted while this thread answers requests. What this thread does with it, and when, is the same as without.
 */
import { Worker } from 'node:worker_threads';
import type { SealedEntry } from '../../feed/entry.ts';
import type {
  AppendReply,
  EpochReport,
  FeedStore,
  ForgetReply,
  ForgetRequest,
  OpenEpochReply,
  OpenEpochRequest,
  PreparedRenewal,
  RenewReply,
  RenewRequest,
  RestoreReply,
  RestoreRequest,
  Roster,
  Snapshot,
  StoreFacts,
} from '../../feed/feed-store.ts';
import type { Position } from '../../feed/position.ts';
import { ORIGIN, comparePositions } from '../../feed/position.ts';
import { WritError } from '../../kernel/error.ts';
import { Growth } from '../../kernel/growth.ts';
import type { Log } from '../../kernel/log.ts';
import { turns } from '../../kernel/turns.ts';
import type { StoreCode } from './failure.ts';
import { Heard } from './feed-watch.ts';
import { hostMs } from './host-clock.ts';
import type { FromLink, LinkCalls, LinkOptions, SentError, SentPrepared, ToLink } from './link-messages.ts';
import { receiveLine, sendEntry, sendRestore } from './link-messages.ts';
import type { Patience } from './patience.ts';
import { patienceOf } from './patience.ts';

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: WritError) => void;
  deadline?: NodeJS.Timeout;
}

/** Each call has its deadline in the thread, which may hang: this much later it has failed all the same. */
const SLACK_MS = 1_000;

/** Of the calls that are not one command: how many deadlines theirs is. */
const COMMANDS: Partial<Record<keyof LinkCalls, number>> = {
  close: 0,
  open: 10,
  readSnapshot: 300,
  writeSnapshot: 300,
};

/** Nobody knows whether they were carried out. */
const WRITES: readonly (keyof LinkCalls)[] = ['append', 'forget', 'openEpoch'];

export class RedisLink implements FeedStore {
  readonly #worker: Worker;
  readonly #log: Log;
  readonly #waiting = new Map<number, Waiting>();
  readonly #growth = new Growth();
  readonly #heard = new Heard();
  readonly #patience: Patience;
  #head: Position = ORIGIN;
  #calls = 0;
  /** By how much the clock that all threads share is ahead of this one's, or a little more. */
  readonly #aheadMs = aheadMs();
  #isOver = false;

  /** `onFailed` hears when the thread has ended by itself: what is called then, and from then on, is STORE_BROKEN. */
  constructor(options: LinkOptions, log: Log, onFailed: (error: WritError) => void) {
    this.#log = log;
    this.#patience = patienceOf(options);
    this.#worker = new Worker(threadFile(), { workerData: options });
    this.#worker.on('message', (message: FromLink) => this.#take(message));
    this.#worker.on('error', (error) => {
      const detail = error instanceof Error && 'code' in error ? String(error.code) : 'unforeseen';
      log.error('the thread that has the link to the store has failed', { detail });
    });
    // Whatever it was: nothing is known of the store until this process restarts, and so nothing is allowed.
    this.#worker.on('exit', () => {
      const isUnforeseen = !this.#isOver;
      this.#end();
      if (isUnforeseen) onFailed(over());
    });
  }

  /** The thread may verify what `incarnation` signs, with `key` (base64url). */
  readonly knows = (incarnation: string, key: string): void => this.#post({ signs: [incarnation, key] });

  open(): Promise<StoreFacts> {
    return this.#call('open');
  }

  async renew(request: RenewRequest): Promise<RenewReply> {
    this.#heard.forget();
    return receiveRenewed(await this.#call('renew', request));
  }

  prepare(request: RenewRequest): PreparedRenewal {
    const { call, promise } = this.#expect<SentPrepared | undefined>();
    this.#post({ call, prepared: request });
    // It may fail before anybody takes it.
    promise.catch(() => undefined);
    return {
      take: async () => {
        this.#post({ taken: call });
        this.#limit(call, 'renew');
        const said = await promise;
        if (said === undefined) return undefined;
        this.#heard.forget();
        const { reply, hostMs, wallMs } = said;
        return { reply: receiveRenewed(reply), sent: { monoMs: hostMs - this.#aheadMs, wallMs } };
      },
    };
  }

  append(epochId: string, sealed: SealedEntry): Promise<AppendReply> {
    return this.#call('append', epochId, sendEntry(sealed));
  }

  forget(request: ForgetRequest): Promise<ForgetReply> {
    return this.#call('forget', request);
  }

  async wake(after: Position, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#heard.isAfter(after) || comparePositions(this.#head, after) > 0) return;
    await this.#growth.wait(signal);
  }

  roster(at?: Position): Promise<Roster> {
    return this.#call('roster', at);
  }

  report(report: EpochReport): Promise<readonly EpochReport[]> {
    return this.#call('report', report);
  }

  async restore(request: RestoreRequest): Promise<RestoreReply> {
    const reply = await this.#call('restore', sendRestore(request));
    return 'newer' in reply ? { ...reply, newer: reply.newer.map(receiveLine) } : reply;
  }

  openEpoch(request: OpenEpochRequest): Promise<OpenEpochReply> {
    return this.#call('openEpoch', request);
  }

  async readSnapshot(): Promise<Snapshot | undefined> {
    const snapshot = await this.#call('readSnapshot');
    return snapshot && { ...snapshot, chunks: snapshot.chunks.map(({ buffer }) => Buffer.from(buffer)) };
  }

  /** Its chunks are copied one in each turn, and then handed over: they may be hundreds of megabytes. */
  async writeSnapshot(snapshot: Snapshot): Promise<void> {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for (const chunk of snapshot.chunks) {
      await turns.next();
      chunks.push(Uint8Array.from(chunk));
    }
    const buffers = chunks.map(({ buffer }) => buffer);
    return this.#handOver('writeSnapshot', [{ ...snapshot, chunks }], buffers);
  }

  trim(...args: Parameters<FeedStore['trim']>): Promise<void> {
    return this.#call('trim', ...args);
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    await this.#call('close').catch(() => undefined);
    this.#end();
    await this.#worker.terminate();
  }

  #call<Name extends keyof LinkCalls>(
    name: Name,
    ...args: Parameters<LinkCalls[Name]>
  ): ReturnType<LinkCalls[Name]> {
    return this.#handOver(name, args, []);
  }

  #handOver<Name extends keyof LinkCalls>(
    name: Name,
    args: Parameters<LinkCalls[Name]>,
    buffers: ArrayBuffer[],
  ): ReturnType<LinkCalls[Name]> {
    const { call, promise } = this.#expect<unknown>();
    this.#post({ call, name, args }, buffers);
    this.#limit(call, name);
    return promise as ReturnType<LinkCalls[Name]>;
  }

  #expect<T>(): { readonly call: number; readonly promise: Promise<T> } {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const call = ++this.#calls;
    if (this.#isOver) reject(over());
    else this.#waiting.set(call, { resolve: resolve as Waiting['resolve'], reject });
    return { call, promise };
  }

  #limit(call: number, name: keyof LinkCalls): void {
    const waiting = this.#waiting.get(call);
    if (waiting === undefined) return;
    const { callMs, renewMs } = this.#patience;
    const ms = name === 'renew' ? renewMs : callMs * (COMMANDS[name] ?? 1);
    const code = WRITES.includes(name) ? 'APPEND_UNCERTAIN' : 'STORE_UNREACHABLE';
    const fail = (): void => this.#settle(call)?.reject(late(code));
    // If it was this thread that was held up, the answer is there, and is taken first.
    waiting.deadline = setTimeout(() => setImmediate(fail), ms + SLACK_MS);
  }

  #settle(call: number): Waiting | undefined {
    const waiting = this.#waiting.get(call);
    clearTimeout(waiting?.deadline);
    this.#waiting.delete(call);
    return waiting;
  }

  #post(message: ToLink, buffers: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, buffers);
  }

  #take(message: FromLink): void {
    if ('grownTo' in message) {
      this.#heard.note(message.grownTo);
      this.#growth.tell();
    } else if ('level' in message) this.#log[message.level](message.sentence, message.fields);
    else {
      this.#head = message.head;
      const waiting = this.#settle(message.call);
      if ('error' in message) waiting?.reject(errorOf(message.error));
      else waiting?.resolve(message.value);
    }
  }

  #end(): void {
    this.#isOver = true;
    for (const call of this.#waiting.keys()) this.#settle(call)?.reject(over());
    this.#growth.tell();
  }
}

function receiveRenewed(reply: SentPrepared['reply']): RenewReply {
  return 'lines' in reply ? { ...reply, lines: reply.lines.map(receiveLine) } : reply;
}

/** Read in this order it is never less than it is, so that nothing seems later than it was. */
function aheadMs(): number {
  const ownMs = performance.now();
  return hostMs() - ownMs;
}

function over(): WritError {
  return new WritError(
    'STORE_BROKEN',
    'the thread that has the link to the store has ended: restart this replica',
  );
}

function late(code: StoreCode): WritError {
  return new WritError(code, 'the thread that has the link to the store did not answer in time');
}

function errorOf({ code, message, field }: SentError): WritError {
  return new WritError(code, message, field === undefined ? {} : { field });
}

/** Beside this file, as source or as built. */
function threadFile(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './link-thread.ts' : './link-thread.js', import.meta.url);
}
