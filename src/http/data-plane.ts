/**
 * The data plane: what services and gateways ask before they grant access. Hot, so node:http without a framework.
 * A handler has three lines: parse, flow, render. Nothing here decides anything.
 */
import type { RequestListener } from 'node:http';
import type { Credential, Verification } from '../credential/credential.ts';
import type { Unreadable } from '../credential/parse-credential.ts';
import { isUnreadable } from '../credential/parse-credential.ts';
import type { Judgement } from '../decision/decision.ts';
import { isPermissive } from '../decision/decision.ts';
import type { DecisionObserver, DecisionSource, Observed, Occasion } from '../decision/observer.ts';
import type { PolicyValue } from '../decision/policy-engine.ts';
import type { Checker } from '../flows/check.ts';
import type { SessionKeeper } from '../flows/keep-session.ts';
import type { WritError } from '../kernel/error.ts';
import { ERROR_CODES, WritError as Failure } from '../kernel/error.ts';

import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Log } from '../kernel/log.ts';
import type { SessionRegistry } from '../session/registry.ts';
import { parseCredential } from '../credential/parse-credential.ts';
import type { ParsedRequest } from './access-request.ts';
import type { Answer } from './answer.ts';
import { openApiAnswer } from './answer.ts';
import { AskedDecision } from './asked-decision.ts';
import { parseObject } from './body.ts';
import type { DecisionIds } from './decision-answer.ts';
import { renderDecision, statusOf, withStatus } from './decision-answer.ts';
import { evaluateAll } from './evaluations.ts';
import { RecentRequests } from './recent-requests.ts';
import type { Call, Given, LastLook, Route } from './router.ts';
import type { RequestWatch } from './request-watch.ts';
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
  readonly requests: RequestWatch;
  readonly log: Log;
}

export function dataPlane(ports: DataPlanePorts): RequestListener {
  const plane = new DataPlane(ports);
  return createRouter(
    [...plane.routes(), ...sessionRoutes(ports, (judgement, occasion) => plane.render(judgement, occasion))],
    { ...ports, plane: 'data' },
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
  render(judgement: Judgement, occasion: Occasion): string {
    this.#ports.observer.decided(judgement, occasion);
    return renderDecision(judgement, occasion.id);
  }

  #evaluation(call: Call): Given {
    return this.#decide('evaluation', call, (judgement, occasion) => ({
      status: 200,
      text: this.render(judgement, occasion),
    }));
  }

  #check(call: Call): Given {
    return this.#decide('check', call, (judgement, occasion) =>
      withStatus(statusOf(judgement.reason), judgement.reason, this.render(judgement, occasion)),
    );
  }

  async #evaluations(call: Call): Promise<LastLook> {
    // A megabyte takes long to read: those who are answered in this turn go first.
    await Promise.resolve();
    const proven = new Map<string, Verification | undefined>();
    const body = parseObject(call.body, false);
    const { evaluations } = body;
    const bodyChars = Math.ceil(call.body.length / (Array.isArray(evaluations) ? evaluations.length + 1 : 1));
    return evaluateAll(body, {
      ask: async (parsed) => {
        const proof = proofOf(parsed.request.credential);
        // One request of a client has one proof, however many questions are asked about it: a batch uses it once.
        const known = proof === undefined ? undefined : proven.get(proof);
        const verification = known ?? (await this.#verify(parsed));
        if (proof !== undefined) proven.set(proof, verification);
        const occasion = { ...this.#occasion('evaluations', call, parsed), bodyChars };
        return this.#asked(parsed, verification, occasion, call);
      },
      freshForMs: () => this.#ports.checker.freshForMs(),
      render: (judgement, occasion) => this.render(judgement, occasion),
    });
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
  async #data({ body, params: [path = ''], req: asking }: Call): Promise<LastLook> {
    const startedMs = performance.now();
    const { input = {} } = parseObject(body, false);
    if (!isJsonObject(input)) throw new Failure('BAD_REQUEST', 'input must be an object', { field: 'input' });
    const { credential: presented, ...asked } = input;
    const occasion: Occasion = { id: this.#ports.ids.next(), source: 'data', startedMs, asked, asking, path };
    const credential = presented === undefined ? undefined : parseCredential(presented);
    const decide = await this.#decideData(path, input, credential);
    const isWanted = (): boolean => !asking.socket.destroyed;
    return new AskedDecision({ ...this.#ports, occasion, decide, isWanted }).lastLook((decided: Observed) => {
      this.#ports.observer.decided(decided, occasion);
      const { value, reason } = decided;
      if (value === undefined || value.kind === 'error') return this.#refuseData(path, reason);
      return { status: 200, body: value.kind === 'undefined' ? {} : { result: value.value } };
    });
  }

  /** Verifies, once: each look after that is of its own moment. */
  async #decideData(
    path: string,
    input: JsonObject,
    credential: Credential | Unreadable | undefined,
  ): Promise<() => Observed> {
    const { checker } = this.#ports;
    if (credential !== undefined && isUnreadable(credential))
      return () => ({ effect: 'deny', ...credential });
    const verification = await checker.verify(credential);
    const verified = verification?.ok === true ? { credential: verification.credential } : {};
    return () => {
      const answer = checker.evaluate(path, input, verification);
      return answer.refused ?? { ...valued(answer.value), ...verified, evidence: answer.evidence };
    };
  }

  #refuseData(path: string, reason: string): Answer {
    const body = path === this.#ports.decisionEntrypoint ? { result: { allow: false, reason } } : {};
    return { status: 200, body, headers: { 'x-writ-reason': reason } };
  }

  /** Answered in this turn where nothing has to be waited for. */
  #decide(
    source: DecisionSource,
    call: Call,
    answer: (judgement: Judgement, occasion: Occasion) => Answer,
  ): Given {
    const { checker, observer } = this.#ports;
    const parsed = this.#recent.parse(call.body);
    const occasion = this.#occasion(source, call, parsed);
    const verification = this.#verify(parsed);
    if (observer.record === undefined && !(verification instanceof Promise))
      return answer(checker.judge(parsed.request, verification), occasion);
    return Promise.resolve(verification).then((verified) =>
      this.#asked(parsed, verified, occasion, call).lastLook((judgement) => answer(judgement, occasion)),
    );
  }

  /** Verified once: a DPoP proof is used by it, and a second look would find it replayed. */
  #asked(
    { request }: ParsedRequest,
    verification: Verification | undefined,
    occasion: Occasion,
    { req: { socket } }: Call,
  ): AskedDecision {
    const { checker, observer } = this.#ports;
    const decide = (): Judgement => checker.judgeAgain(request, verification);
    return new AskedDecision({ checker, observer, occasion, decide, isWanted: () => !socket.destroyed });
  }

  #verify({ request, malformed }: ParsedRequest): Verification | undefined | Promise<Verification> {
    if (malformed === undefined) return this.#ports.checker.verify(request.credential);
    return { ok: false, reason: 'invalid_credential', detail: malformed.detail };
  }

  #occasion(source: DecisionSource, { req: asking }: Call, { request: asked }: ParsedRequest): Occasion {
    return { id: this.#ports.ids.next(), source, startedMs: performance.now(), asked, asking };
  }
}

/** All that a credential with a DPoP proof presents, as one text; undefined where there is no proof. */
function proofOf(credential: Credential | undefined): string | undefined {
  if (credential?.proof === undefined) return undefined;
  const { scheme, token, proof, method, uri, certificate } = credential;
  return JSON.stringify([scheme, token, proof, method, uri, certificate]);
}

/** What a value of the OPA Data API says, in the words of decisions. */
function valued(value: PolicyValue): Observed {
  switch (value.kind) {
    case 'error':
      return { effect: 'deny', reason: 'policy_error', detail: value.detail, value };
    case 'undefined':
      return { effect: 'deny', reason: 'policy_undefined', value };
    case 'value':
      return isPermissive(value.value)
        ? { effect: 'allow', reason: 'permitted', value }
        : { effect: 'deny', reason: 'policy_denied', value };
  }
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
