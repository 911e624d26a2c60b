/** The three legs of a drill's probes, at each data plane: accepted before, refused as revoked after, a sibling passes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Canary, Question } from './canary.ts';
import { ask } from './canary.ts';

export const ACCEPTED = 'permitted';
export const REFUSED = 'revoked';

/** Three legs at one data plane. Times count from the sending of the revocation. */
export interface Probe {
  readonly url: string;
  readonly before: string;
  readonly after: string;
  readonly control: string;
  readonly lastAcceptedMs: number | undefined;
  readonly refusedMs: number | undefined;
}

export class Probing {
  readonly #canary: Canary;
  readonly #urls: readonly string[];
  readonly #question: Question;
  readonly #stopped = new AbortController();
  readonly #seen = new Map<string, { before: string; lastAcceptedMs?: number; refusedMs?: number }>();

  constructor(canary: Canary, urls: readonly string[], question: Question) {
    this.#canary = canary;
    this.#urls = urls;
    this.#question = question;
  }

  async before(): Promise<void> {
    await this.#each(async (url, target) => {
      this.#seen.set(url, { before: await ask(url, target, this.#question) });
    });
  }

  /** Asks again and again until the canary is refused, or `stop`. */
  async watch(): Promise<void> {
    const startedMs = performance.now();
    const sinceMs = (): number => Math.round(performance.now() - startedMs);
    await this.#each(async (url, target) => {
      const seen = this.#seen.get(url);
      while (seen?.before === ACCEPTED && !this.#stopped.signal.aborted) {
        const sentMs = sinceMs();
        const reason = await ask(url, target, this.#question);
        if (reason === ACCEPTED) seen.lastAcceptedMs = sentMs;
        if (reason === REFUSED) seen.refusedMs = sinceMs();
        if (reason === REFUSED) return;
        await sleep(ASK_AGAIN_MS);
      }
    });
  }

  stop(): void {
    this.#stopped.abort();
  }

  /** Once more, by requests that begin after the answer. */
  async after(): Promise<readonly Probe[]> {
    const { control } = this.#canary;
    return this.#each(async (url, target) => {
      const after = await ask(url, target, this.#question);
      const sibling = control === undefined ? 'none was given' : await ask(url, control, this.#question);
      const { before = '', lastAcceptedMs, refusedMs } = this.#seen.get(url) ?? {};
      return { url, before, after, control: sibling, lastAcceptedMs, refusedMs };
    });
  }

  /** At all of them at once; what came of it in the order in which they were named. */
  async #each<T>(work: (url: string, target: string) => Promise<T>): Promise<readonly T[]> {
    const { target } = this.#canary;
    return target === undefined ? [] : Promise.all(this.#urls.map((url) => work(url, target)));
  }
}

const ASK_AGAIN_MS = 5;
