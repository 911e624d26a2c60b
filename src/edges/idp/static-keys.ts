/** Keys that do not change while the process runs: the dev issuer's own. */
import type { Algorithm, KeyLookup, KeySource } from '../../credential/issuer.ts';
import type { KeySet } from '../../credential/key-set.ts';

export class StaticKeys implements KeySource {
  readonly #set: KeySet;

  constructor(set: KeySet) {
    this.#set = set;
  }

  lookup(kid: string | undefined, algorithm: Algorithm): KeyLookup {
    return this.#set.lookup(kid, algorithm);
  }

  generation(): number {
    return 0;
  }

  refresh(): Promise<void> {
    return Promise.resolve();
  }

  isAvailable(): boolean {
    return true;
  }
}
