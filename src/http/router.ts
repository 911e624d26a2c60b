/** A table of routes on node:http: exact paths first, then patterns. 404 and 405 are answers of the table. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Log } from '../kernel/log.ts';
import type { WritError } from '../kernel/error.ts';
import { WritError as Failure } from '../kernel/error.ts';
import type { Answer } from './answer.ts';
import { asWritError, problemAnswer, send } from './answer.ts';
import { readBody, requireJson } from './body.ts';

export interface Call {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** Empty on routes without a body. */
  readonly body: string;
  /** What the pattern's groups matched. */
  readonly params: readonly string[];
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** `/v1/check`, or a pattern with `:name` for one segment and a final `*` for the rest. */
  readonly path: string;
  /** Absent: the route takes no body. Present: JSON, at most this large. */
  readonly bodyBytesMax?: number;
  /** Undefined: the handler took the response over (event streams). */
  readonly handle: (call: Call) => Answer | undefined | Promise<Answer | undefined>;
  /** How this route's standard renders an error; our own routes use RFC 9457. */
  readonly renderError?: (error: WritError) => Answer;
}

interface Pattern {
  readonly expression: RegExp;
  readonly routes: Map<string, Route>;
}

/** A listener over `routes`. It never throws and never leaves a request unanswered. */
export function createRouter(routes: readonly Route[], log: Log): RequestListener {
  const exact = new Map<string, Map<string, Route>>();
  const patterns: Pattern[] = [];
  for (const route of routes) methodsFor(route.path, exact, patterns).set(route.method, route);
  return (req, res) => {
    const path = pathOf(req.url ?? '');
    const found = exact.get(path);
    if (found !== undefined) return void dispatch(found, [], req, res, log);
    for (const { expression, routes: methods } of patterns) {
      const match = expression.exec(path);
      if (match !== null) return void dispatch(methods, match.slice(1), req, res, log);
    }
    send(req, res, problemAnswer(new Failure('NOT_FOUND', 'no such route')));
  };
}

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

async function dispatch(
  methods: Map<string, Route>,
  params: readonly string[],
  req: IncomingMessage,
  res: ServerResponse,
  log: Log,
): Promise<void> {
  const route = methods.get(req.method === 'HEAD' ? 'GET' : (req.method ?? ''));
  if (route === undefined) {
    const allow = [...methods.keys()].join(', ');
    const answer = problemAnswer(new Failure('METHOD_NOT_ALLOWED', `allowed here: ${allow}`));
    send(req, res, { ...answer, headers: { ...answer.headers, allow } });
    return;
  }
  try {
    const answer = await run(route, params, req, res);
    if (answer !== undefined) send(req, res, answer);
  } catch (thrown) {
    fail(route, req, res, asWritError(thrown), log);
  }
}

async function run(
  route: Route,
  params: readonly string[],
  req: IncomingMessage,
  res: ServerResponse,
): Promise<Answer | undefined> {
  if (route.bodyBytesMax === undefined) return route.handle({ req, res, body: '', params });
  requireJson(req);
  const body = await readBody(req, route.bodyBytesMax);
  return route.handle({ req, res, body, params });
}

function fail(route: Route, req: IncomingMessage, res: ServerResponse, error: WritError, log: Log): void {
  if (error.code === 'INTERNAL')
    log.error('a request failed unforeseen', { code: error.code, detail: causeOf(error) });
  const answer = (route.renderError ?? problemAnswer)(error);
  // What is left of an oversized body is not read: the connection ends with the answer.
  const isCut = error.code === 'BODY_TOO_LARGE';
  send(req, res, isCut ? { ...answer, headers: { ...answer.headers, connection: 'close' } } : answer);
}

/** The kind of failure, never its message: a foreign message may quote what was sent. */
function causeOf(error: WritError): string {
  return error.cause instanceof Error ? error.cause.name : typeof error.cause;
}
