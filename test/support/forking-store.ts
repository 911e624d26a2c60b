/**
 * A hostile store for one of several replicas: from some entry on it shows that one another history, one that fits
 * together and in which what was signed is really signed, and hides from the store's own functions that it does.
 */
import type { FeedLine, SealedEntry } from '../../src/feed/entry.ts';
import { nextChain } from '../../src/feed/entry.ts';
import type { RenewRequest } from '../../src/feed/feed-store.ts';
import { renderPosition } from '../../src/feed/position.ts';
import type { TestReplica } from './replica-harness.ts';

/** From now on `victim` is shown `instead` wherever `isHidden` says so. */
export function fork(
  { store, server }: TestReplica,
  instead: SealedEntry,
  isHidden: (line: FeedLine) => boolean,
): void {
  /** What it was shown, by position. */
  const shown = new Map<string, FeedLine>();
  const show = (line: FeedLine): FeedLine => {
    const { epoch, sequence } = line.position;
    const before = shown.get(renderPosition({ epoch, sequence: sequence - 1 }));
    if (before === undefined && !isHidden(line)) return line;
    const sealed = isHidden(line) ? instead : line.sealed;
    const there = server.lines.find(({ position }) => position.sequence === sequence - 1);
    const chain = nextChain((before ?? there)?.chain ?? '', sealed.text);
    const other = { ...line, sealed, chain };
    shown.set(renderPosition(line.position), other);
    return other;
  };
  const renew = store.renew.bind(store);
  store.renew = async (request: RenewRequest) => {
    const true_ = server.lines.find(
      ({ position }) => renderPosition(position) === renderPosition(request.position),
    );
    const reply = await renew({ ...request, chain: true_?.chain ?? request.chain });
    return 'lines' in reply ? { ...reply, lines: reply.lines.map(show) } : reply;
  };
}
