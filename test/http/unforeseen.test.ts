/** What a door says when something behind it fails: a 500 that quotes nothing, or the end of a half-given answer. */
import { afterEach, describe, expect, it } from 'vitest';
import type { RequestListener } from 'node:http';
import type { Reason } from '../../src/decision/decision.ts';
import { REASONS } from '../../src/decision/decision.ts';
import { Cursor } from '../../src/feed/cursor.ts';
import type { FeedLine } from '../../src/feed/entry.ts';
import type { Position } from '../../src/feed/position.ts';
import { renderPosition } from '../../src/feed/position.ts';
import type { AuthorisePorts } from '../../src/flows/authorise.ts';
import { Authoriser } from '../../src/flows/authorise.ts';
import type { Checker } from '../../src/flows/check.ts';
import { problemAnswer, send } from '../../src/http/answer.ts';
import type { ControlPlanePorts } from '../../src/http/control-plane.ts';
import { controlPlane } from '../../src/http/control-plane.ts';
import type { DataPlanePorts } from '../../src/http/data-plane.ts';
import { dataPlane } from '../../src/http/data-plane.ts';
import { DecisionIds, statusOf, withStatus } from '../../src/http/decision-answer.ts';
import type { InspectionPorts } from '../../src/http/inspection.ts';
import { Inspection } from '../../src/http/inspection.ts';
import type { Route } from '../../src/http/router.ts';
import { createRouter } from '../../src/http/router.ts';
import type { OpenServer } from '../../src/http/server.ts';
import { openServer } from '../../src/http/server.ts';
import type { ErrorCode } from '../../src/kernel/error.ts';
import { WritError } from '../../src/kernel/error.ts';
import type { Log, LogFields } from '../../src/kernel/log.ts';
import type { Steps } from '../../src/kernel/pace.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import type { Reply } from '../support/client.ts';
import { call } from '../support/client.ts';
import { FleetFixture } from '../support/fleet-fixture.ts';
import { exchange, rawRequest } from '../support/raw-http.ts';

const SECRET = 'eyJ-secret';
const opened: OpenServer[] = [];
const logged: { sentence: string; fields: LogFields | undefined }[] = [];
const keep = (sentence: string, fields?: LogFields): void => void logged.push({ sentence, fields });
const log: Log = { info: keep, warn: keep, error: keep };

afterEach(async () => {
  logged.length = 0;
  await Promise.all(opened.splice(0).map((server) => server.close()));
});

async function serve(handler: RequestListener): Promise<string> {
  const server = await openServer({ address: { host: '127.0.0.1', port: 0 } }, handler);
  opened.push(server);
  return server.url;
}

/** The status is 500, and neither the answer nor the log has what was thrown. */
function expectUnforeseen(reply: Reply, detail: string): void {
  expect(reply.status).toBe(500);
  expect(reply.text).not.toContain(SECRET);
  expect(logged).toEqual([{ sentence: 'a request failed unforeseen', fields: { code: 'INTERNAL', detail } }]);
}

const requests = { record: (): void => undefined };

describe('a handler that fails', () => {
  const failing = (thrown: unknown, more: Partial<Route> = {}): Promise<string> => {
    const handle = (): never => {
      throw thrown as Error;
    };
    return serve(
      createRouter([{ method: 'GET', path: '/x', handle, ...more }], { log, requests, plane: 'data' }),
    );
  };

  it('is a 500 that says nothing of it, and the kind of failure is logged', async () => {
    const reply = await call(`${await failing(new TypeError(SECRET))}/x`);
    expectUnforeseen(reply, 'TypeError');
    expect(reply.body).toMatchObject({ code: 'INTERNAL', status: 500 });
  });

  it('is one also when it throws no error', async () => {
    expectUnforeseen(await call(`${await failing(SECRET)}/x`), 'string');
  });

  it('is said in the words of the standard whose route it is', async () => {
    const renderError: Route['renderError'] = ({ code }) => ({ status: 500, body: { native: code } });
    const reply = await call(`${await failing(new Error(SECRET), { renderError })}/x`);
    expectUnforeseen(reply, 'Error');
    expect(reply.body).toEqual({ native: 'INTERNAL' });
  });
});

describe('an answer that has begun', () => {
  it('is cut where another would follow: nobody takes the half for the whole', async () => {
    const url = await serve((req, res) => {
      res.writeHead(200, { 'content-length': 100 });
      res.write('half');
      send(req, res, { status: 500, body: {} });
    });
    await expect(call(`${url}/`)).rejects.toThrow();
  });
});

describe('the data plane', () => {
  const plane = (evaluate: () => unknown): Promise<string> => {
    const checker = { verify: () => undefined, evaluate } as unknown as Checker;
    return serve(
      dataPlane({
        checker,
        decisionEntrypoint: 'writ/authz/decision',
        ids: new DecisionIds(new Uint8Array(16)),
        observer: { decided: () => undefined },
        requests,
        log,
      } as unknown as DataPlanePorts),
    );
  };
  const ask = (url: string, path: string): Promise<Reply> =>
    call(`${url}/v1/data/${path}`, { body: { input: {} } });

  it('gives no value where policy fails', async () => {
    const url = await plane(() => ({ refused: undefined, value: { kind: 'error', detail: SECRET } }));
    const reply = await ask(url, 'writ/authz/decision');
    expect(reply.body).toEqual({ result: { allow: false, reason: 'policy_error' } });
    expect(reply.headers['x-writ-reason']).toBe('policy_error');
    expect((await ask(url, 'another')).body).toEqual({});
    expect(reply.text).not.toContain(SECRET);
  });

  it('says internal_error in the words of OPA where anything else fails', async () => {
    const url = await plane(() => {
      throw new RangeError(SECRET);
    });
    const reply = await ask(url, 'x');
    expectUnforeseen(reply, 'RangeError');
    expect(reply.body).toEqual({ code: 'internal_error', message: 'something unforeseen happened' });
  });
});

describe('every reason', () => {
  const STATUSES: Record<Reason, number> = {
    permitted: 200,
    policy_denied: 403,
    policy_undefined: 403,
    policy_error: 403,
    revoked: 401,
    locked: 403,
    cutoff: 401,
    expired: 401,
    not_yet_valid: 401,
    invalid_credential: 401,
    unknown_issuer: 401,
    inactive: 401,
    introspection_unavailable: 503,
    subject_mismatch: 403,
    no_credential: 401,
    fenced: 503,
  };

  it('of a store that does not answer says when to try again, lease or no lease; one that broke does not', () => {
    const headersOf = (code: ErrorCode) => problemAnswer(new WritError(code, 'x')).headers ?? {};
    expect(headersOf('STORE_UNREACHABLE')['retry-after']).toBe('1');
    expect(headersOf('STORE_BROKEN')).not.toHaveProperty('retry-after');
  });

  it.each(REASONS)('%s has its status, its challenge and its time to try again', (reason) => {
    const { status, headers = {} } = withStatus(statusOf(reason), reason, '{}');
    expect(status).toBe(STATUSES[reason]);
    expect('www-authenticate' in headers).toBe(status === 401);
    expect('retry-after' in headers).toBe(status === 503);
    // RFC 6750 section 3.1: no error code for who presented nothing.
    if (status === 401)
      expect(headers['www-authenticate']?.includes('error=')).toBe(reason !== 'no_credential');
  });
});

describe('the ledger', () => {
  const ADMIN = 'writ_admin_test';
  const authoriser = new Authoriser({ adminToken: ADMIN, scopes: {} } as unknown as AuthorisePorts);

  function fleet(): { cursor: Cursor; lines: readonly FeedLine[] } {
    const { lines } = new FleetFixture();
    const cursor = new Cursor();
    for (const line of lines) cursor.advance(line, true);
    cursor.settle();
    return { cursor, lines };
  }

  async function control(
    read: (after: Position, limit: number) => Promise<readonly FeedLine[]>,
  ): Promise<string> {
    const { cursor } = fleet();
    const tree = { checkpoint: () => 'a checkpoint', frontier: () => [] };
    const ports = { cursor, tree, cosigner: { cosignatures: () => [] }, ledger: { read } };
    const inspection = new Inspection(ports as unknown as InspectionPorts);
    return serve(
      controlPlane({
        authoriser,
        factRoutes: { routes: () => [] },
        inspection,
        requests,
        run: (steps: Steps<unknown>) => Promise.resolve(runAtOnce(steps)),
        log,
        mint: undefined,
      } as unknown as ControlPlanePorts),
    );
  }

  it('that cannot be read is a 500 before the answer began', async () => {
    let reads = 0;
    const url = await control(() => {
      reads += 1;
      return Promise.reject(new TypeError(SECRET));
    });
    const { cursor } = fleet();
    const reply = await call(`${url}/v1/ledger?from=${renderPosition(cursor.position)}`, { token: ADMIN });
    expectUnforeseen(reply, 'TypeError');
    expect(reply.body).toMatchObject({ code: 'INTERNAL' });
    expect(reads).toBe(1);
  });

  it('is cut, and never closed with a checkpoint, when it fails on the way', async () => {
    const { lines } = fleet();
    let reads = 0;
    const url = await control(async () => {
      reads += 1;
      if (reads > 1) throw new TypeError(SECRET);
      return lines.slice(0, 1);
    });
    const reply = await exchange(url, rawRequest('GET /v1/ledger', [`Authorization: Bearer ${ADMIN}`]));
    expect([reads, reply.isClosed]).toEqual([2, true]);
    expect(reply.text).not.toContain('checkpoint');
    // Chunked, and without the last chunk: every client sees that it is not whole.
    expect(reply.text).not.toContain('\r\n0\r\n');
  });

  it('is read no further once its reader is gone', async () => {
    const { lines } = fleet();
    const gone = Promise.withResolvers<undefined>();
    let reads = 0;
    const url = await control(async (after) => {
      reads += 1;
      if (reads === 2) await gone.promise;
      return lines.slice(after.sequence, after.sequence + 1);
    });
    const request = rawRequest('GET /v1/ledger', [`Authorization: Bearer ${ADMIN}`]);
    await exchange(url, request, { waitMs: 1_000 });
    await new Promise((resolve) => setTimeout(resolve, 50));
    gone.resolve(undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(reads).toBe(2);
  });
});
