/** Named places between two steps of an order's way; tests kill the process there. In production nothing is injected. */
export const CRASH_POINTS = [
  'append.before-write',
  'append.before-fsync',
  'append.before-reply',
  'apply.before',
  'apply.after',
  'answer.before',
] as const;

/** And where a replica of a fleet writes its fold down, or begins a ledger at one. */
export const GROWTH_POINTS = [
  'snapshot.before-entry',
  'snapshot.before-write',
  'snapshot.before-trim',
  'begin.before-lines',
  'begin.before-snapshot',
  'begin.before-name',
  'begin.before-mark',
] as const;
export type CrashPointName = (typeof CRASH_POINTS)[number] | (typeof GROWTH_POINTS)[number];

/** Called at each named place; may never return. */
export type CrashPoint = (name: CrashPointName) => void;
