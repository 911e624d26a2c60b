/** Exit codes (API.md, Command line). `main.ts` is the only one that exits; a command returns one of these. */
export const EXIT = {
  done: 0,
  error: 1,
  usage: 2,
  partial: 3,
  unknown: 4,
  refuted: 5,
  denied: 6,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
