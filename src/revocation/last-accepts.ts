/**
 * When each handle was last accepted, and whether one was accepted after it was revoked. Called on every allow. It
 * is kept apart from the index on purpose: were the index wrong, an accept of what is dead would still be counted.
 *
 * What it is worth: it is one replica's memory of this run, of a fixed size. A set of eight handles that is full lets
 * go of the one that was accepted longest ago, so `seen` may forget (never invent), and of the oldest watch beyond
 * six, so a late accept of something revoked very many revocations ago may go uncounted. For a handle with a cutoff,
 * `seen` counts accepts of younger credentials too; `late` counts only those that the cutoff kills.
 */
import type { HandleSet } from '../credential/handle.ts';
import { LIMITS } from '../kernel/limits.ts';
import { isDeadUnder } from './cutoff.ts';
import { LockWatch } from './lock-watch.ts';
import { NEVER_S } from './table.ts';
import { word } from './word.ts';

export interface Accepts {
  /** Wall time of the last one; 0 when there was none. */
  readonly lastMs: number;
  readonly count: number;
}

const WAYS = 8;

/** Of a set: what is watched must not crowd out what is seen. */
const WATCHED_MAX = 6;

const NONE: Accepts = { lastMs: 0, count: 0 };

export class LastAccepts {
  /** Accepts of what is locked: an accept after the lock was lifted or ended is not late. */
  readonly locks = new LockWatch();
  readonly #sets: number;
  readonly #his: Uint32Array;
  readonly #los: Uint32Array;
  readonly #counts: Float64Array;
  readonly #lastMs: Float64Array;
  /** 0: not watched. Else the place of its first watch among all watches. */
  readonly #watches: Float64Array;
  /** NEVER_S: whatever the credential's `iat`. */
  readonly #cutoffs: Uint32Array;
  readonly #lateCounts: Float64Array;
  readonly #lateMs: Float64Array;
  #watchesEver = 0;
  #lateTotal = 0;

  constructor(slots: number = LIMITS.lastAcceptsMax) {
    this.#sets = Math.floor(slots / WAYS);
    const length = this.#sets * WAYS;
    this.#his = new Uint32Array(length);
    this.#los = new Uint32Array(length);
    this.#counts = new Float64Array(length);
    this.#lastMs = new Float64Array(length);
    this.#watches = new Float64Array(length);
    this.#cutoffs = new Uint32Array(length);
    this.#lateCounts = new Float64Array(length);
    this.#lateMs = new Float64Array(length);
  }

  /** Late accepts of anything, ever: while it stands still no `late` has moved. */
  get lateTotal(): number {
    return this.#lateTotal;
  }

  /** A credential issued at `issuedAtS` was accepted at `wallMs`. Allocates nothing. */
  record({ prints }: HandleSet, issuedAtS: number | undefined, wallMs: number): void {
    this.locks.record(prints, wallMs);
    for (let at = 0; at < prints.length; at += 2) {
      const slot = this.#claim(word(prints, at), word(prints, at + 1));
      this.#counts[slot] = real(this.#counts, slot) + 1;
      this.#lastMs[slot] = wallMs;
      if (real(this.#watches, slot) > 0) this.#judge(slot, issuedAtS, wallMs);
    }
  }

  /** Accepts of a handle, late ones included. */
  seen(hi: number, lo: number): Accepts | undefined {
    const slot = this.#find(hi, lo);
    return slot < 0 ? undefined : this.#seenAt(slot);
  }

  /**
   * From now on an accept of the handle is late when its credential does not say when it was issued, or says at or
   * before `cutoffS` (undefined: whatever it says). Again under another cutoff: the stricter holds. Returns what was
   * seen until now.
   */
  watch(hi: number, lo: number, cutoffS: number | undefined): Accepts | undefined {
    const slot = this.#claim(hi, lo);
    const cutoff = cutoffS ?? NEVER_S;
    if (real(this.#watches, slot) > 0) {
      this.#cutoffs[slot] = Math.max(cutoff, word(this.#cutoffs, slot));
    } else {
      this.#releaseOldest(slot);
      this.#watches[slot] = ++this.#watchesEver;
      this.#cutoffs[slot] = cutoff;
    }
    return this.#seenAt(slot);
  }

  /** Accepts of a handle that were late under its watch. */
  late(hi: number, lo: number): Accepts {
    const slot = this.#find(hi, lo);
    if (slot < 0) return NONE;
    return { count: real(this.#lateCounts, slot), lastMs: real(this.#lateMs, slot) };
  }

  #seenAt(slot: number): Accepts | undefined {
    const count = real(this.#counts, slot);
    return count > 0 ? { count, lastMs: real(this.#lastMs, slot) } : undefined;
  }

  #judge(slot: number, issuedAtS: number | undefined, wallMs: number): void {
    const cutoffS = word(this.#cutoffs, slot);
    if (!isDeadUnder(cutoffS === NEVER_S ? undefined : cutoffS, issuedAtS)) return;
    this.#lateCounts[slot] = real(this.#lateCounts, slot) + 1;
    this.#lateMs[slot] = wallMs;
    this.#lateTotal++;
  }

  #find(hi: number, lo: number): number {
    const first = (lo % this.#sets) * WAYS;
    for (let slot = first; slot < first + WAYS; slot++) {
      if (word(this.#los, slot) === lo && word(this.#his, slot) === hi) return slot;
    }
    return -1;
  }

  /** The handle's slot; if it has none, that of the unwatched one of its set that was accepted longest ago, or never. */
  #claim(hi: number, lo: number): number {
    const found = this.#find(hi, lo);
    if (found >= 0) return found;
    const first = (lo % this.#sets) * WAYS;
    let oldest = -1;
    for (let slot = first; slot < first + WAYS; slot++) {
      if (real(this.#watches, slot) > 0) continue;
      if (oldest < 0 || real(this.#lastMs, slot) < real(this.#lastMs, oldest)) oldest = slot;
    }
    this.#his[oldest] = hi;
    this.#los[oldest] = lo;
    this.#counts[oldest] = 0;
    this.#lastMs[oldest] = 0;
    this.#lateCounts[oldest] = 0;
    this.#lateMs[oldest] = 0;
    return oldest;
  }

  /** Makes room for one watch more in the set of `slot`: at least two of its eight are never watched. */
  #releaseOldest(slot: number): void {
    const first = slot - (slot % WAYS);
    let oldest = -1;
    let watched = 0;
    for (let other = first; other < first + WAYS; other++) {
      if (real(this.#watches, other) === 0) continue;
      watched++;
      if (oldest < 0 || real(this.#watches, other) < real(this.#watches, oldest)) oldest = other;
    }
    if (watched >= WATCHED_MAX) this.#watches[oldest] = 0;
  }
}

/** `numbers[at]` where `at` is inside. */
function real(numbers: Float64Array, at: number): number {
  return numbers[at] as number;
}
