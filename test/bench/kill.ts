/**
 * G10: one revocation reaches every live session that a Writ may hold. Counted from the sending of the POST until
 * those opened first and last have heard it on their event streams: nothing of the path is left out. In a fleet the POST goes
 * to another replica than the one that holds them.
 */
import { LIMITS } from '../../src/kernel/limits.ts';
import type { EventStream } from '../support/client.ts';
import { call, listen } from '../support/client.ts';
import { startCold } from '../support/fleet-stream.ts';
import type { FleetToken } from '../support/redis-fleet.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { eventually, evaluate, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { NaiveCaller, startNaive, takenAt } from './naive-fleet.ts';
import { askStalls, WATCHED } from './stalls.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import { evaluationOf, HEADERS, ISSUER, mintWorkload } from './workload.ts';
import { startWritContender } from './writ.ts';

export const SESSIONS_MAX = LIMITS.sessionsMax;

const LISTENERS = 32;
const LANES = 64;
const ACKNOWLEDGED_MS = 60_000;

export async function measureKill(sessions: number): Promise<Row> {
  const contender = await startWritContender({ name: 'writ', execArgv: WATCHED });
  const { process: writ } = contender;
  try {
    const { good } = await mintWorkload(writ);
    return rowOf(await kill({ by: writ, holder: writ, tokens: good, issuer: ISSUER, sessions }));
  } finally {
    await contender.stop();
  }
}

const TOKENS = 32;
/** A machine that is busy must fence nobody: that ends sessions too, and is no kill. */
const LEASE = '10s';

/** Beside it: a naive process that goes through all it holds. */
export async function measureFleetKill(sessions: number): Promise<Row> {
  const fleet = await RedisFleet.start({ lease: LEASE, execArgv: WATCHED });
  await using started = new AsyncDisposableStack();
  started.defer(() => fleet.remove());
  const { replica: by } = await startCold(fleet, 'r1');
  const { replica: holder } = await startCold(fleet, 'r2');
  const tokens = Array.from({ length: TOKENS }, () => fleet.mint());
  const [{ issuer }] = tokens as [FleetToken];
  const naive = await startNaive(fleet.redis, 'n1', { sessions });
  started.defer(() => naive.stop());
  const caller = await NaiveCaller.open(fleet.redis);
  started.defer(() => caller.close());
  const toldMs = await caller.revoke({ ids: [], issuer: 'a', say: 'all' });
  const naiveMs = (await takenAt(naive, 'all')) - toldMs;
  const killed = await kill({ by, holder, tokens: tokens.map(({ token }) => token), issuer, sessions });
  const baseline = `${digits(naiveMs)} ms naive: a flag set in each, nothing sent`;
  return { ...rowOf(killed), what: 'mass kill on another replica: sessions told, a second', baseline };
}

interface Kill {
  /** Takes the order. */
  readonly by: WritProcess;
  readonly holder: WritProcess;
  readonly tokens: readonly string[];
  readonly issuer: string;
  readonly sessions: number;
}

async function kill({ by, holder, tokens, issuer, sessions }: Kill): Promise<Killed> {
  const openOne = (i: number): Promise<string> => open(holder, tokens[i % tokens.length] ?? '');
  const first = await openAndListen(openOne);
  await openMany(openOne, sessions - 2 * LISTENERS);
  const last = await openAndListen(openOne);
  await askStalls(holder);
  const startedMs = performance.now();
  const replied = revoke(by, { selector: { kind: 'issuer', value: issuer }, wait: 'durable' });
  const heard = await Promise.all([...first, ...last].map(({ killed }) => killed));
  const tookMs = Math.max(...heard.map(({ atMs }) => atMs)) - startedMs;
  const { worstMs } = await askStalls(holder);
  await assertKilled(by, { id: String((await replied).body['id']), sessions });
  if ((await evaluate(holder, tokens[0] ?? '')).body['decision'] !== false)
    throw new Error('what was revoked is allowed');
  for (const stream of [...first, ...last]) stream.close();
  return { sessions, tookMs, worstMs };
}

async function open({ urls }: WritProcess, token: string): Promise<string> {
  const { action, resource } = evaluationOf(token);
  const body = { credential: { scheme: 'Bearer', token }, kind: 'bench', action, resource };
  const reply = await call(`${urls.data}/v1/sessions`, { headers: HEADERS, body });
  if (reply.status !== 201) throw new Error(`a session was answered with ${reply.status}: ${reply.text}`);
  return `${urls.data}${String(reply.body['events'])}`;
}

type OpenOne = (i: number) => Promise<string>;

async function openAndListen(openOne: OpenOne): Promise<EventStream[]> {
  const urls = await Promise.all(Array.from({ length: LISTENERS }, (_, i) => openOne(i)));
  return Promise.all(urls.map(listen));
}

async function openMany(openOne: OpenOne, count: number): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await openOne(next++);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** The revocation counts every one of the sessions. */
async function assertKilled(
  { urls, adminToken }: WritProcess,
  { id, sessions }: { id: string; sessions: number },
): Promise<void> {
  // What was matched comes with the acknowledgement on the next renewal.
  const matchedOf = async (): Promise<number> => {
    const status = await call(`${urls.control}/v1/revocations/${id}`, { token: adminToken });
    return (status.body['sessions'] as { matched: number }).matched;
  };
  const matched = await eventually(matchedOf, (seen) => seen === sessions, ACKNOWLEDGED_MS);
  if (matched !== sessions) throw new Error(`${sessions} sessions were open and ${matched} were matched`);
}

interface Killed {
  readonly sessions: number;
  readonly tookMs: number;
  readonly worstMs: number;
}

function rowOf({ sessions, tookMs, worstMs }: Killed): Row {
  return {
    id: 'G10',
    what: 'mass kill: sessions told by one revocation, a second',
    measured: `${sessions.toLocaleString('en')} told in ${digits(tookMs)} ms`,
    baseline: '',
    value: sessions / tookMs / 1000,
    unit: ' M/s',
    goal: { atLeast: 0.5 },
    note: `from the POST to the last of ${2 * LISTENERS} event streams (first and last opened); worst loop stall meanwhile ${digits(worstMs)} ms; ${SESSIONS_MAX.toLocaleString('en')} is the limit of one replica`,
  };
}
