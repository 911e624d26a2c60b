/** A memory store whose connection sends by itself, with the news, the renewal that was prepared: as edges/redis/link.ts does. */
import type { PreparedRenewal, RenewRequest, SentRenewal } from '../../src/feed/feed-store.ts';
import type { Clock } from '../../src/kernel/clock.ts';
import type { MemoryFeedStore } from './memory-feed-store.ts';

const nothing = (): undefined => undefined;

export function makePrepare(store: MemoryFeedStore, clock: Clock): void {
  store.prepare = (request: RenewRequest): PreparedRenewal => {
    const over = new AbortController();
    let sent: Promise<SentRenewal> | undefined;
    const send = (): void => {
      if (over.signal.aborted) return;
      const { monoMs, wallMs } = clock.now();
      sent = store.renew(request).then((reply) => ({ reply, sent: { monoMs, wallMs } }));
      // It may fail before anybody takes it.
      sent.catch(nothing);
    };
    void store.wake(request.position, over.signal).then(send, nothing);
    return {
      take: () => {
        over.abort();
        return Promise.resolve(sent);
      },
    };
  };
}
