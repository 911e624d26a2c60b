/**
 * `npm run soak [-- --quick]`: a million evaluations and a hundred thousand revocations on one real process, sessions
 * opened and closed all the while, and what is left in memory after each step, collected. Exit 1 when an answer was
 * wrong or the memory is not flat:
 *
 *   evaluations and sessions leave nothing: over the last two thirds, steps of evaluations only let the live set grow
 *   by less than 2 bytes each;
 *   a revocation leaves a bounded amount: no more in the last third than in the first, and less than 4 KB each. It
 *   must leave something: it has to be enforced, listed and known again by its Idempotency-Key.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { keepAlive } from '../support/client.ts';
import { control, eventually } from '../support/scene.ts';
import { assertAnswers } from './contender.ts';
import { machineNow } from './machine.ts';
import { churnSessions, fencedAnswers, revokeSingly } from './soak-load.ts';
import type { Sample } from './soak-verdict.ts';
import { judge, renderSamples } from './soak-verdict.ts';
import { askStalls, WATCHED } from './stalls.ts';
import { mintWorkload } from './workload.ts';
import { openWorkspace } from './workspace.ts';
import type { Workload } from './workload.ts';
import type { WritContender } from './writ.ts';
import { revokeToken, startWritContender } from './writ.ts';
import { runClosed, writeScript } from './wrk.ts';

const { values: options } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const STEPS = options.quick ? 6 : 12;
const EVALUATIONS = options.quick ? 60_000 : 1_000_000;
const REVOCATIONS = options.quick ? 6_000 : 100_000;
/** wrk runs by the clock: in slices, until there are enough. */
const SLICE_S = 1;

type Totals = Pick<Sample, 'evaluations' | 'revocations' | 'sessions'>;

const { node, cores, loadBefore } = machineNow();
console.log(`${cores} cores, node ${node}, load average before ${loadBefore}`);
const dir = openWorkspace('soak');
const writ = await startWritContender({ name: 'writ', execArgv: ['--expose-gc', ...WATCHED] });
try {
  const samples = await soak(writ);
  for (const line of renderSamples(samples)) console.log(line);
  const { isFlat, says } = judge(samples);
  for (const line of says) console.log(line);
  console.log(`${fencedAnswers()} answers were \`fenced\`, and asked again`);
  if (!isFlat) process.exitCode = 1;
} finally {
  keepAlive.destroy();
  await writ.stop();
}

/** Each step: revocations first, then evaluations alone, in two halves. Sessions come and go in both. */
async function soak(of: WritContender): Promise<readonly Sample[]> {
  const workload = await mintWorkload(of.process);
  await revokeToken(of.process, workload.dead.jti);
  await assertAnswers(of, workload);
  const script = join(dir, 'wrk.lua');
  await writeScript(script, of, workload.good);
  await runClosed(of, script, 2 * SLICE_S);
  const totals = { evaluations: 0, revocations: 0, sessions: 0 };
  const samples = [await sampleOf(of, 'start', totals)];
  for (let step = 1; step <= STEPS; step++) {
    const to = Math.round((REVOCATIONS * step) / STEPS);
    totals.sessions += await withSessions(of, workload, () => revoke(of, totals.revocations, to));
    totals.revocations = to;
    samples.push(await sampleOf(of, 'revocations', totals));
    for (const [after, part] of [
      ['settled', step - 0.5],
      ['evaluations', step],
    ] as const) {
      const until = (EVALUATIONS * part) / STEPS;
      totals.sessions += await withSessions(of, workload, async () => {
        while (totals.evaluations < until) totals.evaluations += await evaluate(of, script);
      });
      samples.push(await sampleOf(of, after, totals));
    }
  }
  await assertAnswers(of, workload);
  return samples;
}

async function evaluate(of: WritContender, script: string): Promise<number> {
  const { rps } = await runClosed(of, script, SLICE_S);
  return Math.round(rps * SLICE_S);
}

/** All of them settled: an enforcement that is still on its way holds memory that it will give back. */
async function revoke(of: WritContender, from: number, to: number): Promise<void> {
  const last = await revokeSingly(of.process, from, to);
  for (const id of last.filter((one) => one !== '')) {
    const ask = () => control(of.process, `/v1/revocations/${id}`);
    const { text } = await eventually(ask, ({ body }) => body['state'] === 'enforced', 30_000);
    if (!text.includes('"state":"enforced"')) throw new Error(`a revocation was not enforced: ${text}`);
  }
}

async function withSessions(
  of: WritContender,
  { good }: Workload,
  work: () => Promise<void>,
): Promise<number> {
  const finished = new AbortController();
  const churned = churnSessions(of.process, good, finished.signal);
  const worked = work().finally(() => finished.abort());
  const [count] = await Promise.all([churned, worked]);
  return count;
}

async function sampleOf(of: WritContender, after: Sample['after'], totals: Totals): Promise<Sample> {
  const { heapUsed, arrayBuffers, rss } = await askStalls(of.process);
  return { after, ...totals, heap: heapUsed, buffers: arrayBuffers, rss };
}
