/**
 * Things by the 64-bit fingerprint of a handle, for the few that are not worth a table: locks and what watches them.
 * Several may stand under one handle. Called by locks.ts and lock-watch.ts only.
 */

/** Fingerprints that share these 53 bits share a bucket; the whole of it is compared there. */
function bucketOf(hi: number, lo: number): number {
  return hi * 0x20_0000 + (lo >>> 11);
}

interface Placed<T> {
  readonly hi: number;
  readonly lo: number;
  readonly item: T;
}

export class HandleMap<T> {
  readonly #buckets = new Map<number, Placed<T>[]>();
  #size = 0;

  /** Pairs of handle and item. While it is 0 nobody has to look. */
  get size(): number {
    return this.#size;
  }

  /** Puts `item` under a handle; twice is no more than once to whoever looks. */
  add(hi: number, lo: number, item: T): void {
    const key = bucketOf(hi, lo);
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) this.#buckets.set(key, [{ hi, lo, item }]);
    else bucket.push({ hi, lo, item });
    this.#size++;
  }

  /** Takes `item` from under a handle; nothing happens when it is not there. */
  delete(hi: number, lo: number, item: T): void {
    const key = bucketOf(hi, lo);
    const bucket = this.#buckets.get(key) ?? [];
    const left = bucket.filter((one) => one.item !== item || one.hi !== hi || one.lo !== lo);
    this.#size -= bucket.length - left.length;
    if (left.length === 0) this.#buckets.delete(key);
    else this.#buckets.set(key, left);
  }

  /** Calls `visit` with everything under a handle. */
  each(hi: number, lo: number, visit: (item: T) => void): void {
    const bucket = this.#buckets.get(bucketOf(hi, lo));
    if (bucket === undefined) return;
    for (const one of bucket) if (one.lo === lo && one.hi === hi) visit(one.item);
  }
}
