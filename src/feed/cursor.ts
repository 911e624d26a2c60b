/**
 * How far a replica has applied the feed: epoch, position and running chain. It only moves over lines that
 * continue exactly what is there; anything else is divergence, which fences and never guesses. Whoever moves it over lines
 * that a store brought asks `assertOpenedByUs` of each before.
 */
import { WritError } from '../kernel/error.ts';
import type { Steps } from '../kernel/pace.ts';
import { runAtOnce } from '../kernel/pace.ts';
import type { PublicKey } from '../kernel/key.ts';
import type { EpochEntry, FeedLine } from './entry.ts';
import { CHAIN_START, isSignedBy, nextChain } from './entry.ts';
import type { Position } from './position.ts';
import { ORIGIN, comparePositions, parsePosition, renderPosition } from './position.ts';
import type { SnapshotBase } from './snapshot.ts';
import type { Tail } from './tail.ts';
import { isLostProof, nameOf, provenAt } from './tail.ts';

/** How many lines of an epoch this replica may have more than the epoch that follows it knows of. */
export const TAIL_MAX = 1_024;

/** A place in a history. */
export interface Place {
  /** The entry that opened the epoch it is in; undefined before the first. */
  readonly opening: EpochEntry | undefined;
  /** Of the entries that opened epochs up to here, the newest on an operator's word that what is missing is accepted. */
  readonly amnesia: EpochEntry | undefined;
  readonly position: Position;
  readonly chain: string;
}

const NONE: ReadonlyMap<number, RecentLine> = new Map();

const BEGINNING: Place = { opening: undefined, amnesia: undefined, position: ORIGIN, chain: CHAIN_START };

export class Cursor {
  #at = BEGINNING;
  #settled: Position = ORIGIN;
  /** Every epoch that was applied: none is opened twice, whoever signed it. */
  readonly #epochIds = new Set<string>();
  /** Those of them that were taken out again and say what they go on from: there the fleet may go on with them after all. */
  readonly #left = new Set<string>();
  /** The newest lines of this epoch, by their sequence. */
  readonly #recent = new Map<number, RecentLine>();
  /** Where the epochs before this one end here, oldest first, as far as this replica applied them. */
  #ends: readonly Place[] = [];
  #tails: readonly OpenTail[] = [];
  /** Lines that were found to follow, so that each is hashed once. */
  #checked = new Set<FeedLine>();

  /** The id of the epoch that was applied last; undefined before the first. */
  get epochId(): string | undefined {
    return this.#at.opening?.epochId;
  }

  /** Whether that epoch was applied here, whatever has come after it. */
  knows(epochId: string): boolean {
    return this.#epochIds.has(epochId);
  }

  /** The newest epoch that was opened on an operator's word that what is missing is accepted. */
  get amnesia(): EpochEntry | undefined {
    return this.#at.amnesia;
  }

  /** Whether `name` is held here, of a history that was given up, and has not come again in this one. */
  isGivenUp(name: string): boolean {
    return this.#tails.some(({ isGivenUp, missing }) => isGivenUp === true && missing.has(name));
  }

  /** Whether `name` is held here, of whatever this history does not go on with, and has not come again in it. */
  isMissing(name: string): boolean {
    return this.#tails.some(({ missing }) => missing.has(name));
  }

  /** The entry that opened it. */
  get opening(): EpochEntry | undefined {
    return this.#at.opening;
  }

  /** For credentials of which life revocations are kept in this epoch; `own` where that was not said. */
  credentialLifeMaxMs(own: number): number {
    return this.#at.opening?.credentialLifeMaxMs ?? own;
  }

  get position(): Position {
    return this.#at.position;
  }

  get chain(): string {
    return this.#at.chain;
  }

  /** What this replica has of earlier epochs and the fleet has not, oldest first. */
  get tails(): readonly Tail[] {
    return this.#tails;
  }

  /** Where the epochs before this one end here, oldest first. */
  get ends(): readonly Place[] {
    return this.#ends;
  }

  /**
   * A cursor at one of `ends`, with the lines that lead to it: to try on lines that do not continue what is here. An epoch
   * that is here is none that they may open, those after that end included.
   */
  at(end: Place, leading: readonly OwnLine[]): Cursor {
    const other = new Cursor();
    other.#at = end;
    other.#ends = this.#ends.slice(0, this.#ends.indexOf(end));
    for (const id of this.#epochIds) other.#epochIds.add(id);
    for (const id of this.#left) other.#left.add(id);
    for (const own of leading) other.#recent.set(own.line.position.sequence, recentOf(own));
    return other;
  }

  /**
   * Goes back to where `earlier` was made. What came after it, `beside`, is a tail; one that lies before it stays, and so
   * does one whose lines were taken out at an earlier fork: `beside` does not have them.
   */
  goBackTo(earlier: Cursor, beside: readonly OwnLine[]): void {
    const upTo = this.position;
    this.#at = earlier.#at;
    this.#settled = this.position;
    this.#ends = earlier.#ends;
    this.#recent.clear();
    for (const [sequence, recent] of earlier.#recent) this.#recent.set(sequence, recent);
    const missing = namesAfter(this.position, beside.map(recentOf));
    const lines = beside.map(({ line }) => line);
    for (const { sealed } of lines) {
      const { entry } = sealed;
      if (entry.kind === 'epoch' && entry.base !== undefined) this.#left.add(entry.epochId);
    }
    const before = this.#tails.filter((tail) => this.#isBehind(tail));
    const tail = { after: this.position, upTo, missing, beside: lines };
    this.#tails = missing.size === 0 ? before : [...before, tail];
    this.#checked = new Set();
  }

  /** Whether it stays one: what was given up is the fleet's history again before the epoch that gave it up. */
  #isBehind({ isGivenUp, upTo, beside }: Tail): boolean {
    const compared = comparePositions(upTo, this.position);
    return isGivenUp === true ? compared < 0 : beside !== undefined || compared <= 0;
  }

  /** The chain at one of the newest places of this epoch; undefined where it is not known. */
  chainAt({ epoch, sequence }: Position): string | undefined {
    return epoch === this.position.epoch ? this.#recent.get(sequence)?.chain : undefined;
  }

  /** How far all is done: indexed, on disk, and every session told. Never ahead of `position`. */
  get settled(): Position {
    return this.#settled;
  }

  /**
   * Goes on from a snapshot, whose fold has all that came up to there but what is `missing` by name. That must have been
   * appended again: its lines leave the ledger, and until it has come back nobody else may have it.
   */
  jump({ opening, amnesia, position, chain }: SnapshotBase, missing: ReadonlySet<string> = new Set()): void {
    this.#at = { opening, amnesia: amnesia ?? toldHereAlone(this.amnesia), position, chain };
    this.#epochIds.add(opening.epochId);
    this.#ends = [];
    this.#recent.clear();
    this.#recent.set(position.sequence, { chain, name: undefined, provenAt: undefined });
    this.#tails = givenUp(missing, ORIGIN, []);
    this.#checked = new Set();
  }

  /** Up to here all is done. */
  settle(): void {
    this.#settled = this.position;
  }

  /** PROOF_INVALID unless `lines` continue this history, one after the other. Moves nothing. A page may be megabytes. */
  *checking(lines: readonly FeedLine[]): Steps<void> {
    let at = this.#at;
    const epochIds = this.#epochIds.difference(this.#left);
    let before: ReadonlyMap<number, RecentLine> = this.#recent;
    let chains = new Map<number, string>();
    const chainAt = (sequence: number): string | undefined =>
      chains.get(sequence) ?? before.get(sequence)?.chain;
    for (const line of lines) {
      assertFollows(line, at, { epochIds, chainAt });
      at = placeOf(line, at);
      if (line.sealed.entry.kind === 'epoch') {
        before = NONE;
        chains = new Map();
        epochIds.add(line.sealed.entry.epochId);
      }
      chains.set(line.position.sequence, line.chain);
      yield;
    }
    this.#checked = new Set(lines);
  }

  /**
   * Moves over `line`, which it checks unless that was just done. `isGenuine`: whoever may has signed it, so it binds.
   * `giveUp`: by name, all that this history holds before it, asked for where it opens an epoch that goes on from nothing.
   * Returns true when it opened an epoch.
   */
  advance(line: FeedLine, isGenuine: boolean, giveUp: () => Iterable<string> = none): boolean {
    if (!this.#checked.delete(line)) {
      runAtOnce(this.checking([line]));
      this.#checked.delete(line);
    }
    const before = this.#at;
    this.#at = placeOf(line, before);
    const { entry } = line.sealed;
    if (entry.kind === 'epoch') {
      this.#epochIds.add(entry.epochId);
      this.#left.delete(entry.epochId);
      this.#tails =
        entry.base === undefined && before.opening !== undefined
          ? givenUp(giveUp(), before.position, this.#tails)
          : [...this.#tails, ...tailsOf(entry, before, this.#recent)];
      if (before.opening !== undefined) this.#ends = [...this.#ends, before];
      this.#recent.clear();
    }
    if (isGenuine) this.#cameAgain(nameOf(entry));
    this.#recent.set(line.position.sequence, recentOf({ line, isGenuine }));
    this.#recent.delete(line.position.sequence - TAIL_MAX);
    return entry.kind === 'epoch';
  }

  #cameAgain(name: string | undefined): void {
    if (this.#tails.length === 0) return;
    if (name !== undefined) for (const { missing } of this.#tails) missing.delete(name);
    this.#tails = this.#tails.filter(({ missing }) => missing.size > 0);
  }
}

/** A line of this replica's own ledger. `isGenuine`: whoever may has signed it. */
export interface OwnLine {
  readonly line: FeedLine;
  readonly isGenuine: boolean;
}

function none(): Iterable<string> {
  return [];
}

interface RecentLine {
  readonly chain: string;
  /** Of what binds in it beyond its epoch (tail.ts). */
  readonly name: string | undefined;
  readonly provenAt: Position | undefined;
}

interface OpenTail extends Tail {
  readonly missing: Set<string>;
}

/** What is known of a history beside the place that it has come to. */
interface Known {
  readonly epochIds: ReadonlySet<string>;
  /** Of the present epoch. */
  readonly chainAt: (sequence: number) => string | undefined;
}

/** How far the clock of whoever opens an epoch may be ahead of the clock here. */
const AHEAD_S_MAX = 86_400;

/**
 * PROOF_INVALID for an epoch that nobody with the log key has opened: it is none, and nothing after it can be followed. And for
 * one with a number that no good clock gave it: nobody signs numbers, and after the last there is none.
 */
export function assertOpenedByUs(
  { position, sealed }: FeedLine,
  numberBefore: number,
  log: PublicKey,
  nowS: number,
): void {
  if (sealed.entry.kind !== 'epoch') return;
  if (!isSignedBy(sealed, log))
    throw new WritError(
      'PROOF_INVALID',
      `an epoch that this fleet's key has not signed stands at ${renderPosition(position)}`,
    );
  if (position.epoch > Math.max(numberBefore + 1, nowS + AHEAD_S_MAX))
    throw new WritError(
      'PROOF_INVALID',
      `the number of the epoch at ${renderPosition(position)} is more than a day ahead of this clock`,
    );
}

function assertFollows(line: FeedLine, at: Place, known: Known): void {
  const { position, sealed } = line;
  const opened = sealed.entry.kind === 'epoch' ? sealed.entry : undefined;
  const follows =
    opened === undefined
      ? at.opening !== undefined &&
        position.epoch === at.position.epoch &&
        position.sequence === at.position.sequence + 1
      : position.epoch > at.position.epoch && position.sequence === 1 && mayOpen(opened, at, known);
  if (!follows || !isChained(line, opened === undefined ? at.chain : CHAIN_START))
    throw new WritError('PROOF_INVALID', `feed diverges after ${renderPosition(at.position)}`);
}

function isChained({ chain, sealed, reading }: FeedLine, after: string): boolean {
  return reading?.bulk?.after === after || nextChain(after, sealed.text) === chain;
}

/**
 * An epoch is opened once, and continues exactly what its opener signed: put in another place, it would hide what came
 * between, or before. Who has more of the epoch before goes on as well, and who has less, or another line there, does not.
 * One without a base begins anew: the first of a fleet, or an operator's word (THREATS 10.18).
 */
function mayOpen({ epochId, base }: EpochEntry, at: Place, { epochIds, chainAt }: Known): boolean {
  if (epochIds.has(epochId)) return false;
  if (base === undefined) return true;
  const { epoch, sequence } = parsePosition(base.head);
  const isOfIt = base.epochId === at.opening?.epochId && epoch === at.position.epoch;
  return isOfIt && sequence <= at.position.sequence && chainAt(sequence) === base.chain;
}

/** None, or one: what the epoch before has after the place from which `base` goes on. */
function tailsOf(
  { base }: EpochEntry,
  { position }: Place,
  recent: ReadonlyMap<number, RecentLine>,
): readonly OpenTail[] {
  if (base === undefined || base.head === renderPosition(position)) return [];
  const after = parsePosition(base.head);
  const lines = [...recent].filter(([sequence]) => sequence > after.sequence).map(([, line]) => line);
  return [{ after, upTo: position, missing: namesAfter(after, lines) }];
}

/** Of `lines`, which a history that is left at `after` has more, what has to come again. */
function namesAfter(after: Position, lines: readonly RecentLine[]): Set<string> {
  return new Set(lines.flatMap(({ name, provenAt: at }) => (isLostProof(at, after) ? [] : (name ?? []))));
}

/** None, or one: all that is held, that of the tails `before` as well. */
function givenUp(names: Iterable<string>, upTo: Position, before: readonly Tail[]): readonly OpenTail[] {
  const missing = new Set(names);
  return missing.size === 0
    ? []
    : [{ after: ORIGIN, upTo, missing, beside: besideOf(before), isGivenUp: true }];
}

/** Lines of `tails` that have left the ledger. */
export function besideOf(tails: readonly Tail[]): readonly FeedLine[] {
  return tails.flatMap(({ beside = [] }) => beside);
}

function recentOf({ line: { chain, sealed }, isGenuine }: OwnLine): RecentLine {
  return { chain, name: isGenuine ? nameOf(sealed.entry) : undefined, provenAt: provenAt(sealed.entry) };
}

/** No snapshot says what a fleet began anew over; all else it says, and what it does not is of another history. */
function toldHereAlone(amnesia: EpochEntry | undefined): EpochEntry | undefined {
  return amnesia?.rule === 'accept-amnesia' ? undefined : amnesia;
}

function placeOf({ position, chain, sealed: { entry } }: FeedLine, before: Place): Place {
  if (entry.kind !== 'epoch') return { ...before, position, chain };
  const isGivenUp =
    entry.rule === 'accept-amnesia' || (entry.base === undefined && before.opening !== undefined);
  const amnesia = isGivenUp ? entry : before.amnesia;
  return { opening: entry, amnesia, position, chain };
}
