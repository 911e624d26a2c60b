/**
 * The revocation index's hash table: 64-bit fingerprints -> end, entry reference and (one layout) latest cutoff, in
 * shared memory, 1,024 shards so that growth never stalls the loop. Called by RevocationView only. It must never
 * lose a record, nor let a weaker one replace a stricter one.
 *
 * Each shard is sorted by low word (ordered linear probing, Amble and Knuth 1974): the home of a record is
 * proportional to its low word and a search ends at the first larger one, so that a miss, which is what nearly all
 * look-ups are, costs no more than a hit even when nine slots in ten are taken. Growth and removal read the old
 * slots in order and write the new ones in order.
 *
 * One thread writes. Slots move while a shard changes, so each shard has a version in shared memory that is odd
 * meanwhile. A reader on another thread (there is none yet; it would have to be handed the slabs and the directory)
 * takes it before (Atomics.load) and after (Atomics.add of 0, which no read can sink below), and reads again when it
 * was odd or has moved: it then sees no half or wrong record and misses none whose merge was over. Readers on the
 * writer's own thread need none of this: nothing here awaits.
 */
import { EMPTY, PageStore, VOID_PAGE } from './page-store.ts';
import { word } from './word.ts';

export const SHARDS = 1_024;

/** `untilS` of what never ends. */
export const NEVER_S = 0xffff_ffff;

/** `plain`: dead whatever its `iat` (16 bytes each). `cutoff`: dead when issued at or before it (20 bytes). */
export type TableLayout = 'plain' | 'cutoff';

/** All numbers are 32-bit and unsigned. */
export interface TableRecord {
  readonly untilS: number;
  /** Who says so: of the entries that are as strict as the record now is, the one that comes first by `isBefore`. */
  readonly ref: number;
  /** NEVER_S in the plain layout, which keeps none. */
  readonly cutoffS: number;
}

const LO = 0;
const HI = 1;
const UNTIL = 2;
const REF = 3;
const CUTOFF = 4;

const PAGE_BITS = 8;
const PAGE_SLOTS = 1 << PAGE_BITS;
const PAGE_MASK = PAGE_SLOTS - 1;

/** Records merged between two looks at the clock. */
const UNPACKED = 256;

const NOTHING = new Uint8Array();

/** Of the last page; an overflow beyond them takes one page more. */
const OVERFLOW_SLOTS = 32;

const LOAD_MAX = 0.9;

/** A shard grows by a sixteenth, so that between 85 and 90 % of a large one is in use at any size. */
const GROWTH_SHIFT = 4;

export class FingerprintTable {
  readonly #width: number;
  readonly #isBefore: (ref: number, other: number) => boolean;
  readonly #store: PageStore;
  /** For each shard the number of homes, then its pages (VOID_PAGE where there is none), `#stride` words in all. */
  #directory = sharedWords(SHARDS * 2);
  #stride = 2;
  readonly #pageCounts = sharedWords(SHARDS);
  readonly #counts = sharedWords(SHARDS);
  readonly #versions = sharedWords(SHARDS);
  #size = 0;

  /** `isBefore` orders references, so that it does not matter in which order records are merged. */
  constructor(layout: TableLayout, isBefore: (ref: number, other: number) => boolean) {
    this.#width = layout === 'plain' ? 4 : 5;
    this.#isBefore = isBefore;
    this.#store = new PageStore(PAGE_SLOTS * this.#width);
  }

  /** Records in the table. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of memory behind the table, free slots included. */
  get bytes(): number {
    return this.#store.bytes + this.#directory.byteLength + 3 * this.#versions.byteLength;
  }

  /** Shared memory with the version of each shard: odd while it changes. */
  get versions(): Uint32Array {
    return this.#versions;
  }

  /** The record of a fingerprint. Allocates nothing when there is none. */
  lookup(hi: number, lo: number): TableRecord | undefined {
    const shard = hi >>> 22;
    const slot = this.#find(shard, hi, keyOf(lo));
    return slot < 0 ? undefined : this.#read(shard, slot);
  }

  /** Union: the latest end and the latest cutoff win; `ref` goes with the strictest. In any order, any number of times. */
  merge(hi: number, lo: number, record: TableRecord): void {
    const shard = hi >>> 22;
    const key = keyOf(lo);
    const slot = this.#find(shard, hi, key);
    Atomics.add(this.#versions, shard, 1);
    if (slot >= 0) {
      this.#join(shard, slot, record);
    } else {
      const free = this.#growIfFull(shard) ? this.#find(shard, hi, key) : slot;
      this.#insert(shard, ~free, [key, hi, record]);
    }
    Atomics.add(this.#versions, shard, 1);
  }

  /**
   * Removes from one shard what ended before `nowS`; `onKept` hears the `ref` of everything that stays. A fraction
   * of a millisecond at 10 M records: sweep shard by shard, letting the loop turn in between. Returns how many went.
   */
  sweep(nowS: number, shard: number, onKept: (ref: number) => void): number {
    if (this.isEmpty(shard)) return 0;
    let ended = 0;
    for (const page of this.#pagesOf(shard)) {
      const words = this.#store.slab(page);
      const start = this.#store.start(page);
      for (let at = start; at < start + PAGE_SLOTS * this.#width; at += this.#width) {
        if (word(words, at) === EMPTY) continue;
        if (word(words, at + UNTIL) < nowS) ended++;
        else onKept(word(words, at + REF));
      }
    }
    if (ended > 0) this.#drop(shard, ended, nowS);
    return ended;
  }

  isEmpty(shard: number): boolean {
    return word(this.#counts, shard) === 0;
  }

  /** Bytes of a record in `pack`. */
  get recordBytes(): number {
    return this.#width * Uint32Array.BYTES_PER_ELEMENT;
  }

  /**
   * The records of one shard as bytes (little-endian words in the layout's order), in an order that depends on nothing
   * but what they are. `refOf` says what stands for a reference.
   */
  pack(shard: number, refOf: (ref: number) => number): Uint8Array {
    if (this.isEmpty(shard)) return NOTHING;
    const width = this.#width;
    const packed = new Uint32Array(word(this.#counts, shard) * width);
    let to = 0;
    for (const page of this.#pagesOf(shard)) {
      const words = this.#store.slab(page);
      const start = this.#store.start(page);
      for (let at = start; at < start + PAGE_SLOTS * width; at += width) {
        if (word(words, at) === EMPTY) continue;
        let into = to;
        // Slots are sorted by the low word; of equal ones it is the high word that decides.
        for (; into > 0 && isAfter(packed, into - width, words, at); into -= width)
          packed.copyWithin(into, into - width, into);
        packed.set(words.subarray(at, at + width), into);
        packed[into + REF] = refOf(word(words, at + REF));
        to += width;
      }
    }
    return new Uint8Array(packed.buffer);
  }

  /** Merges records as `pack` wrote them; `refOf` is asked for each reference. */
  *unpack(bytes: Uint8Array, refOf: (ref: number) => number): Generator<void, void, unknown> {
    // A copy: a view of words must begin at a multiple of four.
    const words = new Uint32Array(Uint8Array.from(bytes).buffer);
    for (let at = 0; at < words.length; at += this.#width) {
      if (at % (this.#width * UNPACKED) === 0) yield;
      this.merge(word(words, at + HI), word(words, at + LO), {
        untilS: word(words, at + UNTIL),
        ref: refOf(word(words, at + REF)),
        cutoffS: this.#width > CUTOFF ? word(words, at + CUTOFF) : NEVER_S,
      });
    }
  }

  /** Slot of the record, or `~slot` of where it would stand. */
  #find(shard: number, hi: number, key: number): number {
    const home = homeOf(key, word(this.#directory, shard * this.#stride));
    for (let slot = this.#seek(shard, home, key); ; slot++) {
      const page = this.#pageOf(shard, slot);
      const words = this.#store.slab(page);
      const at = this.#placeOf(page, slot);
      if (word(words, at + LO) !== key) return ~slot;
      if (word(words, at + HI) === hi) return slot;
    }
  }

  /** The first slot from `slot` on whose low word is `key` or larger. Ends: the last slot of a shard is never taken. */
  #seek(shard: number, slot: number, key: number): number {
    const width = this.#width;
    for (let found = slot; ;) {
      const page = this.#pageOf(shard, found);
      const words = this.#store.slab(page);
      let at = this.#placeOf(page, found);
      const pageEnd = (found | PAGE_MASK) + 1;
      for (; found < pageEnd; found++, at += width) {
        if (word(words, at) >= key) return found;
      }
    }
  }

  #read(shard: number, slot: number): TableRecord {
    const page = this.#pageOf(shard, slot);
    const words = this.#store.slab(page);
    const at = this.#placeOf(page, slot);
    return {
      untilS: word(words, at + UNTIL),
      ref: word(words, at + REF),
      cutoffS: this.#width > CUTOFF ? word(words, at + CUTOFF) : NEVER_S,
    };
  }

  #join(shard: number, slot: number, { untilS, ref, cutoffS }: TableRecord): void {
    const page = this.#pageOf(shard, slot);
    const words = this.#store.slab(page);
    const at = this.#placeOf(page, slot);
    const [given, kept] =
      this.#width > CUTOFF ? [cutoffS, word(words, at + CUTOFF)] : [untilS, word(words, at + UNTIL)];
    if (given > kept || (given === kept && this.#isBefore(ref, word(words, at + REF)))) words[at + REF] = ref;
    if (this.#width > CUTOFF) words[at + CUTOFF] = Math.max(cutoffS, word(words, at + CUTOFF));
    words[at + UNTIL] = Math.max(untilS, word(words, at + UNTIL));
  }

  #insert(shard: number, slot: number, [key, hi, record]: readonly [number, number, TableRecord]): void {
    this.#makeRoom(shard, slot);
    const page = this.#pageOf(shard, slot);
    const words = this.#store.slab(page);
    const at = this.#placeOf(page, slot);
    words[at + LO] = key;
    words[at + HI] = hi;
    words[at + UNTIL] = record.untilS;
    words[at + REF] = record.ref;
    if (this.#width > CUTOFF) words[at + CUTOFF] = record.cutoffS;
    this.#counts[shard] = word(this.#counts, shard) + 1;
    this.#size++;
  }

  /** Moves `slot` and what follows it, up to the next free slot, one slot further. */
  #makeRoom(shard: number, slot: number): void {
    const width = this.#width;
    let free = this.#seek(shard, slot, EMPTY);
    if (free + 1 === word(this.#pageCounts, shard) << PAGE_BITS) this.#addPage(shard);
    while (free > slot) {
      const page = this.#pageOf(shard, free);
      const words = this.#store.slab(page);
      const at = this.#placeOf(page, free);
      const first = Math.max(slot, free & ~PAGE_MASK);
      const firstAt = at - (free - first) * width;
      words.copyWithin(firstAt + width, firstAt, at);
      free = first;
      if (free > slot) this.#carry(shard, free--);
    }
  }

  /** Copies the last slot of a page to `slot`, the first one of the next. */
  #carry(shard: number, slot: number): void {
    const page = this.#pageOf(shard, slot);
    const before = this.#pageOf(shard, slot - 1);
    const from = this.#placeOf(before, slot - 1);
    this.#store
      .slab(page)
      .set(this.#store.slab(before).subarray(from, from + this.#width), this.#placeOf(page, slot));
  }

  #pageOf(shard: number, slot: number): number {
    return word(this.#directory, shard * this.#stride + 1 + (slot >>> PAGE_BITS));
  }

  /** Index of a slot's first word in the slab of its page. */
  #placeOf(page: number, slot: number): number {
    return this.#store.start(page) + (slot & PAGE_MASK) * this.#width;
  }

  #pagesOf(shard: number): Uint32Array {
    const first = shard * this.#stride + 1;
    return this.#directory.slice(first, first + word(this.#pageCounts, shard));
  }

  #growIfFull(shard: number): boolean {
    if (word(this.#counts, shard) < Math.floor(word(this.#directory, shard * this.#stride) * LOAD_MAX))
      return false;
    const pages = word(this.#pageCounts, shard);
    this.#rebuild(shard, pages + Math.max(1, pages >>> GROWTH_SHIFT), 0);
    return true;
  }

  #addPage(shard: number): void {
    const count = word(this.#pageCounts, shard);
    if (count + 1 === this.#stride) this.#widenDirectory();
    this.#directory[shard * this.#stride + 1 + count] = this.#store.take();
    this.#pageCounts[shard] = count + 1;
  }

  #widenDirectory(): void {
    const stride = this.#stride;
    const wider = sharedWords(SHARDS * stride * 2);
    for (let at = 0; at < this.#directory.length; at += stride) {
      wider.set(this.#directory.subarray(at, at + stride), at * 2);
    }
    this.#directory = wider;
    this.#stride = stride * 2;
  }

  #drop(shard: number, ended: number, nowS: number): void {
    const left = word(this.#counts, shard) - ended;
    Atomics.add(this.#versions, shard, 1);
    this.#rebuild(shard, Math.min(word(this.#pageCounts, shard), pagesFor(left)), nowS);
    this.#counts[shard] = left;
    this.#size -= ended;
    Atomics.add(this.#versions, shard, 1);
  }

  /** Writes what did not end before `nowS` into `pageCount` other pages, in order. */
  #rebuild(shard: number, pageCount: number, nowS: number): void {
    const pages = this.#pagesOf(shard);
    const base = shard * this.#stride;
    this.#directory.fill(VOID_PAGE, base, base + this.#stride);
    this.#directory[base] = Math.max(0, pageCount * PAGE_SLOTS - OVERFLOW_SLOTS);
    this.#pageCounts[shard] = 0;
    for (let i = 0; i < pageCount; i++) this.#addPage(shard);
    let next = 0;
    for (const page of pages) {
      next = this.#copyPage(shard, page, { next, nowS });
      this.#store.give(page);
    }
  }

  /** Copies a page's records to where they belong, none before `next`; returns the slot after the last one. */
  #copyPage(shard: number, page: number, { next, nowS }: { next: number; nowS: number }): number {
    const width = this.#width;
    const homes = word(this.#directory, shard * this.#stride);
    const from = this.#store.slab(page);
    const start = this.#store.start(page);
    let free = next;
    for (let at = start; at < start + PAGE_SLOTS * width; at += width) {
      const key = word(from, at);
      if (key === EMPTY || word(from, at + UNTIL) < nowS) continue;
      free = Math.max(free, homeOf(key, homes));
      if (free + 1 === word(this.#pageCounts, shard) << PAGE_BITS) this.#addPage(shard);
      const toPage = this.#pageOf(shard, free);
      const to = this.#store.slab(toPage);
      const toAt = this.#placeOf(toPage, free);
      for (let i = 0; i < width; i++) to[toAt + i] = word(from, at + i);
      free++;
    }
    return free;
  }
}

/** True when the record at `left` of `words` belongs after the one at `at` of `others`. */
function isAfter(words: Uint32Array, left: number, others: Uint32Array, at: number): boolean {
  return word(words, left + LO) === word(others, at + LO) && word(words, left + HI) > word(others, at + HI);
}

/** EMPTY is no key, so the two largest low words share one: fingerprints of 64 bits less one pair in 2^32. */
function keyOf(lo: number): number {
  return lo === EMPTY ? EMPTY - 1 : lo;
}

function homeOf(key: number, homes: number): number {
  return Math.floor((key * homes) / 0x1_0000_0000);
}

function pagesFor(count: number): number {
  return count === 0 ? 0 : Math.ceil((count / LOAD_MAX + OVERFLOW_SLOTS) / PAGE_SLOTS);
}

function sharedWords(length: number): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(length * Uint32Array.BYTES_PER_ELEMENT));
}
