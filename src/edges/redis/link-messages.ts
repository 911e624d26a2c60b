/**
 * What goes between this replica's thread and the one that has its link to Redis (link.ts, link-thread.ts). Entries go without
 * their thousand targets: whoever wants those reads them from the text, and nearly nobody does.
 */
import type { FeedLine, LineParts, SealedEntry } from '../../feed/entry.ts';
import { isBulk, parseEntry, partsOf } from '../../feed/entry.ts';
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
import type { ErrorCode } from '../../kernel/error.ts';
import type { LogFields } from '../../kernel/log.ts';
import type { RedisFeedOptions } from './redis-feed-store.ts';

/** With what the thread begins. */
export interface LinkOptions extends Omit<RedisFeedOptions, 'log'> {
  /** As credential/handle.ts has it. */
  readonly fingerprintKey: Uint8Array;
  /** Base64url. */
  readonly logKey: string;
}

/** The calls of the port, as they cross. */
export interface LinkCalls {
  open(): Promise<StoreFacts>;
  renew(request: RenewRequest): Promise<WithLines<RenewReply>>;
  append(epochId: string, sealed: SentEntry): Promise<AppendReply>;
  forget(request: ForgetRequest): Promise<ForgetReply>;
  roster(at?: Position): Promise<Roster>;
  report(report: EpochReport): Promise<readonly EpochReport[]>;
  restore(request: SentRestoreRequest): Promise<WithNewer<RestoreReply>>;
  openEpoch(request: OpenEpochRequest): Promise<OpenEpochReply>;
  readSnapshot(): Promise<Snapshot | undefined>;
  writeSnapshot(snapshot: Snapshot): Promise<void>;
  trim(...args: Parameters<FeedStore['trim']>): Promise<void>;
  close(): Promise<void>;
}

export interface SentCall<Name extends keyof LinkCalls = keyof LinkCalls> {
  readonly call: number;
  readonly name: Name;
  readonly args: Parameters<LinkCalls[Name]>;
}

/** To the thread. */
export type ToLink =
  | SentCall
  /** To be sent with the next news, and answered then. */
  | { readonly call: number; readonly prepared: RenewRequest }
  /** That call is to be answered with nothing, if it was not sent. */
  | { readonly taken: number }
  /** An incarnation, and the key with which it signs. */
  | { readonly signs: readonly [incarnation: string, key: string] };

/** Of a renewal that was prepared: its reply, and when it was sent by the clocks of this host. */
export interface SentPrepared {
  readonly reply: WithLines<RenewReply>;
  readonly hostMs: number;
  readonly wallMs: number;
}

export interface SentError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly field: string | undefined;
}

/** From the thread. `head`: the furthest place in the store that it has heard of. */
export type FromLink =
  | { readonly call: number; readonly value: unknown; readonly head: Position }
  | { readonly call: number; readonly error: SentError; readonly head: Position }
  | { readonly grownTo: Position | undefined }
  | { readonly level: 'info' | 'warn' | 'error'; readonly sentence: string; readonly fields: LogFields };

export type SentRestoreRequest = Omit<RestoreRequest, 'lines'> & { readonly lines: readonly LineParts[] };

type WithLines<Reply> = Reply extends { lines: readonly FeedLine[] }
  ? Omit<Reply, 'lines'> & { readonly lines: readonly SentLine[] }
  : Reply;

type WithNewer<Reply> = Reply extends { newer: readonly FeedLine[] }
  ? Omit<Reply, 'newer'> & { readonly newer: readonly SentLine[] }
  : Reply;

/** An entry of many targets without them. */
export interface SentEntry {
  readonly text: string;
  readonly entry: WithoutTargets<SealedEntry['entry']>;
}

type WithoutTargets<E> = E extends { targets: infer T } ? Omit<E, 'targets'> & { readonly targets?: T } : E;

export type SentLine = Omit<FeedLine, 'sealed'> & { readonly sealed: SentEntry };

export function sendEntry(sealed: SealedEntry): SentEntry {
  if (!('targets' in sealed.entry) || !isBulk(sealed)) return sealed;
  const { targets: _targets, ...entry } = sealed.entry;
  return { text: sealed.text, entry };
}

export function receiveEntry({ text, entry }: SentEntry): SealedEntry {
  const takesTargets = entry.kind === 'revocation' || entry.kind === 'lock';
  if (takesTargets && entry.targets === undefined)
    Object.defineProperty(entry, 'targets', {
      enumerable: true,
      get: () =>
        (parseEntry(text).entry as Extract<SealedEntry['entry'], { kind: 'revocation' | 'lock' }>).targets,
    });
  return { text, entry: entry as SealedEntry['entry'] };
}

export function sendLine(line: FeedLine): SentLine {
  return { ...line, sealed: sendEntry(line.sealed) };
}

export function receiveLine(line: SentLine): FeedLine {
  return { ...line, sealed: receiveEntry(line.sealed) };
}

export function sendRestore(request: RestoreRequest): SentRestoreRequest {
  return { ...request, lines: request.lines.map(partsOf) };
}

export function receiveRestore(request: SentRestoreRequest): RestoreRequest {
  const lines = request.lines.map(({ position, chain, text }) => ({
    position,
    chain,
    sealed: parseEntry(text),
  }));
  return { ...request, lines };
}
