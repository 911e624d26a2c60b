/**
 * Live sessions on the data plane. The id is the capability: whoever has it may listen, ping, confirm and end. It is
 * never logged. A kill is one event on the stream; the holder's confirmation is what makes it count.
 */
import type { Judgement } from '../decision/decision.ts';
import type { DecisionObserver, Occasion } from '../decision/observer.ts';
import type { KillEvent, SessionHandle } from '../session/session.ts';
import type { SessionRegistry } from '../session/registry.ts';
import { killEventOf } from '../flows/keep-session.ts';
import type { OpenedSession, SessionKeeper, SessionOrder } from '../flows/keep-session.ts';
import type { Checker } from '../flows/check.ts';
import { WritError } from '../kernel/error.ts';
import type { JsonObject } from '../kernel/json.ts';
import { renderInstant } from '../kernel/clock.ts';
import { LIMITS } from '../kernel/limits.ts';
import { parseCredential } from '../credential/parse-credential.ts';
import { parseAction, parseContext, parseResource, parseSubject } from './access-request.ts';
import type { Answer } from './answer.ts';
import { AskedDecision } from './asked-decision.ts';
import { parseObject } from './body.ts';
import type { DecisionIds } from './decision-answer.ts';
import { withStatus } from './decision-answer.ts';
import type { Call, LastLook, Route } from './router.ts';

export interface SessionPorts {
  readonly keeper: SessionKeeper;
  readonly sessions: SessionRegistry;
  readonly checker: Checker;
  readonly ids: DecisionIds;
  readonly observer: DecisionObserver;
}

/** A comment this often keeps proxies from cutting a quiet stream. */
const COMMENT_MS = 15_000;

/** Renders a decision and tells who watches. */
type Render = (judgement: Judgement, occasion: Occasion) => string;

export function sessionRoutes(ports: SessionPorts, render: Render): Route[] {
  const { keeper } = ports;
  return [
    {
      method: 'POST',
      path: '/v1/sessions',
      bodyBytesMax: LIMITS.dataBodyBytesMax,
      handle: (call) => open(ports, call, render),
    },
    { method: 'GET', path: '/v1/sessions/:id/events', handle: (call) => stream(ports, call) },
    {
      method: 'POST',
      path: '/v1/sessions/:id/credential',
      bodyBytesMax: LIMITS.dataBodyBytesMax,
      handle: (call) => refresh(ports, call, render),
    },
    { method: 'POST', path: '/v1/sessions/:id/ping', handle: ({ params: [id = ''] }) => ping(keeper, id) },
    { method: 'POST', path: '/v1/sessions/:id/closed', handle: ({ params: [id = ''] }) => end(keeper, id) },
    { method: 'DELETE', path: '/v1/sessions/:id', handle: ({ params: [id = ''] }) => end(keeper, id) },
  ];
}

async function open(
  ports: SessionPorts,
  { body: text, req: asking }: Call,
  render: Render,
): Promise<LastLook> {
  const { keeper, ids } = ports;
  const startedMs = performance.now();
  const { id, decide, freshForMs, asked } = await decideToOpen(ports, parseObject(text, false));
  const occasion: Occasion = { id: ids.next(), source: 'session', startedMs, asked, asking };
  const isWanted = (): boolean => !asking.socket.destroyed;
  return new AskedDecision({ ...ports, occasion, decide, isWanted }).lastLook((decision) => {
    const rendered = render(decision, occasion);
    // Whoever has hung up does not know that there is a session, and would never say that it ended.
    if (id !== undefined && !isWanted()) keeper.abandon(id);
    if (id !== undefined && decision.effect === 'allow')
      return { status: 201, body: { id, events: `/v1/sessions/${id}/events`, freshForMs } };
    if (id !== undefined) keeper.abandon(id);
    return refusal(decision, rendered);
  });
}

type Opening = OpenedSession & { readonly asked: Occasion['asked'] };

async function decideToOpen({ keeper, checker }: SessionPorts, body: JsonObject): Promise<Opening> {
  // What is malformed is said first, whatever the credential is.
  const given = body['subject'] === undefined ? undefined : parseSubject(body['subject']);
  const what = { kind: parseKind(body['kind']), selfEnds: parseSelfEnds(body['selfEnds']) };
  const rest = parseRest(body);
  const presented = body['credential'] === undefined ? undefined : parseCredential(body['credential']);
  if (presented !== undefined && 'reason' in presented) {
    const { detail } = presented;
    const asked = { subject: { type: '', id: '' }, ...rest, credential: undefined };
    const decision = checker.judge(asked, { ok: false, reason: 'invalid_credential', detail });
    return { id: undefined, decision, decide: () => decision, asked };
  }
  const order: SessionOrder = { ...what, request: { ...rest, subject: given, credential: presented } };
  const opened = await keeper.open(order);
  const own = { type: 'identity', id: opened.decision.credential?.subject ?? '' };
  return { ...opened, asked: { ...rest, subject: given ?? own } };
}

async function refresh(
  ports: SessionPorts,
  { body: text, params: [id = ''], req: asking }: Call,
  render: Render,
): Promise<LastLook> {
  const { keeper, ids } = ports;
  const startedMs = performance.now();
  const { credential } = parseObject(text, false);
  const { decision, asked, taken } = await keeper.refresh(id, parseCredential(credential));
  const occasion: Occasion = { id: ids.next(), source: 'session', startedMs, asked, asking };
  const decide = (): Judgement => {
    if (taken !== undefined) keeper.requireLive(id);
    return decision;
  };
  return new AskedDecision({ ...ports, occasion, decide, isWanted: () => true }).lastLook((answered) => {
    const rendered = render(answered, occasion);
    if (taken === undefined) return refusal(answered, rendered);
    if (answered.effect !== 'allow') {
      keeper.withdraw(id, decision.evidence);
      return refusal(answered, rendered);
    }
    const expiresAt = renderInstant(taken.expiresAtS * 1000);
    return { status: 200, body: { freshForMs: taken.freshForMs, expiresAt } };
  });
}

function parseRest(body: JsonObject): Pick<SessionOrder['request'], 'action' | 'resource' | 'context'> {
  return {
    action: parseAction(body['action']),
    resource: parseResource(body['resource']),
    context: parseContext(body['context']).context,
  };
}

/** 403 for a deny; 503 where asking again makes sense. */
function refusal({ effect, reason }: Judgement, text: string): Answer {
  return withStatus(effect === 'deny' ? 403 : 503, reason, text);
}

const KIND = /^[a-z0-9-]{1,32}$/;

function parseKind(value: unknown): string {
  if (typeof value === 'string' && KIND.test(value)) return value;
  throw new WritError('BAD_REQUEST', 'kind must be 1 to 32 of a-z, 0-9 and -', { field: 'kind' });
}

function parseSelfEnds(value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value === 'boolean') return value;
  throw new WritError('BAD_REQUEST', 'selfEnds must be a boolean', { field: 'selfEnds' });
}

function ping(keeper: SessionKeeper, id: string): Answer {
  const { freshForMs, kill } = keeper.ping(id);
  return { status: 200, body: kill === undefined ? { freshForMs } : { freshForMs, kill } };
}

function end(keeper: SessionKeeper, id: string): Answer {
  keeper.closed(id);
  return { status: 204 };
}

/** Server-sent events (HTML Living Standard, 9.2). One `kill`, after which the stream has nothing more to say. */
function stream(
  { keeper, sessions }: SessionPorts,
  { req, res, params: [id = ''] }: Call,
): Answer | undefined {
  const { ref } = keeper.find(id);
  const headers = { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' };
  // Who asks for the head only does not listen, and must not take the place of who does.
  if (req.method === 'HEAD') return { status: 200, headers };
  res.writeHead(200, { ...headers, 'cache-control': 'no-store' });
  res.write(': open\n\n');
  const comment = setInterval(() => res.write(': open\n\n'), COMMENT_MS);
  const handle: SessionHandle = {
    kill: (event: KillEvent) => {
      res.end(`event: kill\ndata: ${JSON.stringify(killEventOf(event))}\n\n`);
    },
  };
  // A stream that breaks while it is written to is over; `close` says so.
  res.on('error', () => undefined);
  res.on('close', () => {
    clearInterval(comment);
    sessions.detach(ref, handle);
  });
  req.socket.setNoDelay(true);
  sessions.attach(ref, handle);
  return undefined;
}
