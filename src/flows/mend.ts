/**
 * What a replica does whose history is not the fleet's (`diverged`): it finds where the two part, appends again what only it
 * had, and begins again at the fleet's snapshot, as soon as there is one that leads further. All that it holds stays in
 * force here meanwhile, and it has no lease. Called by renew.ts. What it cannot do by itself it tells (`advice`).
 */
import type { Cursor } from '../feed/cursor.ts';
import type { EpochEntry, LinePlace } from '../feed/entry.ts';
import type { FeedStore } from '../feed/feed-store.ts';
import type { Ledger } from '../feed/ledger.ts';
import { lineAt, linesBetween } from '../feed/ledger.ts';
import type { Position } from '../feed/position.ts';
import { comparePositions, parsePosition, renderPosition } from '../feed/position.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Log } from '../kernel/log.ts';
import type { Carrier } from './carry.ts';
import type { Fold } from './fold.ts';
import type { Loader } from './load.ts';
import { SET_ASIDE } from './vouch.ts';

export interface MendPorts {
  readonly store: FeedStore;
  readonly cursor: Cursor;
  readonly ledger: Ledger;
  readonly carrier: Carrier;
  readonly fold: Fold;
  readonly loader: Loader;
  readonly clock: Clock;
  readonly log: Log;
}

/** What was found out about one place in one epoch. */
interface Finding {
  readonly epochId: string;
  readonly position: Position;
  /** `none`: the store holds all that is here, so it is what comes after that is wrong. `lost`: it is too long ago; what the fleet lacks goes along. */
  readonly fork: { readonly after: Position; readonly count: number } | 'none' | 'lost';
}

/** A snapshot may be large, and comes every so many entries. */
const LOAD_AGAIN_MS = 10_000;

export class Mender {
  readonly #ports: MendPorts;
  #found: Finding | undefined;
  #loadedAtMs = Number.NEGATIVE_INFINITY;

  constructor(ports: MendPorts) {
    this.#ports = ports;
  }

  /** What is the matter and what helps, for who has to look after it; undefined while nothing is known. */
  get advice(): string | undefined {
    if (this.#found === undefined) return undefined;
    const { fork } = this.#found;
    if (fork === 'none')
      return 'the store goes on with what nobody may have written there: find out who else has its credential, then restart it: the fleet goes on with what its replicas hold';
    if (fork === 'lost')
      return `its history is another than the fleet's, and where they part is too long ago to be found; it begins again by itself at the next snapshot, with what the fleet lacks appended again, or at once: ${SET_ASIDE}, and keep them`;
    const { after, count } = fork;
    return `its history is another than the fleet's after ${renderPosition(after)}; what only it had (${count} facts) was appended again; it begins again by itself at the next snapshot, or at once: ${SET_ASIDE}`;
  }

  /** True when it began again: there is something to be had at once. `epochId`: the open one. Rejects as the store does. */
  async mend(epochId: string): Promise<boolean> {
    const { position } = this.#ports.cursor;
    const isKnown =
      this.#found?.epochId === epochId && comparePositions(this.#found.position, position) === 0;
    if (!isKnown) this.#found = await this.#find(epochId);
    return this.#found?.fork !== 'none' && this.#beginAgain(epochId);
  }

  async #beginAgain(epochId: string): Promise<boolean> {
    const { loader, clock } = this.#ports;
    const { monoMs } = clock.now();
    if (monoMs - this.#loadedAtMs < LOAD_AGAIN_MS) return false;
    this.#loadedAtMs = monoMs;
    return loader.load(epochId);
  }

  async #find(epochId: string): Promise<Finding> {
    const { cursor, ledger, carrier, fold, log } = this.#ports;
    const { position, opening } = cursor;
    // Who has nothing has no history that could be another.
    const after = opening === undefined ? position : await this.#lastShared(opening);
    const fork =
      after === undefined
        ? 'lost'
        : comparePositions(after, position) === 0
          ? 'none'
          : { after, count: await carrier.carryAgain(await linesBetween(ledger, after, position), epochId) };
    this.#found = { epochId, position, fork };
    // What was proven where nothing is shared with the fleet is not proven in it.
    if (fork === 'lost') fold.doubt();
    log.error('the history here is another than the fleet holds', {
      position: renderPosition(position),
      detail: this.advice as string,
    });
    return this.#found;
  }

  /** The last line of this epoch that the store holds too, or what comes before the first; undefined: not even that. */
  async #lastShared(opening: EpochEntry): Promise<Position | undefined> {
    const { epoch, sequence } = this.#ports.cursor.position;
    const before = this.#beforeOurs(opening);
    const start = before?.position.epoch === epoch ? before.position.sequence : 0;
    // Where one line is held, all before it were: histories part once.
    let [low, high] = [start, sequence];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (await this.#isLineHeld({ epoch, sequence: middle })) low = middle;
      else high = middle - 1;
    }
    if (low > start) return { epoch, sequence: low };
    return before !== undefined && (await this.#isHeld(before)) ? before.position : undefined;
  }

  /** The place after which this ledger has its lines of that epoch. */
  #beforeOurs({ epochId, base }: EpochEntry): LinePlace | undefined {
    const ours = this.#ports.ledger.base;
    if (ours?.opening.epochId === epochId) return ours;
    return base === undefined ? undefined : { position: parsePosition(base.head), chain: base.chain };
  }

  async #isLineHeld(at: Position): Promise<boolean> {
    const line = await lineAt(this.#ports.ledger, at);
    return line !== undefined && this.#isHeld(line);
  }

  async #isHeld({ position, chain }: LinePlace): Promise<boolean> {
    return (await this.#ports.store.roster(position)).line?.chain === chain;
  }
}
