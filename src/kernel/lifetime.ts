/** What is opened is owned here and closed in reverse, inside one grace period that is an error when overrun. */
import { WritError } from './error.ts';

export interface Closer {
  readonly name: string;
  readonly close: () => void | Promise<void>;
}

export class Lifetime {
  readonly #closers: Closer[] = [];
  #closing: Promise<void> | undefined;

  /** Owns `close` under `name`; it runs before everything that was owned earlier. */
  own(name: string, close: () => void | Promise<void>): void {
    this.#closers.push({ name, close });
  }

  /** Closes all in reverse, once. Rejects with INTERNAL naming what failed or was not closed within `graceMs`. */
  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#closeAll(graceMs);
    return this.#closing;
  }

  async #closeAll(graceMs: number): Promise<void> {
    const failed: string[] = [];
    const overrun = Promise.withResolvers<'overrun'>();
    const timer = setTimeout(() => overrun.resolve('overrun'), graceMs);
    for (const closer of this.#closers.toReversed()) {
      const outcome = await Promise.race([closeOne(closer), overrun.promise]);
      if (outcome !== 'closed') failed.push(`${closer.name} (${outcome})`);
    }
    clearTimeout(timer);
    if (failed.length > 0) throw new WritError('INTERNAL', `not closed: ${failed.join(', ')}`);
  }
}

async function closeOne(closer: Closer): Promise<'closed' | 'failed'> {
  try {
    await closer.close();
    return 'closed';
  } catch {
    return 'failed';
  }
}
