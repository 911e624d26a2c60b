/**
 * The policy from one bundle to the next: fetch, judge off the loop, refuse what is older, note the floor, swap. compose.ts
 * opens it; signals, file watch, polling and the control plane call `reload`. A bundle that is refused changes nothing.
 */
import { LivePolicy } from '../decision/live-policy.ts';
import type { PolicyEngine } from '../decision/policy-engine.ts';
import type {
  FetchedBundle,
  OpenedPolicy,
  OpenPolicy,
  PolicySource,
  RevisionFloor,
} from '../decision/policy-source.ts';
import { isOrdered, refusalByFloor } from '../decision/revision.ts';
import type { Clock, Timer } from '../kernel/clock.ts';
import type { ErrorCode } from '../kernel/error.ts';
import { WritError, isWritError } from '../kernel/error.ts';
import type { Log } from '../kernel/log.ts';
import type { Random } from '../kernel/random.ts';

export interface ReloadPorts {
  readonly source: PolicySource;
  readonly openPolicy: OpenPolicy;
  readonly floor: RevisionFloor;
  /** Undefined: nobody asks by the clock. */
  readonly poll: PollRule | undefined;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly random: Random;
  readonly log: Log;
}

export interface PollRule {
  readonly minMs: number;
  readonly maxMs: number;
}

export interface ReloadOrder {
  /** An operator's word: this bundle may be older than the one that ran last, which counts no longer. */
  readonly allowOlder: boolean;
}

/** Why a bundle did not come to run. Codes are POLICY_INVALID, POLICY_UNREACHABLE and INTERNAL. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly digest?: string;
}

type NotLoaded = { readonly state: 'unchanged' } | ({ readonly state: 'refused' } & Refusal);

export type ReloadOutcome = { readonly state: 'loaded' } | NotLoaded;

type Judged = { readonly state: 'opened'; readonly engine: PolicyEngine } | NotLoaded;

const RETRY_MS = 1_000;

export class Reloader {
  /** What runs. Everybody who asks a policy holds this one. */
  readonly policy: LivePolicy;
  readonly #ports: ReloadPorts;
  #sinceMs: number;
  #lastFailure: (Refusal & { readonly atMs: number }) | undefined;
  #running: Promise<ReloadOutcome> | undefined;
  #next: Promise<ReloadOutcome> | undefined;
  #allowOlder = false;
  #isClosed = false;
  #loaded = 0;
  #refused = 0;

  private constructor(ports: ReloadPorts, first: PolicyEngine) {
    this.#ports = ports;
    this.policy = new LivePolicy(first);
    this.#sinceMs = ports.clock.now().wallMs;
  }

  /**
   * Opens what the source has, or else what it had when it was asked last. Throws the source's refusal when neither
   * can run: without a policy there is no Writ.
   */
  static async open(ports: ReloadPorts, order: ReloadOrder = { allowOlder: false }): Promise<Reloader> {
    const first = await judgeFetched(ports, undefined, order);
    if (first.state === 'opened') return new Reloader(ports, first.engine);
    const refusal = first.state === 'refused' ? first : NOTHING_THERE;
    const kept = await judgeKept(ports);
    if (kept === undefined) throw new WritError(refusal.code, refusal.detail);
    const reloader = new Reloader(ports, kept);
    reloader.#refuse(refusal);
    return reloader;
  }

  /** When the one that runs began to, in milliseconds since 1970. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  get sourceName(): string {
    return this.#ports.source.name;
  }

  /** What the source has instead of the one that runs, and why it does not run. Undefined: nothing is wrong. */
  get lastFailure(): (Refusal & { readonly atMs: number }) | undefined {
    return this.#lastFailure;
  }

  /** Since the start, for metrics: swaps, and bundles (or attempts to fetch one) that were refused. */
  get counts(): { readonly loaded: number; readonly refused: number } {
    return { loaded: this.#loaded, refused: this.#refused };
  }

  /**
   * Loads what the source has now. One at a time: a call during one waits for another one after it, because what the
   * running one fetched may be from before the change that this call is about. Never rejects.
   */
  reload(order: ReloadOrder = { allowOlder: false }): Promise<ReloadOutcome> {
    if (this.#isClosed) return Promise.resolve({ state: 'unchanged' });
    if (this.#running === undefined) return this.#start(order);
    this.#allowOlder ||= order.allowOlder;
    this.#next ??= this.#running.then(() => {
      const allowOlder = this.#allowOlder;
      this.#next = undefined;
      this.#allowOlder = false;
      return this.reload({ allowOlder });
    });
    return this.#next;
  }

  /** Asks the source by the clock until `signal` aborts, sooner after one that did not answer. */
  async run(signal: AbortSignal): Promise<void> {
    const { poll, timer } = this.#ports;
    if (poll === undefined) return;
    let misses = isMiss(this.#lastFailure) ? 1 : 0;
    while (!signal.aborted) {
      await timer.sleep(this.#pauseMs(poll, misses), signal);
      if (signal.aborted) return;
      await this.reload();
      misses = isMiss(this.#lastFailure) ? misses + 1 : 0;
    }
  }

  /** Nothing is loaded from here on, and what is being loaded is no news any more. Resolves when nothing is. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#running !== undefined) await this.#running;
  }

  /** At random within the rule, so that a fleet does not ask all at once; doubling from a second after a miss. */
  #pauseMs({ minMs, maxMs }: PollRule, misses: number): number {
    const share = Buffer.from(this.#ports.random.bytes(1)).readUInt8() / 256;
    if (misses === 0) return minMs + share * (maxMs - minMs);
    return Math.min(maxMs, RETRY_MS * 2 ** (misses - 1)) * (0.5 + share / 2);
  }

  #start(order: ReloadOrder): Promise<ReloadOutcome> {
    this.#running = this.#attempt(order).finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #attempt(order: ReloadOrder): Promise<ReloadOutcome> {
    const judged = await judgeFetched(this.#ports, this.policy.revision.digest, order);
    switch (judged.state) {
      case 'opened':
        this.#swap(judged.engine);
        return { state: 'loaded' };
      case 'unchanged':
        if (this.#lastFailure !== undefined)
          this.#ports.log.info('the source has the policy that runs; nothing is refused any more');
        this.#lastFailure = undefined;
        return judged;
      case 'refused':
        this.#refuse(judged);
        return judged;
    }
  }

  #swap(engine: PolicyEngine): void {
    this.#lastFailure = undefined;
    this.#loaded += 1;
    this.#sinceMs = this.#ports.clock.now().wallMs;
    this.policy.swap(engine);
    this.#ports.log.info('another policy runs', { digest: engine.revision.digest });
  }

  /** The same refusal again is counted and not said again: a source is asked often. */
  #refuse({ code, detail, digest }: Refusal): void {
    if (this.#isClosed) return;
    const last = this.#lastFailure;
    const named = digest === undefined ? {} : { digest };
    this.#refused += 1;
    this.#lastFailure = { code, detail, ...named, atMs: this.#ports.clock.now().wallMs };
    if (last?.code === code && last.detail === detail && last.digest === digest) return;
    this.#ports.log.error('a policy bundle was refused; the one that runs goes on', {
      code,
      detail,
      ...named,
    });
  }
}

const NOTHING_THERE: Refusal = { code: 'POLICY_UNREACHABLE', detail: 'the source has no bundle' };

function isMiss(failure: Refusal | undefined): boolean {
  return failure?.code === 'POLICY_UNREACHABLE';
}

/** What the source has now: opened and noted, the one that runs, or refused. */
async function judgeFetched(
  ports: ReloadPorts,
  unlessDigest: string | undefined,
  order: ReloadOrder,
): Promise<Judged> {
  try {
    const bundle = await ports.source.fetch();
    return bundle === undefined ? { state: 'unchanged' } : await judge(ports, bundle, unlessDigest, order);
  } catch (error) {
    return { state: 'refused', ...refusalOf(error) };
  }
}

async function judgeKept(ports: ReloadPorts): Promise<PolicyEngine | undefined> {
  try {
    const bundle = await ports.source.lookupKept();
    const judged = bundle && (await judge(ports, bundle, undefined, { allowOlder: false }));
    return judged?.state === 'opened' ? judged.engine : undefined;
  } catch {
    // What is said is why the source's own bundle does not run.
    return undefined;
  }
}

/** Floor and bundle are on disk before it may run: after a crash in between, the older one is refused all the same. */
async function judge(
  { openPolicy, floor, log }: ReloadPorts,
  bundle: FetchedBundle,
  unlessDigest: string | undefined,
  { allowOlder }: ReloadOrder,
): Promise<Judged> {
  const unless = unlessDigest === undefined ? {} : { unlessDigest };
  const opened = await openPolicy({ file: bundle.file, ...unless });
  const judged = opened.state === 'opened' ? byFloor(opened, { floor, log, allowOlder }) : opened;
  let isKept = false;
  try {
    isKept = await takeUp(judged, bundle, { floor, log, allowOlder });
  } finally {
    await bundle.settle(isKept);
  }
  if (judged.state === 'refused') return { ...judged, code: 'POLICY_INVALID' };
  if (judged.state === 'opened') {
    const { engine, remarks } = judged;
    for (const detail of remarks)
      log.warn('the policy is slower than it could be', { digest: engine.revision.digest, detail });
  }
  return judged;
}

/** True once the bundle is kept. It is before the floor moves: what is kept must be one that the floor lets start. */
async function takeUp(
  judged: OpenedPolicy,
  bundle: FetchedBundle,
  { floor, log, allowOlder }: FloorRule,
): Promise<boolean> {
  if (judged.state === 'refused') return false;
  const isKept = await keep(bundle, log);
  if (judged.state === 'opened') await moveFloor(floor, judged.engine.revision.revision, allowOlder);
  return isKept;
}

async function keep(bundle: FetchedBundle, log: Log): Promise<boolean> {
  try {
    await bundle.keep();
    return true;
  } catch (error) {
    log.warn('the policy bundle could not be kept for the next start', { code: refusalOf(error).code });
    return false;
  }
}

interface FloorRule {
  readonly floor: RevisionFloor;
  readonly allowOlder: boolean;
  readonly log: Log;
}

function byFloor(
  opened: Extract<OpenedPolicy, { state: 'opened' }>,
  { floor, allowOlder, log }: FloorRule,
): OpenedPolicy {
  const { revision, digest } = opened.engine.revision;
  const detail = refusalByFloor(revision, floor.revision);
  if (detail === undefined) return opened;
  if (!allowOlder) return { state: 'refused', detail: `${detail}; --allow-older lets it run`, digest };
  log.warn('an operator lets a policy run that would be refused', { digest, detail });
  return opened;
}

async function moveFloor(
  floor: RevisionFloor,
  revision: string | undefined,
  allowOlder: boolean,
): Promise<void> {
  const next = revision !== undefined && isOrdered(revision) ? revision : undefined;
  if (next !== floor.revision && (next !== undefined || allowOlder)) await floor.move(next);
}

/** Only a WritError was written for people. */
function refusalOf(error: unknown): Refusal {
  if (isWritError(error)) return { code: error.code, detail: error.message };
  return { code: 'INTERNAL', detail: 'something unforeseen happened' };
}
