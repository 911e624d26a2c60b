/**
 * The faults of a simulated run. Each says how it begins and how it ends, and when it has had an effect: one that was only
 * injected shows nothing.
 */
import { LEASE_MS } from '../support/replica-harness.ts';
import type { Fleet } from './fleet.ts';
import type { Moment, SimProcess } from './process.ts';
import { GOOD } from './process.ts';

export interface Fault {
  readonly name: string;
  /** What must have been seen for it to count. */
  readonly effects: readonly string[];
  begin(fleet: Fleet): void;
}

/** Long enough for a lease to end, or not. */
const spell = (fleet: Fleet): number =>
  fleet.chances.is(0.5) ? fleet.chances.between(50, 1_500) : fleet.chances.between(LEASE_MS, 2.2 * LEASE_MS);

function onSome(fleet: Fleet, act: (process: SimProcess) => void): void {
  const { chances, live, victim, target } = fleet;
  const process = target ?? (victim !== undefined && chances.is(0.7) ? live[victim] : chances.of(live));
  if (process?.isAlive === true) act(process);
}

/** How often a thing of this kind happens in a run, more or less. */
const MOMENTS: readonly (readonly [Moment, number])[] = [
  ['append', 10],
  ['news', 20],
  ['news', 20],
  ['roster', 10],
  ['renew', 40],
  ['write', 20],
  ['restore', 4],
  ['report', 3],
  ['openEpoch', 1],
  ['writeSnapshot', 1],
  ['readSnapshot', 1],
];

/** And the steps of joining, where there is more. */
const MOMENTS_OF_JOINING: readonly (readonly [Moment, number])[] = [
  ['note', 1],
  ['note', 3],
  ['joined', 1],
  ['joined', 3],
];

/**
 * Faults that come at a step of the protocol and not at a time: what is wrong for a millisecond only is not met by chance. One
 * or two at once, of `kinds`, mostly on who has just taken that step; then another trap is laid.
 */
export function layTrap(fleet: Fleet, kinds: readonly Fault[]): void {
  const { chances, agenda } = fleet;
  const moments = fleet.more === undefined ? MOMENTS : [...MOMENTS, ...MOMENTS_OF_JOINING];
  const [moment, times] = chances.of(moments) as [Moment, number];
  const spring = (process: SimProcess): void => {
    const faults = chances.shuffled(kinds).slice(0, 1 + chances.below(2));
    const target = chances.is(0.7) ? process : undefined;
    fleet.say(`at a ${moment} of ${process.name}:`);
    layTrap(fleet, kinds);
    const isJoining = moment === 'note' || moment === 'joined';
    agenda.after(chances.is(0.5) ? 0 : chances.between(0, isJoining ? 20 : 6), () => {
      fleet.target = target;
      for (const fault of faults) fault.begin(fleet);
      fleet.target = undefined;
    });
  };
  fleet.traps.push({ moment, left: 1 + chances.below(times), spring });
}

function cut(name: string, set: (process: SimProcess, isCut: boolean) => void): Fault {
  return {
    name,
    effects: [name],
    begin: (fleet) =>
      onSome(fleet, (process) => {
        const ms = spell(fleet);
        set(process, true);
        fleet.disturb(ms + 1_000, process.name);
        fleet.say(`${process.name}: ${name}`);
        fleet.agenda.after(ms, () => {
          if (process.isAlive && !process.isPaused && !process.isFresh) fleet.effect(name);
          set(process, false);
          // Who comes back may do so between a reading and what is judged by it.
          if (fleet.chances.is(0.5))
            fleet.agenda.after(fleet.chances.between(0, 400), () => fleet.revokeSome());
          fleet.say(`${process.name}: no longer ${name}`);
        });
      }),
  };
}

function stop(name: 'paused' | 'suspended'): Fault {
  return {
    name,
    effects: [name],
    begin: (fleet) =>
      onSome(fleet, (process) => {
        if (process.isPaused) return;
        const ms = spell(fleet);
        // It reads its clocks all the time.
        process.clock.now();
        process.pause(name === 'suspended');
        fleet.disturb(ms + 1_000, process.name);
        fleet.say(`${process.name} is ${name}`);
        fleet.agenda.after(ms, () => {
          if (!process.isAlive || !process.isPaused) return;
          if (name === 'suspended') process.clock.frozenMs += ms;
          const { waiting } = process;
          fleet.say(`${process.name} wakes, ${waiting} steps wait`);
          process.wake();
          // What was asked meanwhile is decided before any timer runs.
          if (!process.isFresh && waiting > 0) fleet.effect(name);
        });
      }),
  };
}

function crash(armed: 'before fsync' | 'after fsync' | undefined): Fault {
  const name = armed === undefined ? 'crash' : `crash ${armed}`;
  return {
    name,
    effects: armed === undefined ? ['crash', 'restart'] : [name],
    begin: (fleet) =>
      onSome(fleet, (process) => {
        fleet.disturb(2_000, process.name);
        if (armed === undefined) {
          fleet.kill(process);
          fleet.effect(name);
        } else {
          fleet.say(`${process.name} is to crash ${armed}`);
          process.armed = armed;
        }
      }),
  };
}

function lossy(
  name: string,
  effects: readonly string[],
  set: (process: SimProcess, rate: number) => void,
): Fault {
  return {
    name,
    effects,
    begin: (fleet) =>
      onSome(fleet, (process) => {
        const ms = fleet.chances.between(500, 4_000);
        set(process, fleet.chances.between(0.05, 0.4));
        fleet.disturb(ms + 13_000, process.name);
        fleet.say(`${process.name}: ${name}`);
        fleet.agenda.after(ms, () => {
          set(process, 0);
          fleet.say(`${process.name}: no longer ${name}`);
        });
      }),
  };
}

function store(name: string, act: (fleet: Fleet) => void): Fault {
  return {
    name,
    effects: [name],
    begin: (fleet) => {
      fleet.disturb(5_000);
      act(fleet);
    },
  };
}

/** What it keeps of its lines; true if it lost some. */
function comeBack(fleet: Fleet, name: string, keep: number): void {
  const { server } = fleet;
  const { length } = server.lines;
  fleet.say(`${name}: ${keep} of ${length} lines`);
  if (keep < length) fleet.hasStoreForgotten = true;
  if (keep < length || name === 'the store restarts') fleet.effect(name);
  server.restart(keep);
}

/** Marks are a minute behind the clock of whoever makes them: whose clock is further behind can begin at no snapshot until then. */
const AHEAD_MS_MAX = 50_000;

const PAUSED = stop('paused');
const CRASH = crash(undefined);

/** Those of one group are often together in a run. */
export const GROUPS: readonly (readonly Fault[])[] = [
  [CRASH, crash('before fsync'), crash('after fsync'), PAUSED],
  [
    PAUSED,
    cut('cut off', ({ link }, isCut) => Object.assign(link, { isCutOut: isCut, isCutIn: isCut })),
    cut('cut off from answers', ({ link }, isCut) => (link.isCutIn = isCut)),
    cut('unable to send', ({ link }, isCut) => (link.isCutOut = isCut)),
    lossy('loses commands', ['lost request', 'lost reply'], ({ link }, rate) => (link.loss = rate)),
    lossy('has late commands', ['executed after the caller gave up'], ({ link }, rate) => (link.late = rate)),
    lossy(
      'is slow',
      ['slow answer'],
      ({ link }, rate) => (link.slowMs = Math.max(GOOD.slowMs, 2_000 * rate)),
    ),
    lossy('sends twice', ['executed twice'], ({ link }, rate) => (link.duplicate = rate)),
  ],
  [
    CRASH,
    store('the store restarts', (fleet) => comeBack(fleet, 'the store restarts', fleet.server.lines.length)),
    store('a lagging replica of the store takes over', (fleet) => {
      const { length } = fleet.server.lines;
      comeBack(
        fleet,
        'a lagging replica of the store takes over',
        Math.max(0, length - 1 - fleet.chances.below(3)),
      );
    }),
    store('the store comes back older', (fleet) =>
      comeBack(fleet, 'the store comes back older', fleet.chances.below(fleet.server.lines.length + 1)),
    ),
    store('the store is flushed', (fleet) => {
      fleet.say('the store is flushed');
      if (fleet.server.lines.length > 0) fleet.effect('the store is flushed');
      fleet.hasStoreForgotten = true;
      fleet.server.flush();
    }),
    store('the store loses its disk', (fleet) => {
      fleet.say('the store loses its disk');
      if (fleet.server.lines.length > 0) fleet.effect('the store loses its disk');
      fleet.hasStoreForgotten = true;
      fleet.server.forget();
    }),
    store('the store is away', (fleet) => {
      const ms = spell(fleet);
      fleet.disturb(ms + 5_000);
      fleet.say('the store is away');
      fleet.server.isReachable = false;
      fleet.agenda.after(ms, () => {
        if (fleet.fresh.length === 0) fleet.effect('the store is away');
        fleet.server.isReachable = true;
        fleet.say('the store is back');
      });
    }),
  ],
  [
    stop('suspended'),
    {
      name: 'clock set forward',
      effects: ['clock set forward'],
      begin: (fleet) =>
        onSome(fleet, (process) => {
          // Set while it sleeps, it would show nowhere (D-101).
          if (process.isPaused) return;
          const { isFresh } = process;
          const ms = Math.min(fleet.chances.between(500, 60_000), AHEAD_MS_MAX - process.clock.offsetMs);
          if (ms <= 0) return;
          process.clock.offsetMs += ms;
          fleet.disturb(2_000, process.name);
          fleet.say(`${process.name}: its clock is set forward by ${ms.toFixed(0)} ms`);
          if (isFresh && !process.isFresh) fleet.effect('clock set forward');
        }),
    },
    {
      name: 'clock set back',
      effects: ['clock set back'],
      begin: (fleet) =>
        onSome(fleet, (process) => {
          if (process.isPaused) return;
          const ms = fleet.chances.between(500, 60_000);
          process.clock.offsetMs -= ms;
          fleet.say(`${process.name}: its clock is set back by ${ms.toFixed(0)} ms`);
          if (process.clock.skewBackMs > 0) fleet.effect('clock set back');
        }),
    },
  ],
  [
    {
      name: 'join',
      effects: ['join'],
      begin: (fleet) => {
        if (fleet.processes.length >= 6) return;
        const process = fleet.start(fleet.nextName());
        fleet.agenda.after(1_000, () => {
          if (process.isFresh) fleet.effect('join');
        });
      },
    },
    {
      name: 'leave',
      effects: ['leave'],
      begin: (fleet) =>
        onSome(fleet, (process) => {
          // In a fleet of two the other may be away: an operator stops nobody then.
          if (fleet.fresh.length < 2 || !process.isFresh || process.isPaused) return;
          fleet.leave(process);
        }),
    },
    {
      name: 'forget',
      effects: ['forget'],
      begin: (fleet) =>
        onSome(fleet, (process) => {
          // Down for longer than its lease is good, and nobody starts it before an operator has given it up.
          if (fleet.isDown.size > 0 || fleet.fresh.length < 2) return;
          fleet.kill(process);
          fleet.isDown.add(process);
          fleet.agenda.after(2 * LEASE_MS, () => {
            const by = fleet.chances.of(fleet.fresh);
            fleet.isDown.delete(process);
            if (by !== undefined && !process.isAlive) fleet.forget(by, process.name);
          });
        }),
    },
  ],
  [
    {
      name: 'copied data directory',
      effects: ['copied data directory'],
      begin: (fleet) =>
        onSome(fleet, (process) => {
          if (fleet.processes.length >= 6) return;
          const copy = fleet.start(process.name, process.copyDisk(), { isCopy: true });
          fleet.agenda.after(1_000, () => {
            if (copy.isFresh) fleet.effect('copied data directory');
          });
        }),
    },
    {
      name: 'two of one incarnation',
      effects: ['two of one incarnation'],
      begin: (fleet) =>
        onSome(fleet, (process) => {
          if (fleet.processes.length >= 6) return;
          const twin = fleet.start(process.name, process.copyDisk(), { twin: process });
          fleet.disturb(5_000, process.name);
          fleet.agenda.after(2_000, () => {
            const states = [process, twin].map(({ live }) => live.renewer.state);
            if (states.includes('cloned')) fleet.effect('two of one incarnation');
          });
        }),
    },
    {
      name: 'sessions that end by themselves',
      effects: ['a session ended by itself', 'a session was told to end'],
      begin: (fleet) => {
        for (const process of fleet.fresh) fleet.hold(process, fleet.anyInForce());
      },
    },
    {
      name: 'gone for good',
      effects: ['gone for good'],
      begin: (fleet) =>
        onSome(fleet, (process) => {
          // One of at least three, once: what nobody holds any more nobody can go on with.
          if ((fleet.isAnyGone && fleet.more === undefined) || fleet.processes.length < 3) return;
          fleet.lose(process);
        }),
    },
  ],
];

export const FAULTS: readonly Fault[] = [...new Set(GROUPS.flat())];
