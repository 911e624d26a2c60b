/**
 * Which incarnations were processes on this data directory, by a file in it: a key alone does not tell it from a copy. Whoever
 * joins names the one before it, so that the others know who speaks for whose sessions, and whose report counts for whom.
 */
import type { ReplicaEntry, SealedEntry } from '../feed/entry.ts';
import { isSignedBy, lookupEntry } from '../feed/entry.ts';
import type { Members } from '../feed/members.ts';
import type { Identity } from './identity.ts';

/**
 * In the data directory: the entry by which a process on it joined last, and on lines before it those of the sixteen before.
 * Durable when `keep` resolves.
 */
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
  #read: { readonly word: string; readonly shown: readonly Joining[] } | undefined;
  #unheard: readonly Joining[] | undefined;

  constructor(identity: Identity, members: Members, lastJoined: LastJoined) {
    this.#identity = identity;
    this.#members = members;
    this.#lastJoined = lastJoined;
  }

  /**
   * By which this directory joined, in their order: each goes on with the one before it, and the last may have been heard of by
   * nobody either. Empty for one that never did. Where the file is gone, or is not ours, who signed with its key last, as far as
   * the ledger here goes.
   */
  get shown(): readonly Joining[] {
    const { word = '' } = this.#lastJoined;
    if (word !== this.#read?.word) this.#read = { word, shown: this.#joiningsIn(word) };
    if (this.#read.shown.length > 0) return this.#read.shown;
    const { x } = this.#identity.key.public;
    return this.#joiningsIn(this.#members.newestWith(x)?.certificate ?? '');
  }

  get last(): Joining | undefined {
    return this.shown.at(-1);
  }

  #joiningsIn(text: string): readonly Joining[] {
    const all = text.split('\n').map((line) => this.#joiningIn(line));
    return all.every((one) => one !== undefined) ? all : [];
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

  /**
   * Of processes before this one, from the first on of which nothing was known here when this one began: killed before their lines
   * came back, they may have been heard of by nobody, and nobody could tell what comes before them. Said in each epoch, as it is
   * by this one: what was heard since may have been lost again.
   */
  get unheard(): readonly Joining[] {
    this.#unheard ??= this.#findUnheard();
    return this.#unheard;
  }

  #findUnheard(): readonly Joining[] {
    const first = this.#earlier.findIndex(
      ({ entry }) => this.#members.lookup(entry.incarnation) === undefined,
    );
    return first < 0 ? [] : this.#earlier.slice(first);
  }

  get #earlier(): readonly Joining[] {
    const { incarnation } = this.#identity;
    return this.shown.filter(({ entry }) => entry.incarnation !== incarnation).slice(-EARLIER_MAX);
  }

  /**
   * Before `sealed` is said: whoever comes after it has to name it. Those before it as well, also where they are known here: the
   * others may have gone on without what was read of them.
   */
  async note(sealed: SealedEntry): Promise<void> {
    const all = [...this.#earlier.map((one) => one.sealed), sealed];
    await this.#lastJoined.keep(all.map(({ text }) => text).join('\n'));
  }
}

/** What so many processes in a row have said is in the store, or nothing is: the feed of one that crashes at each start stays small. */
const EARLIER_MAX = 16;
