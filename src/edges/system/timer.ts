/** Real waiting. Pure code and flows get it as an argument. */
import type { Timer } from '../../kernel/clock.ts';
import { turns } from '../../kernel/turns.ts';

export const systemTimer: Timer = {
  // An abort ends the wait early, and is no error: one that is made for nobody costs as much as a small answer.
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, signal.aborted ? 0 : ms);
      signal.addEventListener('abort', end);
    }),
  yield: (haste) => turns.next(haste),
  breathe: () => turns.breathe(),
};
