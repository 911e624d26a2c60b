/** Every call on a store has a deadline: a disk that hangs must not hang its caller. The work itself goes on. */
import type { WritError } from '../../kernel/error.ts';

/** As `work`, or rejects with what `late` makes once `ms` have passed. */
export async function within<T>(work: Promise<T>, ms: number, late: () => WritError): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
