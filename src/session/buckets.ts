/** Several values under one key. Most keys have one value: those cost no set. Kept by the registry. */
export class Buckets<K, V extends object> {
  readonly #byKey = new Map<K, V | Set<V>>();

  /** Those under `key`. Going through them goes on right while some are added and taken away. */
  of(key: K): Iterable<V> {
    const found = this.#byKey.get(key);
    if (found === undefined) return NONE;
    return found instanceof Set ? found : [found];
  }

  add(key: K, value: V): void {
    const found = this.#byKey.get(key);
    if (found === undefined) this.#byKey.set(key, value);
    else if (found instanceof Set) found.add(value);
    else if (found !== value) this.#byKey.set(key, new Set([found, value]));
  }

  delete(key: K, value: V): void {
    const found = this.#byKey.get(key);
    if (found === value) this.#byKey.delete(key);
    else if (found instanceof Set && found.delete(value) && found.size === 0) this.#byKey.delete(key);
  }
}

const NONE: readonly never[] = [];
