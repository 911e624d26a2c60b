/**
 * What the soak does to a Writ, over its real doors: single revocations of mixed kinds, real tokens among them that
 * are allowed before and denied after, and sessions that are opened and closed. Every answer is looked at.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../src/kernel/limits.ts';
import type { Reply } from '../support/client.ts';
import { call } from '../support/client.ts';
import { mint, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { evaluationOf, HEADERS, ISSUER, revokedId } from './workload.ts';

const LANES = 32;
/** The longest there is: what was ordered as durable is enforced behind it, and that takes its time. */
const WAIT_MS = LIMITS.waitMsMax;
const RETRY_MS = 1_000;
const ATTEMPTS_MAX = 30;
/** One revocation in this many is of a token that exists, and is checked. */
const REAL_EVERY = 1_000;

type Selector = Readonly<Record<string, string>>;

/** Names that belong to nobody, one kind after the other. */
const STRANGERS: readonly ((id: string) => Selector)[] = [
  (value) => ({ kind: 'jti', issuer: ISSUER, value }),
  (value) => ({ kind: 'session', issuer: ISSUER, value }),
  (value) => ({ kind: 'subject', issuer: ISSUER, value }),
  (value) => ({ kind: 'subject', value }),
  (value) => ({ kind: 'client', issuer: ISSUER, value }),
  (value) => ({ kind: 'actor', issuer: ISSUER, value }),
  (value) => ({ kind: 'key', issuer: ISSUER, value }),
  (value) => ({ kind: 'jkt', value: createHash('sha256').update(value).digest('base64url') }),
];

/** A token of the dev issuer whose every name is its own, and one of the names. */
interface Doomed {
  readonly token: string;
  readonly sub: string;
  readonly selector: Selector;
}

async function mintDoomed(writ: WritProcess, i: number): Promise<Doomed> {
  const id = revokedId(i);
  const [sub, clientId, sid] = [`sub-${id}`, `client-${id}`, `sid-${id}`];
  const { token, jti } = await mint(writ, { sub, clientId, claims: { sid } });
  const names: readonly Selector[] = [
    { kind: 'token', value: token },
    { kind: 'jti', issuer: ISSUER, value: jti },
    { kind: 'session', issuer: ISSUER, value: sid },
    { kind: 'subject', issuer: ISSUER, value: sub },
    { kind: 'client', issuer: ISSUER, value: clientId },
  ];
  return { token, sub, selector: names[(i / REAL_EVERY) % names.length] as Selector };
}

/** Revokes `from` to `to`, each in an entry of its own, and resolves with the ids of those that came last. */
export async function revokeSingly(writ: WritProcess, from: number, to: number): Promise<readonly string[]> {
  let next = from;
  const last: string[] = [];
  const lane = async (): Promise<void> => {
    let id = '';
    while (next < to) id = await revokeOne(writ, next++);
    last.push(id);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return last;
}

async function revokeOne(writ: WritProcess, i: number): Promise<string> {
  if (i % REAL_EVERY !== 0) return order(writ, STRANGERS[i % STRANGERS.length]!(revokedId(i)), 'durable');
  const doomed = await mintDoomed(writ, i);
  await assertDecision(writ, doomed, true);
  const id = await order(writ, doomed.selector, 'enforced');
  await assertDecision(writ, doomed, false);
  return id;
}

async function order(writ: WritProcess, selector: Selector, wait: string): Promise<string> {
  const reply = await patiently(() => revoke(writ, { selector, wait, waitMs: WAIT_MS, reason: 'soak' }));
  if (reply.status !== 201) throw new Error(`a revocation was answered with ${reply.status}: ${reply.text}`);
  return String(reply.body['id']);
}

async function assertDecision(writ: WritProcess, { token, sub }: Doomed, isGood: boolean): Promise<void> {
  const body = evaluationOf(token, sub);
  const reply = await patiently(() =>
    call(`${writ.urls.data}/access/v1/evaluation`, { headers: HEADERS, body }),
  );
  if (reply.body['decision'] !== isGood)
    throw new Error(`a ${isGood ? 'good' : 'revoked'} token was answered with ${reply.text}`);
}

/** Opens and closes sessions, one after the other, until `signal` aborts; resolves with how many. */
export async function churnSessions(
  writ: WritProcess,
  tokens: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  let count = 0;
  while (!signal.aborted) {
    const token = tokens[count % tokens.length] ?? '';
    const { action, resource } = evaluationOf(token);
    const body = { credential: { scheme: 'Bearer', token }, kind: 'soak', action, resource };
    const opened = await patiently(() => call(`${writ.urls.data}/v1/sessions`, { headers: HEADERS, body }));
    assertStatus(opened, 201);
    const session = `${writ.urls.data}/v1/sessions/${String(opened.body['id'])}`;
    assertStatus(await call(session, { method: 'DELETE' }), 204);
    count += 1;
  }
  return count;
}

/** How often an answer was that the replica holds no lease: safe, and a sign of a machine with too much to do. */
let fenced = 0;

export function fencedAnswers(): number {
  return fenced;
}

/** Asks again, as `Retry-After` says, while the answer is `fenced`. */
async function patiently(asking: () => Promise<Reply>): Promise<Reply> {
  for (let attempt = 1; ; attempt++) {
    const reply = await asking();
    if (!isFenced(reply) || attempt === ATTEMPTS_MAX) return reply;
    fenced += 1;
    await sleep(RETRY_MS);
  }
}

function isFenced({ body, text }: Reply): boolean {
  return body['code'] === 'FENCED' || text.includes('"reason":"fenced"');
}

function assertStatus({ status, text }: Reply, wanted: number): void {
  if (status !== wanted) throw new Error(`a session was answered with ${status}: ${text}`);
}
