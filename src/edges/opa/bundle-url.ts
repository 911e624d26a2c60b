/**
 * The PolicySource on a server that speaks OPA's bundle protocol: GET with If-None-Match, 304 when nothing changed. What
 * it sends goes to a file as it comes, within limits of size and time that are not the sender's to choose; the one that was
 * accepted last is kept, so that a restart without the server has it. Redirects are not followed.
 */
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FetchedBundle, PolicySource } from '../../decision/policy-source.ts';
import { sha256Hex } from '../../kernel/digest.ts';
import { WritError } from '../../kernel/error.ts';
import type { Tracer } from '../../kernel/trace.ts';
import { NO_TRACER } from '../../kernel/trace.ts';
import { bundleInPlace } from './bundle-file.ts';
import { POLICY_LIMITS } from './limits.ts';
import type { PolicyLimits } from './limits.ts';

export interface BundleUrlOptions {
  /** `https:`, or `http:` on loopback: config/value.ts has judged it. */
  readonly url: string;
  readonly dataDir: string;
  /** A bearer token for the server, read again each time: it may be replaced. */
  readonly tokenFile?: string;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
  readonly tracer?: Tracer;
  readonly limits?: Partial<PolicyLimits>;
}

const COMING = 'policy-bundle.coming';

/** What bundle servers say a bundle is. A page that says that one must log in is something else. */
const TYPES = new Set([
  'application/gzip',
  'application/x-gzip',
  'application/x-tar',
  'application/vnd.openpolicyagent.bundles',
  'application/octet-stream',
  'binary/octet-stream',
  '',
]);

export class BundleUrl implements PolicySource {
  readonly name: string;
  readonly #options: BundleUrlOptions;
  readonly #limits: PolicyLimits;
  readonly #kept: string;
  readonly #coming: string;
  /** Of the bundle that was accepted last; one that was refused is asked for again. */
  #etag: string | undefined;

  constructor(options: BundleUrlOptions) {
    this.#options = options;
    this.#limits = { ...POLICY_LIMITS, ...options.limits };
    // A query may hold a signature that lets whoever has it in.
    this.name = options.url.replace(/\?.*$/s, '');
    // By what it is of: a URL that somebody else is asked at must not come to what was kept of this one.
    this.#kept = join(options.dataDir, `policy-bundle-${sha256Hex(this.name).slice(0, 16)}.tar.gz`);
    this.#coming = join(options.dataDir, COMING);
  }

  fetch(): Promise<FetchedBundle | undefined> {
    const { tracer = NO_TRACER, url } = this.#options;
    const facts = { 'server.address': new URL(url).hostname };
    return tracer.span('GET bundle', { kind: 'client', facts }, () => this.#fetch(tracer.headers()));
  }

  async #fetch(trace: Readonly<Record<string, string>>): Promise<FetchedBundle | undefined> {
    const ending = new AbortController();
    const headersTimer = setTimeout(() => ending.abort(), this.#limits.answerMs);
    const signal = AbortSignal.any([
      ending.signal,
      this.#options.signal,
      AbortSignal.timeout(this.#limits.downloadMs),
    ]);
    try {
      const response = await this.#ask(signal, trace);
      clearTimeout(headersTimer);
      return await this.#take(response);
    } catch (error) {
      throw error instanceof WritError ? error : unreachable('the bundle server did not answer', error);
    } finally {
      clearTimeout(headersTimer);
      // Whatever was not read is not read any more.
      ending.abort();
    }
  }

  async lookupKept(): Promise<FetchedBundle | undefined> {
    const isThere = await stat(this.#kept).then(
      () => true,
      () => false,
    );
    return isThere ? bundleInPlace(this.#kept) : undefined;
  }

  async #ask(signal: AbortSignal, trace: Readonly<Record<string, string>>): Promise<Response> {
    const { url, tokenFile } = this.#options;
    const token = tokenFile === undefined ? undefined : await readToken(tokenFile);
    return fetch(url, {
      redirect: 'error',
      signal,
      headers: {
        accept: 'application/gzip, application/vnd.openpolicyagent.bundles, application/octet-stream',
        // Unpacking is the business of the thread that judges, which has a limit for it.
        'accept-encoding': 'identity',
        prefer: 'modes=snapshot',
        ...trace,
        ...(this.#etag === undefined ? {} : { 'if-none-match': this.#etag }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    });
  }

  async #take(response: Response): Promise<FetchedBundle | undefined> {
    if (response.status === 304 && this.#etag !== undefined) return undefined;
    if (response.status !== 200) throw unreachable(`the bundle server answered ${response.status}`);
    const type = (response.headers.get('content-type') ?? '').replace(/\s*;.*$/s, '').toLowerCase();
    if (!TYPES.has(type) || (response.headers.get('content-encoding') ?? 'identity') !== 'identity')
      throw unreachable('the bundle server answered with something else than a bundle');
    const etag = response.headers.get('etag') ?? undefined;
    await this.#download(response);
    return {
      file: this.#coming,
      keep: () => this.#keep(),
      settle: async (isKept) => {
        if (isKept) this.#etag = etag;
        // What stays is written over by the next one that comes.
        else await rm(this.#coming, { force: true }).catch(() => undefined);
      },
    };
  }

  async #keep(): Promise<void> {
    try {
      await rename(this.#coming, this.#kept);
      await syncPath(dirname(this.#kept));
    } catch (cause) {
      throw new WritError('INTERNAL', `${this.#kept} cannot be written`, { cause });
    }
  }

  /** Stops at the first byte too many. On disk when it resolves: a rename later makes it the one that is kept. */
  async #download(response: Response): Promise<void> {
    let file: FileHandle;
    try {
      file = await open(this.#coming, 'w', 0o600);
    } catch (cause) {
      throw new WritError('INTERNAL', `${this.#coming} cannot be written`, { cause });
    }
    try {
      let bytes = 0;
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        if (bytes > this.#limits.bundleBytesMax)
          throw unreachable('the bundle server sends more than a bundle may hold');
        await file.writeFile(chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

async function readToken(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreachable('policy.tokenFile cannot be read', cause);
  });
  if (!/^[\x21-\x7e]+\n?$/.test(text))
    throw unreachable('policy.tokenFile does not hold one line of visible characters');
  return text.trim();
}

async function syncPath(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function unreachable(message: string, cause?: unknown): WritError {
  return new WritError('POLICY_UNREACHABLE', message, { cause });
}
