/**
 * The control plane's routes about what can be taken back: locks and grants. Part of control-plane.ts; each handler
 * parses, asks whether the caller may, flows and renders.
 */
import type { Request, RequestHandler } from 'express';
import type { GrantTable } from '../decision/grants.ts';
import type { Target } from '../feed/entry.ts';
import type { Authoriser } from '../flows/authorise.ts';
import type { Granter } from '../flows/grant.ts';
import type { Lifter } from '../flows/lift.ts';
import type { Revoker } from '../flows/revoke.ts';
import type { Clock } from '../kernel/clock.ts';
import { epochS } from '../kernel/clock.ts';
import { LIMITS } from '../kernel/limits.ts';
import { requiredCapability } from '../revocation/capability.ts';
import { lockEndS } from '../revocation/lock-end.ts';
import type { RevocationView } from '../revocation/view.ts';
import type { Answer } from './answer.ts';
import { send } from './answer.ts';
import type { ControlRoute } from './control-request.ts';
import { bodyOf, callerOf, idOf, idempotencyKeyOf, queryOf } from './control-request.ts';
import {
  parseGrantBody,
  renderGrant,
  renderGrantFacts,
  renderGrantStatus,
  renderUngrant,
} from './grant-body.ts';
import { afterOf, limitOf, requireKnown } from './inspection.ts';
import { kindsOf, parseLockBody, renderLift, renderLock, renderLockStatus } from './lock-body.ts';
import { statusCodeOf } from './revocation-body.ts';

export interface FactRoutePorts {
  readonly authoriser: Authoriser;
  readonly revoker: Revoker;
  readonly lifter: Lifter;
  readonly granter: Granter;
  readonly view: RevocationView;
  readonly grants: GrantTable;
  readonly clock: Clock;
  /** Body -> targets, at this moment. SELECTOR_INVALID or BAD_REQUEST. */
  readonly parseTargets: (what: { selector?: unknown; selectors?: unknown }) => Promise<readonly Target[]>;
}

export class FactRoutes {
  readonly #ports: FactRoutePorts;

  constructor(ports: FactRoutePorts) {
    this.#ports = ports;
  }

  routes(): ControlRoute[] {
    return [
      { path: '/v1/locks', post: this.#lock(), get: this.#read((req) => this.#locks(req)) },
      { path: '/v1/locks/:id', get: this.#read((req) => this.#lockStatus(idOf(req))), delete: this.#lift() },
      { path: '/v1/grants', post: this.#grant(), get: this.#read((req) => this.#grants(req)) },
      {
        path: '/v1/grants/:id',
        get: this.#read((req) => this.#grantStatus(idOf(req))),
        delete: this.#ungrant(),
      },
    ];
  }

  #read(answer: (req: Request) => Answer | Promise<Answer>): RequestHandler {
    return async (req, res) => {
      const { authoriser } = this.#ports;
      authoriser.authorise(await callerOf(req, authoriser), { act: 'read' });
      send(req, res, await answer(req));
    };
  }

  #lock(): RequestHandler {
    return async (req, res) => {
      const { authoriser, revoker, view, clock, parseTargets } = this.#ports;
      const caller = await callerOf(req, authoriser);
      const request = await bodyOf(req);
      const { what, expiresAtMs, ...order } = parseLockBody(request);
      const targets = await parseTargets(what);
      const need = { act: 'lock', what: requiredCapability(targets) } as const;
      const expiresAtS = lockEndS(expiresAtMs);
      authoriser.authorise(caller, need, { kinds: kindsOf(targets), expiresAt: expiresAtS });
      const asked = { request, idempotencyKey: idempotencyKeyOf(req), caller: caller.id };
      const status = await revoker.revoke({ ...order, ...asked, targets, expiresAtMs, ticket: undefined });
      const lock = view.locks.record(status.id);
      const times = { expiresAtS: lock?.expiresAtS ?? expiresAtS, nowS: epochS(clock.now()) };
      send(req, res, { status: statusCodeOf(status), body: renderLockStatus(status, lock, times) });
    };
  }

  #lift(): RequestHandler {
    return async (req, res) => {
      const { authoriser, lifter } = this.#ports;
      const caller = await callerOf(req, authoriser);
      const { id, targets, caller: owner } = lifter.find(idOf(req));
      const need = { act: 'lift', what: requiredCapability(targets), isOwn: owner === caller.id } as const;
      authoriser.authorise(caller, need, { lock: { id, caller: owner, kinds: kindsOf(targets) } });
      const status = await lifter.lift(id, caller.id);
      send(req, res, { status: status.isApplied ? 200 : 202, body: renderLift(status) });
    };
  }

  #grant(): RequestHandler {
    return async (req, res) => {
      const { authoriser, granter } = this.#ports;
      const caller = await callerOf(req, authoriser);
      const request = await bodyOf(req);
      const facts = parseGrantBody(request);
      authoriser.authorise(caller, { act: 'grant' }, { grant: renderGrantFacts(facts) });
      const order = { facts, request, idempotencyKey: idempotencyKeyOf(req), caller: caller.id };
      const status = await granter.grant(order);
      send(req, res, { status: status.isApplied ? 201 : 202, body: renderGrantStatus(status) });
    };
  }

  #ungrant(): RequestHandler {
    return async (req, res) => {
      const { authoriser, granter } = this.#ports;
      const caller = await callerOf(req, authoriser);
      const { id, caller: owner, ...grant } = granter.find(idOf(req));
      const facts = { id, caller: owner, ...renderGrantFacts(grant) };
      authoriser.authorise(caller, { act: 'ungrant' }, { grant: facts });
      const status = await granter.ungrant(id, caller.id);
      send(req, res, { status: status.isApplied ? 200 : 202, body: renderUngrant(status) });
    };
  }

  /** Those in force; `after` (a position) and `limit` page through them. */
  #locks(req: Request): Answer {
    const query = queryOf(req);
    requireKnown(query, ['after', 'limit']);
    const locks = this.#ports.view.locks.list(this.#page(query));
    return { status: 200, body: { locks: locks.map(renderLock) } };
  }

  async #lockStatus(id: string): Promise<Answer> {
    const { lifter, revoker, clock } = this.#ports;
    const lock = lifter.find(id);
    const status = await revoker.status(id);
    const times = { expiresAtS: lock.expiresAtS, nowS: epochS(clock.now()) };
    return { status: 200, body: renderLockStatus(status, lock, times) };
  }

  /** As `#locks`; `subject` (an id) for those of one. */
  #grants(req: Request): Answer {
    const query = queryOf(req);
    requireKnown(query, ['after', 'limit', 'subject']);
    const grants = this.#ports.grants.list({ ...this.#page(query), subjectId: query.get('subject') });
    return { status: 200, body: { grants: grants.map(renderGrant) } };
  }

  #grantStatus(id: string): Answer {
    return { status: 200, body: renderGrantStatus(this.#ports.granter.status(id)) };
  }

  #page(query: ReadonlyMap<string, string>): Parameters<GrantTable['list']>[0] {
    return {
      after: afterOf(query),
      limit: limitOf(query, LIMITS.revocationsListedMax),
      nowS: epochS(this.#ports.clock.now()),
    };
  }
}
