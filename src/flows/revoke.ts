/**
 * A responder's order, a revocation or a lock, becomes a fact: seal, append, and follow it until the asked-for word is true. The caller's
 * patience is bounded; the enforcement is not the caller's and goes on (GET continues from there).
 */
import { keyringOf } from '../evidence/keyring.ts';
import type { ReceiptFacts, ReceiptStatement } from '../evidence/receipt.ts';
import { verifyReceipt } from '../evidence/receipt.ts';
import type { FeedLine, LockEntry, LockTarget, RevocationEntry, Target } from '../feed/entry.ts';
import { enforcedByWaitMs } from '../feed/lease.ts';
import { lineAt } from '../feed/ledger.ts';
import type { Position } from '../feed/position.ts';
import { comparePositions, parsePosition } from '../feed/position.ts';
import type { CrashPoint } from '../feed/crash-point.ts';
import { epochS } from '../kernel/clock.ts';
import { sha256Hex } from '../kernel/digest.ts';
import { WritError, codeOf, explanationOf } from '../kernel/error.ts';
import { FEED_BOUNDS_S, Histogram } from '../kernel/histogram.ts';
import { joinMembers, memberTexts } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import { Pace } from '../kernel/pace.ts';
import type { LastAccepts } from '../revocation/last-accepts.ts';
import { judgeLockEnd, lockEndS } from '../revocation/lock-end.ts';
import type { OrderRecord } from '../revocation/view.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Appended } from './append.ts';
import type { EnforcePorts, Enforcement } from './enforce.ts';
import { Enforcing, NOT_COVERED, notCoveredOf, receiptNameOf, renderStanding } from './enforce.ts';
import type { Effects, KnownOutcome } from './effects.ts';
import { Gate } from './gate.ts';
import { firstOf, News, waitUntil } from './news.ts';
import type { OrderIdPorts } from './order-id.ts';
import { TableReading } from './table-reading.ts';
import { orderIdOf } from './order-id.ts';

export type WaitFor = 'accepted' | 'durable' | 'enforced';

export interface RevocationOrder {
  readonly targets: readonly Target[];
  /** Wall time. With it the order is a lock: it ends then, whatever its targets say, and can be lifted. */
  readonly expiresAtMs?: number;
  readonly reason: string | undefined;
  readonly ticket: string | undefined;
  /** `admin`, or `iss|sub`. */
  readonly caller: string;
  /** What was asked, as it came: the same key under another request is a conflict. */
  readonly request: object;
  readonly idempotencyKey: string | undefined;
  readonly wait: WaitFor;
  readonly waitMs: number;
}

/** One revocation as answers show it. */
export interface RevocationStatus extends Omit<Enforcement, 'standings' | 'owing'> {
  readonly id: string;
  readonly position: Position;
  readonly appendedAtMs: number;
  readonly boundMs: number;
  readonly replicas: readonly ReceiptStatement['replicas'][number][];
  /** Whose sessions are not proven to have ended: they may be gone, and in no row. */
  readonly owing: readonly { readonly replica: string; readonly incarnation: string }[];
  readonly weakened: readonly string[];
  readonly notCovered: readonly string[];
  /** The replica in whose data directory the receipt was made, where it is not on the disk of this one. */
  readonly receiptOn?: string;
  /** True when the asked-for word is reached. */
  readonly isReached: boolean;
}

/** One that is not enforced yet: the replicas and the number of sessions it is known to wait for. */
export interface OpenRevocation {
  readonly id: string;
  readonly state: Enforcement['state'];
  readonly replicas: readonly string[];
  readonly sessions: number;
  /** Whose they are. */
  readonly owing: readonly string[];
}

/** What would die: nothing is appended. */
export interface DryRun {
  readonly targets: number;
  readonly sessions: number;
  readonly seen: boolean;
  readonly lastAcceptMs: number | undefined;
}

export interface RevokePorts
  extends Omit<EnforcePorts, 'reading' | 'looks' | 'making' | 'pace' | 'underWay'>, OrderIdPorts {
  readonly sessions: SessionRegistry;
  readonly lastAccepts: LastAccepts;
  readonly effects: Effects;
  readonly crashPoint: CrashPoint;
  /** Aborted when the process closes. */
  readonly closing: AbortSignal;
}

/** Where another replica has the receipt. */
export const NOT_COVERED_OF_ATTESTED = [
  'what the receipt, which another replica has, does not cover',
] as const;

const STRENGTH = { accepted: 0, durable: 1, partial: 1, enforced: 2 } as const;

/** How soon an enforcement that the store interrupted is taken up again. */
const RETRY_MS = 250;

/** Enforcements that look at the same time: each look reads the entry and may write a receipt. */
const LOOKS_MAX = 2;

/** How long receipts may hold the loop in one go. */
const RECEIPTS_SLICE_MS = 0.5;

/**
 * With more enforcements than this under way, an answer of less than `enforced` is held back: what it speaks of is in
 * force, and whoever orders faster than can be proven is slowed down, not the renewals.
 */
const RUNNING_MAX = 128;
const HELD_BACK_MS = 1_000;

/**
 * Targets that are ordered here and not applied here yet. An order that is more than that waits before it is appended, so
 * that whoever orders cannot keep this replica reading until its lease is over.
 */
const AHEAD_TARGETS_MAX = 4_096;
const AHEAD_MS = 5_000;

/** Enforcements of an earlier run that are followed at the same time. */
const RESUMED_MAX = 16;

interface Receipt {
  readonly text: string;
  readonly facts: ReceiptFacts;
}

interface Followed {
  readonly enforcing: Enforcing;
  readonly changed: News;
  /** Settles when it is enforced, or halted for want of proof. */
  readonly running: Promise<void>;
  /** Accepted here before it was appended: an early answer knows this much. */
  readonly seen: boolean;
}

export class Revoker {
  /** From the append until nobody accepted any more, of what this replica coordinated. */
  readonly enforcedS = new Histogram(FEED_BOUNDS_S);
  readonly #ports: RevokePorts;
  #received = 0;
  /** What all enforcements share. */
  readonly #enforcePorts: EnforcePorts;
  #running = 0;
  /** Targets. */
  #ahead = 0;
  readonly #followed = new Map<string, Followed>();
  /** Of an earlier run, to be taken up. */
  readonly #resuming = new Set<string>();

  constructor(ports: RevokePorts) {
    this.#ports = ports;
    this.#enforcePorts = {
      ...ports,
      reading: new TableReading(ports),
      looks: new Gate(LOOKS_MAX),
      making: new Gate(1),
      pace: new Pace({ ...ports, sliceMs: RECEIPTS_SLICE_MS, haste: 'patient' }),
      underWay: () => this.#running,
    };
  }

  /** Orders to revoke that this replica took, repeats included. */
  get received(): number {
    return this.#received;
  }

  /** How many are not enforced: under way here, or a session of this replica is not proven dead. */
  get openCount(): number {
    return this.#openIds().length;
  }

  /** The first `limit` of them, and what each waits for. */
  open(limit: number): readonly OpenRevocation[] {
    return this.#openIds()
      .slice(0, limit)
      .map((id) => this.#openOf(id));
  }

  #openIds(): readonly string[] {
    const ids = new Set([...this.#followed.keys(), ...this.#ports.effects.unfinished()]);
    return [...ids].filter((id) => this.#isOpen(id));
  }

  #openOf(id: string): OpenRevocation {
    const { effects, sessions, members, clock } = this.#ports;
    const known = this.#followed.get(id)?.enforcing.current;
    const { pending, unconfirmed } = known?.sessions ?? sessions.tally(id, clock.now());
    const outstanding = (known?.standings ?? []).filter(({ state }) => state === 'outstanding');
    const owing = known?.owing ?? effects.outcome(id)?.owing ?? [];
    return {
      id,
      state: known?.state ?? effects.outcome(id)?.state ?? this.#ports.durability,
      replicas: outstanding.map(({ replica }) => replica),
      sessions: pending + unconfirmed,
      owing: [...new Set(owing.map((one) => members.nameOf(one)))],
    };
  }

  #isOpen(id: string): boolean {
    if (this.#isOverLock(id)) return false;
    const enforcing = this.#followed.get(id)?.enforcing;
    if (enforcing?.isProvenElsewhere) return this.#ports.sessions.isUnproven(id);
    const isUnderWay = enforcing !== undefined && !isHalted(enforcing.current);
    if (isUnderWay || this.#resuming.has(id)) return true;
    // Once it has ended there is no credential that it names.
    if (this.#ports.view.placeOf(id) === undefined) return false;
    // Whoever coordinates it: the fleet has something left to do, and any replica may be asked whether all is well.
    const isPartial = this.#ports.effects.outcome(id)?.state === 'partial';
    return enforcing !== undefined || isPartial || this.#ports.sessions.isUnproven(id);
  }

  /** It was lifted, or has ended: nothing is left to enforce. */
  #isOverLock(id: string): boolean {
    const { locks } = this.#ports.view;
    return locks.record(id) !== undefined && !locks.isInForce(id, epochS(this.#ports.clock.now()));
  }

  /** What is long of an order leaves the loop to those who ask whether they may. */
  #pace(): Pace {
    return new Pace({ ...this.#ports, haste: 'patient' });
  }

  /** What `targets` would reach on this replica, now. */
  async dryRun(targets: readonly Target[]): Promise<DryRun> {
    const { view, sessions, lastAccepts } = this.#ports;
    const pace = this.#pace();
    const dead = await pace.run(view.deadHandles(targets));
    const matched = await pace.run(sessions.matching(dead));
    const lastAcceptMs = dead.reduce(
      (last, { hi, lo }) => Math.max(last, lastAccepts.seen(hi, lo)?.lastMs ?? 0),
      0,
    );
    return {
      targets: targets.length,
      sessions: matched.size,
      seen: lastAcceptMs > 0,
      lastAcceptMs: lastAcceptMs > 0 ? lastAcceptMs : undefined,
    };
  }

  /**
   * Appends and waits for the asked-for word, at most `waitMs`. FENCED, EPOCH_CLOSED, STORE_UNREACHABLE: nothing was
   * appended; nor OVERLOADED, and TIME_INVALID of a lock. APPEND_UNCERTAIN: repeat it with the same Idempotency-Key. IDEMPOTENCY_CONFLICT: that key, another body.
   */
  async revoke(order: RevocationOrder): Promise<RevocationStatus> {
    const isLock = order.expiresAtMs !== undefined;
    if (!isLock) this.#received += 1;
    const id = orderIdOf(isLock ? 'lck' : 'rev', order, this.#ports);
    const pace = this.#pace();
    const members = await pace.run(memberTexts(order.request));
    await pace.restIfDue();
    const body = sha256Hex(joinMembers(members));
    const known = this.#recordOf(id)?.body;
    assertSame(known ?? body, body);
    if (known === undefined || this.#isToBeAppended(id))
      assertSame(await this.#append(id, body, order), body);
    const status = await this.#waitFor(id, order);
    this.#ports.crashPoint('answer.before');
    return status;
  }

  /** It is in force here alone (feed/tail.ts), and nothing has begun to append it again. */
  #isToBeAppended(id: string): boolean {
    return this.#ports.cursor.isGivenUp(id) && this.#lookup(id) === undefined && !this.#isOverLock(id);
  }

  /** What follows it, unless that has proven it in a history that was given up: then it is to be followed anew. */
  #lookup(id: string): Followed | undefined {
    const followed = this.#followed.get(id);
    if (followed === undefined || !isOfBefore(followed.enforcing)) return followed;
    this.#followed.delete(id);
    return undefined;
  }

  /** One revocation as it stands; NOT_FOUND when this replica has not applied it. */
  async status(id: string, wait: WaitFor = 'enforced'): Promise<RevocationStatus> {
    if (this.#lookup(id)?.enforcing.isProvenElsewhere) this.#followed.delete(id);
    const isFollowed = this.#followed.has(id);
    const settled = isFollowed ? undefined : await this.#settled(id);
    if (settled !== undefined) return settled;
    const followed = await this.#resume(id);
    // Before the first look nothing is known of anybody.
    if (!isFollowed || isHalted(followed.enforcing.current)) await this.#lookAgain(followed.enforcing);
    return this.#render(followed, wait);
  }

  /** A proof that came late turns partial into enforced: whoever asks makes it look again. */
  async #lookAgain(enforcing: Enforcing): Promise<void> {
    await enforcing.look().catch(() => undefined);
    if (enforcing.current.state === 'enforced') void this.#letGo(enforcing);
  }

  /** The receipt's text; NOT_FOUND before there is one, PROOF_INVALID when it does not prove that. */
  async receipt(id: string): Promise<string> {
    const receipt = await this.#receiptHere(id);
    if (receipt !== undefined) return receipt.text;
    const outcome = this.#ports.effects.outcome(id);
    throw new WritError('NOT_FOUND', outcome === undefined ? 'no such receipt' : this.#elsewhere(outcome));
  }

  #elsewhere({ by }: KnownOutcome): string {
    const { members } = this.#ports;
    if (by === undefined) return 'the receipt is not on the disk of this replica: ask another one';
    return `the receipt is not on the disk of this replica: ${by} made it, in the data directory of ${members.keeperOf(by)}; where that is lost, a new order has a receipt of its own`;
  }

  /** As `receipt`, with what it says; undefined where it is not on this disk. */
  async #receiptHere(id: string): Promise<Receipt | undefined> {
    const { effects, receipts, identity } = this.#ports;
    // Whoever was just told where the receipt is may ask for it before its outcome has come back.
    const outcome = this.#lookup(id)?.enforcing.outcome ?? effects.outcome(id);
    if (outcome === undefined && effects.isUnfinished(id)) return undefined;
    const state = outcome?.state ?? 'enforced';
    const text = await receipts.read(receiptNameOf(id, state));
    if (text === undefined) return undefined;
    // It is the proof itself: the newest outcome may name that of another replica, which followed the order to its end too.
    const facts = verifyReceipt(text, keyringOf(identity.fleet, identity.logKey.public));
    if (facts.id !== id || facts.state !== state)
      throw new WritError('PROOF_INVALID', 'the receipt is about something else');
    // It was proven anew where another replica has the receipt, after the history of this one was given up.
    if (facts.position !== (outcome?.position ?? facts.position)) return undefined;
    return { text, facts };
  }

  /** Returns the body of what stands there under this id. */
  async #append(id: string, body: string, order: RevocationOrder): Promise<string> {
    const { appender, view, clock, tracer } = this.#ports;
    if (order.expiresAtMs !== undefined) {
      judgeLockEnd(order.expiresAtMs, clock.now().wallMs);
      if (view.locks.size >= LIMITS.lockedHandlesMax) throw new WritError('OVERLOADED', 'too much is locked');
    }
    const { seen } = await this.dryRun(order.targets);
    const sealed = await this.#pace().run(appender.sealing(entryFacts(id, body, order)));
    const facts = { 'writ.revocation.id': sealed.entry.id };
    await this.#untilRoomFor(order.targets.length);
    const appending = tracer.span('append', { facts }, () => appender.append(sealed));
    void this.#untilApplied(appending, order.targets.length);
    const appended = await appending;
    if (!appended.duplicate) {
      this.#follow(appended, seen);
      return body;
    }
    await waitUntil(() => this.#isApplied(appended), { ...this.#ports, waitMs: order.waitMs });
    const record = this.#recordOf(id);
    if (record === undefined) throw new WritError('APPEND_UNCERTAIN', 'the entry has not come back yet');
    return record.body;
  }

  /** Takes the room; one that takes less finds it sooner. */
  async #untilRoomFor(count: number): Promise<void> {
    const take = (): boolean => {
      if (this.#ahead + count > AHEAD_TARGETS_MAX) return false;
      this.#ahead += count;
      return true;
    };
    if (!(await waitUntil(take, { ...this.#ports, waitMs: AHEAD_MS })))
      throw new WritError('OVERLOADED', 'more was ordered than could be applied yet');
  }

  /** Gives the room back. Never rejects. */
  async #untilApplied(appending: Promise<Appended>, count: number): Promise<void> {
    const appended = await appending.catch(() => undefined);
    if (appended !== undefined)
      await waitUntil(() => this.#isApplied(appended), { ...this.#ports, waitMs: 2 * AHEAD_MS });
    this.#ahead -= count;
    this.#ports.news.notify();
  }

  #isApplied({ position }: Appended): boolean {
    return comparePositions(this.#ports.cursor.settled, position) >= 0;
  }

  async #waitFor(id: string, order: RevocationOrder): Promise<RevocationStatus> {
    const settled = this.#lookup(id) === undefined ? await this.#settled(id) : undefined;
    if (settled !== undefined) return settled;
    const followed = await this.#resume(id);
    let status = this.#render(followed, order.wait);
    const isDone = (): boolean => {
      status = this.#render(followed, order.wait);
      return status.isReached || status.hasReceipt || followed.enforcing.isMoot;
    };
    await waitUntil(isDone, { ...this.#ports, news: followed.changed, waitMs: order.waitMs });
    if (order.wait !== 'enforced')
      await waitUntil(() => this.#running <= RUNNING_MAX, { ...this.#ports, waitMs: HELD_BACK_MS });
    // Whoever streams them gets the next answer when those who ask have had their time: what it speaks of is in force.
    if (order.targets.length > LIMITS.piecesMax) {
      const { timer, closing } = this.#ports;
      await firstOf(closing, (over) => [timer.breathe(), timer.sleep(order.waitMs, over)]);
    }
    return followed.enforcing.isProvenElsewhere ? this.status(id, order.wait) : status;
  }

  #render({ enforcing, seen }: Followed, wait: WaitFor): RevocationStatus {
    const { current, id, position, appendedAtMs, boundMs } = enforcing;
    const { members } = this.#ports;
    const isReached = STRENGTH[current.state] >= STRENGTH[wait];
    return {
      ...current,
      seen: current.seen || seen,
      replicas: current.standings.map(renderStanding),
      owing: current.owing.map((incarnation) => ({ replica: members.nameOf(incarnation), incarnation })),
      ...enforcing.caveats(current),
      id,
      position,
      appendedAtMs,
      boundMs,
      isReached,
    };
  }

  #follow(appended: Appended, seen: boolean): Followed {
    const changed = new News();
    const enforcing = new Enforcing(this.#enforcePorts, appended, changed, this.enforcedS);
    const followed = { enforcing, changed, seen, running: this.#counted(() => this.#run(enforcing)) };
    this.#followed.set(enforcing.id, followed);
    return followed;
  }

  #counted(work: () => Promise<void>): Promise<void> {
    this.#running += 1;
    return work().finally(() => (this.#running -= 1));
  }

  /** The caller may hang up; this goes on, through a store that is away for a while. */
  async #run(enforcing: Enforcing): Promise<void> {
    const { closing, timer, log, tracer } = this.#ports;
    const facts = { 'writ.revocation.id': enforcing.id };
    let said = '';
    while (!closing.aborted) {
      try {
        await tracer.span('barrier', { facts }, () => enforcing.run(closing));
        if (enforcing.isMoot) this.#followed.delete(enforcing.id);
        if (enforcing.current.state === 'enforced') await this.#letGo(enforcing);
        return;
      } catch (error) {
        const code = codeOf(error);
        if (code !== said)
          log.warn('enforcement waits', { revocation: enforcing.id, code, detail: explanationOf(error) });
        said = code;
        await timer.sleep(RETRY_MS, closing);
      }
    }
  }

  /**
   * From here on the receipt speaks, and a bulk entry's thousand targets need no memory. Not before the `outcome` entry
   * has come back: whoever asked in between would find neither, and the enforcement would begin a second time.
   */
  async #letGo(enforcing: Enforcing): Promise<void> {
    const { effects, news, timer, closing } = this.#ports;
    const { id } = enforcing;
    while (!closing.aborted && effects.outcome(id)?.state !== 'enforced' && !enforcing.isGivenUp) {
      // What cannot be said again now is tried again.
      await enforcing.sayAgain().catch(() => undefined);
      await Promise.race([news.next(), timer.sleep(RETRY_MS, closing)]);
    }
    // By then it may be followed anew.
    if (this.#followed.get(id)?.enforcing === enforcing) this.#followed.delete(id);
  }

  /** The enforcement of a revocation of an earlier run begins again: its clock restarts, its entry does not. */
  async #resume(id: string): Promise<Followed> {
    const followed = this.#lookup(id);
    if (followed !== undefined) return followed;
    const { store, cursor, clock } = this.#ports;
    const line = await this.#lineOf(id);
    const ours = line.position.epoch === cursor.position.epoch ? cursor.epochId : undefined;
    const { epochId: openId = '', runId } = await store.roster();
    // One of another epoch than the open one, whatever its number, is in no history that can be judged: naming none, it is
    // appended again.
    const epochId = ours === openId ? openId : '';
    const appended = { ...line, epochId, runId, duplicate: true, at: clock.now() };
    return this.#lookup(id) ?? this.#follow(appended, false);
  }

  /**
   * Takes up what an earlier run of this replica left unfinished, a few at a time: a receipt is completed though nobody
   * asks for it. One that is partial is left to whoever asks, unless the history it is partial in is gone.
   */
  async resumeUnfinished(): Promise<void> {
    const { effects, log } = this.#ports;
    const gate = new Gate(RESUMED_MAX);
    const resume = async (id: string): Promise<void> => {
      const { running } = await this.#resume(id);
      await running;
    };
    const wanted: string[] = [];
    for (const id of effects.unfinished()) {
      try {
        if (await this.#isToBeResumed(id)) wanted.push(id);
      } catch (error) {
        log.warn('an enforcement could not be taken up', { revocation: id, code: codeOf(error) });
      }
    }
    for (const id of wanted) this.#resuming.add(id);
    const all = wanted.map(async (id) => {
      await gate.through(() => this.#patiently(id, () => resume(id)));
      this.#resuming.delete(id);
    });
    await Promise.all(all);
  }

  /** Through a store that is away for a while. Never rejects. */
  async #patiently(id: string, work: () => Promise<void>): Promise<void> {
    const { closing, timer, log } = this.#ports;
    for (let said = ''; !closing.aborted;) {
      try {
        await work();
        return;
      } catch (error) {
        const code = codeOf(error);
        if (code !== said) log.warn('an enforcement could not be taken up', { revocation: id, code });
        said = code;
        await timer.sleep(RETRY_MS, closing);
      }
    }
  }

  async #isToBeResumed(id: string): Promise<boolean> {
    const { effects, members, identity, cursor, closing } = this.#ports;
    if (closing.aborted || this.#recordOf(id) === undefined) return false;
    const { position, sealed } = await this.#lineOf(id);
    if (members.lookup(sealed.entry.by)?.replica !== identity.replica) return false;
    return effects.outcome(id) === undefined || position.epoch !== cursor.position.epoch;
  }

  /** What the receipt of an enforced revocation, or of a lock that is over, says, verified; undefined while there is none. */
  async #settled(id: string): Promise<RevocationStatus | undefined> {
    const { effects, view, lastAccepts } = this.#ports;
    const outcome = effects.outcome(id);
    const isFinished = !effects.isUnfinished(id) || (outcome !== undefined && this.#isOverLock(id));
    const record = this.#recordOf(id);
    if (!isFinished || record === undefined) return undefined;
    const receipt = await this.#receiptHere(id);
    if (receipt === undefined && outcome !== undefined) return this.#attested(outcome, record);
    if (receipt === undefined) throw new WritError('NOT_FOUND', 'no such receipt');
    const { facts } = receipt;
    if (facts.kind === 'lock')
      return statusOfReceipt(facts, Math.max(facts.lateAccepts, lastAccepts.locks.late(id)?.count ?? 0));
    const dead = await this.#pace().run(view.deadHandles(facts.targets));
    const late = dead.map(({ hi, lo }) => lastAccepts.late(hi, lo).count);
    return statusOfReceipt(facts, Math.max(facts.lateAccepts, ...late));
  }

  /** What came of it, as the replica that has the receipt says in the feed: that one may be gone, and the order be repeated here. */
  async #attested(outcome: KnownOutcome, record: OrderRecord): Promise<RevocationStatus> {
    const { table, members, clock, ledger } = this.#ports;
    const line = await lineAt(ledger, record.position);
    const ofOrder = line === undefined ? [] : notCoveredOf(line.sealed.entry);
    const { revocation: id, state, by, matched, killed, unconfirmed, owing = [] } = outcome;
    const isEnforced = state === 'enforced';
    return {
      ...{ id, position: record.position, state, closure: isEnforced ? 'CLOSED' : 'PARTIAL' },
      isReached: isEnforced,
      appendedAtMs: Date.parse(record.at),
      enforcedAtMs: isEnforced ? Date.parse(outcome.at) : undefined,
      boundMs: enforcedByWaitMs(table.longest(clock.now(), record.position)),
      sessions: { matched, killed, unconfirmed, pending: 0, silent: [] },
      // Only the receipt knows more.
      ...{
        replicas: [],
        owing: owing.map((incarnation) => ({ replica: members.nameOf(incarnation), incarnation })),
        weakened: [],
        notCovered: [...NOT_COVERED, ...ofOrder, ...NOT_COVERED_OF_ATTESTED],
        revocationWindowMs: 0,
        lateAccepts: 0,
        seen: false,
      },
      hasReceipt: false,
      ...(by === undefined ? {} : { receiptOn: members.keeperOf(by) }),
    };
  }

  async #lineOf(id: string): Promise<FeedLine> {
    const record = this.#recordOf(id);
    if (record === undefined) throw new WritError('NOT_FOUND', 'no such revocation');
    const line = await lineAt(this.#ports.ledger, record.position);
    // Where its place is one of another history, something else may stand there.
    if (line?.sealed.entry.id !== id) throw new WritError('NOT_FOUND', this.#notHere(id));
    return line;
  }

  #notHere(id: string): string {
    const isAlone = this.#ports.cursor.isGivenUp(id);
    return isAlone
      ? 'it is in force here alone, from a snapshot: order it again'
      : 'its entry is not on the disk of this replica: ask another one';
  }

  /** Of an entry that was only indexed so far there is no line on this disk. */
  #recordOf(id: string): OrderRecord | undefined {
    const { view, cursor } = this.#ports;
    const record = view.placeOf(id);
    return record === undefined || comparePositions(cursor.settled, record.position) < 0 ? undefined : record;
  }
}

type Facts<T> = Omit<T, 'v' | 'at' | 'by' | 'sig'>;

function entryFacts(
  id: string,
  body: string,
  order: RevocationOrder,
): Facts<RevocationEntry> | Facts<LockEntry> {
  const { targets, expiresAtMs, reason, ticket, caller } = order;
  const said = { id, ...(reason === undefined ? {} : { reason }), caller, body };
  if (expiresAtMs !== undefined)
    return { ...said, kind: 'lock', targets: targets.map(withoutEnd), expiresAtS: lockEndS(expiresAtMs) };
  return { ...said, kind: 'revocation', targets: [...targets], ...(ticket === undefined ? {} : { ticket }) };
}

/** IDEMPOTENCY_CONFLICT unless what stands there is what is asked. */
function assertSame(before: string, body: string): void {
  if (before !== body)
    throw new WritError('IDEMPOTENCY_CONFLICT', 'the Idempotency-Key was used with another body');
}

/** What it says is of a history that was given up; what is not proven begins again by itself. */
function isOfBefore({ isGivenUp, current }: Enforcing): boolean {
  return isGivenUp && current.state === 'enforced';
}

function withoutEnd({ cutoffS: _cutoffS, untilS: _untilS, ...named }: Target): LockTarget {
  return named;
}

/** Its run ended with a partial receipt. The state may be weaker since: the store can lose what was partial, too. */
function isHalted({ hasReceipt, state }: Enforcement): boolean {
  return hasReceipt && state !== 'enforced';
}

function statusOfReceipt(facts: ReceiptFacts, lateAccepts: number): RevocationStatus {
  return {
    id: facts.id,
    position: parsePosition(facts.position),
    state: facts.state,
    closure: facts.closure,
    appendedAtMs: Date.parse(facts.appendedAt),
    enforcedAtMs: facts.enforcedAt === undefined ? undefined : Date.parse(facts.enforcedAt),
    boundMs: facts.boundMs,
    replicas: facts.replicas,
    owing: [],
    weakened: facts.weakened,
    notCovered: facts.notCovered,
    sessions: { ...facts.sessions, pending: 0, silent: [] },
    revocationWindowMs: facts.revocationWindowMs,
    lateAccepts,
    seen: facts.seen,
    hasReceipt: true,
    isReached: facts.state === 'enforced',
  };
}
