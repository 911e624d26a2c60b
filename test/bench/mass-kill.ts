/** `node test/bench/mass-kill.ts`: 100,000 live sessions under one revocation: how many a second are told, and the longest slice (G10). */
import { systemTimer } from '../../src/edges/system/timer.ts';
import { Pace } from '../../src/kernel/pace.ts';
import type { Haste } from '../../src/kernel/turns.ts';
import { SessionRegistry } from '../../src/session/registry.ts';
import { NOT_KEPT, dead, printsOf, recordOf } from '../session/sessions.ts';

const SESSIONS = 100_000;
const clock = { now: () => ({ monoMs: performance.now(), wallMs: Date.now() }) };

for (let round = 0; round < 5; round++) {
  const sessions = new SessionRegistry(NOT_KEPT, 3_000);
  const handles = printsOf('shared');
  let told = 0;
  const handle = {
    kill: () => {
      told++;
    },
  };
  for (let i = 0; i < SESSIONS; i++) {
    const record = recordOf(`s${i}`, { handles });
    sessions.register(record, clock.now().monoMs + 3_000);
    sessions.attach(record.ref, handle);
  }
  let worstMs = 0;
  let sliceMs = performance.now();
  const timer = {
    ...systemTimer,
    yield: async (haste?: Haste) => {
      worstMs = Math.max(worstMs, performance.now() - sliceMs);
      await systemTimer.yield(haste);
      sliceMs = performance.now();
    },
  };
  const beganMs = performance.now();
  const steps = sessions.killing('rev_1', [dead('shared')], { reason: 'revoked', position: '1-1' });
  const matched = await new Pace({ clock, timer }).run(steps);
  const tookMs = performance.now() - beganMs;
  if (matched !== SESSIONS || told !== SESSIONS) throw new Error('not all were told');
  console.log(
    `${SESSIONS} sessions told in ${tookMs.toFixed(0)} ms: ${(SESSIONS / tookMs / 1000).toFixed(2)} M a second; longest slice ${worstMs.toFixed(2)} ms`,
  );
}
