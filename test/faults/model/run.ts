/** `node test/faults/model/run.ts`: all of it, with the large ones; minutes, and a gigabyte or two. */
import { check } from './checker.ts';
import { FLAWS, SOUND, SOUND_AND_LARGE } from './flaws.ts';
import type { Flaw } from './protocol.ts';
import { protocolOf } from './protocol.ts';

const STATES_MAX = 12_000_000;

let found = 0;
for (const [flaw, bounds] of Object.entries(FLAWS)) {
  const { broken, states } = check(protocolOf({ ...bounds, flaw: flaw as Flaw }), STATES_MAX);
  if (broken !== undefined) found += 1;
  const history = [...(bounds.begin ?? []), ...(broken?.history.slice(1) ?? [])];
  console.log(`${flaw}: ${broken?.rule ?? 'NOT FOUND'} (${states} states)\n  ${history.join(', ')}`);
}
console.log(`\n${found} of ${Object.keys(FLAWS).length} wrong wordings found`);

let isSound = true;
for (const [name, bounds] of Object.entries({ ...SOUND, ...SOUND_AND_LARGE })) {
  const { broken, states, steps, isExhausted } = check(protocolOf(bounds), STATES_MAX);
  isSound &&= broken === undefined && isExhausted;
  const verdict = broken === undefined ? (isExhausted ? 'sound' : 'NOT EXHAUSTED') : `BROKEN: ${broken.rule}`;
  console.log(`${name}: ${verdict}, ${states} states, ${steps} steps`);
  if (broken !== undefined) console.log(`  ${broken.history.join(', ')}`);
}
process.exitCode = isSound && found === Object.keys(FLAWS).length ? 0 : 1;
