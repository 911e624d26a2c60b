/**
 * Which incarnations were processes on this data directory, by a file in it: a key alone does not tell it from a copy. Whoever
 * joins names the one before it, so that the others know who speaks for whose sessions, and whose report counts for whom.
 */
import type { ReplicaEntry, SealedEntry } from '../feed/entry.ts';
import { isSignedBy, lookupEntry } from '../feed/entry.ts';
import type { Members } from '../feed/members.ts';
import type { Identity } from './identity.ts';

/** In the data directory: the entry by which a process on it joined last. Durable when `keep` resolves. */
export interface LastJoined {
  readonly word: string | undefined;
  keep(word: string): Promise<void>;
}

/** `entry` is of a process on this directory. */
export interface Joining {
  readonly sealed: SealedEntry;
  readonly entry: ReplicaEntry;
}

export class Lineage {
  readonly #identity: Identity;
  readonly #members: Members;
  readonly #lastJoined: LastJoined;
  #read: { readonly word: string; readonly joining: Joining | undefined } | undefined;

  constructor(identity: Identity, members: Members, lastJoined: LastJoined) {
    this.#identity = identity;
    this.#members = members;
    this.#lastJoined = lastJoined;
  }

  /**
   * By which this directory joined last, heard of by anybody or not; undefined for one that never did. Where the file is gone, or
   * is not ours, who signed with its key last, as far as the ledger here goes.
   */
  get last(): Joining | undefined {
    const { word = '' } = this.#lastJoined;
    if (word !== this.#read?.word) this.#read = { word, joining: this.#joiningIn(word) };
    const { x } = this.#identity.key.public;
    return this.#read.joining ?? this.#joiningIn(this.#members.newestWith(x)?.certificate ?? '');
  }

  #joiningIn(text: string): Joining | undefined {
    const sealed = lookupEntry(text);
    if (sealed?.entry.kind !== 'replica') return undefined;
    const { entry } = sealed;
    const isOurs =
      entry.key === this.#identity.key.public.x && isSignedBy(sealed, this.#identity.logKey.public);
    return isOurs ? { sealed, entry } : undefined;
  }

  /** Of the process that was there before this one. */
  get before(): string | undefined {
    const entry = this.last?.entry;
    return entry?.incarnation === this.#identity.incarnation ? entry.succeeds : entry?.incarnation;
  }

  /** Before `sealed` is said: whoever comes after it has to name it. */
  async note(sealed: SealedEntry): Promise<void> {
    await this.#lastJoined.keep(sealed.text);
  }
}
