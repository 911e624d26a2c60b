/** How much of everything a run of the benchmark does: all of it, or enough in two minutes to see that it works. */
import { SESSIONS_MAX } from './kill.ts';

export interface Plan {
  readonly isQuick: boolean;
  /** Revoked ids in every server that has a list. */
  readonly revoked: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly openRounds: number;
  readonly openSeconds: number;
  /** Held in the index of one process; twice as many are loaded. */
  readonly held: number;
  readonly streamed: number;
  readonly streamSecondsMax: number;
  readonly idleSeconds: number;
  readonly sessions: number;
  /** Into a fleet, in bulks of 1,000. */
  readonly fleetTargets: number;
  readonly fleetSingles: number;
  readonly fleetSessions: number;
  readonly propagations: number;
  readonly saturatedSeconds: number;
  readonly barrierReplicas: number;
  readonly barrierRounds: number;
  /** Of each way in which a replica may be away; a lease and more each. */
  readonly cutOffRounds: number;
  /** Of a bundle with 10 MB of data. */
  readonly loads: number;
}

export const FULL: Plan = {
  isQuick: false,
  revoked: 1_000_000,
  rounds: 5,
  seconds: 4,
  warmUpSeconds: 3,
  openRounds: 5,
  openSeconds: 5,
  held: 10_000_000,
  streamed: 10_000_000,
  streamSecondsMax: 180,
  idleSeconds: 10,
  sessions: SESSIONS_MAX,
  fleetTargets: 1_000_000,
  fleetSingles: 2_000,
  fleetSessions: SESSIONS_MAX,
  propagations: 300,
  saturatedSeconds: 20,
  barrierReplicas: 20,
  barrierRounds: 200,
  cutOffRounds: 5,
  loads: 3,
};

/** `--full`: into a fleet as many as the goals are about, which takes a quarter of an hour. */
export const FLEET_TARGETS_FULL = 10_000_000;

/** Its figures say that the harness works; the goals are about FULL. */
export const QUICK: Plan = {
  isQuick: true,
  revoked: 100_000,
  rounds: 2,
  seconds: 1,
  warmUpSeconds: 1,
  openRounds: 2,
  openSeconds: 2,
  held: 1_000_000,
  streamed: 200_000,
  streamSecondsMax: 10,
  idleSeconds: 2,
  sessions: 10_000,
  fleetTargets: 50_000,
  fleetSingles: 200,
  fleetSessions: 10_000,
  propagations: 50,
  saturatedSeconds: 5,
  barrierReplicas: 5,
  barrierRounds: 20,
  cutOffRounds: 1,
  loads: 1,
};
