/**
 * Pages of shared memory for one fingerprint table, named by number. A page that a shard leaves behind is handed
 * out again: V8 does not count SharedArrayBuffers when it decides to collect, so buffers that were thrown away on
 * growth would stay (measured: five times the live size). Memory once taken is reused, never returned.
 */

/** What every word of a free slot says. */
export const EMPTY = 0xffff_ffff;

/** A page that stays empty: what a shard without pages points at, so that a search in it ends at once. */
export const VOID_PAGE = 0;

const SLAB_BITS = 8;
const SLAB_MASK = (1 << SLAB_BITS) - 1;

export class PageStore {
  readonly #pageWords: number;
  readonly #slabs: Uint32Array[] = [];
  readonly #free: number[] = [];
  #next = VOID_PAGE;

  constructor(pageWords: number) {
    this.#pageWords = pageWords;
    this.take();
  }

  /** Of all pages ever handed out; the untouched rest of the last slab is not resident. */
  get bytes(): number {
    return this.#next * this.#pageWords * Uint32Array.BYTES_PER_ELEMENT;
  }

  /** The words among which those of `page` are. */
  slab(page: number): Uint32Array {
    return this.#slabs[page >>> SLAB_BITS] as Uint32Array;
  }

  /** Index of the first word of `page` in its slab. */
  start(page: number): number {
    return (page & SLAB_MASK) * this.#pageWords;
  }

  /** A page of which every word is EMPTY. */
  take(): number {
    const page = this.#free.pop() ?? this.#cut();
    const start = this.start(page);
    this.slab(page).fill(EMPTY, start, start + this.#pageWords);
    return page;
  }

  /** Takes a page back; its words may change from now on. */
  give(page: number): void {
    this.#free.push(page);
  }

  #cut(): number {
    const page = this.#next++;
    if ((page & SLAB_MASK) === 0) {
      const bytes = (SLAB_MASK + 1) * this.#pageWords * Uint32Array.BYTES_PER_ELEMENT;
      this.#slabs.push(new Uint32Array(new SharedArrayBuffer(bytes)));
    }
    return page;
  }
}
