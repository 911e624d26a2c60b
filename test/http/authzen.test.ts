/** AuthZEN Authorization API 1.0 to the letter: what the conformance suite asks, and what the text says besides. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reply } from '../support/client.ts';
import { InProcessWrit, contextOf, evaluation } from '../support/in-process.ts';

const ONE = '/access/v1/evaluation';
const MANY = '/access/v1/evaluations';

let writ: InProcessWrit;
let token: string;

beforeAll(async () => {
  writ = await InProcessWrit.open();
  token = await writ.mint();
});

afterAll(() => writ.remove());

function ask(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  return writ.data(path, { body, headers });
}

type Body = Record<string, unknown>;

function without(body: Body, name: string): Body {
  return Object.fromEntries(Object.entries(body).filter(([member]) => member !== name));
}

/** An error's body is a JSON string (section 10.1.2). */
function expectRefused(reply: Reply, status = 400): void {
  expect(reply.status, reply.text).toBe(status);
  expect(reply.headers['content-type']).toBe('application/json');
  expect(typeof JSON.parse(reply.text)).toBe('string');
}

describe('what is missing or mistyped', () => {
  const good = evaluation();
  const faults: Record<string, Body> = {
    'no subject': without(good, 'subject'),
    'no action': without(good, 'action'),
    'no resource': without(good, 'resource'),
    'a subject without type': { ...good, subject: { id: 'billing' } },
    'a subject without id': { ...good, subject: { type: 'service' } },
    'an action without name': { ...good, action: {} },
    'a resource without type': { ...good, resource: { id: '42' } },
    'a resource without id': { ...good, resource: { type: 'invoice' } },
    'a subject that is text': { ...good, subject: 'billing' },
    'a subject that is null': { ...good, subject: null },
    'a subject that is a list': { ...good, subject: [] },
    'an action that is text': { ...good, action: 'read' },
    'a resource that is a number': { ...good, resource: 42 },
    'an id that is a number': { ...good, resource: { type: 'invoice', id: 42 } },
    'an empty id': { ...good, resource: { type: 'invoice', id: '' } },
    'a type that is null': { ...good, subject: { type: null, id: 'billing' } },
    'a name that is an object': { ...good, action: { name: {} } },
    'a context that is text': { ...good, context: 'here' },
    'a context that is null': { ...good, context: null },
    'properties that are text': { ...good, subject: { type: 'service', id: 'billing', properties: 'x' } },
    'properties that are null': { ...good, action: { name: 'read', properties: null } },
    'properties that are a list': { ...good, resource: { type: 'invoice', id: '42', properties: [] } },
  };
  it.each(Object.entries(faults))('is 400: %s', async (_name, body) => {
    expectRefused(await ask(ONE, body));
    expectRefused(await ask(MANY, body));
    const native = await ask('/v1/check', body);
    expect(native.status).toBe(400);
    expect(native.body).toMatchObject({ code: 'BAD_REQUEST', field: expect.any(String) as string });
  });

  it.each(['', '[]', 'null', '"text"', '7', 'true', '{', '{"subject":', '{}x', '\ufeff{}'])(
    'is 400: a body of %j',
    async (text) => {
      expectRefused(await ask(ONE, text));
      expectRefused(await ask(MANY, text));
    },
  );
});

describe('a single evaluation', () => {
  it('is 200 with a boolean, for a deny as for an allow', async () => {
    for (const [body, decision] of [
      [evaluation(token), true],
      [evaluation(), false],
    ] as const) {
      const reply = await ask(ONE, body);
      expect(reply.status).toBe(200);
      expect(reply.headers['content-type']).toBe('application/json');
      expect(reply.body['decision']).toBe(decision);
    }
  });

  it('ignores members it does not know, wherever they are', async () => {
    const body = {
      ...evaluation(token),
      subject: { type: 'service', id: 'billing', nickname: 'b' },
      action: { name: 'read', soft: true },
      resource: { type: 'invoice', id: '42', colour: ['red'] },
      extra: { evaluations: 'no' },
    };
    expect((await ask(ONE, body)).body['decision']).toBe(true);
    // `evaluations` and `options` are members of the other endpoint.
    expect((await ask(ONE, { ...body, evaluations: 7, options: 7 })).body['decision']).toBe(true);
  });

  it('takes properties of all three', async () => {
    const properties = { department: 'Sales', nested: { deep: [1] } };
    const body = {
      ...evaluation(token),
      subject: { type: 'service', id: 'billing', properties },
      action: { name: 'read', properties },
      resource: { type: 'invoice', id: '42', properties },
    };
    expect((await ask(ONE, body)).body['decision']).toBe(true);
  });

  it('takes any member that is named like a part of an object in JavaScript as data', async () => {
    const text = JSON.stringify(evaluation(token)).replace(
      '{',
      '{"__proto__":{"decision":true},"constructor":1,',
    );
    const reply = await ask(ONE, text);
    expect(reply.body['decision']).toBe(true);
    const denied = JSON.stringify(evaluation()).replace('{', '{"__proto__":{"decision":true},');
    expect((await ask(ONE, denied)).body['decision']).toBe(false);
  });

  it('echoes X-Request-ID, in answers and in errors, and sends none that was not sent', async () => {
    const headers = { 'x-request-id': 'bfe9eb29-ab87-4ca3-be83-a1d5d8305716' };
    for (const reply of [
      await ask(ONE, evaluation(), headers),
      await ask(MANY, { ...evaluation(), evaluations: [{}] }, headers),
      await ask(ONE, {}, headers),
      await writ.data(ONE, { headers }),
    ])
      expect(reply.headers['x-request-id']).toBe(headers['x-request-id']);
    expect((await ask(ONE, evaluation())).headers).not.toHaveProperty('x-request-id');
  });

  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON ;charset=UTF-8'])(
    'takes the content type %s',
    async (type) => {
      expect((await ask(ONE, evaluation(token), { 'content-type': type })).body['decision']).toBe(true);
    },
  );

  it.each([
    'text/plain',
    'application/jsonp',
    'application/json-patch+json',
    'application/x-www-form-urlencoded',
    '',
  ])('refuses the content type "%s" with 415', async (type) => {
    expectRefused(await ask(ONE, evaluation(token), { 'content-type': type }), 415);
    expectRefused(await ask(MANY, evaluation(token), { 'content-type': type }), 415);
  });

  it.each(['GET', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'])(
    'answers %s with 405 and Allow',
    async (method) => {
      for (const path of [ONE, MANY]) {
        const reply = await writ.data(path, { method, body: method === 'PUT' ? evaluation() : undefined });
        expect(reply.status).toBe(405);
        expect(reply.headers['allow']).toBe('POST');
      }
    },
  );
});

describe('evaluations', () => {
  const invoice = { type: 'invoice', id: '42' };
  const read = { name: 'read' };
  const subject = { type: 'service', id: 'billing' };
  const decisions = (reply: Reply): unknown[] => {
    expect(reply.status, reply.text).toBe(200);
    expect(Object.keys(reply.body)).toEqual(['evaluations']);
    return (reply.body['evaluations'] as Body[]).map(({ decision }) => decision);
  };
  const context = (): Body => ({ credential: { scheme: 'Bearer', token } });

  it('take each default that an item does not carry, and keep the order', async () => {
    const reply = await ask(MANY, {
      ...evaluation(token),
      evaluations: [
        {},
        { action: { name: 'delete' } },
        { resource: { type: 'invoice', id: '43' } },
        { action: { name: 'x' } },
      ],
    });
    expect(decisions(reply)).toEqual([true, false, true, false]);
  });

  it('replace a default whole: nothing of it is merged into an item of the same name', async () => {
    const reply = await ask(MANY, {
      ...evaluation(token),
      evaluations: [
        // The item's context has no credential: the default's is not carried over.
        { context: { note: 1 } },
        { context: {} },
        { context: context() },
        // An item's resource lacks what the default has.
        { resource: { id: '42' } },
      ],
    });
    expect(decisions(reply)).toEqual([false, false, true, false]);
    const items = reply.body['evaluations'] as Body[];
    expect(items[1]).toMatchObject({ context: { reason: 'policy_denied' } });
    expect(items[3]).toMatchObject({ context: { error: { status: 400 } } });
  });

  it('need no defaults when every item is whole', async () => {
    const whole = { subject, action: read, resource: invoice, context: context() };
    expect(decisions(await ask(MANY, { evaluations: [whole, { ...whole, context: {} }] }))).toEqual([
      true,
      false,
    ]);
  });

  it.each([
    ['missing', {}],
    ['empty', { evaluations: [] }],
    ['empty, with options', { evaluations: [], options: { evaluations_semantic: 'deny_on_first_deny' } }],
  ])('behave as a single evaluation when the array is %s', async (_name, more) => {
    const reply = await ask(MANY, { ...evaluation(token), ...more });
    expect(reply.status).toBe(200);
    expect(reply.body['decision']).toBe(true);
    expect(reply.body).not.toHaveProperty('evaluations');
  });

  it('answer a failed item with a deny in its place, and go on', async () => {
    const reply = await ask(MANY, {
      action: read,
      resource: invoice,
      context: context(),
      evaluations: [{ subject }, {}, { subject: 'x' }, 7, null, [], { subject, action: null }, { subject }],
    });
    expect(decisions(reply)).toEqual([true, false, false, false, false, false, false, true]);
    const items = reply.body['evaluations'] as Body[];
    for (const failed of items.slice(1, 7))
      expect(failed).toEqual({
        decision: false,
        context: { error: { status: 400, message: expect.any(String) as string } },
      });
  });

  it('say in each item why', async () => {
    const stranger = { subject: { type: 'service', id: 'payroll' } };
    const reply = await ask(MANY, { ...evaluation(token), evaluations: [{}, stranger] });
    const reasons = (reply.body['evaluations'] as Reply[]).map((one) => (one as unknown as Body)['context']);
    expect(reasons).toMatchObject([{ reason: 'permitted' }, { reason: 'subject_mismatch' }]);
  });

  const allow = {};
  const deny = { action: { name: 'delete' } };
  it.each([
    ['execute_all', [allow, deny, allow], [true, false, true]],
    ['deny_on_first_deny', [allow, deny, allow], [true, false]],
    ['deny_on_first_deny', [allow, allow], [true, true]],
    ['deny_on_first_deny', [{ subject: 7 }, allow], [false]],
    ['permit_on_first_permit', [deny, allow, deny], [false, true]],
    ['permit_on_first_permit', [deny, deny], [false, false]],
  ])('follow %s', async (semantic, evaluations, expected) => {
    const options = { evaluations_semantic: semantic, another: 1 };
    expect(decisions(await ask(MANY, { ...evaluation(token), evaluations, options }))).toEqual(expected);
  });

  it('execute all when the options do not say', async () => {
    const evaluations = [deny, allow];
    expect(decisions(await ask(MANY, { ...evaluation(token), evaluations, options: {} }))).toEqual([
      false,
      true,
    ]);
  });

  it.each([
    { evaluations_semantic: 'some' },
    { evaluations_semantic: null },
    { evaluations_semantic: 7 },
    { evaluations_semantic: '' },
    { evaluations_semantic: 'EXECUTE_ALL' },
    'execute_all',
    null,
    [],
  ])('refuse the options %j with 400', async (options) => {
    expectRefused(await ask(MANY, { ...evaluation(token), evaluations: [{}], options }));
    expectRefused(await ask(MANY, { ...evaluation(token), options }));
  });

  it.each([{}, 'all', 7, null, true])('refuse an array that is %j with 400', async (evaluations) => {
    expectRefused(await ask(MANY, { ...evaluation(token), evaluations }));
  });

  it('are at most a thousand', async () => {
    const many = (count: number): Body => ({
      ...evaluation(token),
      evaluations: Array.from({ length: count }, () => ({})),
    });
    expect(decisions(await ask(MANY, many(1_000)))).toHaveLength(1_000);
    expectRefused(await ask(MANY, many(1_001)));
  });

  it('take a mebibyte, where a single evaluation takes 64 KiB', async () => {
    const note = 'x'.repeat(100_000);
    expect((await ask(MANY, { ...evaluation(token), note })).body['decision']).toBe(true);
    expectRefused(await ask(ONE, { ...evaluation(token), note }), 413);
  });

  it('are revoked like single ones', async () => {
    const dead = await writ.mint();
    await writ.control('/v1/revocations', { body: { selector: { kind: 'token', value: dead } } });
    const reply = await ask(MANY, { ...evaluation(dead), evaluations: [{}, { context: context() }, {}] });
    expect(decisions(reply)).toEqual([false, true, false]);
    const single = await ask(MANY, evaluation(dead));
    expect(contextOf(single)['reason']).toBe('revoked');
  });
});

describe('the metadata', () => {
  it('is under the well-known address, and says what is configured as the public one', async () => {
    const publicOne = await InProcessWrit.open({ sets: ['publicUrl=https://pdp.example'] });
    try {
      const reply = await publicOne.data('/.well-known/authzen-configuration');
      expect(reply.body).toEqual({
        policy_decision_point: 'https://pdp.example',
        access_evaluation_endpoint: 'https://pdp.example/access/v1/evaluation',
        access_evaluations_endpoint: 'https://pdp.example/access/v1/evaluations',
      });
    } finally {
      await publicOne.remove();
    }
  });

  it('answers every other method with 405', async () => {
    const reply = await writ.data('/.well-known/authzen-configuration', { method: 'POST', body: {} });
    expect(reply.status).toBe(405);
    expect(reply.headers['allow']).toBe('GET');
  });
});
