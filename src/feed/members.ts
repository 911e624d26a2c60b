/**
 * Who may sign: the incarnations that a `replica` entry, signed by the log key, has admitted. The text of that
 * entry is the certificate a receipt carries.
 */
import type { PublicKey } from '../kernel/key.ts';
import { parsePublicKey } from '../kernel/key.ts';
import type { Entry, EpochEntry, FeedLine, SealedEntry } from './entry.ts';
import { isLogSigned, isSignedBy, lookupEntry } from './entry.ts';
import type { LeaseTerm } from './lease.ts';
import type { Position } from './position.ts';
import { ORIGIN, byId, comparePositions, parsePosition } from './position.ts';

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
  /** By whom they say to go on with. */
  readonly #successors = new Map<string, Set<string>>();
  /** Undefined: to be found out again. */
  #isAnyoneLost: boolean | undefined;
  /** Keys that somebody had joined with before this epoch, or a snapshot, or that another run has joined with. */
  readonly #earlierKeys = new Set<string>();
  /** When this epoch was opened, by its opener's clock. */
  #openedAt = '';
  /** Where it was said that somebody joined: the first place in each history that was. */
  readonly #places = new Map<string, readonly Position[]>();
  /** What lies between the line from which an epoch goes on and its first one is of no history but this replica's. */
  #cuts: readonly Cut[] = [];
  readonly #onKey: (incarnation: string, key: string) => void;

  /** `onKey` hears with which key (base64url) each incarnation signs. */
  constructor(onKey: (incarnation: string, key: string) => void = () => undefined) {
    this.#onKey = onKey;
  }

  /** Folds one `replica` entry whose signature has been checked; other kinds change nothing. */
  apply(line: FeedLine): void {
    const { entry, text } = line.sealed;
    if (entry.kind === 'epoch') {
      this.#cut({ after: headOf(entry), before: line.position });
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
    if (!this.isShared(entry.incarnation))
      this.#places.set(entry.incarnation, [...(this.#places.get(entry.incarnation) ?? []), line.position]);
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
    // Also where it is heard of, or again, only after who goes on with it.
    const state = this.#successors.has(incarnation) ? 'succeeded' : 'joined';
    this.#set({ replica, incarnation, key, state, joinedAt, ...by, place, certificate: text, term });
  }

  /** One as a snapshot names it, whose signature has been checked: news is who joined later, and of the same that it is over. */
  restore(member: Member): void {
    this.#places.set(member.incarnation, [member.place]);
    this.#earlierKeys.add(member.key.x);
    const known = this.#byIncarnation.get(member.incarnation);
    if (known === undefined || known.joinedAt < member.joinedAt)
      this.#set({ ...member, place: known?.place ?? member.place });
    else if (known.joinedAt === member.joinedAt && known.state === 'joined')
      this.#mark(member.incarnation, member.state);
  }

  /** A snapshot takes the place of the history: of who is in it. */
  begin(): void {
    this.#places.clear();
    this.#cuts = [];
  }

  /** What comes after `end` is of this history no more. */
  goBackTo(end: Position): void {
    this.#cuts = this.#cuts.filter(({ before }) => comparePositions(before, end) <= 0);
    for (const [incarnation, places] of this.#places)
      this.#places.set(
        incarnation,
        places.filter((place) => comparePositions(place, end) <= 0),
      );
  }

  /**
   * Whether the history that all share says that it joined. What only this replica has of it says so too, and by that an entry
   * would bind here and nowhere else: there it has no effect, and is acknowledged all the same.
   */
  isShared(incarnation: string): boolean {
    const places = this.#places.get(incarnation) ?? [];
    return places.some((place) => this.#cuts.every((cut) => !isCutOut(place, cut)));
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

  /** The replica that has its data directory now: the one that joined last with its key. */
  keeperOf(incarnation: string): string {
    return this.newestWith(this.keyOf(incarnation)?.x ?? '')?.replica ?? incarnation;
  }

  keyOf(incarnation: string): PublicKey | undefined {
    return this.#byIncarnation.get(incarnation)?.key;
  }

  /**
   * Whether `later` goes on with the data directory of `earlier`, as it has said, and so speaks for the sessions that were let in
   * there. Not where two name the same one: of copies nobody can say which is the directory.
   */
  goesOn(later: string, earlier: string): boolean {
    return this.#chainOf(later).some((one) => one === earlier);
  }

  /** Whose data directory it goes on with, the nearest first. */
  *#chainOf(later: string): Generator<string> {
    const seen = new Set<string>();
    for (let one = this.#before(later); one !== undefined && !seen.has(one); one = this.#before(one)) {
      yield one;
      seen.add(one);
    }
  }

  /** Who joined last with the key `x`. */
  newestWith(x: string): Member | undefined {
    const those = [...this.#byIncarnation.values()].filter(({ key }) => key.x === x);
    // From the newest on: it is that one but for a copy, and of all before it to ask is quadratic. Of those of one place the first.
    const last = those.findLast(({ incarnation }) => !this.isSucceeded(incarnation));
    return last && those.find((one) => isAt(one, last) && !this.isSucceeded(one.incarnation));
  }

  /** Whether another one has joined with its key after it: with its data directory, or with a copy of it. Asked at each renewal. */
  isSucceeded(incarnation: string): boolean {
    const own = this.lookup(incarnation);
    const earlier = new Set(this.#chainOf(incarnation));
    return this.#byIncarnation
      .values()
      .some(
        (one) =>
          one.key.x === own?.key.x &&
          !earlier.has(one.incarnation) &&
          (comparePositions(one.place, own.place) > 0 || this.goesOn(one.incarnation, incarnation)),
      );
  }

  #before(incarnation: string): string | undefined {
    const before = this.lookup(incarnation)?.succeeds;
    const isAlone = before !== undefined && this.#successors.get(before)?.size === 1;
    return isAlone ? before : undefined;
  }

  /** Whether anyone is gone with whose data directory nobody goes on, or two do: whom it had let in, nobody can say. */
  get isAnyoneLost(): boolean {
    this.#isAnyoneLost ??= this.#findAnyoneLost();
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

  /**
   * In the order of their ids, and of whom another goes on with only that: the same on every replica, whatever the way in which
   * they came. That such a one was forgotten may have been lost with an epoch, and is said of nobody again.
   */
  folded(): readonly Member[] {
    return byId(this.#byIncarnation)
      .filter(([incarnation]) => this.isShared(incarnation))
      .map(([, member]) => ({ ...member, state: this.settledState(member) }));
  }

  /** As `folded` has it: a row that was retired, too, is of one with whose data another goes on. */
  settledState({ state, incarnation }: Member): Member['state'] {
    return state !== 'left' && this.#successors.has(incarnation) ? 'succeeded' : state;
  }

  /** Whether all know who is to sign it: the log key, or who has joined in the history that they share. */
  knowsSignerOf(entry: Entry): boolean {
    return isLogSigned(entry) || this.isShared(entry.by);
  }

  /**
   * Whether who may has signed it: the log key, or the incarnation that the entry names, whatever has become of it, if it is
   * known to all. `signedBy`: the key under which its signature was found good already.
   */
  haveSigned(sealed: SealedEntry, log: PublicKey, signedBy?: string): boolean {
    const { entry } = sealed;
    if (!this.knowsSignerOf(entry)) return false;
    const key = isLogSigned(entry) ? log : this.keyOf(entry.by);
    return key !== undefined && (key.x === signedBy || isSignedBy(sealed, key));
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

  #findAnyoneLost(): boolean {
    const goneOnWith = new Set([...this.#byIncarnation.keys()].map((one) => this.#before(one)));
    return this.#byIncarnation.values().some(
      ({ state, incarnation }) =>
        // `succeeded` by two of which nobody can say who has the directory, as a snapshot has it too.
        (state === 'forgotten' || state === 'succeeded') && !goneOnWith.has(incarnation),
    );
  }

  /** One that cuts nobody out never will: who joins later does so after it. */
  #cut(cut: Cut): void {
    const places = [...this.#places.values()].flat();
    if (places.some((place) => isCutOut(place, cut))) this.#cuts = [...this.#cuts, cut];
  }

  #mark(incarnation: string, state: Member['state'], at?: Position): void {
    const member = this.#byIncarnation.get(incarnation);
    if (member !== undefined) this.#set({ ...member, state, ...(at === undefined ? {} : { goneAt: at }) });
  }

  #set(member: Member): void {
    const { incarnation, succeeds } = member;
    if (succeeds !== undefined)
      this.#successors.set(succeeds, (this.#successors.get(succeeds) ?? new Set()).add(incarnation));
    this.#byIncarnation.set(member.incarnation, member);
    this.#isAnyoneLost = undefined;
    this.#onKey(incarnation, member.key.x);
  }
}

interface Cut {
  readonly after: Position;
  /** Of the line that opened the epoch. */
  readonly before: Position;
}

/** From where an epoch goes on; of one without a base, from before all there is. */
function headOf({ base }: EpochEntry): Position {
  return base === undefined ? ORIGIN : parsePosition(base.head);
}

function isCutOut(place: Position, { after, before }: Cut): boolean {
  return comparePositions(place, after) > 0 && comparePositions(place, before) < 0;
}

function isAt({ place }: Member, other: Member): boolean {
  return comparePositions(place, other.place) === 0;
}

/** Of the request; nothing of an entry that no caller has ordered. */
function bodyOf(entry: Entry): string | undefined {
  return 'body' in entry ? entry.body : undefined;
}
