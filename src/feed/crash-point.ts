/** Named places between two steps of a write; tests kill the process there. In production nothing is injected. */
export const CRASH_POINTS = [
  'append.before-write',
  'append.before-fsync',
  'append.before-reply',
  'apply.before',
  'apply.after',
  'answer.before',
] as const;
export type CrashPointName = (typeof CRASH_POINTS)[number];

/** Called at each named place; may never return. */
export type CrashPoint = (name: CrashPointName) => void;
