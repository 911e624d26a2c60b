/** The thread that has this replica's link to Redis. Started by link.ts, which it answers, until it is told to close. */
import { parentPort, workerData } from 'node:worker_threads';
import { Fingerprinter } from '../../credential/handle.ts';
import type { FeedLine } from '../../feed/entry.ts';
import type { RenewRequest } from '../../feed/feed-store.ts';
import { isWritError } from '../../kernel/error.ts';
import type { Log, LogFields } from '../../kernel/log.ts';
import { hostMs } from './host-clock.ts';
import type { FromLink, LinkCalls, LinkOptions, SentError, SentPrepared, ToLink } from './link-messages.ts';
import { receiveEntry, receiveRestore, sendLine } from './link-messages.ts';
import { Reader } from './reader.ts';
import { RedisFeedStore } from './redis-feed-store.ts';

const { fingerprintKey, logKey, ...options } = workerData as LinkOptions;

function tell(message: FromLink, buffers: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, buffers);
}

const logging =
  (level: keyof Log) =>
  (sentence: string, fields: LogFields = {}): void =>
    tell({ level, sentence, fields });
const log: Log = { info: logging('info'), warn: logging('warn'), error: logging('error') };

const store = new RedisFeedStore({ ...options, log });
const reader = new Reader(new Fingerprinter(fingerprintKey), logKey);
store.onGrown((grownTo) => {
  sendPrepared();
  tell({ grownTo });
});

const sent = (lines: readonly FeedLine[]) => lines.map(sendLine);

async function renew(request: RenewRequest): ReturnType<LinkCalls['renew']> {
  const reply = await store.renew(request);
  if (!('lines' in reply)) return reply;
  return { ...reply, lines: sent(await reader.read(reply.lines, request.chain)) };
}

let prepared: { readonly call: number; readonly request: RenewRequest } | undefined;

function sendPrepared(): void {
  if (prepared === undefined) return;
  const { call, request } = prepared;
  prepared = undefined;
  const at = { hostMs: hostMs(), wallMs: Date.now() };
  void answer(call, async (): Promise<SentPrepared> => ({ reply: await renew(request), ...at }));
}

const calls: LinkCalls = {
  open: () => store.open(),
  renew,
  append: (epochId, sealed) => store.append(epochId, receiveEntry(sealed)),
  forget: (request) => store.forget(request),
  roster: (at) => store.roster(at),
  report: (report) => store.report(report),
  restore: async (request) => {
    const reply = await store.restore(receiveRestore(request));
    return 'newer' in reply ? { ...reply, newer: sent(reply.newer) } : reply;
  },
  openEpoch: (request) => store.openEpoch(request),
  // A buffer of its own for each chunk, which is then handed over.
  readSnapshot: async () => {
    const snapshot = await store.readSnapshot();
    return snapshot && { ...snapshot, chunks: snapshot.chunks.map((chunk) => Uint8Array.from(chunk)) };
  },
  writeSnapshot: (snapshot) => store.writeSnapshot(snapshot),
  trim: (...args) => store.trim(...args),
  close: () => store.close(),
};

async function answer(call: number, work: () => Promise<unknown>): Promise<void> {
  try {
    const value = await work();
    tell({ call, value, head: store.head }, buffersOf(value));
  } catch (error) {
    tell({ call, error: errorOf(error), head: store.head });
  }
}

function errorOf(error: unknown): SentError {
  if (!isWritError(error))
    return { code: 'INTERNAL', message: 'something unforeseen happened', field: undefined };
  const { code, message, field } = error;
  return { code, message, field };
}

/** Of a snapshot. */
function buffersOf(value: unknown): ArrayBuffer[] {
  const isSnapshot = typeof value === 'object' && value !== null && 'chunks' in value;
  return isSnapshot ? (value.chunks as Uint8Array<ArrayBuffer>[]).map(({ buffer }) => buffer) : [];
}

parentPort?.on('message', (message: ToLink) => {
  if ('signs' in message) reader.knows(...message.signs);
  else if ('prepared' in message) {
    prepared = { call: message.call, request: message.prepared };
    if (store.hasGrown(message.prepared.position)) {
      sendPrepared();
      // Whoever has prepared it is to take it.
      tell({ grownTo: undefined });
    }
  } else if ('taken' in message) {
    if (prepared?.call !== message.taken) return;
    prepared = undefined;
    tell({ call: message.taken, value: undefined, head: store.head });
  } else {
    const { call, name, args } = message;
    void answer(call, () => (calls[name] as (...given: unknown[]) => Promise<unknown>)(...args));
  }
});
