/** A binary heap from which any item can be taken, not the first alone: what ends early must leave memory early. */
export class Heap<T> {
  readonly #keyOf: (item: T) => number;
  readonly #items: T[] = [];
  readonly #places = new Map<T, number>();

  /** `keyOf` must say the same of an item for as long as it is in here. */
  constructor(keyOf: (item: T) => number) {
    this.#keyOf = keyOf;
  }

  get size(): number {
    return this.#items.length;
  }

  /** One with the smallest key. */
  get first(): T | undefined {
    return this.#items[0];
  }

  add(item: T): void {
    this.#rise(this.#items.length, item);
  }

  delete(item: T): void {
    const at = this.#places.get(item);
    if (at === undefined) return;
    this.#places.delete(item);
    const last = this.#items.pop() as T;
    if (last === item) return;
    if (this.#keyOf(last) < this.#keyOf(item)) this.#rise(at, last);
    else this.#sink(at, last);
  }

  #put(at: number, item: T): void {
    this.#items[at] = item;
    this.#places.set(item, at);
  }

  #rise(from: number, item: T): void {
    let at = from;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = this.#items[parentAt] as T;
      if (this.#keyOf(parent) <= this.#keyOf(item)) break;
      this.#put(at, parent);
      at = parentAt;
    }
    this.#put(at, item);
  }

  #sink(from: number, item: T): void {
    let at = from;
    for (;;) {
      const child = this.#smallerChild(at);
      if (child === undefined || this.#keyOf(item) <= this.#keyOf(this.#items[child] as T)) break;
      this.#put(at, this.#items[child] as T);
      at = child;
    }
    this.#put(at, item);
  }

  #smallerChild(at: number): number | undefined {
    const left = 2 * at + 1;
    const [one, other] = [this.#items[left], this.#items[left + 1]];
    if (one === undefined) return undefined;
    return other !== undefined && this.#keyOf(other) < this.#keyOf(one) ? left + 1 : left;
  }
}
