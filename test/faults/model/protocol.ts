/**
 * Lease, epoch and barrier (DESIGN 3.2 to 3.4) as a model: what replicas, the store and one coordinator may do, one step
 * at a time, in any order, with messages that are late or lost, a store that forgets, and processes that die.
 *
 * Histories are words: `A` opens an epoch (`B` the next), a digit admits that replica, `r` revokes. A chain is the word
 * itself. Time is whole ticks that may go by at any moment; what is too old to matter is not told apart, so that the
 * states are finitely many.
 */
import type { Protocol, Step } from './checker.ts';

/** Wordings of the protocol that are known to be wrong: THREATS 10, and what other tests plant in the code. */
export type Flaw =
  | 'any-reading-judges'
  | 'no-last-reading'
  | 'quiet-from-sending'
  | 'answers-before-its-own-disk'
  | 'first-lease-at-once'
  | 'opens-on-less'
  | 'lease-from-the-answer'
  | 'leased-before-applied'
  | 'witness-for-good'
  | 'opens-in-any-run'
  | 'epoch-of-another-run';

export interface Bounds {
  /** L, in ticks. There is no drift between clocks here, so the waiter waits as long. */
  readonly lease: number;
  readonly replicas: number;
  /** So many of them, the last ones, are there from the beginning; the others may join. */
  readonly joined: number;
  /** Times the store forgets. */
  readonly losses: number;
  /** Times a process dies. */
  readonly crashes: number;
  readonly flaw?: Flaw;
  /** Steps by name that are taken before everything else: a place from which all is tried. */
  readonly begin?: readonly string[];
}

/** What is on its way for a replica: an answer, or what it has asked for. */
type Call =
  | { readonly kind: 'lease'; readonly age: number; readonly log: string; readonly isVouched: boolean }
  | { readonly kind: 'syncing'; readonly age: number; readonly isVouched: boolean }
  | { readonly kind: 'closed'; readonly run: number }
  | { readonly kind: 'report'; readonly run: number; readonly log: string }
  | { readonly kind: 'open'; readonly run: number; readonly base: string };

interface Replica {
  /** What it has applied. */
  log: string;
  disk: string;
  /** Whether `r` is in its view, and on its disk: a view only grows, whatever becomes of the log. */
  has: boolean;
  kept: boolean;
  /** Ticks left. */
  lease: number;
  /** Ticks left of the lease under which it heard that the epoch is closed. */
  heard: number;
  /** The run in which it knows the store to be closed; -1: it does not. */
  closedIn: number;
  /** The last epoch that it held a lease of, or opened: on disk. */
  held: string;
  call: Call | undefined;
}

interface Row {
  acked: string;
  isLeased: boolean;
  /** It was renewed since the last reading that was taken in. */
  isMoved: boolean;
}

interface Report {
  readonly run: number;
  readonly log: string;
}

interface Watched {
  acked: string;
  quiet: number;
}

interface State {
  log: string;
  isOpen: boolean;
  run: number;
  rows: (Row | undefined)[];
  reports: (Report | undefined)[];
  replicas: Replica[];
  /** How often it may still forget, or die. */
  losses: number;
  crashes: number;
  /** The coordinator is replica 0. */
  phase: 'idle' | 'appended' | 'judged' | 'enforced';
  /** The word that ends with the entry it waits for. */
  wanted: string;
  age: number;
  watched: number;
  watchedEpoch: string;
  table: (Watched | undefined)[];
  /** It was sent after the append replied. */
  hasRead: boolean;
  reading: Reading | undefined;
}

/** On its way to the store; what it finds there comes back at once. */
interface Reading {
  readonly isLater: boolean;
  readonly age: number;
}

const letterAfter = (log: string): string => String.fromCharCode(epochOf(log).charCodeAt(0) + 1);

/** The newest epoch in it. */
function epochOf(log: string): string {
  for (let at = log.length - 1; at >= 0; at--) if (log[at]! >= 'A' && log[at]! <= 'Z') return log[at]!;
  return '@';
}

export function protocolOf(bounds: Bounds): Protocol<State> {
  return { initial: [beginOf(bounds)], steps: (state) => stepsOf(state, bounds), broken, key };
}

/** Once it is enforced nobody asks any more what the coordinator waited for. */
function key(state: State): string {
  const { log, isOpen, run, rows, reports, replicas, losses, crashes, phase } = state;
  const fleet = replicas.map(({ call, ...one }) => [Object.values(one), call && Object.values(call)]);
  const asked = [state.wanted, state.age, state.watched, state.watchedEpoch, state.table, state.hasRead];
  const isDone = phase === 'enforced';
  const lines = rows.map((row) => row && [row.acked, row.isLeased, !isDone && row.isMoved]);
  return JSON.stringify([
    ...[log, isOpen, run, lines, reports, fleet, losses, crashes, phase],
    ...(isDone ? [] : [asked, state.reading]),
  ]);
}

function beginOf(bounds: Bounds): State {
  const walk = (state: State, wanted: string): State => {
    for (const { name, to } of stepsOf(state, bounds)) if (name === wanted) return to;
    throw new Error(`nothing is called ${wanted} there`);
  };
  return (bounds.begin ?? []).reduce(walk, initialOf(bounds));
}

/** The one rule. */
function broken({ phase, replicas }: State): string | undefined {
  if (phase !== 'enforced') return undefined;
  const at = replicas.findIndex(({ lease, has }) => lease > 0 && !has);
  return at === -1 ? undefined : `enforced, and replica ${at} still accepts`;
}

function initialOf({ lease, replicas, joined, losses, crashes }: Bounds): State {
  const all = [...Array(replicas).keys()];
  const isIn = (i: number): boolean => i >= replicas - joined;
  const log = `A${all.filter(isIn).join('')}`;
  return {
    ...{ log, isOpen: true, run: 0, losses, crashes },
    rows: all.map((i) => (isIn(i) ? { acked: log, isLeased: true, isMoved: true } : undefined)),
    reports: all.map(() => undefined),
    replicas: all.map((i) => ({
      ...{ log: isIn(i) ? log : '', disk: isIn(i) ? log : '', has: false, kept: false },
      ...{ lease: isIn(i) ? lease : 0, heard: 0, closedIn: -1, held: isIn(i) ? 'A' : '@', call: undefined },
    })),
    ...{ phase: 'idle', wanted: '', age: 0, watched: lease, watchedEpoch: 'A', hasRead: false },
    table: all.map((i) => (isIn(i) && i !== 0 ? { acked: log, quiet: 0 } : undefined)),
    reading: undefined,
  };
}

function clone(state: State): State {
  return {
    ...state,
    rows: state.rows.map((row) => row && { ...row }),
    reports: [...state.reports],
    replicas: state.replicas.map((one) => ({ ...one })),
    table: state.table.map((row) => row && { ...row }),
  };
}

function* stepsOf(state: State, bounds: Bounds): Generator<Step<State>> {
  const step = (name: string, change: (next: State) => void): Step<State> => {
    const to = clone(state);
    change(to);
    return { name, to };
  };
  yield step('tick', tick(bounds));
  for (const [i, one] of state.replicas.entries()) {
    // What is sent takes the place of what was not answered: that one was lost, or comes too late.
    if (one.call?.kind !== 'syncing') {
      yield step(`renew ${i}`, (next) => void (next.replicas[i]!.call = renewed(next, i, bounds)));
      if (one.closedIn !== -1) yield step(`report ${i}`, sendReport(i));
      if (mayOpen(state, i, bounds)) yield step(`ask-to-open ${i}`, sendOpen(i));
    }
    if (one.call !== undefined) {
      const change = arriving(i, one.call, bounds);
      yield step(`${one.call.kind === 'syncing' ? 'sync' : 'arrive'} ${i} ${one.call.kind}`, change);
    }
    if (state.crashes > 0) yield step(`die ${i}`, die(i));
    if (mayAppend(state, i)) yield step(`join ${i}`, (next) => void (next.log += String(i)));
    if (mayCarry(state, i)) yield step(`carry ${i}`, (next) => void (next.log += 'r'));
  }
  if (state.losses > 0 && state.log !== '') yield* losing(state, step, bounds);
  yield* coordinating(state, step, bounds);
}

type Make = (name: string, change: (next: State) => void) => Step<State>;

function tick({ lease, flaw }: Bounds) {
  return (next: State): void => {
    for (const one of next.replicas) {
      one.lease = Math.max(0, one.lease - 1);
      if (flaw !== 'witness-for-good') one.heard = Math.max(0, one.heard - 1);
      const { call } = one;
      if (call !== undefined && 'age' in call) one.call = { ...call, age: Math.min(lease, call.age + 1) };
    }
    if (next.phase !== 'idle') next.age = Math.min(lease, next.age + 1);
    next.watched = Math.min(lease, next.watched + 1);
    for (const row of next.table) if (row !== undefined) row.quiet = Math.min(lease, row.quiet + 1);
    if (next.reading !== undefined && flaw === 'quiet-from-sending')
      next.reading = { ...next.reading, age: Math.min(lease, next.reading.age + 1) };
  };
}

function sendReport(i: number) {
  return (next: State): void => {
    const one = next.replicas[i]!;
    one.call = { kind: 'report', run: one.closedIn, log: one.disk };
  };
}

function sendOpen(i: number) {
  return (next: State): void => {
    const one = next.replicas[i]!;
    one.call = { kind: 'open', run: one.closedIn, base: one.disk };
  };
}

/** It goes on with its disk, as who it is there. */
function die(i: number) {
  return (next: State): void => {
    const one = next.replicas[i]!;
    next.crashes -= 1;
    Object.assign(one, { log: one.disk, has: one.kept, lease: 0, heard: 0, closedIn: -1, call: undefined });
    if (i === 0 && next.phase !== 'enforced') Object.assign(next, NOTHING_ASKED);
    if (i === 0) next.reading = undefined;
  };
}

const NOTHING_ASKED = { phase: 'idle', wanted: '', age: 0, hasRead: false } as const;

/** A newcomer that has read everything asks to be admitted; one that went is still on the list. */
function mayAppend(state: State, i: number): boolean {
  const { log } = state.replicas[i]!;
  return state.isOpen && log === state.log && !log.includes(String(i));
}

/** What it has more than an epoch that went on without it, it appends again. */
function mayCarry(state: State, i: number): boolean {
  const { log, has, lease } = state.replicas[i]!;
  return state.isOpen && log === state.log && has && !log.includes('r') && lease > 0;
}

function mayOpen(state: State, i: number, { flaw }: Bounds): boolean {
  const one = state.replicas[i]!;
  const { closedIn, heard, disk, log } = one;
  if (closedIn === -1 || disk !== log || epochOf(disk) >= 'C') return false;
  if (heard > 0) return true;
  const roster = state.replicas.map((_, at) => at).filter((at) => disk.includes(String(at)));
  return (
    roster.includes(i) &&
    roster.every((at) => {
      const report = state.reports[at];
      if (report?.run !== closedIn) return false;
      return flaw === 'opens-on-less' || disk.startsWith(report.log);
    })
  );
}

/** What arrives at the store, or back at the replica. */
function arriving(i: number, call: Call, bounds: Bounds): (next: State) => void {
  const { flaw, crashes } = bounds;
  switch (call.kind) {
    case 'report':
      return (next) => {
        const isThat = !next.isOpen && next.run === call.run;
        if (isThat) next.reports[i] = { run: call.run, log: call.log };
        next.replicas[i]!.call = undefined;
      };
    case 'open':
      return (next) => {
        const one = next.replicas[i]!;
        one.call = undefined;
        if (next.isOpen || (next.run !== call.run && flaw !== 'opens-in-any-run')) return;
        open(next, i, call.base);
      };
    case 'closed':
      return (next) => {
        const one = next.replicas[i]!;
        Object.assign(one, {
          closedIn: call.run,
          heard: Math.max(one.heard, one.lease),
          lease: 0,
          call: undefined,
        });
      };
    case 'lease':
      return (next) => {
        const one = next.replicas[i]!;
        take(one, call, bounds);
        // Where nobody dies it makes no difference when the disk has it.
        if (crashes === 0 && flaw !== 'leased-before-applied') sync(one, bounds);
      };
    case 'syncing':
      return (next) => sync(next.replicas[i]!, bounds);
  }
}

/** The store's side of a renewal: closed, silence, or a lease with everything the replica lacks. */
function renewed(next: State, i: number, { flaw }: Bounds): Call | undefined {
  const { log, disk, lease } = next.replicas[i]!;
  if (!next.isOpen) return { kind: 'closed', run: next.run };
  if (!follows(log, next.log)) return undefined;
  const isAdmitted = next.log.includes(String(i));
  if (isAdmitted) {
    const isOfThis = epochOf(disk) === epochOf(next.log);
    // What is on its disk, no more.
    next.rows[i] = { acked: isOfThis ? disk : '', isLeased: isOfThis && lease > 0, isMoved: i !== 0 };
  }
  const joined = next.log.slice(0, next.log.indexOf(String(i)) + 1);
  const vouches = (row: Row | undefined, at: number): boolean =>
    at !== i && row?.isLeased === true && row.acked.startsWith(joined) && isIn(row.acked, next.log);
  const isVouched = isAdmitted && (flaw === 'first-lease-at-once' || next.rows.some(vouches));
  return { kind: 'lease', age: 0, log: next.log, isVouched };
}

const isIn = (acked: string, log: string): boolean =>
  log.startsWith(acked) && epochOf(acked) === epochOf(log);

/** A word goes on where it is, or goes over to an epoch that continues what is here, or most of it. */
function follows(own: string, log: string): boolean {
  if (log.startsWith(own)) return true;
  const next = Array.from(log).findIndex(
    (letter, at) => letter >= 'A' && letter <= 'Z' && letter !== own[at],
  );
  return next !== -1 && own.startsWith(log.slice(0, next)) && epochOf(own) < log[next]!;
}

/** The replica's side: everything is applied, then on disk, and only then is there a lease. */
function take(one: Replica, call: Extract<Call, { kind: 'lease' }>, bounds: Bounds): void {
  const { log, age, isVouched } = call;
  const isHasty = bounds.flaw === 'leased-before-applied';
  if (isHasty) adopt({ ...one, log }, call, bounds, one);
  one.log = log;
  if (!isHasty) one.has ||= log.includes('r');
  one.closedIn = -1;
  one.heard = 0;
  one.call = { kind: 'syncing', age, isVouched };
}

function sync(one: Replica, bounds: Bounds): void {
  const { call } = one;
  Object.assign(one, { disk: one.log, kept: one.has, call: undefined });
  if (call?.kind === 'syncing') adopt(one, call, bounds);
}

function adopt(
  one: Replica,
  { age, isVouched }: { age: number; isVouched: boolean },
  { lease, flaw }: Bounds,
  to: Replica = one,
): void {
  one.has ||= one.log.includes('r');
  const epoch = epochOf(one.log);
  if (!isVouched && one.held !== epoch) return;
  to.held = epoch;
  to.lease = Math.max(to.lease, flaw === 'lease-from-the-answer' ? lease : lease - age);
}

/** Nothing is opened that lacks what the copy has more, or what the opener has. */
function open(next: State, i: number, base: string): void {
  const one = next.replicas[i]!;
  const whole = next.log.startsWith(base) ? next.log : base;
  const log = whole + letterAfter(whole);
  const all = next.replicas.map((_, at) => at);
  Object.assign(next, { log, isOpen: true, run: next.run + 1 });
  next.reports = all.map(() => undefined);
  next.rows = all.map((at) =>
    log.includes(String(at)) ? { acked: '', isLeased: false, isMoved: true } : undefined,
  );
  one.held = epochOf(log);
}

/** It is flushed, or comes back, perhaps without its last entry: closed, with an empty table. */
function* losing(state: State, step: Make, { flaw }: Bounds): Generator<Step<State>> {
  const { length } = state.log;
  for (const kept of new Set([0, Math.max(0, length - 1), length])) {
    yield step(`forget all but ${state.log.slice(0, kept) || 'nothing'}`, (next) => {
      next.losses -= 1;
      next.log = state.log.slice(0, kept);
      next.isOpen = flaw === 'epoch-of-another-run' && kept > 0;
      next.run += 1;
      const isOld = flaw === 'epoch-of-another-run';
      next.rows = next.rows.map((row, at) =>
        isOld && row !== undefined && next.log.includes(String(at)) ? { ...row, isMoved: true } : undefined,
      );
      next.reports = next.reports.map(() => undefined);
    });
  }
}

function* coordinating(state: State, step: Make, bounds: Bounds): Generator<Step<State>> {
  const { replicas, phase, reading, wanted } = state;
  const one = replicas[0]!;
  if (phase === 'enforced') return;
  const isOpen = state.isOpen && epochOf(state.log) === epochOf(one.log);
  if (phase === 'idle' && one.lease > 0 && isOpen)
    yield step('append', (next) => {
      if (!next.log.includes('r', next.log.indexOf(epochOf(next.log)))) next.log += 'r';
      const at = next.log.lastIndexOf('r');
      Object.assign(next, { phase: 'appended', wanted: next.log.slice(0, at + 1), age: 0, hasRead: false });
    });
  if (reading === undefined)
    yield step('read', (next) => void (next.reading = { isLater: phase !== 'idle', age: 0 }));
  else yield step('read-returns', (next) => observe(next, reading, bounds));
  if (phase === 'appended' && epochOf(one.log) !== epochOf(wanted))
    yield step('append-again', (next) => void Object.assign(next, NOTHING_ASKED));
  if (phase === 'appended' && isOver(state, bounds))
    yield step(
      'judge',
      (next) => void (next.phase = bounds.flaw === 'no-last-reading' ? 'enforced' : 'judged'),
    );
  if (phase === 'judged')
    yield step('last-reading', (next) => {
      const isSame = next.isOpen && epochOf(next.log) === epochOf(wanted) && next.log.startsWith(wanted);
      next.phase = isSame ? 'enforced' : 'appended';
    });
}

function observe(next: State, { isLater, age }: Reading, { flaw }: Bounds): void {
  next.reading = undefined;
  const epoch = epochOf(next.log);
  if (!next.isOpen || epoch !== epochOf(next.replicas[0]!.log)) return;
  if (epoch !== next.watchedEpoch)
    Object.assign(next, { watchedEpoch: epoch, watched: 0, table: next.table.map(() => undefined) });
  for (const [at, row] of next.rows.entries()) {
    // Of itself it knows more than the table says.
    if (row === undefined || at === 0) continue;
    const known = next.table[at];
    const quiet = flaw === 'quiet-from-sending' ? age : 0;
    next.table[at] = { acked: row.acked, quiet: known === undefined || row.isMoved ? quiet : known.quiet };
    row.isMoved = false;
  }
  next.hasRead ||= isLater;
}

/** The barrier and its ways out. */
function isOver({ replicas, table, wanted, age, watched, hasRead }: State, { lease, flaw }: Bounds): boolean {
  const { disk } = replicas[0]!;
  if (flaw !== 'answers-before-its-own-disk' && !disk.startsWith(wanted)) return false;
  if (age >= lease) return true;
  const rows = table.filter((row) => row !== undefined);
  const isAllOver = rows.every(({ acked, quiet }) => acked.startsWith(wanted) || quiet >= lease);
  const isWatched = watched >= lease;
  return isAllOver && isWatched && (hasRead || flaw === 'any-reading-judges');
}
