/**
 * `npm run bench [-- --quick] [--json file] [--only G4]`: every goal of DESIGN 8 that one replica can show.
 * `npm run bench -- fleet [--full] …`: those of a fleet on Redis, what it does while a million targets stream into it (F1),
 * ten with `--full`, how long `enforced` takes while one replica is away (F2), and how many single revocations it enforces (F3). Each row is measured in this run beside its baseline of this run. Exit 1 when a row could not be
 * measured or an answer was wrong; never because a goal was missed, which the table says.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { keepAlive } from '../support/client.ts';
import { contendersOf, startField } from './field.ts';
import { measureBarrier } from './barrier.ts';
import { measureCutOff } from './cut-off.ts';
import { measureFleet } from './fleet.ts';
import { measureFleetKill, measureKill } from './kill.ts';
import { measureLatency } from './latency.ts';
import type { Machine } from './machine.ts';
import { machineNow } from './machine.ts';
import { measureMemory } from './memory.ts';
import type { Plan } from './plan.ts';
import { FLEET_TARGETS_FULL, FULL, QUICK } from './plan.ts';
import { measurePropagation } from './propagation.ts';
import { measureReload } from './reload.ts';
import { measureSingles } from './singles.ts';
import { measureStream } from './stream.ts';
import type { Outcome, Row } from './table.ts';
import { isReached, renderTable } from './table.ts';
import { renderWeight } from './workload.ts';
import { openWorkspace } from './workspace.ts';
import { measureThroughput, renderServers, throughputRows } from './throughput.ts';

interface Phase {
  readonly ids: readonly string[];
  readonly measure: () => Promise<readonly Row[]>;
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    full: { type: 'boolean', default: false },
    json: { type: 'string' },
    only: { type: 'string' },
  },
});
const plan = options.quick ? QUICK : FULL;
const machine = machineNow();
const dir = openWorkspace('bench');
const servers: string[] = [];

const streamPlan = {
  targets: plan.streamed,
  secondsMax: plan.streamSecondsMax,
  idleSeconds: plan.idleSeconds,
};

const ofOne: readonly Phase[] = [
  { ids: ['G1', 'G2', 'G3', 'G3b', 'G4'], measure: () => measureField(plan) },
  { ids: ['G6'], measure: async () => [await measureMemory(plan.held)] },
  { ids: ['G7'], measure: async () => [await measureStream(streamPlan)] },
  { ids: ['G9'], measure: async () => [await measureReload({ dir, loads: plan.loads })] },
  { ids: ['G10'], measure: async () => [await measureKill(plan.sessions)] },
];

const ofFleet: readonly Phase[] = [
  {
    ids: ['G5', 'G5b'],
    measure: () =>
      measurePropagation({ rounds: plan.propagations, saturatedSeconds: plan.saturatedSeconds, dir }),
  },
  {
    ids: ['G12', 'G12b'],
    measure: () => measureBarrier({ replicas: plan.barrierReplicas, rounds: plan.barrierRounds }),
  },
  { ids: ['G10'], measure: async () => [await measureFleetKill(plan.fleetSessions)] },
  {
    ids: ['F1', 'F1b', 'F1c', 'F4', 'G6', 'G7', 'G8'],
    measure: () => measureFleet(options.full ? FLEET_TARGETS_FULL : plan.fleetTargets),
  },
  { ids: ['F2'], measure: async () => [await measureCutOff(plan.cutOffRounds)] },
  { ids: ['F3'], measure: async () => [await measureSingles(plan.fleetSingles)] },
];

const all = phasesOf(positionals);
const phases = all.filter(isWanted);
if (phases.length === 0)
  throw new Error(`--only is one of ${all.flatMap(({ ids }) => ids).join(', ')}, and not ${options.only}`);

try {
  announce(machine);
  const outcomes: Outcome[] = [];
  for (const phase of phases) outcomes.push(...(await attempt(phase)));
  report(outcomes);
  if (options.json !== undefined)
    await writeFile(options.json, `${JSON.stringify({ machine, plan, servers, outcomes }, null, 2)}\n`);
} finally {
  keepAlive.destroy();
}

function phasesOf([suite, ...more]: readonly string[]): readonly Phase[] {
  if (suite === undefined) return ofOne;
  if (suite !== 'fleet' || more.length > 0)
    throw new Error(`fleet, or nothing, and not ${positionals.join(' ')}`);
  return ofFleet;
}

function isWanted({ ids }: Phase): boolean {
  return options.only === undefined || ids.includes(options.only);
}

/** One phase that breaks costs its own rows, not the run. */
async function attempt({ ids, measure }: Phase): Promise<readonly Outcome[]> {
  const startedMs = performance.now();
  try {
    return await measure();
  } catch (error) {
    process.exitCode = 1;
    console.error(error);
    const problem = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return ids.map((id) => ({ id, what: '', problem }));
  } finally {
    console.log(`${ids.join(', ')}: ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
  }
}

async function measureField(of: Plan): Promise<readonly Row[]> {
  await using field = await startField({ revoked: of.revoked, dir });
  const measured = await measureThroughput(contendersOf(field), field.workload, { ...of, dir });
  servers.push(renderWeight(field.workload), '', ...renderServers(measured));
  const open = { rounds: of.openRounds, seconds: of.openSeconds, dir };
  // The others would only take memory bandwidth from here on.
  for (const done of [field.unmemoised, field.naive, field.opa, field.cachingOpa]) await done.stop();
  const latency = await measureLatency(field.hello, field.writ, field.workload, open);
  return [...throughputRows(measured, field), latency];
}

function announce({ node, cores, cpu, memoryGb, loadBefore }: Machine): void {
  console.log(`${cores} cores (${cpu}), ${memoryGb} GB, node ${node}, load average before ${loadBefore}`);
  if (plan.isQuick) console.log('--quick: shows that everything works; its figures are no result');
}

function report(outcomes: readonly Outcome[]): void {
  for (const line of ['', ...servers, '', ...renderTable(outcomes)]) console.log(line);
  const missed = new Set(outcomes.filter((row) => 'problem' in row || !isReached(row)).map(({ id }) => id));
  console.log(missed.size === 0 ? '\nevery goal reached' : `\nnot reached: ${[...missed].join(', ')}`);
}
