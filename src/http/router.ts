/**
 * A table of routes on node:http: exact paths first, then patterns. 404 and 405 are answers of the table. A request
 * whose handler needs no wait is answered at the end of the turn in which its body ended: a promise costs more than a
 * decision.
 */
import { AsyncResource } from 'node:async_hooks';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Log } from '../kernel/log.ts';
import type { WritError } from '../kernel/error.ts';
import { WritError as Failure } from '../kernel/error.ts';
import type { Answer } from './answer.ts';
import { asWritError, problemAnswer, send } from './answer.ts';
import { collectBody, requireJson } from './body.ts';
import { Pipeline } from './pipeline.ts';
import type { RequestWatch } from './request-watch.ts';
import { Turn } from './turn.ts';

export interface Call {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** Empty on routes without a body. */
  readonly body: string;
  /** What the pattern's groups matched. */
  readonly params: readonly string[];
}

/** What a handler gives. Undefined: it took the response over (event streams). */
export type Given = Answer | undefined | Promise<Answer | LastLook | undefined>;

/**
 * What a decision comes back with when it had to wait for something: it is made in the turn in which it is answered,
 * because one that was made before, and waits for its own turn, is old by then.
 */
export interface LastLook {
  (): Given;
  /** It may take long: whoever was decided before it in its turn is answered before it. */
  readonly isLong?: boolean;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** `/v1/check`, or a pattern with `:name` for one segment and a final `*` for the rest. */
  readonly path: string;
  /** Absent: the route takes no body. Present: JSON, at most this large. */
  readonly bodyBytesMax?: number;
  readonly handle: (call: Call) => Given;
  /** How this route's standard renders an error; our own routes use RFC 9457. */
  readonly renderError?: (error: WritError) => Answer;
}

interface Pattern {
  readonly expression: RegExp;
  readonly routes: Map<string, Route>;
}

export interface RouterPorts {
  readonly log: Log;
  readonly requests: RequestWatch;
  /** For who asks at the wrong one. */
  readonly plane: string;
}

/** A listener over `routes`. It never throws and never leaves a request unanswered. */
export function createRouter(
  routes: readonly Route[],
  { log, requests, plane }: RouterPorts,
): RequestListener {
  const exact = new Map<string, Map<string, Route>>();
  const patterns: Pattern[] = [];
  for (const route of routes) methodsFor(route.path, exact, patterns).set(route.method, route);
  const shared = { log, requests, plane, turn: new Turn<Answer>(), pipeline: new Pipeline() };
  return (req, res) => {
    const exchange = { req, res, ...shared, startedMs: performance.now() };
    const path = pathOf(req.url ?? '');
    const found = exact.get(path);
    if (found !== undefined) {
      dispatch(found, NO_PARAMS, exchange);
      return;
    }
    for (const { expression, routes: methods } of patterns) {
      const match = expression.exec(path);
      if (match === null) continue;
      dispatch(methods, match.slice(1), exchange);
      return;
    }
    answer(
      exchange,
      NO_ROUTE,
      problemAnswer(new Failure('NOT_FOUND', `no such route on the ${plane} plane`)),
    );
  };
}

/** What requests without one are counted under. */
const NO_ROUTE = '*';

const NO_PARAMS: readonly string[] = [];

function methodsFor(
  path: string,
  exact: Map<string, Map<string, Route>>,
  patterns: Pattern[],
): Map<string, Route> {
  if (!path.includes(':') && !path.includes('*')) {
    const methods = exact.get(path) ?? new Map<string, Route>();
    exact.set(path, methods);
    return methods;
  }
  const source = `^${path.replace(/:[a-z]+/g, '([^/]+)').replace('*', '(.+)')}$`;
  let pattern = patterns.find(({ expression }) => expression.source === new RegExp(source).source);
  if (pattern === undefined) patterns.push((pattern = { expression: new RegExp(source), routes: new Map() }));
  return pattern.routes;
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

/** One request on its way to its answer. */
interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly log: Log;
  readonly requests: RequestWatch;
  readonly plane: string;
  readonly turn: Turn<Answer>;
  readonly pipeline: Pipeline;
  /** Monotonic milliseconds at which it came. */
  readonly startedMs: number;
}

/** The one way an answer goes out. What cannot be written is cut off: others of the same turn must have theirs. */
function answer({ req, res, log, requests, startedMs }: Exchange, route: string, given: Answer): void {
  try {
    send(req, res, given);
  } catch (cause) {
    log.error('an answer could not be written', { detail: causeOf(cause) });
    res.destroy();
  }
  requests.record(route, req.method ?? '', given.status, performance.now() - startedMs);
}

function dispatch(methods: Map<string, Route>, params: readonly string[], exchange: Exchange): void {
  const { req, res, plane } = exchange;
  const route = methods.get(req.method === 'HEAD' ? 'GET' : (req.method ?? ''));
  if (route === undefined) {
    const allow = [...methods.keys()].join(', ');
    const refusal = problemAnswer(
      new Failure('METHOD_NOT_ALLOWED', `allowed here, on the ${plane} plane: ${allow}`),
    );
    answer(exchange, NO_ROUTE, { ...refusal, headers: { ...refusal.headers, allow } });
    return;
  }
  if (route.bodyBytesMax === undefined) handle(route, { req, res, body: '', params }, exchange);
  else handleBody(route, route.bodyBytesMax, params, exchange);
}

function handleBody(route: Route, bodyBytesMax: number, params: readonly string[], exchange: Exchange): void {
  const { req, res } = exchange;
  let isSettled = false;
  const reject = (error: WritError): void => {
    if (!isSettled) fail(route, exchange, error);
    isSettled = true;
  };
  try {
    requireJson(req);
  } catch (thrown) {
    reject(asWritError(thrown));
    return;
  }
  collectBody(req, bodyBytesMax, {
    resolve: (body) => {
      isSettled = true;
      handle(route, { req, res, body, params }, exchange);
    },
    reject,
  });
}

function handle(route: Route, call: Call, exchange: Exchange): void {
  const { trace } = exchange.requests;
  const { req, res, pipeline } = exchange;
  const first = (): Answer | undefined => look(route, () => route.handle(call), exchange);
  const traced = trace === undefined ? first : () => trace(req, res, () => route.path, first);
  pipeline.whenNext(req, res, call.body.length, () => decideInTurn(route, traced, exchange));
}

function decideInTurn(
  route: Route,
  decide: () => Answer | undefined,
  exchange: Exchange,
  isLong = false,
): void {
  exchange.turn.add({ decide, isLong, answer: (given) => answer(exchange, route.path, given) });
}

/** What can be answered in this turn; undefined for what is answered later. */
function look(route: Route, lastLook: LastLook, exchange: Exchange): Answer | undefined {
  try {
    const given = lastLook();
    if (!(given instanceof Promise)) return given;
    void settle(route, given, exchange);
    return undefined;
  } catch (thrown) {
    return refusalOf(route, exchange, asWritError(thrown));
  }
}

async function settle(
  route: Route,
  pending: Promise<Answer | LastLook | undefined>,
  exchange: Exchange,
): Promise<void> {
  try {
    const given = await pending;
    if (typeof given === 'function')
      // In the context of its own request, for its trace: the turn is everyone's.
      decideInTurn(
        route,
        AsyncResource.bind(() => look(route, given, exchange)),
        exchange,
        given.isLong,
      );
    else if (given !== undefined) answer(exchange, route.path, given);
  } catch (thrown) {
    fail(route, exchange, asWritError(thrown));
  }
}

function fail(route: Route, exchange: Exchange, error: WritError): void {
  answer(exchange, route.path, refusalOf(route, exchange, error));
}

function refusalOf(route: Route, exchange: Exchange, error: WritError): Answer {
  if (error.code === 'INTERNAL')
    exchange.log.error('a request failed unforeseen', { code: error.code, detail: causeOf(error.cause) });
  const refusal = (route.renderError ?? problemAnswer)(error);
  // What is left of an oversized body is not read: the connection ends with the answer.
  const isCut = error.code === 'BODY_TOO_LARGE';
  const headers = { ...refusal.headers, connection: 'close' };
  return isCut ? { ...refusal, headers } : refusal;
}

/** The kind of failure, never its message: a foreign message may quote what was sent. */
function causeOf(cause: unknown): string {
  return cause instanceof Error ? cause.name : typeof cause;
}
