/**
 * What a fire drill revokes: a credential of the operator's, one that a --dev server mints for it, or an id that nobody
 * can own. And the question that shows whether it is accepted: the one that services ask.
 */
import { randomUUID } from 'node:crypto';
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import type { Authority, Endpoint } from './client.ts';
import { ClientError, call, objectOf } from './client.ts';
import { entityOf, subjectOf } from './inspect.ts';
import { cell } from './terminal.ts';

/** Of no identity provider: `.invalid` is nobody's (RFC 6761). */
export const DRILL_ISSUER = 'https://drill.writ.invalid';

export interface Canary {
  readonly from: 'given' | 'minted' | 'random';
  readonly selector: JsonObject;
  /** The credential that is revoked; undefined for an id that nobody can own. */
  readonly target: string | undefined;
  /** A sibling, which must go on being accepted. */
  readonly control: string | undefined;
}

/** Lines of standard input: the canary, and a sibling. Undefined when the first is no token that names its subject. */
export function givenCanary(text: string): Canary | undefined {
  const [target = '', control] = text.trim().split(/\s+/);
  if (subjectOf(target) === undefined) return undefined;
  return { from: 'given', selector: { kind: 'token', value: target }, target, control };
}

/** Two tokens of one subject where the server has a dev issuer and the caller may mint; else an id of nobody. */
export async function makeCanary(control: Endpoint): Promise<Canary> {
  const sub = `drill-${randomUUID()}`;
  const mint = async (): Promise<string | undefined> => {
    const reply = await call(control, 'POST', '/v1/dev/tokens', { sub, scope: 'drill:read', ttlS: 600 });
    return reply.status === 201 ? cell(objectOf(reply)['token']) : undefined;
  };
  const [target, sibling] = [await mint(), await mint()];
  if (target !== undefined && sibling !== undefined)
    return { from: 'minted', selector: { kind: 'token', value: target }, target, control: sibling };
  const selector = { kind: 'jti', issuer: DRILL_ISSUER, value: randomUUID() };
  return { from: 'random', selector, target: undefined, control: undefined };
}

export interface Question {
  readonly action: string;
  readonly resource: string;
  readonly authority?: Authority;
}

/** Why it is accepted, or not; `no answer` when none that counts comes in time. */
export async function ask(url: string, token: string, question: Question): Promise<string> {
  const { action, resource, authority } = question;
  const body = {
    subject: subjectOf(token) as JsonObject,
    action: { name: action },
    resource: entityOf(resource) as JsonObject,
    context: { credential: { scheme: 'Bearer', token } },
  };
  try {
    const endpoint = {
      url,
      token: undefined,
      deadlineMs: PROBE_MS,
      ...(authority === undefined ? {} : { authority }),
    };
    const reply = await call(endpoint, 'POST', '/access/v1/evaluation', body);
    const { decision, context } = objectOf(reply);
    const reason = isJsonObject(context) ? context['reason'] : undefined;
    return typeof decision === 'boolean' && typeof reason === 'string' ? reason : NO_ANSWER;
  } catch (error) {
    if (error instanceof ClientError) return NO_ANSWER;
    throw error;
  }
}

const NO_ANSWER = 'no answer';
const PROBE_MS = 2_000;
