/**
 * Who may sign: the incarnations that a `replica` entry, signed by the log key, has admitted. The text of that
 * entry is the certificate a receipt carries.
 */
import type { PublicKey } from '../kernel/key.ts';
import { parsePublicKey } from '../kernel/key.ts';
import type { Entry, FeedLine, SealedEntry } from './entry.ts';
import { isLogSigned, isSignedBy, parseEntry } from './entry.ts';
import type { LeaseTerm } from './lease.ts';
import type { Position } from './position.ts';
import { byId, comparePositions } from './position.ts';

export interface Member {
  readonly replica: string;
  readonly incarnation: string;
  readonly key: PublicKey;
  /** `succeeded`: another incarnation goes on with its data directory. */
  readonly state: 'joined' | 'left' | 'forgotten' | 'succeeded';
  /** RFC 3339, by its own wall clock. */
  readonly joinedAt: string;
  /** The incarnation whose data directory it goes on with, whatever had become of that one. */
  readonly succeeds?: string;
  /** Where it was first said that it joined; of one that came with a snapshot, where that begins. */
  readonly place: Position;
  /** The canonical text of the entry that admitted it. */
  readonly certificate: string;
  /** Of its leases, by its own configuration; undefined where that was not said. */
  readonly term: Partial<LeaseTerm> | undefined;
  /** Where it was said that it is over; undefined also where a snapshot says so. */
  readonly goneAt?: Position;
}

export class Members {
  readonly #byIncarnation = new Map<string, Member>();
  /** Undefined: to be found out again. */
  #isAnyoneLost: boolean | undefined;
  /** Keys that somebody had joined with before this epoch, or a snapshot, or that another run has joined with. */
  readonly #earlierKeys = new Set<string>();
  /** When this epoch was opened, by its opener's clock. */
  #openedAt = '';

  /** Folds one `replica` entry whose signature has been checked; other kinds change nothing. */
  apply(line: FeedLine): void {
    const { entry, text } = line.sealed;
    if (entry.kind === 'epoch') {
      this.#openedAt = entry.at;
      for (const { key } of this.#byIncarnation.values()) this.#earlierKeys.add(key.x);
    }
    if (entry.kind !== 'replica') return;
    if (entry.event !== 'joined') {
      this.#mark(entry.incarnation, entry.event, line.position);
      return;
    }
    const key = parsePublicKey(entry.key);
    if (key === undefined) return;
    // Of one that was forgotten meanwhile nobody goes on.
    if (entry.succeeds !== undefined && this.lookup(entry.succeeds)?.state === 'joined')
      this.#mark(entry.succeeds, 'succeeded');
    const { replica, incarnation, at: joinedAt, term } = entry;
    const by = entry.succeeds === undefined ? {} : { succeeds: entry.succeeds };
    const known = this.lookup(incarnation);
    const place = known?.place ?? line.position;
    // What was said earlier and came later (flows/carry.ts) has been said anew since. And the same once more, whoever appended
    // it, is no news: it brings nobody back who has left.
    if (known !== undefined && known.joinedAt >= joinedAt) return;
    if (this.#byIncarnation.values().some((one) => one.key.x === key.x && one.incarnation !== incarnation))
      this.#earlierKeys.add(key.x);
    const state = 'joined';
    this.#set({ replica, incarnation, key, state, joinedAt, ...by, place, certificate: text, term });
  }

  /** One as a snapshot names it, whose signature has been checked: news is who joined later, and of the same that it is over. */
  restore(member: Member): void {
    this.#earlierKeys.add(member.key.x);
    const known = this.#byIncarnation.get(member.incarnation);
    if (known === undefined || known.joinedAt < member.joinedAt)
      this.#set({ ...member, place: known?.place ?? member.place });
    else if (known.joinedAt === member.joinedAt && known.state === 'joined')
      this.#mark(member.incarnation, member.state);
  }

  /** Whoever may hold a lease, for all that has been said, or may have held one after the line at `at`. */
  holders(at: Position): readonly Member[] {
    const members = [...this.#byIncarnation.values()];
    return members.filter(
      ({ state, goneAt }) =>
        state === 'joined' ||
        state === 'succeeded' ||
        (goneAt !== undefined && comparePositions(goneAt, at) > 0),
    );
  }

  lookup(incarnation: string): Member | undefined {
    return this.#byIncarnation.get(incarnation);
  }

  /** The replica whose process it is, or was; of somebody who is not known, what is. */
  nameOf(incarnation: string): string {
    return this.lookup(incarnation)?.replica ?? incarnation;
  }

  keyOf(incarnation: string): PublicKey | undefined {
    return this.#byIncarnation.get(incarnation)?.key;
  }

  /** The newest incarnation that signs with `x` and neither left nor was forgotten: whose data directory this is. */
  predecessorOf(x: string): Member | undefined {
    return this.list().findLast((member) => member.key.x === x && member.state === 'joined');
  }

  /** Whose data directory the next incarnation that signs with `x` goes on with, as far as it is known here; of copies the last to come. */
  newestOf(x: string): Member | undefined {
    const those = [...this.#byIncarnation.values()].filter(({ key }) => key.x === x);
    return those.find(({ incarnation }) => !this.isSucceeded(incarnation));
  }

  /**
   * Whether `later` goes on with the data directory of `earlier`, and so speaks for the sessions that were let in there: as it
   * was said, or by where each joined. Never by a clock, which may have been set back between the two.
   */
  goesOn(later: string, earlier: string): boolean {
    const [before, after] = [this.lookup(earlier), this.lookup(later)];
    if (before === undefined || after?.key.x !== before.key.x || earlier === later) return false;
    const [isAfter, isBefore] = [this.#succeeds(after, earlier), this.#succeeds(before, later)];
    return isAfter === isBefore ? comparePositions(after.place, before.place) > 0 : isAfter;
  }

  /** Whether anybody goes on with its data directory, or with a copy of that. */
  isSucceeded(incarnation: string): boolean {
    return this.#byIncarnation.values().some((one) => this.goesOn(one.incarnation, incarnation));
  }

  #succeeds({ succeeds }: Member, earlier: string): boolean {
    const seen = new Set<string>();
    for (let one = succeeds; one !== undefined && !seen.has(one); one = this.lookup(one)?.succeeds) {
      if (one === earlier) return true;
      seen.add(one);
    }
    return false;
  }

  /** Whether anyone was forgotten with whose data directory nobody goes on: whom it had let in, nobody can say. */
  get isAnyoneLost(): boolean {
    this.#isAnyoneLost ??= this.#byIncarnation
      .values()
      .some(({ state, incarnation }) => state === 'forgotten' && !this.isSucceeded(incarnation));
    return this.#isAnyoneLost;
  }

  /** Who neither left nor was forgotten, and may have let sessions in before this epoch: with a key that is new in it nobody has. */
  *carriedOver(): Generator<Member> {
    for (const member of this.#byIncarnation.values())
      if (member.state === 'joined' && this.#mayHaveLetIn(member)) yield member;
  }

  /** With a key that is new in this epoch nobody has, unless another run of it had joined, or it had itself in what a store lost. */
  #mayHaveLetIn({ key, joinedAt }: Member): boolean {
    return this.#earlierKeys.has(key.x) || joinedAt < this.#openedAt;
  }

  /** In the order in which they joined, each by its own clock. */
  list(): readonly Member[] {
    return [...this.#byIncarnation.values()].sort((left, right) =>
      left.joinedAt === right.joinedAt ? 0 : left.joinedAt < right.joinedAt ? -1 : 1,
    );
  }

  /** In the order of their ids: one order on every replica, whatever the way in which they came. */
  folded(): readonly Member[] {
    return byId(this.#byIncarnation).map(([, member]) => member);
  }

  /** Whether who may has signed it: the log key, or the incarnation that the entry names, whatever has become of it. */
  haveSigned(sealed: SealedEntry, log: PublicKey): boolean {
    const { entry } = sealed;
    const key = isLogSigned(entry) ? log : this.keyOf(entry.by);
    return key !== undefined && isSignedBy(sealed, key);
  }

  /**
   * Whether `text` says what `sealed` does, and who may has signed it: somebody may have appended the same order first, and
   * sealed it himself. What nobody signed has its place, and no effect.
   */
  haveSaid(text: string, sealed: SealedEntry, log: PublicKey): boolean {
    if (text === sealed.text) return true;
    const there = lookupEntry(text);
    if (there?.entry.id !== sealed.entry.id || bodyOf(there.entry) !== bodyOf(sealed.entry)) return false;
    return this.haveSigned(there, log);
  }

  #mark(incarnation: string, state: Member['state'], at?: Position): void {
    const member = this.#byIncarnation.get(incarnation);
    if (member !== undefined) this.#set({ ...member, state, ...(at === undefined ? {} : { goneAt: at }) });
  }

  #set(member: Member): void {
    this.#byIncarnation.set(member.incarnation, member);
    this.#isAnyoneLost = undefined;
  }
}

/** Undefined for what is no entry. */
function lookupEntry(text: string): SealedEntry | undefined {
  try {
    return parseEntry(text);
  } catch {
    return undefined;
  }
}

/** Of the request; nothing of an entry that no caller has ordered. */
function bodyOf(entry: Entry): string | undefined {
  return 'body' in entry ? entry.body : undefined;
}
