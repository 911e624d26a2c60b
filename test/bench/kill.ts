/**
 * G10: one revocation reaches every live session that a Writ may hold. Counted from the sending of the POST until
 * those opened first and last have heard it on their event streams: nothing of the path is left out.
 */
import { LIMITS } from '../../src/kernel/limits.ts';
import type { EventStream } from '../support/client.ts';
import { call, listen } from '../support/client.ts';
import { eventually, revoke } from '../support/scene.ts';
import { assertAnswer } from './contender.ts';
import { askStalls, WATCHED } from './stalls.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import type { Workload } from './workload.ts';
import { evaluationOf, HEADERS, ISSUER, mintWorkload } from './workload.ts';
import type { WritContender } from './writ.ts';
import { startWritContender } from './writ.ts';

export const SESSIONS_MAX = LIMITS.sessionsMax;

const LISTENERS = 32;
const LANES = 64;

export async function measureKill(sessions: number): Promise<Row> {
  const writ = await startWritContender({ name: 'writ', execArgv: WATCHED });
  try {
    const workload = await mintWorkload(writ.process);
    const first = await openAndListen(writ, workload);
    await openMany(writ, workload, sessions - 2 * LISTENERS);
    const last = await openAndListen(writ, workload);
    await askStalls(writ.process);
    const startedMs = performance.now();
    const order = { selector: { kind: 'issuer', value: ISSUER }, wait: 'durable' };
    const replied = revoke(writ.process, order);
    const heard = await Promise.all([...first, ...last].map(({ killed }) => killed));
    const tookMs = Math.max(...heard.map(({ atMs }) => atMs)) - startedMs;
    const { worstMs } = await askStalls(writ.process);
    await assertKilled(writ, workload, { id: String((await replied).body['id']), sessions });
    for (const stream of [...first, ...last]) stream.close();
    return rowOf({ sessions, tookMs, worstMs });
  } finally {
    await writ.stop();
  }
}

async function open({ process }: WritContender, { good }: Workload, i: number): Promise<string> {
  const { action, resource } = evaluationOf(good[0] ?? '');
  const credential = { scheme: 'Bearer', token: good[i % good.length] };
  const body = { credential, kind: 'bench', action, resource };
  const reply = await call(`${process.urls.data}/v1/sessions`, { headers: HEADERS, body });
  if (reply.status !== 201) throw new Error(`a session was answered with ${reply.status}: ${reply.text}`);
  return `${process.urls.data}${String(reply.body['events'])}`;
}

async function openAndListen(writ: WritContender, workload: Workload): Promise<EventStream[]> {
  const urls = await Promise.all(Array.from({ length: LISTENERS }, (_, i) => open(writ, workload, i)));
  return Promise.all(urls.map(listen));
}

async function openMany(writ: WritContender, workload: Workload, count: number): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await open(writ, workload, next++);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** The revocation counts every one of the sessions, and what they stood on is dead. */
async function assertKilled(
  writ: WritContender,
  { good }: Workload,
  { id, sessions }: { id: string; sessions: number },
): Promise<void> {
  const { urls, adminToken } = writ.process;
  // What was matched comes with the acknowledgement on the next renewal.
  const matchedOf = async (): Promise<number> => {
    const status = await call(`${urls.control}/v1/revocations/${id}`, { token: adminToken });
    return (status.body['sessions'] as { matched: number }).matched;
  };
  const matched = await eventually(matchedOf, (seen) => seen === sessions);
  if (matched !== sessions) throw new Error(`${sessions} sessions were open and ${matched} were matched`);
  await assertAnswer(writ, good[0] ?? '', false);
}

function rowOf({ sessions, tookMs, worstMs }: { sessions: number; tookMs: number; worstMs: number }): Row {
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
