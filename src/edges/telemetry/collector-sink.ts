/**
 * Lines to an HTTP collector as OPA sends its decision log: POST of a gzipped JSON array. One upload is on its way at a
 * time, each within a deadline; one that fails is sent again, later and later. What the collector does never reaches a
 * decision: it only fills the queue before this.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { WritError } from '../../kernel/error.ts';
import type { OpenSink } from './file-sink.ts';

export interface CollectorOptions {
  readonly url: string;
  /** One line: the bearer token. Read for every upload, so that one that was renewed counts at once. */
  readonly tokenFile: string | undefined;
  /** Between the beginnings of two uploads, so that a line costs no request. */
  readonly paceMs: number;
  readonly answerMs: number;
  /** After a failure; doubles up to `retryMsMax`. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** Once when uploads begin to fail: a status, or the kind of failure. */
  readonly onProblem: (detail: string) => void;
}

export const COLLECTOR_RULES = { paceMs: 1_000, answerMs: 5_000, retryMs: 500, retryMsMax: 30_000 } as const;

export interface CollectorSink extends OpenSink {
  /** No more pacing: the process is closing, and what waits should get out. */
  hurry(): void;
}

const compress = promisify(gzip);

export function createCollectorSink(options: CollectorOptions): CollectorSink {
  const collector = new Collector(options);
  return {
    write: (chunk, done) => {
      collector.deliver(chunk).then(() => done(), done);
    },
    hurry: () => collector.hurrying.abort(),
    close: async () => {
      collector.hurrying.abort();
      collector.closing.abort();
    },
  };
}

class Collector {
  readonly hurrying = new AbortController();
  readonly closing = new AbortController();
  readonly #options: CollectorOptions;
  #isFailing = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** Resolves when the collector has taken it; rejects when it never will. */
  async deliver(chunk: Uint8Array): Promise<void> {
    const paced = pause(this.#options.paceMs, this.hurrying.signal);
    const body = await compress(arrayOf(chunk));
    let waitMs = this.#options.retryMs;
    while (!(await this.#attempt(body))) {
      await pause(waitMs, this.closing.signal);
      if (this.closing.signal.aborted) throw new WritError('INTERNAL', 'the collector has not taken it');
      waitMs = Math.min(2 * waitMs, this.#options.retryMsMax);
    }
    await paced;
  }

  /** True when it was taken; false when sending it again may help. */
  async #attempt(body: Uint8Array): Promise<boolean> {
    const outcome = await this.#post(body).catch(kindOf);
    const isTaken = typeof outcome === 'number' && outcome >= 200 && outcome < 300;
    if (!isTaken && !this.#isFailing) this.#options.onProblem(String(outcome));
    this.#isFailing = !isTaken;
    // The same bytes would be refused again, and everything behind them would wait for good.
    if (outcome === 400 || outcome === 413 || outcome === 422)
      throw new WritError('INTERNAL', 'the collector refuses what it is sent');
    return isTaken;
  }

  async #post(body: Uint8Array): Promise<number> {
    const { url, tokenFile, answerMs } = this.#options;
    const token = tokenFile === undefined ? undefined : (await readFile(tokenFile, 'utf8')).trim();
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      headers: {
        'content-type': 'application/json',
        'content-encoding': 'gzip',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: new Uint8Array(body),
      signal: AbortSignal.any([AbortSignal.timeout(answerMs), this.closing.signal]),
    });
    // Its words are of no interest, and may be endless.
    await response.body?.cancel();
    return response.status;
  }
}

/** JSON has no raw line break inside it: between lines there is nothing else. */
function arrayOf(chunk: Uint8Array): string {
  return `[${Buffer.from(chunk).toString('utf8').trim().replaceAll('\n', ',')}]`;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

function kindOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof Error)
    return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.name;
  return 'unknown';
}
