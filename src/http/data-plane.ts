/**
 * The data plane: what services and gateways ask before they grant access. Hot, so node:http without a framework.
 * A handler has three lines: parse, flow, render. Nothing here decides anything.
 */
import type { RequestListener } from 'node:http';
import type { Decision, Judgement } from '../decision/decision.ts';
import { isPermissive } from '../decision/decision.ts';
import type { DecisionObserver, Occasion } from '../decision/observer.ts';
import type { PolicyValue } from '../decision/policy-engine.ts';
import type { Checker } from '../flows/check.ts';
import type { SessionKeeper } from '../flows/keep-session.ts';
import type { WritError } from '../kernel/error.ts';
import { ERROR_CODES, WritError as Failure } from '../kernel/error.ts';

import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import type { SessionRegistry } from '../session/registry.ts';
import { parseCredential } from '../credential/parse-credential.ts';
import type { ParsedRequest } from './access-request.ts';
import type { Answer } from './answer.ts';
import { openApiAnswer } from './answer.ts';
import { parseObject } from './body.ts';
import type { DecisionIds } from './decision-answer.ts';
import { renderDecision, statusOf, withStatus } from './decision-answer.ts';
import { evaluateAll } from './evaluations.ts';
import { RecentRequests } from './recent-requests.ts';
import type { Call, Route } from './router.ts';
import { createRouter } from './router.ts';
import { sessionRoutes } from './session-routes.ts';

export interface DataPlanePorts {
  readonly checker: Checker;
  readonly keeper: SessionKeeper;
  readonly sessions: SessionRegistry;
  /** The entrypoint that `/v1/data/<path>` answers with an object when it refuses. */
  readonly decisionEntrypoint: string;
  readonly ids: DecisionIds;
  /** What AuthZEN's metadata says; undefined: the address asked. */
  readonly publicUrl: () => string;
  /** `/openapi.json` (openapi.ts). */
  readonly openApi: string;
  readonly observer: DecisionObserver;
  readonly log: Log;
}

export function dataPlane(ports: DataPlanePorts): RequestListener {
  const plane = new DataPlane(ports);
  return createRouter(
    [...plane.routes(), ...sessionRoutes(ports, (judgement, occasion) => plane.render(judgement, occasion))],
    ports.log,
  );
}

class DataPlane {
  readonly #ports: DataPlanePorts;
  readonly #recent = new RecentRequests();

  constructor(ports: DataPlanePorts) {
    this.#ports = ports;
  }

  routes(): Route[] {
    const authzen = { method: 'POST', renderError: authzenError } as const;
    return [
      {
        ...authzen,
        path: '/access/v1/evaluation',
        bodyBytesMax: LIMITS.dataBodyBytesMax,
        handle: (call) => this.#evaluation(call),
      },
      {
        ...authzen,
        path: '/access/v1/evaluations',
        bodyBytesMax: LIMITS.evaluationsBodyBytesMax,
        handle: (call) => this.#evaluations(call),
      },
      { method: 'GET', path: '/.well-known/authzen-configuration', handle: () => this.#metadata() },
      { method: 'GET', path: '/openapi.json', handle: () => openApiAnswer(this.#ports.openApi) },
      {
        method: 'POST',
        path: '/v1/check',
        bodyBytesMax: LIMITS.dataBodyBytesMax,
        handle: (call) => this.#check(call),
      },
      {
        method: 'POST',
        path: '/v1/data/*',
        bodyBytesMax: LIMITS.dataBodyBytesMax,
        renderError: opaError,
        handle: (call) => this.#data(call),
      },
    ];
  }

  /** A decision as every door of this plane shows it, as JSON, and the one place where it becomes an answer: who watches is told. */
  render(judgement: Judgement, occasion: Omit<Occasion, 'id'>): string {
    const id = this.#ports.ids.next();
    this.#ports.observer.decided(judgement, { id, ...occasion });
    return renderDecision(judgement, id);
  }

  #evaluation({ body, req: asking }: Call): Answer | Promise<Answer> {
    const startedMs = performance.now();
    const parsed = this.#recent.parse(body);
    return then(this.#decide(parsed), (judgement) => ({
      status: 200,
      text: this.render(judgement, { source: 'evaluation', startedMs, asked: parsed.request, asking }),
    }));
  }

  async #evaluations({ body, req: asking }: Call): Promise<Answer> {
    let startedMs = performance.now();
    const text = await evaluateAll(
      parseObject(body, false),
      (parsed) => {
        startedMs = performance.now();
        return this.#decide(parsed);
      },
      (one, { request: asked }) => this.render(one, { source: 'evaluations', startedMs, asked, asking }),
    );
    return { status: 200, text };
  }

  #check({ body, req: asking }: Call): Answer | Promise<Answer> {
    const startedMs = performance.now();
    const parsed = this.#recent.parse(body);
    return then(this.#decide(parsed), (judgement) =>
      withStatus(
        statusOf(judgement.reason),
        judgement.reason,
        this.render(judgement, { source: 'check', startedMs, asked: parsed.request, asking }),
      ),
    );
  }

  #metadata(): Answer {
    const base = this.#ports.publicUrl();
    return {
      status: 200,
      body: {
        policy_decision_point: base,
        access_evaluation_endpoint: `${base}/access/v1/evaluation`,
        access_evaluations_endpoint: `${base}/access/v1/evaluations`,
      },
    };
  }

  /** OPA's Data API: `{}` is undefined. What is refused never gets a value, only a reason. */
  async #data({ body, params: [path = ''], req: asking }: Call): Promise<Answer> {
    const startedMs = performance.now();
    const { input = {} } = parseObject(body, false);
    if (!isJsonObject(input)) throw new Failure('BAD_REQUEST', 'input must be an object', { field: 'input' });
    const { credential: presented, ...asked } = input;
    const credential = presented === undefined ? undefined : parseCredential(presented);
    const answer =
      credential !== undefined && 'reason' in credential
        ? { refused: { effect: 'deny', ...credential } as const }
        : await this.#ports.checker.evaluate(path, input, credential);
    const decision = answer.refused ?? decisionOfValue(answer.value);
    const data = { path, ...(answer.refused === undefined ? { value: valueOf(answer.value) } : {}) };
    const id = this.#ports.ids.next();
    this.#ports.observer.decided(decision, { id, source: 'data', startedMs, asked, asking, data });
    if (answer.refused !== undefined || answer.value.kind === 'error')
      return this.#refuseData(path, decision.reason);
    return { status: 200, body: answer.value.kind === 'undefined' ? {} : { result: answer.value.value } };
  }

  #refuseData(path: string, reason: string): Answer {
    const body = path === this.#ports.decisionEntrypoint ? { result: { allow: false, reason } } : {};
    return { status: 200, body, headers: { 'x-writ-reason': reason } };
  }

  #decide({ request, malformed }: ParsedRequest): Judgement | Promise<Judgement> {
    if (malformed === undefined) return this.#ports.checker.check(request);
    return this.#ports.checker.judge(request, {
      ok: false,
      reason: 'invalid_credential',
      detail: malformed.detail,
    });
  }
}

/** Like `await`, but what is already there is answered in the same turn. */
function then<T, U>(value: T | Promise<T>, next: (value: T) => U): U | Promise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** What a value of the OPA Data API says, in the words of decisions. */
function decisionOfValue(value: PolicyValue): Decision {
  switch (value.kind) {
    case 'undefined':
      return { effect: 'deny', reason: 'policy_undefined' };
    case 'error':
      return { effect: 'deny', reason: 'policy_error', detail: value.detail };
    case 'value':
      return isPermissive(value.value)
        ? { effect: 'allow', reason: 'permitted' }
        : { effect: 'deny', reason: 'policy_denied' };
  }
}

function valueOf(value: PolicyValue): unknown {
  return value.kind === 'value' ? value.value : undefined;
}

/** AuthZEN's native error body: a string (section 10.1.2). */
function authzenError(error: WritError): Answer {
  const { status } = ERROR_CODES[error.code];
  return { status, body: error.message };
}

/** OPA's native error body. */
function opaError(error: WritError): Answer {
  const { status } = ERROR_CODES[error.code];
  return {
    status,
    body: { code: status < 500 ? 'invalid_parameter' : 'internal_error', message: error.message },
  };
}
