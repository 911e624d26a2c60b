/** How much of everything a run of the benchmark does: all of it, or enough in two minutes to see that it works. */
export interface Plan {
  readonly isQuick: boolean;
  /** Revoked ids in every server that has a list. */
  readonly revoked: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly openRounds: number;
  readonly openSeconds: number;
}

export const FULL: Plan = {
  isQuick: false,
  revoked: 1_000_000,
  rounds: 5,
  seconds: 4,
  warmUpSeconds: 3,
  openRounds: 5,
  openSeconds: 5,
};

/** Its figures say that the harness works; the goals are about FULL. */
export const QUICK: Plan = {
  isQuick: true,
  revoked: 100_000,
  rounds: 2,
  seconds: 1,
  warmUpSeconds: 1,
  openRounds: 2,
  openSeconds: 2,
};
