/** What will be done to which fleet, from one integer: the same seed, the same plan. What happens then is the machine's. */
import { Chances } from '../random.ts';
import type { LiveFault } from './live-faults.ts';
import { LIVE_FAULTS } from './live-faults.ts';
import type { Machine } from './machine.ts';

export interface Round {
  /** One, or two that overlap, on two replicas. */
  readonly faults: readonly PlannedFault[];
}

export interface PlannedFault {
  readonly fault: LiveFault;
  /** The number of a replica; of those that the fault allows. */
  readonly victim: number;
  readonly forMs: number;
}

/** Each kind of fault that this machine can run and whose name has `only` in it, once, in an order of its own, some with another. */
export function planOf(seed: number, machine: Machine, only = ''): Round[] {
  const chances = new Chances(seed);
  const faults = LIVE_FAULTS.filter((fault) => whyNot(fault, machine) === undefined);
  // The same chances whatever `only` leaves of them.
  const rounds = chances.shuffled(faults).map((fault) => {
    const one = plannedOf(fault, chances);
    const other = chances.of(faults);
    const two = other === undefined || !chances.is(0.3) ? undefined : plannedOf(other, chances);
    // Two faults of the store at once would be one after the other, and a process that is dead cannot be stopped.
    const isBoth = two !== undefined && two.fault.isOfStore === undefined && two.victim !== one.victim;
    return { faults: isBoth ? [one, two] : [one] };
  });
  return rounds.filter(({ faults: [one] }) => one?.fault.name.includes(only));
}

/** Each of these once more, alone: beside another fault its effect may not show. */
export function planAgain(seed: number, faults: readonly LiveFault[]): Round[] {
  const chances = new Chances(seed);
  return faults.map((fault) => ({ faults: [plannedOf(fault, chances)] }));
}

function plannedOf(fault: LiveFault, chances: Chances): PlannedFault {
  const victim = chances.below(3);
  const forMs = chances.between(1_300, 2_600);
  return { fault, victim: fault.on === undefined ? victim : Number(fault.on.slice(1)) - 1, forMs };
}

function whyNot({ needs }: LiveFault, machine: Machine): string | undefined {
  if (needs === 'disks' && !machine.hasMounts) return 'no file system can be mounted';
  if (needs === 'clock' && machine.clocks === undefined)
    return 'there is no compiler for clocks.c (Linux, apt-get install g++)';
  if (needs === 'tracer' && !machine.hasTracer) return 'strace is not here';
  return undefined;
}

/** Of THREATS 6, what no live run here does. */
const NOWHERE: readonly string[] = [
  'F14 a snapshot torn by a crash: a round is too short for one (test/scenes/fleet-crashes, test/edges/journal)',
  'F18 fifty replicas: two cores',
  'F20 a newer build that says more: nobody of this build reads an entry with a member that it does not know, so none may be written before all are of the newer one',
];

/** Which faults this machine cannot run, and why. */
export function missingHere(machine: Machine): string[] {
  const here = LIVE_FAULTS.flatMap((fault) => {
    const why = whyNot(fault, machine);
    return why === undefined ? [] : [`${fault.row} ${fault.name}: ${why}`];
  });
  return [...here, ...NOWHERE];
}
