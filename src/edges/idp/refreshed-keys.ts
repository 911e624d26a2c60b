/**
 * An issuer's keys, kept in memory and fetched again: by age in the background, and once in a while for a key that
 * is not known. The file and the URL adapters are this with a way to load. Never answers from a set that is too old.
 */
import type { KeyLookup, KeySource, KeyUse, Algorithm } from '../../credential/issuer.ts';
import type { KeySet } from '../../credential/key-set.ts';
import { parseKeySet } from '../../credential/key-set.ts';
import type { Clock, Instant } from '../../kernel/clock.ts';
import { ageMs } from '../../kernel/clock.ts';
import { codeOf, isWritError } from '../../kernel/error.ts';
import { LIMITS } from '../../kernel/limits.ts';
import type { Log } from '../../kernel/log.ts';

export interface RefreshRules {
  /** From this age of the set on, using it fetches it again in the background. */
  readonly refreshMs: number;
  /** Between two attempts, whoever asks: so that random `kid`s cannot make us flood the issuer. */
  readonly coolDownMs: number;
  /** After a failed attempt; doubles with each, up to `coolDownMs`. */
  readonly retryMs: number;
  /**
   * From this age on a set that could not be fetched again is not believed. A day: by then every token that was
   * signed before the outage is over (`credentialLifeMax`), so keeping the keys longer would serve nobody but a
   * thief of a key that has been withdrawn meanwhile, who keeps us from hearing of it.
   */
  readonly staleMs: number;
}

export const REFRESH_RULES: RefreshRules = {
  refreshMs: LIMITS.jwksRefreshMs,
  coolDownMs: LIMITS.jwksCoolDownMs,
  retryMs: LIMITS.jwksRetryMs,
  staleMs: LIMITS.jwksStaleMs,
};

export interface RefreshedKeysOptions {
  /** For the log. */
  readonly issuer: string;
  readonly use: KeyUse;
  readonly clock: Clock;
  readonly log: Log;
  readonly rules?: RefreshRules;
}

interface Loaded {
  readonly set: KeySet;
  readonly at: Instant;
}

/** `generation` while nothing may be believed. */
const NONE = -1;

export class RefreshedKeys implements KeySource {
  readonly #load: () => Promise<string>;
  readonly #options: RefreshedKeysOptions;
  readonly #rules: RefreshRules;
  #loaded: Loaded | undefined;
  #generation = 0;
  #loading: Promise<void> | undefined;
  #triedAt: Instant | undefined;
  #failures = 0;

  /** `load` brings the text of a JWK set, within its own limits of time and size, or rejects. */
  constructor(load: () => Promise<string>, options: RefreshedKeysOptions) {
    this.#load = load;
    this.#options = options;
    this.#rules = options.rules ?? REFRESH_RULES;
  }

  lookup(kid: string | undefined, algorithm: Algorithm): KeyLookup {
    return this.#believed()?.lookup(kid, algorithm) ?? { state: 'unavailable' };
  }

  generation(): number {
    return this.#believed() === undefined ? NONE : this.#generation;
  }

  isAvailable(): boolean {
    return this.#believed() !== undefined;
  }

  refresh(): Promise<void> {
    const now = this.#options.clock.now();
    if (this.#loading === undefined && this.#mayTry(now)) this.#start(now);
    return this.#loading ?? Promise.resolve();
  }

  /** The set, if it may be believed now. Using an old one starts a fetch that nobody waits for. */
  #believed(): KeySet | undefined {
    if (this.#loaded === undefined) return undefined;
    const now = this.#options.clock.now();
    const age = ageMs(this.#loaded.at, now);
    if (age >= this.#rules.refreshMs && this.#loading === undefined && this.#mayTry(now)) this.#start(now);
    return age < this.#rules.staleMs ? this.#loaded.set : undefined;
  }

  #mayTry(now: Instant): boolean {
    if (this.#triedAt === undefined) return true;
    const { coolDownMs, retryMs } = this.#rules;
    const pauseMs =
      this.#failures === 0 ? coolDownMs : Math.min(coolDownMs, retryMs * 2 ** (this.#failures - 1));
    return ageMs(this.#triedAt, now) >= pauseMs;
  }

  #start(now: Instant): void {
    this.#triedAt = now;
    this.#loading = this.#attempt(now).finally(() => (this.#loading = undefined));
  }

  /** The set counts from when it was asked for, not from when it came. A failure keeps the last one. */
  async #attempt(at: Instant): Promise<void> {
    const { issuer, log, use } = this.#options;
    try {
      const set = parseKeySet(await this.#load(), use);
      if (this.#loaded?.set.isSameAs(set) !== true) this.#generation += 1;
      this.#loaded = { set, at };
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      const code = codeOf(error);
      const detail = systemCodeOf(error);
      log.warn('the keys of an issuer could not be fetched', {
        issuer,
        code,
        ...(detail === undefined ? {} : { detail }),
        count: this.#failures,
      });
    }
  }
}

/** `ECONNREFUSED`, `ENOENT`, `CERT_HAS_EXPIRED`, `TimeoutError`: the innermost word, and never a message. */
function systemCodeOf(error: unknown): string | undefined {
  for (let at = error, name: string | undefined; ; at = at.cause) {
    if (!(at instanceof Error)) return name;
    if ('code' in at && typeof at.code === 'string' && !isWritError(at)) return at.code;
    if (!isWritError(at)) name = at.name;
  }
}
