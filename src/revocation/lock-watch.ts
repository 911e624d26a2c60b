/**
 * Accepts of what is locked, counted apart from the index, so that an error there would be seen here. Part of
 * LastAccepts, which calls it on every allow; while nothing is locked that costs one comparison.
 */
import type { DeadHandle } from './cutoff.ts';
import { HandleMap } from './handle-map.ts';
import { word } from './word.ts';

interface Watch {
  readonly dead: readonly DeadHandle[];
  readonly expiresAtS: number;
  count: number;
  lastMs: number;
}

export class LockWatch {
  readonly #byId = new Map<string, Watch>();
  readonly #byHandle = new HandleMap<Watch>();

  /** From now on, and until `expiresAtS` or `end`, an accept of what `dead` names is late. Again: nothing more. */
  begin(id: string, dead: readonly DeadHandle[], expiresAtS: number): void {
    if (this.#byId.has(id)) return;
    const watch = { dead, expiresAtS, count: 0, lastMs: 0 };
    this.#byId.set(id, watch);
    for (const { hi, lo } of dead) this.#byHandle.add(hi, lo, watch);
  }

  /** The lock `id` was lifted, or is over: nothing is late any more. */
  end(id: string): void {
    const watch = this.#byId.get(id);
    if (watch === undefined) return;
    this.#byId.delete(id);
    for (const { hi, lo } of watch.dead) this.#byHandle.delete(hi, lo, watch);
  }

  /** A credential with these handles was accepted at `wallMs`. */
  record(prints: Uint32Array, wallMs: number): void {
    if (this.#byHandle.size === 0) return;
    for (const watch of this.#named(prints)) {
      if (wallMs >= watch.expiresAtS * 1000) continue;
      watch.count++;
      watch.lastMs = wallMs;
    }
  }

  /** Accepts that were late under the lock `id`; undefined when there were none, or it is not watched. */
  late(id: string): { readonly count: number; readonly lastMs: number } | undefined {
    const watch = this.#byId.get(id);
    return watch === undefined || watch.count === 0 ? undefined : watch;
  }

  /** Locks that are watched and over at `nowS`. */
  over(nowS: number): string[] {
    return [...this.#byId].filter(([, { expiresAtS }]) => expiresAtS <= nowS).map(([id]) => id);
  }

  /** Each once, however many of its handles the credential has. */
  #named(prints: Uint32Array): Set<Watch> {
    const named = new Set<Watch>();
    for (let at = 0; at < prints.length; at += 2)
      this.#byHandle.each(word(prints, at), word(prints, at + 1), (watch) => named.add(watch));
    return named;
  }
}
