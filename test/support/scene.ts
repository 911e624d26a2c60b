/** What scenes do to a Writ that runs in a process of its own: mint, ask, revoke, open sessions, over its real doors. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallOptions, Reply } from './client.ts';
import { call } from './client.ts';
import type { WritProcess } from './writ-process.ts';

/** What a scene needs of a running Writ: where it is, and the right to command it. */
export type Running = Pick<WritProcess, 'urls' | 'adminToken'>;

/** A token of the dev issuer, and the id in it. */
export interface Minted {
  readonly token: string;
  readonly jti: string;
  readonly issuer: string;
}

export async function mint(writ: Running, request: Record<string, unknown> = {}): Promise<Minted> {
  const body = { sub: 'billing', scope: 'invoice:read', ttlS: 3600, ...request };
  const reply = await control(writ, '/v1/dev/tokens', { body });
  if (reply.status !== 201) throw new Error(`the dev issuer answered ${reply.status}: ${reply.text}`);
  const token = String(reply.body['token']);
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
  const { jti, iss } = JSON.parse(payload) as { jti: string; iss: string };
  return { token, jti, issuer: iss };
}

export function question(token: string, sub = 'billing'): Record<string, unknown> {
  return {
    subject: { type: 'service', id: sub },
    action: { name: 'read' },
    resource: { type: 'invoice', id: '42' },
    context: { credential: { scheme: 'Bearer', token } },
  };
}

export function evaluate(writ: Running, token: string, options: CallOptions = {}): Promise<Reply> {
  return call(`${writ.urls.data}/access/v1/evaluation`, { body: question(token), ...options });
}

export function control(writ: Running, path: string, options: CallOptions = {}): Promise<Reply> {
  return call(`${writ.urls.control}${path}`, { token: writ.adminToken, ...options });
}

export function revoke(writ: Running, body: Record<string, unknown>, key?: string): Promise<Reply> {
  return control(writ, '/v1/revocations', {
    body,
    ...(key === undefined ? {} : { headers: { 'idempotency-key': key } }),
  });
}

export function jtiOrder(
  { jti, issuer }: Minted,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { selector: { kind: 'jti', issuer, value: jti }, ...more };
}

export function openSession(writ: Running, token: string): Promise<Reply> {
  const { action, resource } = question(token);
  const body = { credential: { scheme: 'Bearer', token }, kind: 'scene', action, resource };
  return call(`${writ.urls.data}/v1/sessions`, { body });
}

export function contextOf(reply: Reply): Record<string, unknown> {
  return (reply.body['context'] ?? {}) as Record<string, unknown>;
}

export function reasonOf(reply: Reply): unknown {
  return contextOf(reply)['reason'];
}

/** Why it is not permitted, or `permitted`, as soon as it is: a replica that has just started waits for its first lease. */
export function untilPermitted(writ: Running, token: string, deadlineMs = 20_000): Promise<unknown> {
  const ask = async () => reasonOf(await evaluate(writ, token));
  return eventually(ask, (reason) => reason === 'permitted', deadlineMs);
}

/** What a receipt states, unverified. */
export function statementOf(receipt: string): Record<string, unknown> {
  const payload = /^statement [^.]+\.([^.]+)\./m.exec(receipt)?.[1] ?? '';
  return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Record<string, unknown>;
}

/** Asks again until the answer is as wanted; what it was last when that does not come in `deadlineMs`. */
export async function eventually<T>(
  ask: () => Promise<T>,
  isWanted: (answer: T) => boolean,
  deadlineMs = 10_000,
): Promise<T> {
  const startedMs = performance.now();
  for (;;) {
    const answer = await ask();
    if (isWanted(answer) || performance.now() - startedMs > deadlineMs) return answer;
    await sleep(25);
  }
}
