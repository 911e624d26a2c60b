/** The replicas of one run on one store, who asks of them and revokes, and the log that a person can read. */
import { keyringOf } from '../../src/evidence/keyring.ts';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import type { SealedEntry } from '../../src/feed/entry.ts';
import { EPS_MS, enforcedByWaitMs } from '../../src/feed/lease.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import { ISSUER, LEASE_MS, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { readinessOf } from '../support/readiness.ts';
import { Agenda } from './agenda.ts';
import type { Asked, Revoked } from './history.ts';
import { at } from './history.ts';
import { Facts } from './facts.ts';
import { Holder } from './holder.ts';
import type { HolderPorts } from './holder.ts';
import { Disk, GOOD, SimProcess } from './process.ts';
import type { Moment, World } from './process.ts';
import { Chances } from './random.ts';

const NOW_S = 1_800_000_000;
/** How long a caller waits for `enforced`. */
const WAIT_MS = 30_000;

/** What became enforced is asked for after that: something may be wrong that does not begin with a lease. */
const ASKED_AFTER_MS = [100, 800, 3_000];

const STORE = 'the store';

/** The shortest that may be configured; the longest here is everyone's in half of all runs. */
const LEASE_MS_MIN = 500;

/** By when nobody accepts any more, from the append, where that is the longest lease; and it is said by then (D-191). */
export const boundMs = (leaseMs: number): number => enforcedByWaitMs({ leaseMs, epsMs: EPS_MS });

/** Part of each seed that says what there is more of, and whether locks and grants come and go. */
const MORE = 0x5bd1e995;
const FACTS = 0xc2b2ae35;

/** Each is said where an invariant does not hold (STYLE, habit 16), and nobody here is hostile. */
const NEVER_SAID = new Set([
  'a receipt that was made does not verify',
  'an entry without a valid signature was ignored',
]);

export interface Trap {
  readonly moment: Moment;
  left: number;
  spring(process: SimProcess): void;
}

export class Fleet implements World, HolderPorts {
  readonly agenda = new Agenda();
  readonly chances: Chances;
  /** Of their own, so that a run in which all have one lease is what it was without them. None: this is such a run. */
  readonly #leases: Chances | undefined;
  /**
   * Of their own, too: sessions that nobody but their holder ends, locks, questions about orders anywhere, lost disks that come
   * back, `barrier: wait`, everyone started again at once, more replicas. None: this is a run without them.
   */
  readonly more: Chances | undefined;
  /** Of its own chances, too. None: this is a run without. */
  readonly facts: Facts | undefined;
  readonly server = new MemoryFeedServer();
  readonly pageMax: number;
  readonly snapshotEvery: number | undefined;
  /** Renewals are prepared, and sent with the news: in every third run. */
  readonly isPreparing: boolean;
  readonly credentials: readonly string[];
  readonly effects = new Map<string, number>();
  readonly asked: Asked[] = [];
  readonly revoked = new Map<string, Revoked>();
  /** Of receipts that say `enforced`: revocation id -> text. */
  readonly receipts = new Map<string, string>();
  /** What did not hold, as sentences. */
  readonly violations: string[] = [];
  readonly #log: string[] = [];
  /** Alive or not; those that are gone for good are not among them. */
  processes: SimProcess[] = [];
  /** The store has lost something that it had taken. */
  hasStoreForgotten = false;
  isAmnesiac = false;
  /** Processes on a copy of another's data directory. */
  readonly copies = new Set<SimProcess>();
  /** Each of them has the sessions that the other has. */
  hasHadCopies = false;
  /** What is done when something has been done so often. */
  traps: Trap[] = [];
  /** Whom the next fault befalls; undefined: see `victim`. */
  target: SimProcess | undefined;
  /** Where in `processes` the one is that faults prefer; none: they prefer nobody. */
  readonly victim: number | undefined;
  /** Not to be started again yet. */
  readonly isDown = new Set<SimProcess>();
  /** How long a command, or its answer, is on its way at most, in this whole run. */
  slowMs = GOOD.slowMs;
  isAnyGone = false;
  /** Revocation id -> credential. */
  readonly #revocations = new Map<string, string>();
  readonly #holders: Holder[] = [];
  readonly #all: SimProcess[] = [];
  /** Gone for good, so they said. */
  readonly #lost: SimProcess[] = [];
  /** Of two processes that share their memory the word of one counts for both (SECURITY.md). */
  hasTwins = false;
  #starts = 0;
  #names = 0;
  /** Until when something is the matter with the store, or with a replica. */
  readonly #disturbedMs = new Map<string, number>();

  constructor(seed: number) {
    this.chances = new Chances(seed);
    const leases = new Chances(~seed);
    this.#leases = leases.is(0.5) ? leases : undefined;
    const more = new Chances(seed ^ MORE);
    this.more = more.is(0.5) ? more : undefined;
    const facts = new Chances(seed ^ FACTS);
    this.facts = facts.is(0.3) ? new Facts(this, facts) : undefined;
    this.victim = this.chances.is(0.5) ? this.chances.below(3) : undefined;
    this.pageMax = this.chances.is(0.5) ? 1_000 : 1 + this.chances.below(3);
    this.isPreparing = seed % 3 === 0;
    this.snapshotEvery = this.chances.is(0.5) ? 3 + this.chances.below(6) : undefined;
    this.credentials = Array.from({ length: 3 + this.chances.below(5) }, (_, i) => `c${i + 1}`);
  }

  readonly effect = (fault: string): void => void this.effects.set(fault, (this.effects.get(fault) ?? 0) + 1);

  say(text: string): void {
    this.#log.push(`${at(this.agenda.nowMs).padStart(12)}  ${text}`);
  }

  /** What happened, line by line. */
  get log(): readonly string[] {
    return this.#log;
  }

  get live(): readonly SimProcess[] {
    return this.processes.filter(({ isAlive }) => isAlive);
  }

  get fresh(): readonly SimProcess[] {
    return this.processes.filter(({ isFresh }) => isFresh);
  }

  pass(ms: number): void {
    this.agenda.runUntil(this.agenda.nowMs + ms);
  }

  passed(moment: Moment, process: SimProcess): void {
    for (const trap of this.traps.filter((one) => one.moment === moment)) {
      trap.left -= 1;
      if (trap.left > 0) continue;
      this.traps.splice(this.traps.indexOf(trap), 1);
      trap.spring(process);
    }
  }

  /** The store, or the named replica, is not itself for so long: no bound holds for what it enforces. */
  disturb(ms: number, name = STORE): void {
    this.#disturbedMs.set(name, Math.max(this.#disturbedMs.get(name) ?? 0, this.agenda.nowMs + ms));
    for (const one of this.revoked.values())
      if (one.enforcedMs === undefined && [STORE, one.by].includes(name)) one.isUndisturbed = false;
  }

  #isUndisturbed(name: string): boolean {
    // What a holder has to confirm takes as long as that does.
    if (this.slowMs > GOOD.slowMs || this.more !== undefined) return false;
    return [STORE, name].every((one) => (this.#disturbedMs.get(one) ?? 0) < this.agenda.nowMs);
  }

  nextName(): string {
    return 'abcdefghijklmnopqrstuvwxyz'.charAt(this.#names++);
  }

  start(
    name: string,
    disk = new Disk(),
    options: { bootstrap?: boolean; isCopy?: boolean; twin?: SimProcess } = {},
  ): SimProcess {
    const { twin, isCopy = twin !== undefined, bootstrap = false } = options;
    const start = twin === undefined ? ++this.#starts : Number(twin.live.identity.incarnation.slice(5));
    // Two twins are not one either.
    const salt = twin === undefined ? {} : { salt: ` twin ${this.#all.length}` };
    const leaseMs = twin?.leaseMs ?? this.#drawLeaseMs(name);
    const barrier = this.more?.is(0.3) === true ? 'wait' : 'acknowledged';
    if (twin !== undefined) this.hasTwins = true;
    const process = new SimProcess(this, { name, start, disk, bootstrap, leaseMs, barrier, ...salt });
    process.link.slowMs = this.slowMs;
    this.processes.push(process);
    this.#all.push(process);
    if (isCopy) this.copies.add(process);
    this.hasHadCopies ||= isCopy;
    this.say(`${name} starts as ${process.live.identity.incarnation}, with a lease of ${leaseMs} ms`);
    // The sessions on that disk are told anew, also by a copy, and those that end by themselves are over a lease after that (SECURITY.md).
    if (disk.sessions.length > 0)
      for (const one of this.revoked.values()) one.isUndisturbed &&= one.enforcedMs !== undefined;
    process.start();
    return process;
  }

  /** Whoever starts again may do so with another. */
  #drawLeaseMs(name: string): number {
    if (this.#leases === undefined) return LEASE_MS;
    const before = this.#all.findLast((one) => one.name === name)?.leaseMs;
    if (before !== undefined && this.#leases.is(0.5)) return before;
    if (before !== undefined) this.effect('a restart with another lease');
    return Math.round(this.#leases.between(LEASE_MS_MIN, LEASE_MS));
  }

  /** Of an incarnation. */
  leaseMsOf(incarnation: string): number {
    return this.#all.find(({ live }) => live.identity.incarnation === incarnation)?.leaseMs ?? 0;
  }

  kill(process: SimProcess): boolean {
    this.say(`${process.name} (${process.live.identity.incarnation}) dies`);
    return process.kill();
  }

  restart(process: SimProcess): SimProcess {
    if (process.isAlive) this.kill(process);
    this.processes = this.processes.filter((one) => one !== process);
    this.effect('restart');
    process.successor = this.start(process.name, process.disk);
    return process.successor;
  }

  /** In order; it may be started again later. */
  leave(process: SimProcess): void {
    this.say(`${process.name} leaves`);
    this.disturb(2_000, process.name);
    void process.live.stop().then(() => {
      if (!process.isAlive) return;
      const { incarnation } = process.live.identity;
      const isSaid = this.server.lines.some(
        ({ sealed: { entry } }) =>
          entry.kind === 'replica' && entry.event === 'left' && entry.incarnation === incarnation,
      );
      if (isSaid) this.effect('leave');
      this.kill(process);
    });
  }

  forget(by: SimProcess, name: string): void {
    this.say(`${by.name} is told to forget ${name}`);
    void by.live.forgetter.forget({ replica: name, reason: 'gone', caller: 'admin' }).then(
      () => {
        this.effect('forget');
        this.say(`${name} is forgotten`);
      },
      (error: unknown) => this.say(`${name} is not forgotten: ${(error as { code: string }).code}`),
    );
  }

  /** With its data directory. */
  lose(process: SimProcess): void {
    this.say(`${process.name} is gone for good, and its data directory`);
    process.kill();
    this.isAnyGone = true;
    this.effect('gone for good');
    this.processes = this.processes.filter((one) => one !== process);
    this.copies.delete(process);
    this.#lost.push(process);
  }

  /** One that was gone for good is found again, with its disk. */
  find(): void {
    const process = this.#lost.pop();
    if (process === undefined) return;
    this.effect('found again');
    this.say(`${process.name} is found again, and its data directory`);
    process.successor = this.start(process.name, process.disk);
  }

  /** Somebody gives up one that is gone. */
  giveUp(): void {
    const by = this.chances.of(this.fresh);
    const one = this.#lost.at(-1);
    if (by !== undefined && one !== undefined) this.forget(by, one.name);
  }

  restartAll(): void {
    this.say('everyone is started again');
    for (const process of this.live) this.restart(process);
  }

  /** Somebody asks how far an order is, anywhere. */
  inquire(): void {
    const id = this.chances.of([...this.#revocations.keys()]);
    const process = this.chances.of(this.live);
    if (id === undefined || process === undefined) return;
    process.deliver(() => void process.live.revoker.status(id).catch(() => undefined));
  }

  /** Of all orders, everywhere: what is neither enforced nor partial for somebody, with the reason. */
  async unsettled(process: SimProcess, id: string): Promise<string[]> {
    const { state, owing, sessions } = await process.live.revoker.status(id);
    const isSettled = state === 'enforced' || owing.length > 0 || sessions.pending > 0;
    return isSettled
      ? []
      : [`UNSETTLED: ${process.name} says ${state} of ${this.#revocations.get(id) ?? id}`];
  }

  /** Those that are asked about until they are settled: a lock that is lifted need not be. */
  get orders(): readonly string[] {
    return [...this.#revocations].flatMap(([id, credential]) => (Facts.isOf(credential) ? [] : [id]));
  }

  /** Whatever was enforced, it may not say yes to it now. */
  leased(process: SimProcess): void {
    for (const { credential, enforcedMs } of this.revoked.values())
      if (enforcedMs !== undefined) this.#decide(process, credential, this.agenda.nowMs);
  }

  appending(sealed: SealedEntry): void {
    this.facts?.heard(sealed);
    const { entry } = sealed;
    const value = entry.kind === 'revocation' || entry.kind === 'lock' ? entry.targets[0]?.value : undefined;
    if (value !== undefined) this.#revocations.set(entry.id, value);
  }

  /** A session of what is enforced goes on nowhere. */
  prolonged({ credential, process, isOpen, selfEnds }: Holder): void {
    const { enforcedMs, by } = this.revoked.get(credential) ?? {};
    if (enforcedMs === undefined || !isOpen || !selfEnds) return;
    this.violations.push(
      `SESSION: one of ${credential}, opened on ${process.name}, goes on at ${at(this.agenda.nowMs)}, enforced at ${at(enforcedMs)} by ${by}`,
    );
  }

  /** Sessions that were ever opened on what that order is about. */
  openedOn(id: string): number {
    return this.#holders.filter(({ credential }) => credential === this.#revocations.get(id)).length;
  }

  hold(process: SimProcess, credential: string): void {
    const holder = new Holder(this, process, credential, this.more?.is(0.6) !== true);
    this.#holders.push(holder);
    holder.open(NOW_S);
  }

  died({ name }: SimProcess): void {
    this.say(`${name} has died`);
  }

  /** One request, which takes its time to get there. */
  ask(process: SimProcess, credential: string, onWayMs = this.chances.between(0.1, 2)): void {
    const sentMs = this.agenda.nowMs;
    this.agenda.after(onWayMs, () => process.deliver(() => this.#decide(process, credential, sentMs)));
  }

  #decide(process: SimProcess, credential: string, sentMs: number): void {
    const { live, name, leaseEndsMs } = process;
    // Two may go by one: each has its own life.
    const incarnation = `${live.identity.incarnation}#${this.#all.indexOf(process)}`;
    void Promise.resolve(live.checker.check(requestOf(tokenOf('billing', credential, NOW_S)))).then(
      ({ reason }) => {
        const decidedMs = this.agenda.nowMs;
        this.asked.push({
          ...{ credential, sentMs, reason, decidedMs, incarnation, leaseEndsMs, replica: name },
        });
      },
    );
  }

  /** What nobody has revoked yet, by somebody who may. */
  revokeSome(): void {
    const process = this.chances.of(this.fresh);
    const credential = this.credentials.find((one) => !this.revoked.has(one));
    if (process !== undefined && credential !== undefined) this.revoke(process, credential);
  }

  /** What nobody has revoked yet. */
  anyInForce(): string {
    return this.chances.of(this.credentials.filter((one) => !this.revoked.has(one))) ?? '';
  }

  revoke(process: SimProcess, credential: string): void {
    const { live, name } = process;
    const sentMs = this.agenda.nowMs;
    const isUndisturbed = this.#isUndisturbed(name);
    const known: Revoked = {
      credential,
      by: name,
      sentMs,
      enforcedMs: undefined,
      answered: undefined,
      isUndisturbed,
      dueMs: Infinity,
    };
    if (this.revoked.has(credential)) return;
    this.revoked.set(credential, known);
    this.say(`${name} is told to revoke ${credential}`);
    // Some are on their way meanwhile, for as long as it may take.
    for (const other of this.processes)
      for (const upToMs of [10, 4_000]) this.ask(other, credential, this.chances.between(0.1, upToMs));
    const isLock = this.more?.is(0.4) === true;
    process.deliver(() => {
      const lock = isLock ? { expiresAtMs: process.clock.now().wallMs + 3_600_000 } : {};
      const targets = [{ kind: 'jti', issuer: ISSUER, value: credential }] as const;
      void live.revoker.revoke(orderOf({ targets, waitMs: WAIT_MS, ...lock })).then(
        ({ state }) => {
          known.answered = state;
          this.say(`${name} answers ${state} for ${credential}`);
        },
        (error: unknown) => {
          known.answered = (error as { code?: string }).code ?? String(error);
          this.say(`${name} answers ${known.answered} for ${credential}`);
        },
      );
    });
  }

  enforced(process: SimProcess, id: string, text: string): void {
    this.receipts.set(id, text);
    const known = this.revoked.get(this.#revocations.get(id) ?? '');
    if (known === undefined) {
      if (Facts.isOf(this.#revocations.get(id) ?? '')) return;
      this.violations.push(`RECEIPT: ${process.name} has one of what nobody has ordered: ${id}`);
      return;
    }
    this.#assertNoneGoesOn(process, known.credential, text);
    if (known.enforcedMs === undefined)
      for (const other of this.processes)
        for (const upToMs of ASKED_AFTER_MS)
          this.ask(other, known.credential, this.chances.between(0.1, upToMs));
    known.enforcedMs ??= this.agenda.nowMs;
    known.dueMs = boundMs(Math.max(...this.#all.map(({ leaseMs }) => leaseMs)));
    this.say(`${process.name} has the receipt: ${known.credential} is enforced`);
    for (const holder of this.#holders) if (holder.credential === known.credential) this.prolonged(holder);
    // Whoever is paused may wake at this very moment.
    for (const other of this.processes)
      if (other.isAwake) this.#decide(other, known.credential, this.agenda.nowMs);
  }

  /**
   * A receipt without a caveat is over no session that goes on. Of whom a process let in beside a copy of its data directory it
   * may not tell (SECURITY.md), but where that one has acknowledged, or whoever goes on with the directory itself.
   */
  #assertNoneGoesOn(process: SimProcess, credential: string, text: string): void {
    const facts = verifyReceipt(text, keyringOf('test', process.live.logKey.public));
    if (this.hasTwins || facts.notCovered.some((what) => what.includes('which is gone'))) return;
    const heard = facts.replicas.filter(({ state }) => state === 'acknowledged');
    const isTold = ({ besideCopy }: Holder): boolean =>
      besideCopy?.incarnations.some((one) => heard.some(({ incarnation }) => incarnation === one)) ?? true;
    const open = this.#holders.filter((one) => !one.selfEnds && one.isOpen && isTold(one));
    for (const { process: opener, ...holder } of open)
      if (holder.credential === credential)
        this.violations.push(
          `SESSION: ${process.name} calls ${credential} enforced over one that was opened on ${opener.name} (${opener.live.identity.incarnation}) and goes on`,
        );
  }

  /** What processes have said of themselves that may never be so. */
  get broken(): readonly string[] {
    return this.#all.flatMap(({ name, live }) =>
      live.log
        .filter(({ code, sentence }) => code === 'INTERNAL' || NEVER_SAID.has(sentence))
        .map(({ sentence, ...fields }) => `BROKEN: ${name} says: ${sentence} ${JSON.stringify(fields)}`),
    );
  }

  /** The state of everything, for whoever reads a run that did not heal. */
  states(): string[] {
    const { server } = this;
    const of = (process: SimProcess): string => {
      const { live, name, disk, isFresh, isAlive } = process;
      const { epoch, sequence } = live.cursor.position;
      const state = isFresh ? 'fresh' : isAlive ? live.renewer.state : 'dead';
      return `${name} ${live.identity.incarnation} ${state} at ${epoch}-${sequence} of ${live.cursor.epochId}, held ${disk.held.epochId}${disk.held.isLeft ? ' (left)' : ''}; ${readinessOf(live, 'epoch')}; ${readinessOf(live, 'store')}`;
    };
    const { epochId, closedEpochId, head } = server.roster();
    return [
      ...this.processes.map(of),
      `the store: ${epochId ?? `closed ${closedEpochId ?? 'and empty'}`} at ${head.epoch}-${head.sequence}`,
    ];
  }
}
