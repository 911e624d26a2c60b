/** Real waiting. Pure code and flows get it as an argument. */
import { setImmediate, setTimeout } from 'node:timers/promises';
import type { Timer } from '../../kernel/clock.ts';

export const systemTimer: Timer = {
  sleep: async (ms, signal) => {
    // An abort ends the wait early: who called it looks at the signal, so the rejection says nothing new.
    await setTimeout(ms, undefined, { signal }).catch(() => undefined);
  },
  yield: () => setImmediate(),
};
