/**
 * The control plane: what responders, auditors and operators command. Every route needs a caller; what a caller may
 * do is flows/authorise.ts. Not hot, so Express; each handler parses, flows and renders.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Express, NextFunction, Request, RequestHandler, Response } from 'express';
import express from 'express';
import type { Target } from '../feed/entry.ts';
import type { Authoriser, Caller, Need } from '../flows/authorise.ts';
import type { Forgetter } from '../flows/forget.ts';
import type { OpenRule } from '../flows/join.ts';
import type { Reloader } from '../flows/reload.ts';
import type { Revoker } from '../flows/revoke.ts';
import { WritError } from '../kernel/error.ts';
import type { JsonObject } from '../kernel/json.ts';
import type { Log } from '../kernel/log.ts';
import type { Steps } from '../kernel/pace.ts';
import { requiredCapability } from '../revocation/capability.ts';
import type { Answer } from './answer.ts';
import { asWritError, openApiAnswer, problemAnswer, send } from './answer.ts';
import type { ControlRoute, Method } from './control-request.ts';
import { bodyOf, callerOf, idOf, idempotencyKeyOf, queryOf } from './control-request.ts';
import { parseEpochBody } from './epoch-body.ts';
import type { FactRoutes } from './fact-routes.ts';
import { forgetAnswer, parseForgetBody } from './forget-body.ts';
import type { Inspection } from './inspection.ts';
import { policyAnswer, reloadAnswer } from './policy-answer.ts';
import type { Overview } from './overview.ts';
import type { RequestWatch } from './request-watch.ts';
import { parseRevocationBody, renderStatus, statusCodeOf } from './revocation-body.ts';

export interface ControlPlanePorts {
  readonly authoriser: Authoriser;
  readonly revoker: Revoker;
  readonly factRoutes: FactRoutes;
  readonly openEpoch: (rule: OpenRule, reason: string | undefined, caller: string) => Promise<string>;
  /** Why no epoch is open, in the words of `/readyz`; undefined while one is. */
  readonly whyClosed: () => string | undefined;
  readonly inspection: Inspection;
  readonly forgetter: Forgetter;
  readonly reloader: Reloader;
  readonly overview: Overview;
  /** Body -> targets, at this moment. SELECTOR_INVALID or BAD_REQUEST. */
  readonly parseTargets: (what: { selector?: unknown; selectors?: unknown }) => Promise<readonly Target[]>;
  /** The dev issuer's mint; undefined without `--dev`. */
  readonly mint: ((body: JsonObject) => Promise<Answer['body']>) | undefined;
  /** `/openapi.json` (openapi.ts). */
  readonly openApi: string;
  readonly requests: RequestWatch;
  /** Runs long work in pieces: a body of a thousand selectors takes two milliseconds to be parsed. */
  readonly run: <T>(steps: Steps<T>) => Promise<T>;
  readonly log: Log;
}

export function controlPlane(ports: ControlPlanePorts): RequestListener {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('case sensitive routing', true);
  app.set('strict routing', true);
  const plane = new ControlPlane(ports);
  for (const { path, ...methods } of plane.routes()) {
    const route = app.route(path);
    for (const [method, handler] of Object.entries(methods) as [Method, RequestHandler][])
      route[method](handler);
    route.all((_req, res) => {
      const allow = Object.keys(methods).join(', ').toUpperCase();
      res.set('allow', allow);
      throw new WritError('METHOD_NOT_ALLOWED', `allowed here: ${allow}`);
    });
  }
  app.use(() => {
    throw new WritError('NOT_FOUND', 'no such route on the control plane');
  });
  app.use((thrown: unknown, req: Request, res: Response, _next: NextFunction) => {
    fail(thrown, req, res, ports);
  });
  // Express judges a target only after it could parse it, and answers the others itself, in HTML.
  return (req, res) => {
    watch(req, res, ports.requests);
    if (req.url?.startsWith('/') === true) serveTraced(app, req, res, ports.requests);
    else send(req, res, problemAnswer(new WritError('NOT_FOUND', 'no such route on the control plane')));
  };
}

/** Express has put the route on the request by the time its answer is out. */
function routeOf(req: IncomingMessage): string {
  const { route } = req as { route?: { path: string } };
  return route?.path ?? '*';
}

function watch(req: IncomingMessage, res: ServerResponse, requests: RequestWatch): void {
  const startedMs = performance.now();
  res.once('close', () => {
    requests.record(routeOf(req), req.method ?? '', res.statusCode, performance.now() - startedMs);
  });
}

function serveTraced(app: Express, req: IncomingMessage, res: ServerResponse, { trace }: RequestWatch): void {
  const serve = (): void => {
    app(req, res);
  };
  if (trace === undefined) serve();
  else trace(req, res, () => routeOf(req), serve);
}

class ControlPlane {
  readonly #ports: ControlPlanePorts;

  constructor(ports: ControlPlanePorts) {
    this.#ports = ports;
  }

  routes(): ControlRoute[] {
    const { factRoutes, inspection, overview, mint } = this.#ports;
    const read = (answer: (req: Request) => Answer | Promise<Answer>) => this.#route({ act: 'read' }, answer);
    return [
      {
        path: '/v1/revocations',
        post: this.#revoke(),
        get: read((req) => inspection.revocations(queryOf(req))),
      },
      { path: '/v1/revocations/:id', get: read((req) => this.#status(idOf(req))) },
      ...factRoutes.routes(),
      { path: '/v1/receipts/:id', get: read((req) => this.#receipt(idOf(req))) },
      { path: '/v1/sessions', get: read((req) => inspection.sessions(queryOf(req))) },
      { path: '/v1/replicas', get: read(() => inspection.replicas()) },
      { path: '/v1/replicas/:name/forget', post: this.#forget() },
      { path: '/v1/checkpoint', get: read(() => inspection.checkpoint()) },
      { path: '/v1/keys', get: read(() => inspection.keys()) },
      { path: '/v1/ledger', get: this.#ledger() },
      { path: '/v1/status', get: read(() => overview.status()) },
      { path: '/v1/config', get: read(() => overview.config()) },
      // Public knowledge, like the documentation: it says nothing of this server's configuration.
      { path: '/openapi.json', get: (req, res) => send(req, res, openApiAnswer(this.#ports.openApi)) },
      { path: '/v1/policy', get: read(() => policyAnswer(this.#ports.reloader)) },
      {
        path: '/v1/policy/reload',
        post: this.#route({ act: 'administer' }, (req) => this.#reload(req)),
      },
      {
        path: '/v1/epoch',
        post: this.#route({ act: 'administer' }, (req, { id }) => this.#openEpoch(req, id)),
      },
      ...(mint === undefined
        ? []
        : [
            {
              path: '/v1/dev/tokens',
              post: this.#route({ act: 'administer' }, (req) => mintFrom(req, mint)),
            },
          ]),
    ];
  }

  #route(need: Need, answer: (req: Request, caller: Caller) => Answer | Promise<Answer>): RequestHandler {
    return async (req, res) => {
      const caller = await callerOf(req, this.#ports.authoriser);
      this.#ports.authoriser.authorise(caller, need);
      send(req, res, await answer(req, caller));
    };
  }

  #revoke(): RequestHandler {
    return async (req, res) => {
      const caller = await callerOf(req, this.#ports.authoriser);
      const request = await bodyOf(req, this.#ports.run);
      const { what, dryRun, ...order } = parseRevocationBody(request);
      const targets = await this.#ports.parseTargets(what);
      const need = { act: 'revoke', what: requiredCapability(targets) } as const;
      this.#ports.authoriser.authorise(caller, need, { kinds: targets.map(({ kind }) => kind) });
      if (dryRun) {
        send(req, res, await this.#ports.inspection.dryRun(targets));
        return;
      }
      const idempotencyKey = idempotencyKeyOf(req);
      const status = await this.#ports.revoker.revoke({
        ...order,
        targets,
        request,
        idempotencyKey,
        caller: caller.id,
      });
      send(req, res, { status: statusCodeOf(status), body: renderStatus(status) });
    };
  }

  #ledger(): RequestHandler {
    return async (req, res) => {
      const caller = await callerOf(req, this.#ports.authoriser);
      this.#ports.authoriser.authorise(caller, { act: 'read' });
      await this.#ports.inspection.streamLedger(queryOf(req), res);
    };
  }

  #forget(): RequestHandler {
    return async (req, res) => {
      const caller = await callerOf(req, this.#ports.authoriser);
      this.#ports.authoriser.authorise(caller, { act: 'administer' });
      const reason = parseForgetBody(await bodyOf(req));
      const { name } = req.params;
      const order = { replica: String(name), reason, caller: caller.id };
      send(req, res, forgetAnswer(await this.#ports.forgetter.forget(order)));
    };
  }

  async #status(id: string): Promise<Answer> {
    if (!id.startsWith('rev_')) throw new WritError('NOT_FOUND', 'no such revocation');
    return { status: 200, body: renderStatus(await this.#ports.revoker.status(id)) };
  }

  async #receipt(id: string): Promise<Answer> {
    return { status: 200, text: await this.#ports.revoker.receipt(id), type: 'text/plain; charset=utf-8' };
  }

  async #openEpoch(req: Request, caller: string): Promise<Answer> {
    const { rule, reason } = parseEpochBody(await bodyOf(req));
    const epochId = await this.#ports.openEpoch(rule, reason, caller);
    return { status: 201, body: { epochId, rule } };
  }

  async #reload(req: Request): Promise<Answer> {
    return reloadAnswer(this.#ports.reloader, await bodyOf(req));
  }
}

async function mintFrom(req: Request, mint: (body: JsonObject) => Promise<Answer['body']>): Promise<Answer> {
  return { status: 201, body: await mint(await bodyOf(req)) };
}

function fail(thrown: unknown, req: Request, res: Response, ports: ControlPlanePorts): void {
  const { log, whyClosed } = ports;
  const error =
    thrown instanceof URIError
      ? new WritError('BAD_REQUEST', 'the path is malformed')
      : withWhy(asWritError(thrown), whyClosed);
  if (error.code === 'INTERNAL') {
    log.error('a request failed unforeseen', {
      code: error.code,
      detail: error.cause instanceof Error ? error.cause.name : 'unknown',
    });
  }
  const answer = problemAnswer(error);
  const isCut = error.code === 'BODY_TOO_LARGE';
  send(req, res, isCut ? { ...answer, headers: { ...answer.headers, connection: 'close' } } : answer);
}

/** What is refused for want of a lease or an epoch says what `/readyz` says of a closed one: whom it waits for. */
function withWhy(error: WritError, whyClosed: () => string | undefined): WritError {
  if (error.code !== 'FENCED' && error.code !== 'EPOCH_CLOSED') return error;
  const why = whyClosed();
  return why === undefined ? error : new WritError(error.code, `${error.message} (${why})`, { cause: error });
}
