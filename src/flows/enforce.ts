/**
 * From "the store has it" to "nobody accepts it any more", for one revocation or lock: wait for the barrier, judge the
 * sessions by signed acknowledgements, read once more, write the receipt. It goes on when the caller hangs up:
 * evidence has a lifetime of its own.
 */
import type { AcknowledgedOutcome, CountedOnce } from '../evidence/acknowledgement.ts';
import { countOnce, isOpen, onceOver } from '../evidence/acknowledgement.ts';
import type { ReceiptStatement, Testimony } from '../evidence/receipt.ts';
import { keyringOf } from '../evidence/keyring.ts';
import { buildReceipt, receiptDigest, verifyingReceipt } from '../evidence/receipt.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { Entry, OutcomeEntry, SealedEntry } from '../feed/entry.ts';
import { isBulk, leafText, parseEntry } from '../feed/entry.ts';
import type { FeedStore, Roster, StoreFacts } from '../feed/feed-store.ts';
import type { Ledger } from '../feed/ledger.ts';
import { lineAt } from '../feed/ledger.ts';
import type { LeaseTerm } from '../feed/lease.ts';
import { enforcedByWaitMs, leaseOverMs } from '../feed/lease.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { comparePositions, renderPosition } from '../feed/position.ts';
import type { Clock, Instant, Timer } from '../kernel/clock.ts';
import { epochS, renderInstant } from '../kernel/clock.ts';
import { sha256Hex } from '../kernel/digest.ts';
import type { Histogram } from '../kernel/histogram.ts';
import { WritError } from '../kernel/error.ts';
import type { Log } from '../kernel/log.ts';
import type { Pace } from '../kernel/pace.ts';
import type { Random } from '../kernel/random.ts';
import { newId } from '../kernel/random.ts';
import type { Tracer } from '../kernel/trace.ts';
import type { RevocationView } from '../revocation/view.ts';
import type { Appended, Appender } from './append.ts';
import type { LeaseTable, ReplicaStanding } from './barrier.ts';
import type { Cosigner } from './cosign.ts';
import type { Effects } from './effects.ts';
import type { Gate } from './gate.ts';
import type { Identity } from './identity.ts';
import type { News } from './news.ts';
import { firstOf } from './news.ts';
import type { TableReading } from './table-reading.ts';
import type { Tree } from './tree.ts';

/** Where receipts are kept: durable when `write` resolves. */
export interface ReceiptStore {
  write(id: string, text: string): Promise<void>;
  read(id: string): Promise<string | undefined>;
}

export interface EnforcePorts {
  readonly identity: Identity;
  readonly store: FeedStore;
  readonly cursor: Cursor;
  readonly ledger: Ledger;
  readonly members: Members;
  readonly view: RevocationView;
  readonly effects: Effects;
  readonly table: LeaseTable;
  readonly reading: TableReading;
  readonly cosigner: Cosigner;
  readonly tree: Tree;
  readonly appender: Appender;
  readonly receipts: ReceiptStore;
  readonly exclusive: boolean;
  /** The strongest word an append alone earns in this store. */
  readonly durability: StoreFacts['durability'];
  readonly barrier: 'acknowledged' | 'wait';
  /** What the store or the configuration makes weaker, for the receipt. */
  readonly weakened: readonly string[];
  readonly clock: Clock;
  readonly timer: Timer;
  readonly random: Random;
  readonly news: News;
  /** A reading wakes everyone who waits for one: of those with many targets a few look at a time. */
  readonly looks: Gate;
  /** Receipts are made one after the other, in slices: one renewal may prove hundreds of revocations. */
  readonly making: Gate;
  readonly pace: Pace;
  /** Enforcements that run now, this one included. */
  readonly underWay: () => number;
  readonly tracer: Tracer;
  readonly log: Log;
}

/** What is known of one revocation's way, as of the last look. */
export interface Enforcement {
  readonly state: 'accepted' | 'durable' | 'partial' | 'enforced';
  readonly closure: 'CLOSED' | 'PARTIAL' | 'UNKNOWN';
  readonly enforcedAtMs: number | undefined;
  readonly standings: readonly ReplicaStanding[];
  readonly sessions: SessionTotals;
  /** Incarnations whose sessions are not proven to have ended: by their word, or by that of an earlier outcome and of nobody since. */
  readonly owing: readonly string[];
  readonly revocationWindowMs: number;
  readonly lateAccepts: number;
  readonly seen: boolean;
  readonly hasReceipt: boolean;
}

export interface SessionTotals {
  readonly matched: number;
  readonly killed: number;
  readonly pending: number;
  readonly unconfirmed: number;
  readonly silent: readonly { readonly session: string; readonly kind: string }[];
}

/** What no receipt of this release speaks for, in every one of them. */
export const NOT_COVERED = ['systems that accept the credential without asking Writ'] as const;

/** And of a lock. */
export const NOT_COVERED_OF_LOCKS = ['the time after the lock was lifted or ended by itself'] as const;

/** And of an order: of a lock, that; of a revocation with cutoffs, what comes after them. */
export function notCoveredOf(entry: Entry): readonly string[] {
  if (entry.kind !== 'revocation') return NOT_COVERED_OF_LOCKS;
  const cutoffs = entry.targets.flatMap(({ cutoffS }) => cutoffS ?? []);
  if (cutoffs.length === 0) return [];
  const [first, last] = [Math.min(...cutoffs), Math.max(...cutoffs)].map((atS) => renderInstant(atS * 1000));
  return [
    first === last
      ? `credentials issued after the cutoff, ${first}`
      : `credentials issued after their cutoffs, from ${first} to ${last}`,
  ];
}

/** And where a replica is fenced, was forgotten, or has not come into this epoch, and nobody goes on with its data: nobody can say what it had let in. */
export const NOT_COVERED_OF_GONE = [
  'live sessions that a replica which is gone had let in, unless their holders have promised to end them',
] as const;

/** A receipt that is on disk and the `outcome` entry that names it. */
interface Closing {
  readonly known: Enforcement;
  readonly outcome: SealedEntry;
}

export class Enforcing {
  readonly #ports: EnforcePorts;
  #appended: Appended;
  readonly #changed: News;
  readonly #enforcedS: Histogram;
  #now: Enforcement;
  #sentBefore: number;
  /** Of whoever may lack the entry; undefined until all who have joined before it are known. */
  #term: LeaseTerm | undefined;
  #looking: Promise<void> | undefined;
  /** Written, and perhaps named in the ledger already: an append of unknown fate is repeated, never made anew. */
  #closing: Closing | undefined;
  #outcome: OutcomeEntry | undefined;
  /** The epoch that its outcome was appended to. */
  #saidIn: string | undefined;
  /** Nobody accepts it any more, as judged here: for that nobody's word is taken. */
  #isOver = false;
  /** Of whose sessions some end by themselves: since when its acknowledgement is known. Monotonic. */
  #heardAtMs = new Map<string, number>();
  /** The store has let go of its line. */
  #isLineGone = false;
  /** As Effects has it, when what is proven now was begun. */
  #givenUp: number;
  /** Since when it could be said here, but for whose turn it is. Monotonic. */
  #readyAtMs: number | undefined;

  /** `enforcedS` takes how long it was from the append until `enforced`, once. */
  constructor(ports: EnforcePorts, appended: Appended, changed: News, enforcedS: Histogram) {
    this.#ports = ports;
    this.#appended = appended;
    this.#changed = changed;
    this.#enforcedS = enforcedS;
    this.#now = { ...BEGUN, state: ports.durability, standings: [] };
    this.#sentBefore = ports.table.sent;
    this.#givenUp = ports.effects.givenUp;
  }

  get id(): string {
    return this.#appended.sealed.entry.id;
  }

  /** The newest `outcome` entry that the store has taken, though it may not have come back by the feed yet. */
  get outcome(): OutcomeEntry | undefined {
    return this.#outcome;
  }

  get position(): Position {
    return this.#appended.position;
  }

  get current(): Enforcement {
    return this.#now;
  }

  /** Wall time. Of an entry that was there before (an earlier run's) nobody knows when its append replied: when it was sealed. */
  get appendedAtMs(): number {
    const { duplicate, at, sealed } = this.#appended;
    // By whichever clock says less: another replica sealed it, and its clock may be ahead.
    return duplicate ? Math.min(Date.parse(sealed.entry.at), at.wallMs) : at.wallMs;
  }

  get boundMs(): number {
    return enforcedByWaitMs(this.#longest());
  }

  #longest(): LeaseTerm {
    const { at, position } = this.#appended;
    return this.#term ?? this.#ports.table.longest(at, position);
  }

  /** Another replica has said `enforced`: since then acknowledgements are silent about it, and no receipt could be made of them. */
  get isProvenElsewhere(): boolean {
    const isProven = this.#ports.effects.outcome(this.id)?.state === 'enforced';
    const isSaid = this.#now.state === 'enforced' || this.#closing?.known.state === 'enforced';
    return isProven && this.#isOver && !isSaid;
  }

  /** The history in which it was proven was given up since. */
  get isGivenUp(): boolean {
    return this.#givenUp !== this.#ports.effects.givenUp;
  }

  /** There is nothing left to enforce: so it is of a lock, too, that was lifted, or ended by itself, before it was proven. */
  get isMoot(): boolean {
    if (this.isProvenElsewhere) return true;
    const { entry } = this.#appended.sealed;
    if (entry.kind !== 'lock' || this.#now.state === 'enforced' || !this.#isSettled()) return false;
    const { view, clock } = this.#ports;
    // One that is not known here was lost before it came: it is appended again.
    return entry.expiresAtS <= epochS(clock.now()) || view.locks.record(entry.id)?.lift !== undefined;
  }

  /** Runs until it is enforced or moot, until all is settled but proof is missing, or until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { news, timer } = this.#ports;
    while (!signal.aborted) {
      const changed = news.next();
      await this.look();
      if (this.#now.hasReceipt || this.isMoot) return;
      const againMs = this.#lookAgainMs();
      await firstOf(signal, (over) => [changed, timer.sleep(againMs, over)]);
    }
  }

  /**
   * One look: a reading sent after the append replied, a judgement, and where that suffices the final reading.
   * Rejects as the store does; looking again is harmless, and how a late proof turns partial into enforced. One look at
   * a time: two would write two receipts.
   */
  look(): Promise<void> {
    this.#looking ??= this.#inTurn();
    return this.#looking;
  }

  #inTurn(): Promise<void> {
    const { looks } = this.#ports;
    const look = this.#isLong ? looks.through(() => this.#lookOnce()) : this.#lookOnce();
    return look.finally(() => (this.#looking = undefined));
  }

  /** Each reading and each receipt of it takes the better part of a millisecond. */
  get #isLong(): boolean {
    return isBulk(this.#appended.sealed);
  }

  async #lookOnce(): Promise<void> {
    const { identity, store, cursor, members, table, reading, cosigner } = this.#ports;
    const { clock, exclusive, barrier } = this.#ports;
    // The coordinator is on the roster: it has applied, fsynced and killed before it judges anyone, itself included.
    const isListed = members.lookup(identity.incarnation) !== undefined;
    if (this.#now.state === 'enforced' || !isListed || !this.#isSettled()) return;
    if (this.isMoot) {
      this.#changed.notify();
      return;
    }
    await reading.read();
    if (cursor.epochId !== this.#appended.epochId) return this.#repeat();
    const term = (this.#term ??= this.#longest());
    const question = {
      coordinator: identity.incarnation,
      position: this.#appended.position,
      epochId: this.#appended.epochId,
      appendedAt: this.#appended.at,
      term,
      sentBefore: this.#sentBefore,
      exclusive,
      mode: barrier,
    };
    // In one step with the judgement: the word of who holds another ledger counts for nothing.
    cosigner.compare();
    const now = clock.now();
    const answer = table.judge(question, now);
    this.#note(answer.standings.map((one) => this.#onceOver(one, answer.standings, now)));
    this.#isOver ||= answer.rule !== undefined;
    if (this.isProvenElsewhere) return;
    if (answer.rule === undefined || this.#now.sessions.pending > 0) return;
    if (this.#hasOwnToSay(answer.standings, now)) return;
    if (this.#isTakersTurn(answer.standings, now)) return;
    if (this.#isToldTwice(answer.standings)) return;
    if (this.#now.hasReceipt && this.#isWrittenDown(this.#now.owing)) {
      this.#now = { ...this.#now, state: 'partial' };
      return;
    }
    // Last of all: the history must still be the one that the append named. Nothing follows this reading.
    const sought = this.#sought();
    const last = await store.roster(sought.position);
    if (this.#isTrimmed(last)) {
      this.#appended = await this.#there(this.#appended);
      return this.#lookOnce();
    }
    if (!this.#isSameHistory(last, sought.chain)) return this.#repeat();
    if (this.isMoot) return;
    return this.#close(answer.rule, clock.now());
  }

  /** Whether sessions were reached here, of which the next renewal tells: by the clock it could be over before that. */
  #hasOwnToSay(standings: readonly ReplicaStanding[], now: Instant): boolean {
    const { identity, effects } = this.#ports;
    const own = standings.find(({ incarnation }) => incarnation === identity.incarnation);
    if (own?.acknowledgement !== undefined) return false;
    return effects.outcomes(now).some(({ revocation, matched }) => revocation === this.id && matched > 0);
  }

  /**
   * Whether open sessions stand in two words: of who is not surely over yet, and of whoever goes on with its data and tells
   * them again. A receipt made now would count them twice for good; by the first one's word alone it would miss what only the
   * second one reached.
   */
  #isToldTwice(standings: readonly ReplicaStanding[]): boolean {
    return standings.some((one) => {
      const [said] = this.#outcomesOf(one);
      return (
        said !== undefined && isOpen(said) && !one.isQuiet && this.#isSpokenFor(one, standings, said.matched)
      );
    });
  }

  /**
   * Whoever took the order is asked for its receipt: another replica that was asked about it as well lets that one go first,
   * for a lease from when it could be said (D-149), and within the bound. Not where it has said all that it can by itself.
   */
  #isTakersTurn(standings: readonly ReplicaStanding[], now: Instant): boolean {
    const { identity, members, effects } = this.#ports;
    const taker = members.lookup(this.#appended.sealed.entry.by)?.replica;
    if (taker === identity.replica || effects.outcome(this.id) !== undefined) return false;
    this.#readyAtMs ??= now.monoMs;
    const isThere = standings.some(
      ({ replica, state, isQuiet }) => replica === taker && state === 'acknowledged' && !isQuiet,
    );
    const isWithinBound = now.monoMs - this.#appended.at.monoMs < this.boundMs;
    return isThere && isWithinBound && now.monoMs - this.#readyAtMs < leaseOverMs(this.#longest());
  }

  /**
   * What the final reading has to find: the entry; or, once the store has let that go, the end of what was applied, whose chain
   * has it in it. That it is this very entry the receipt shows, which is verified before anything is said.
   */
  #sought(): { readonly position: Position; readonly chain: string | undefined } {
    const { cursor } = this.#ports;
    if (!this.#isLineGone) return this.#appended;
    return { position: cursor.settled, chain: cursor.chainAt(cursor.settled) };
  }

  /** It is this epoch's history, as far as can be seen, and the entry is not held any more. Nothing was said by that reading. */
  #isTrimmed({ epochId, runId, line }: Roster): boolean {
    const appended = this.#appended;
    if (this.#isLineGone || line !== undefined) return false;
    this.#isLineGone = epochId === appended.epochId && runId === appended.runId;
    return this.#isLineGone;
  }

  /**
   * Nobody tells of an acknowledgement that another replica has sent: so it is seen a quarter later than it could be, at most.
   * However many look, it is no more than one of them in a millisecond.
   */
  #lookAgainMs(): number {
    const { exclusive, underWay, clock } = this.#ports;
    if (exclusive) return LOOK_AGAIN_MS_MAX;
    const waitedMs = clock.now().monoMs - this.#appended.at.monoMs;
    return Math.min(LOOK_AGAIN_MS_MAX, Math.max(underWay(), waitedMs / 4));
  }

  /** In another epoch than it was appended to there is nothing to wait for, and numbers of two epochs are not compared. */
  #isSettled(): boolean {
    const { cursor } = this.#ports;
    if (cursor.epochId !== this.#appended.epochId) return true;
    return comparePositions(cursor.settled, this.#appended.position) >= 0;
  }

  #isSameHistory({ epochId, runId, line }: Roster, chain: string | undefined): boolean {
    const { sealed, ...appended } = this.#appended;
    if (epochId !== appended.epochId || runId !== appended.runId) return false;
    if (line === undefined || line.chain !== chain) return false;
    const { ledger, members, identity } = this.#ports;
    // Where it was ignored it is in force nowhere, whoever may sign by now.
    if (ledger.isForged(appended)) return false;
    return this.#isLineGone || members.haveSaid(line.text, sealed, identity.logKey.public);
  }

  /** The history the append named is gone: it is appended again in the new one, and its clock starts again. */
  async #repeat(): Promise<void> {
    const { cursor, appender, table, effects, log } = this.#ports;
    this.#givenUp = effects.givenUp;
    this.#now = { ...this.#now, state: 'accepted', closure: 'UNKNOWN' };
    if (cursor.epochId === this.#appended.epochId) return;
    if (this.#appended.epochId === '')
      log.info('a revocation of an earlier epoch is appended again to be proven', { revocation: this.id });
    else
      log.error('the feed lost the history of a revocation: it is appended again', { revocation: this.id });
    // By this incarnation: where a fleet began anew nobody knows who signed it, and it would be ignored there.
    const sealed = appender.sealAgain(this.#appended.sealed.entry);
    this.#appended = await this.#there(await appender.append(sealed));
    this.#sentBefore = table.sent;
    this.#closing = this.#term = undefined;
    this.#isLineGone = this.#isOver = false;
    this.#readyAtMs = undefined;
    this.#heardAtMs = new Map();
    this.#now = { ...this.#now, state: this.#ports.durability };
  }

  /** With the text that stands there: another replica may have sealed the same order first. What the store has let go of is here. */
  async #there(appended: Appended): Promise<Appended> {
    const { store, ledger, members, identity } = this.#ports;
    if (!appended.duplicate) return appended;
    const { line } = await store.roster(appended.position);
    const text = line?.text ?? (await lineAt(ledger, appended.position))?.sealed.text;
    const isIt = text !== undefined && members.haveSaid(text, appended.sealed, identity.logKey.public);
    return isIt ? { ...appended, sealed: parseEntry(text) } : appended;
  }

  /**
   * Sessions that were to be confirmed by somebody who is over by now: nobody else will (D-141), except whoever goes on with
   * its data, where they are told and counted again. Those that end by themselves need nobody's word: they were told before
   * the acknowledgement was heard, and no holder was given more time after that.
   */
  #onceOver(standing: ReplicaStanding, all: readonly ReplicaStanding[], now: Instant): ReplicaStanding {
    const [said] = this.#outcomesOf(standing);
    if (said === undefined || !isOpen(said)) return standing;
    // Whoever says goodbye has seen all of them end.
    if (this.#ports.table.hasLeft(standing.incarnation, standing.isQuiet))
      return { ...standing, ...WITHOUT_WORD, state: 'left', notLaterThan: undefined };
    const isSpokenFor = this.#isSpokenFor(standing, all, said.matched);
    const over = { ...standing, notLaterThan: now };
    if (standing.isQuiet && isSpokenFor) return { ...over, ...WITHOUT_WORD, state: 'fenced' };
    const endsAlone = !isSpokenFor && said.pending > 0 && said.pending === said.selfEnding;
    return standing.isQuiet || (endsAlone && this.#heardForMs(standing, now) >= leaseOverMs(this.#longest()))
      ? over
      : standing;
  }

  /** For how long it has been known that it has acknowledged. */
  #heardForMs({ incarnation }: ReplicaStanding, now: Instant): number {
    const heardAtMs = this.#heardAtMs.get(incarnation) ?? now.monoMs;
    this.#heardAtMs.set(incarnation, heardAtMs);
    return now.monoMs - heardAtMs;
  }

  /** Whether somebody who goes on with its data has acknowledged, and knows of as many sessions as it did. */
  #isSpokenFor(
    { incarnation }: { incarnation: string },
    all: readonly ReplicaStanding[],
    known = 0,
  ): boolean {
    const { table } = this.#ports;
    return all.some(
      (one) =>
        one.acknowledgement !== undefined &&
        sum(this.#outcomesOf(one), 'matched') >= known &&
        table.goesOn(one.incarnation, incarnation),
    );
  }

  /** Who is gone, with all that was known of it, does not make an order enforced that was partial (D-143). */
  #owing(standings: readonly ReplicaStanding[]): readonly string[] {
    const { table, effects } = this.#ports;
    const open = standings.filter((one) => this.#outcomesOf(one).some(isOpen));
    const isHeard = (incarnation: string): boolean =>
      standings.some((one) => one.incarnation === incarnation && one.acknowledgement !== undefined) ||
      this.#isSpokenFor({ incarnation }, standings) ||
      table.hasLeft(incarnation, true);
    const before = (effects.outcome(this.id)?.owing ?? []).filter((incarnation) => !isHeard(incarnation));
    return [...new Set([...open.map(({ incarnation }) => incarnation), ...before])];
  }

  /** Whether the ledger names all of them, so that another one, or a later run, knows it too. Nobody is no one. */
  #isWrittenDown(owing: readonly string[]): boolean {
    const named = new Set(this.#ports.effects.outcome(this.id)?.owing);
    return owing.length > 0 && owing.every((incarnation) => named.has(incarnation));
  }

  #note(standings: readonly ReplicaStanding[]): void {
    const { outcomes } = this.#countOnce(standings);
    const accepts = outcomes.flatMap(({ lastAcceptAt }) =>
      lastAcceptAt === undefined ? [] : [Date.parse(lastAcceptAt)],
    );
    const lastMs = Math.max(0, ...accepts);
    this.#now = {
      ...this.#now,
      closure: 'PARTIAL',
      standings,
      owing: this.#owing(standings),
      sessions: {
        matched: sum(outcomes, 'matched'),
        killed: sum(outcomes, 'killed'),
        pending: sum(outcomes, 'pending'),
        unconfirmed: sum(outcomes, 'unconfirmed'),
        silent: outcomes.flatMap(({ silent = [] }) => silent),
      },
      revocationWindowMs: Math.max(0, Math.ceil(lastMs - this.appendedAtMs)),
      lateAccepts: sum(outcomes, 'lateAccepts'),
      seen: lastMs > 0,
    };
    this.#changed.notify();
  }

  /** What it said of this order, and what that has come to where nothing more can come from there. */
  #outcomesOf({ acknowledgement, notLaterThan }: ReplicaStanding): AcknowledgedOutcome[] {
    const said = (acknowledgement?.outcomes ?? []).filter(({ revocation }) => revocation === this.id);
    return notLaterThan === undefined ? said : said.map(onceOver);
  }

  #countOnce(standings: readonly ReplicaStanding[]): CountedOnce {
    const said = standings.flatMap((one) =>
      this.#outcomesOf(one).map((outcome) => [one.incarnation, outcome] as const),
    );
    const { members } = this.#ports;
    return countOnce(new Map(said), (incarnation) => members.lookup(incarnation)?.succeeds);
  }

  /** Writes the receipt, then the `outcome` entry that names its digest, then says so. */
  async #close(rule: 'acknowledged' | 'wait', now: Instant): Promise<void> {
    const owing = this.#now.owing.join();
    if (this.#closing?.known.owing.join() !== owing) this.#closing = await this.#prepare(rule, now);
    const { known, outcome } = this.#closing;
    // While the receipt was made: in the next epoch it says nothing.
    if (this.isGivenUp) return this.#repeat();
    this.#saidIn = (await this.#ports.appender.append(outcome)).epochId;
    this.#outcome = outcome.entry as OutcomeEntry;
    this.#now = known;
    if (known.state === 'enforced') this.#enforcedS.record((now.monoMs - this.#appended.at.monoMs) / 1000);
    this.#changed.notify();
  }

  /** Its outcome, where it was appended to an epoch that is over, and may have been lost with it. Rejects as the store does. */
  async sayAgain(): Promise<void> {
    const { appender, cursor } = this.#ports;
    if (this.#saidIn === cursor.epochId) return;
    const { outcome } = this.#closing as Closing;
    this.#saidIn = (await appender.append(outcome)).epochId;
  }

  async #prepare(rule: 'acknowledged' | 'wait', now: Instant): Promise<Closing> {
    const state: 'enforced' | 'partial' = this.#now.owing.length > 0 ? 'partial' : 'enforced';
    const { receipts, appender, random, making, tracer } = this.#ports;
    // By whichever clock says more: a wall clock that was slewed back must not shorten a wait that was waited.
    const waitedMs = now.monoMs - this.#appended.at.monoMs;
    const enforcedAtMs = Math.max(now.wallMs, this.#appended.at.wallMs + waitedMs);
    const known: Enforcement = {
      ...this.#now,
      state,
      closure: state === 'enforced' ? 'CLOSED' : 'PARTIAL',
      enforcedAtMs: state === 'enforced' ? enforcedAtMs : undefined,
      hasReceipt: true,
    };
    const text = await making.through(() => this.#make(known, rule));
    const spanFacts = { 'writ.revocation.id': this.id, 'writ.revocation.state': state };
    await tracer.span('receipt', { facts: spanFacts }, () =>
      receipts.write(receiptNameOf(this.id, state), text),
    );
    const { matched, killed, unconfirmed } = known.sessions;
    const owing = [...known.owing];
    const position = renderPosition(this.#appended.position);
    const reached = { revocation: this.id, state, position, matched, killed, unconfirmed };
    const facts = {
      id: newId('ent', random),
      kind: 'outcome',
      ...reached,
      ...(state === 'partial' ? { owing } : {}),
      receipt: receiptDigest(text),
    } as const;
    return { known, outcome: appender.seal(facts) };
  }

  async #make(known: Enforcement, rule: 'acknowledged' | 'wait'): Promise<string> {
    const { pace } = this.#ports;
    await (this.#isLong ? pace.rest() : pace.restIfDue());
    const text = this.#receipt(known, rule);
    await (this.#isLong ? pace.rest() : pace.restIfDue());
    await this.#assertProves(text);
    return text;
  }

  /** INTERNAL for a receipt that a stranger would refuse: nothing may be said on the strength of it. */
  async #assertProves(text: string): Promise<void> {
    const { identity, log, pace } = this.#ports;
    try {
      await pace.run(verifyingReceipt(text, keyringOf(identity.fleet, identity.logKey.public)));
    } catch (cause) {
      log.error('a receipt that was made does not verify', { revocation: this.id });
      throw new WritError('INTERNAL', 'the receipt does not verify', { cause });
    }
  }

  #receipt(known: Enforcement, rule: 'acknowledged' | 'wait'): string {
    const { tree, members, identity } = this.#ports;
    const proof = tree.proof(this.#appended.position);
    const acknowledgements = known.standings.flatMap(({ text }) => (text === undefined ? [] : [text]));
    const signers = new Set([
      this.#appended.sealed.entry.by,
      identity.incarnation,
      ...known.standings.filter(({ text }) => text !== undefined).map(({ incarnation }) => incarnation),
      ...this.#countOnce(known.standings).links,
    ]);
    const certificates = [...signers].flatMap((signer) => members.lookup(signer)?.certificate ?? []);
    return buildReceipt({
      proof,
      checkpoint: tree.checkpoint(),
      entry: leafText(this.#appended),
      statement: this.#statement(known, rule),
      signer: { incarnation: identity.incarnation, key: identity.logKey },
      acknowledgements,
      certificates,
    });
  }

  /** What its receipt is weaker in, and what it does not speak for. */
  caveats({ standings }: Enforcement): Pick<ReceiptStatement, 'weakened' | 'notCovered'> {
    return {
      weakened: [...this.#ports.weakened, ...amnesiaOf(this.#ports.cursor)],
      notCovered: [
        ...NOT_COVERED,
        ...notCoveredOf(this.#appended.sealed.entry),
        ...(this.#isAnyoneGone(standings) ? NOT_COVERED_OF_GONE : []),
      ],
    };
  }

  #isAnyoneGone(standings: readonly ReplicaStanding[]): boolean {
    const { members } = this.#ports;
    if (members.isAnyoneLost) return true;
    // Before the first look nothing is known of anybody.
    if (standings.length === 0) return false;
    const gone = standings.filter(({ state }) => state === 'fenced');
    const here = new Set(standings.map(({ incarnation }) => incarnation));
    const absent = members.carriedOver().filter(({ incarnation }) => !here.has(incarnation));
    return [...gone, ...absent].some((one) => !this.#isSpokenFor(one, standings));
  }

  #statement(known: Enforcement, rule: 'acknowledged' | 'wait'): Testimony {
    const { matched, killed, unconfirmed } = known.sessions;
    return {
      v: 2,
      fleet: this.#ports.identity.fleet,
      revocation: this.id,
      position: renderPosition(this.#appended.position),
      epochId: this.#appended.epochId,
      leaf: sha256Hex(`\0${leafText(this.#appended)}`),
      state: known.state === 'enforced' ? 'enforced' : 'partial',
      closure: known.closure === 'CLOSED' ? 'CLOSED' : 'PARTIAL',
      rule,
      boundMs: this.boundMs,
      appendedAt: renderInstant(this.appendedAtMs),
      ...(known.enforcedAtMs === undefined ? {} : { enforcedAt: renderInstant(known.enforcedAtMs) }),
      replicas: known.standings.map(renderStanding),
      sessions: { matched, killed, unconfirmed },
      revocationWindowMs: known.revocationWindowMs,
      lateAccepts: known.lateAccepts,
      seen: known.seen,
      ...this.caveats(known),
    };
  }
}

const BEGUN: Omit<Enforcement, 'standings' | 'state'> = {
  closure: 'UNKNOWN',
  enforcedAtMs: undefined,
  sessions: { matched: 0, killed: 0, pending: 0, unconfirmed: 0, silent: [] },
  owing: [],
  revocationWindowMs: 0,
  lateAccepts: 0,
  seen: false,
  hasReceipt: false,
};

const WITHOUT_WORD = { acknowledgement: undefined, text: undefined } as const;

/** Every receipt since an operator has said so carries it (DESIGN 3.4). */
function amnesiaOf({ amnesia }: Cursor): string[] {
  if (amnesia === undefined) return [];
  const said = `an operator accepted at ${amnesia.at} that what a store had lost may be missing`;
  return [[said, amnesia.reason].join(': ')];
}

/** How long a look may be old when no news comes: rows fall quiet without a word. */
const LOOK_AGAIN_MS_MAX = 50;

function sum(
  outcomes: readonly AcknowledgedOutcome[],
  field: 'matched' | 'killed' | 'pending' | 'unconfirmed' | 'lateAccepts',
): number {
  return outcomes.reduce((total, outcome) => total + outcome[field], 0);
}

/** A partial receipt stands beside the one that follows it: what the ledger names is never overwritten by what it does not. */
export function receiptNameOf(id: string, state: 'enforced' | 'partial'): string {
  return state === 'partial' ? `${id}-partial` : id;
}

/** One replica's line in answers and receipts. */
export function renderStanding(standing: ReplicaStanding): ReceiptStatement['replicas'][number] {
  const { replica, incarnation, state, acknowledgement, notLaterThan } = standing;
  return {
    replica,
    incarnation,
    state,
    ...(acknowledgement === undefined ? {} : { at: acknowledgement.at }),
    ...(notLaterThan === undefined ? {} : { notLaterThan: renderInstant(notLaterThan.wallMs) }),
  };
}
