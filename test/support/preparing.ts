/**
 * A memory store whose connection sends by itself, with the news, the renewal that was prepared: as edges/redis/link.ts does,
 * which wakes whoever has prepared it before it sends.
 */
import type { PreparedRenewal, RenewReply, RenewRequest, SentRenewal } from '../../src/feed/feed-store.ts';
import type { Clock } from '../../src/kernel/clock.ts';
import type { MemoryFeedStore } from './memory-feed-store.ts';

const nothing = (): undefined => undefined;

/** `renew` sends it, and `onTaken` hears of the answer when the replica does. */
export function makePrepare(
  store: MemoryFeedStore,
  clock: Clock,
  renew = (request: RenewRequest): Promise<RenewReply> => store.renew(request),
  onTaken: (renewed: SentRenewal) => void = nothing,
): void {
  const wake = store.wake.bind(store);
  let sending = Promise.withResolvers<void>();
  store.wake = (after, signal) => Promise.race([wake(after, signal), sending.promise]);
  store.prepare = (request: RenewRequest): PreparedRenewal => {
    const over = new AbortController();
    let sent: Promise<SentRenewal> | undefined;
    const send = (): void => {
      if (over.signal.aborted) return;
      const { monoMs, wallMs } = clock.now();
      sent = renew(request).then((reply) => ({ reply, sent: { monoMs, wallMs } }));
      // It may fail before anybody takes it.
      sent.catch(nothing);
      sending.resolve();
      sending = Promise.withResolvers();
    };
    void wake(request.position, over.signal).then(send, nothing);
    return {
      take: async () => {
        over.abort();
        const renewed = await sent;
        if (renewed !== undefined) onTaken(renewed);
        return renewed;
      },
    };
  };
}
