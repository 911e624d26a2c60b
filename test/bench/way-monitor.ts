/**
 * Loaded into a replica with `--import`: notes when each entry came where on its way through this process, by the clock that
 * all processes of a host share. Written out ten times a second, so that noting costs next to nothing.
 */
import { hostMs } from '../../src/edges/redis/host-clock.ts';
import { RedisFeedStore } from '../../src/edges/redis/redis-feed-store.ts';
import { ReceiptFiles } from '../../src/edges/system/receipt-files.ts';
import type { FeedLine, SealedEntry } from '../../src/feed/entry.ts';
import { renderPosition } from '../../src/feed/position.ts';
import { Follower } from '../../src/flows/follow.ts';
import { RevocationView } from '../../src/revocation/view.ts';
import type { Stamp, Step } from './ways.ts';

const EVERY_MS = 100;

let stamps: Stamp[] = [];

function note(step: Step, id: string): void {
  stamps.push({ step, id, ms: hostMs() });
}

setInterval(() => {
  if (stamps.length === 0) return;
  console.log(JSON.stringify({ message: 'ways', stamps }));
  stamps = [];
}, EVERY_MS).unref();

/** `begin` before each call of a method, and what it returned once that call, its promise or its steps have ended. */
function around(prototype: object, name: string, begin: (...args: never[]) => () => void): void {
  const method = Reflect.get(prototype, name) as (...args: never[]) => unknown;
  Reflect.set(prototype, name, function (this: unknown, ...args: never[]): unknown {
    const end = begin(...args);
    const result = method.apply(this, args);
    if (result instanceof Promise) void result.then(end, end);
    return isSteps(result) ? ending(result, end) : result;
  });
}

function isSteps(result: unknown): result is Generator {
  return typeof result === 'object' && result !== null && Symbol.iterator in result;
}

function* ending(steps: Generator, end: () => void): Generator {
  const result: unknown = yield* steps;
  end();
  return result;
}

around(RedisFeedStore.prototype, 'append', (_epochId: string, { entry }: SealedEntry) => {
  note('append', entry.id);
  return () => note('appended', entry.id);
});
around(Follower.prototype, 'apply', (lines: readonly FeedLine[]) => {
  for (const { sealed } of lines) note('brought', sealed.entry.id);
  return () => {
    for (const { sealed } of lines) note('durable', sealed.entry.id);
  };
});
around(
  RevocationView.prototype,
  'applying',
  ({ sealed }: FeedLine) =>
    () =>
      note('applied', sealed.entry.id),
);
around(RedisFeedStore.prototype, 'renew', ({ position }: { position: FeedLine['position'] }) => {
  note('renew', renderPosition(position));
  return () => note('renewed', renderPosition(position));
});
around(RedisFeedStore.prototype, 'roster', () => {
  note('look', '');
  return () => note('looked', '');
});
around(ReceiptFiles.prototype, 'write', (id: string) => {
  note('prove', id);
  return () => note('proven', id);
});
