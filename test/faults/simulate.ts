/**
 * One run from one integer: a fleet that works, faults for a while, then none; what must hold all along, and at the end.
 */
import { keyringOf } from '../../src/evidence/keyring.ts';
import type { ReceiptFacts } from '../../src/evidence/receipt.ts';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { comparePositions } from '../../src/feed/position.ts';
import { isFencedForGood } from '../../src/flows/renew.ts';
import { readinessOf } from '../support/readiness.ts';
import type { Log } from './chains.ts';
import { partings } from './chains.ts';
import { Fleet, boundMs } from './fleet.ts';
import type { Judgement } from './history.ts';
import { isRefused, judge } from './history.ts';
import type { Fault } from './nemesis.ts';
import { FAULTS, GROUPS, layTrap } from './nemesis.ts';
import type { SimProcess } from './process.ts';
import { Disk, GOOD } from './process.ts';
import type { Chances } from './random.ts';

export interface Outcome extends Judgement {
  readonly seed: number;
  /** Decisions that were checked. */
  readonly decisions: number;
  readonly revocations: number;
  /** Enforced, and at the end not in force everywhere. */
  readonly lost: number;
  readonly effects: ReadonlyMap<string, number>;
  /** How long after the last fault all had a lease. */
  readonly healedMs: number;
  /** An operator had to say that what is missing is accepted. */
  readonly isAmnesiac: boolean;
  readonly simulatedMs: number;
  readonly log: readonly string[];
}

const WARM_UP_MS = 3_600;
const HEALING_MS = 12_000;
const NOTHING = { reason: '' } as const;

/** In a turn of the loop of its own: there promises settle when the agenda says so. `favoured`: names of faults, for all that comes. */
export function simulate(seed: number, favoured: readonly string[] = []): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(play(seed, favoured));
      } catch (error) {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- whatever it was
        reject(error);
      }
    });
  });
}

function play(seed: number, favoured: readonly string[]): Outcome {
  const fleet = new Fleet(seed);
  const { violations } = fleet;
  begin(fleet);
  trouble(fleet, kindsOf(fleet, seed, favoured));
  const healedMs = heal(fleet);
  const lost = conclude(fleet);
  const judgement = judge(fleet.asked, [...fleet.revoked.values()]);
  violations.push(...fleet.broken);
  for (const process of fleet.processes) process.kill();
  return {
    ...judgement,
    violations: [...judgement.violations, ...violations],
    ...{ seed, lost, healedMs },
    decisions: fleet.asked.length,
    revocations: fleet.revoked.size,
    effects: fleet.effects,
    isAmnesiac: fleet.isAmnesiac,
    simulatedMs: fleet.agenda.nowMs,
    log: fleet.log,
  };
}

/** Everyone joins, watches the others for a lease, and lets through what nobody has revoked. */
function begin(fleet: Fleet): void {
  const size = 2 + fleet.chances.below(fleet.more === undefined ? 3 : 5);
  for (let i = 0; i < size; i++) {
    fleet.start(fleet.nextName(), undefined, { bootstrap: i === 0 });
    fleet.pass(i === 0 ? 200 : fleet.chances.between(1, 100));
  }
  fleet.pass(WARM_UP_MS);
  for (const process of fleet.processes)
    for (const credential of fleet.credentials) {
      for (let i = 0; i < 3; i++) fleet.ask(process, credential);
    }
  fleet.pass(300);
}

/** A few kinds of faults: which ones is the run's own, one of them the seed's. */
function kindsOf({ chances }: Fleet, seed: number, favoured: readonly string[]): Fault[] {
  const some = chances.shuffled(FAULTS).slice(0, 1 + chances.below(3));
  if (favoured.length > 0)
    return [
      ...FAULTS.filter(({ name }) => favoured.includes(name)),
      ...(chances.is(0.3) ? some.slice(0, 1) : []),
    ];
  const one = FAULTS[seed % FAULTS.length] as Fault;
  const group = GROUPS.find((faults) => faults.includes(one)) ?? [];
  return [one, ...(chances.is(0.5) ? group : []), ...some];
}

/** They come again and again, for a while. */
function trouble(fleet: Fleet, kinds: readonly Fault[]): void {
  const { chances } = fleet;
  const everyMs = chances.between(300, 2_500);
  const endMs = fleet.agenda.nowMs + chances.between(2_500, 9_000);
  // Then hardly a moment is without a renewal on its way.
  if (chances.is(0.25)) fleet.slowMs = chances.between(50, 240);
  for (const { link } of fleet.processes) link.slowMs = fleet.slowMs;
  fleet.say(`faults: ${kinds.map(({ name }) => name).join(', ')}`);
  if (chances.is(0.7)) for (let i = 0; i < 2; i++) layTrap(fleet, kinds);
  while (fleet.agenda.nowMs < endMs) {
    step(fleet, kinds, everyMs);
    fleet.pass(STEP_MS);
  }
}

const STEP_MS = 200;

function step(fleet: Fleet, kinds: readonly Fault[], everyMs: number): void {
  const { chances } = fleet;
  if (chances.is(STEP_MS / everyMs)) {
    chances.of(kinds)?.begin(fleet);
    // What goes wrong goes wrong while something is revoked.
    if (chances.is(0.5)) fleet.agenda.after(chances.between(0, 600), () => fleet.revokeSome());
  }
  for (const dead of fleet.processes.filter((one) => !one.isAlive && !fleet.isDown.has(one)))
    if (chances.is(STEP_MS / 2_000)) fleet.restart(dead);
  if (chances.is(STEP_MS / 2_000)) fleet.revokeSome();
  for (const process of fleet.live) fleet.ask(process, chances.of(fleet.credentials) ?? '');
  if (fleet.more !== undefined) stepMore(fleet, fleet.more);
  fleet.facts?.step();
}

function stepMore(fleet: Fleet, more: Chances): void {
  if (more.is(0.3)) fleet.inquire();
  if (more.is(0.04)) fleet.find();
  if (more.is(0.03)) fleet.giveUp();
  if (more.is(0.03)) fleet.restartAll();
  if (more.is(0.2)) for (const process of fleet.fresh) fleet.hold(process, fleet.anyInForce());
}

/** No faults any more: by itself, or by an operator's word where it says so, everyone has a lease again. */
function heal(fleet: Fleet): number {
  const { violations } = fleet;
  fleet.say('all is well');
  fleet.traps = [];
  fleet.slowMs = GOOD.slowMs;
  fleet.server.isReachable = true;
  for (const process of fleet.processes) {
    Object.assign(process.link, GOOD);
    process.armed = undefined;
    if (process.isPaused) process.wake();
  }
  if (fleet.more?.is(0.6) === true) fleet.find();
  removeCopies(fleet);
  const beganMs = fleet.agenda.nowMs;
  if (isHealed(fleet)) return fleet.agenda.nowMs - beganMs;
  fleet.isAmnesiac = true;
  // Nobody is told to give anybody up before a minute is over (D-122).
  fleet.pass(60_000);
  if (setAside(fleet) && isHealed(fleet)) return fleet.agenda.nowMs - beganMs;
  const [most] = fleet.live.toSorted((a, b) =>
    comparePositions(b.live.cursor.position, a.live.cursor.position),
  );
  const said = fleet.live.map(({ live }) => `${readinessOf(live, 'epoch')}; ${readinessOf(live, 'store')}`);
  for (const state of fleet.states()) fleet.say(state);
  if (isAnyoneWaitedForInVain(fleet)) violations.push('STUCK: everyone is there, and is waited for');
  if (!said.some((text) => /writ epoch open|restart it|next snapshot/.test(text)))
    violations.push('STUCK: and nobody says what to do');
  fleet.say(`an operator opens an epoch on ${most?.name}`);
  const isEmpty = most?.live.cursor.epochId === undefined;
  void most?.live.replica
    .openEpoch(isEmpty ? 'new-fleet' : 'accept-amnesia', 'simulated')
    .catch((error: unknown) => fleet.say(`refused: ${String(error)}`));
  if (!isHealed(fleet)) {
    violations.push('STUCK: an operator has said the word');
    for (const state of fleet.states()) fleet.say(state);
  }
  return fleet.agenda.nowMs - beganMs;
}

/**
 * Everyone is there with its disk, which nobody has copied, and some wait for some of them; and it is not two histories, of which
 * nobody holds both, that an operator is asked about.
 */
function isAnyoneWaitedForInVain({ live, copies, hasTwins, isAnyGone }: Fleet): boolean {
  const said = live.map((one) => readinessOf(one.live, 'epoch') ?? '');
  if (copies.size > 0 || hasTwins || isAnyGone || said.some((text) => text.includes(' reports ')))
    return false;
  const names = live.map(({ name }) => name);
  return said.some((text) => {
    const [, waitedFor] = text.match(/it waits for ([^;]+)/) ?? [];
    return waitedFor?.split(', ').every((name) => names.includes(name)) === true;
  });
}

/** Whose ledger has to be moved away by hand, as `/readyz` says, begins with an empty disk. True when anybody did. */
function setAside(fleet: Fleet): boolean {
  const asking = fleet.live.filter(
    ({ live }) => readinessOf(live, 'store')?.includes('move `ledger`') === true,
  );
  for (const process of asking) {
    fleet.say(`the ledger of ${process.name} is set aside`);
    fleet.kill(process);
    fleet.processes = fleet.processes.filter((one) => one !== process);
    const disk = new Disk();
    disk.held.isNew = false;
    disk.joined = process.disk.joined;
    disk.keepSessions(process.disk);
    process.successor = fleet.start(process.name, disk);
  }
  return asking.length > 0;
}

/** Whoever goes on with a copied data directory is a mistake that somebody ends: of each name the furthest stays. */
function removeCopies(fleet: Fleet): void {
  const byName = Map.groupBy(fleet.processes, ({ name }) => name);
  for (const named of byName.values()) {
    const [, ...others] = named.toSorted((a, b) =>
      comparePositions(b.live.cursor.position, a.live.cursor.position),
    );
    for (const other of others) {
      fleet.kill(other);
      fleet.processes = fleet.processes.filter((one) => one !== other);
    }
  }
}

function isHealed(fleet: Fleet): boolean {
  const endMs = fleet.agenda.nowMs + HEALING_MS;
  while (fleet.agenda.nowMs < endMs) {
    for (const process of fleet.processes)
      if (!process.isAlive || isFencedForGood(process.live.renewer.state)) fleet.restart(process);
    fleet.pass(200);
    if (fleet.processes.every(({ isFresh }) => isFresh)) return true;
  }
  return false;
}

/** What holds once everyone has a lease again. Returns how many enforced revocations are not in force everywhere. */
function conclude(fleet: Fleet): number {
  const { violations } = fleet;
  fleet.pass(600);
  if (fleet.more !== undefined) settle(fleet);
  for (const process of fleet.fresh)
    for (const credential of fleet.credentials) fleet.ask(process, credential);
  fleet.pass(300);
  // What was just enforced is still being written down.
  for (let i = 0; i < 30 && !isAtRest(fleet); i++) fleet.pass(100);
  const enforced = [...fleet.revoked.values()].filter(({ enforcedMs }) => enforcedMs !== undefined);
  const lost = enforced.filter(({ credential }) =>
    fleet.fresh.some(
      ({ name }) =>
        fleet.asked.findLast((one) => one.replica === name && one.credential === credential)?.reason ===
        'permitted',
    ),
  );
  violations.push(
    ...lost.map(({ credential }) => `LOST: ${credential} was enforced and is permitted at the end`),
  );
  violations.push(...durableLost(fleet), ...partings(fleet.fresh.map(logOf)), ...falseReceipts(fleet));
  if (fleet.more !== undefined && isAtRest(fleet)) violations.push(...rostersDiffer(fleet));
  if (isAtRest(fleet)) violations.push(...(fleet.facts?.violations() ?? []));
  return lost.length;
}

/** Whoever is asked about an order goes on with it: some time later each is enforced, or somebody is named who owes a word. */
function settle(fleet: Fleet): void {
  const ask = (tell: (text: string) => void): void => {
    for (const process of fleet.fresh)
      for (const id of fleet.orders)
        void fleet.unsettled(process, id).then(
          (said) => said.forEach(tell),
          (error: unknown) => fleet.say(`${process.name} does not know ${id}: ${String(error)}`),
        );
  };
  for (let i = 0; i < 4; i++) {
    ask(() => undefined);
    fleet.pass(4_000);
  }
  ask((text) => fleet.violations.push(text));
  fleet.pass(500);
}

function isAtRest({ processes, server }: Fleet): boolean {
  return processes.every(({ disk }) => disk.lines.at(-1)?.chain === server.lines.at(-1)?.chain);
}

/** It is in snapshots, which nobody trims by that differ. */
function rostersDiffer({ fresh }: Fleet): string[] {
  const rosters = fresh.map(({ name, live }) => ({
    name,
    said: live.members.folded().map(({ incarnation, state }) => `${incarnation} ${state}`),
  }));
  const [first] = rosters;
  return rosters
    .filter(({ said }) => said.join() !== first?.said.join())
    .map(
      ({ name, said }) =>
        `ROSTER: ${name} has ${said.join()}, ${first?.name ?? ''} ${first?.said.join() ?? ''}`,
    );
}

/** S4: what was answered `durable` outlives everything but a store that forgets. */
function durableLost(fleet: Fleet): string[] {
  if (fleet.hasStoreForgotten || fleet.isAmnesiac) return [];
  const durable = [...fleet.revoked.values()].filter(({ answered = '' }) =>
    ['durable', 'partial', 'enforced'].includes(answered),
  );
  return durable
    .filter(({ credential }) =>
      fleet.fresh.some(
        ({ name }) =>
          !isRefused(
            fleet.asked.findLast((one) => one.replica === name && one.credential === credential) ?? NOTHING,
          ),
      ),
    )
    .map(({ credential, answered }) => `LOST: ${credential} was ${answered} and is not in force at the end`);
}

function logOf({ name, disk }: SimProcess): Log {
  const links = disk.lines.map(({ position, chain, sealed: { entry } }) => ({
    position,
    chain,
    ...(entry.kind === 'epoch' && entry.base !== undefined ? { base: entry.base.head } : {}),
  }));
  return { name, links };
}

/** S6: by the code of `writ verify`. */
function falseReceipts(fleet: Fleet): string[] {
  const [any] = fleet.processes;
  if (any === undefined) return [];
  const keyring = keyringOf('test', any.live.logKey.public);
  return [...fleet.receipts].flatMap(([id, text]) => {
    try {
      const facts = verifyReceipt(text, keyring);
      const { revocation, state, sessions } = facts;
      const opened = fleet.openedOn(id);
      if (!fleet.hasHadCopies && sessions.matched > opened)
        return [
          `COUNT: ${id} says that ${sessions.matched} sessions matched, and ${opened} were ever opened`,
        ];
      if (hasWaitedForLonger(fleet, facts))
        fleet.effect('a wait for a longer lease than the coordinator has');
      return revocation === id && state === 'enforced'
        ? []
        : [`RECEIPT: ${id} has one of ${revocation}, ${state}`];
    } catch (error) {
      return [`RECEIPT: ${id} does not verify: ${String(error)}`];
    }
  });
}

/** Somebody who has not acknowledged, by a term that is not the coordinator's own. */
function hasWaitedForLonger(fleet: Fleet, { boundMs: bound, coordinator, replicas }: ReceiptFacts): boolean {
  const ownMs = boundMs(fleet.leaseMsOf(coordinator.incarnation));
  return bound > ownMs && replicas.some(({ state }) => state === 'fenced');
}
