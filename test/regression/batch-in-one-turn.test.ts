/**
 * Found by attack: a batch decided its items one after the other and answered when the last was done. While one waited
 * for the keys of another issuer, an allow before it grew old, and went out long after its revocation was `enforced`.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { parsePublicJwk } from '../../src/credential/jwk.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { Answer } from '../../src/http/answer.ts';
import { AskedDecision } from '../../src/http/asked-decision.ts';
import { evaluateAll } from '../../src/http/evaluations.ts';
import { FakeClock } from '../support/fake-time.ts';
import { InProcessWrit, evaluation } from '../support/in-process.ts';
import { TestReplica, tokenOf } from '../support/replica-harness.ts';
import { SLOW_KEYS, openSlowServer, slowIssuer, slowToken } from '../support/slow-server.ts';
import { makeKey, mintProof } from '../support/tokens.ts';

const BATCH = '/access/v1/evaluations';
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function openSlow(body: () => string) {
  const slow = await openSlowServer(body);
  closers.push(slow.close);
  return slow;
}

async function start(keysUrl?: string, sets: readonly string[] = []): Promise<InProcessWrit> {
  const writ = await InProcessWrit.open(
    keysUrl === undefined ? { sets } : { sets, fileText: slowIssuer(keysUrl) },
  );
  closers.push(() => writ.remove());
  return writ;
}

const item = (token: string) => ({ context: { credential: { scheme: 'Bearer', token } } });
const revocationOf = (value: string) => ({ selector: { kind: 'token', value }, wait: 'enforced' });

function answersOf({ body }: { readonly body: Record<string, unknown> }): unknown[] {
  return (body['evaluations'] as { decision: unknown }[]).map(({ decision }) => decision);
}

describe('a batch one of whose items waits for keys', () => {
  it.each([
    ['execute_all', [false, true]],
    ['deny_on_first_deny', [false]],
  ])('has, as %s, no allow that was revoked while keys were waited for', async (semantic, answers) => {
    const keys = await openSlow(() => SLOW_KEYS);
    const writ = await start(keys.url);
    const dead = await writ.mint();
    const options = { evaluations_semantic: semantic };
    const body = { ...evaluation(), options, evaluations: [item(dead), item(slowToken())] };
    const pending = writ.data(BATCH, { body });
    await keys.asked;
    // Whoever asked before this one was answered has been verified by now.
    expect((await writ.data('/v1/check', { body: evaluation(dead) })).status).toBe(200);
    const revoked = await writ.control('/v1/revocations', { body: revocationOf(dead) });
    expect(revoked.body['state']).toBe('enforced');
    keys.answer();
    expect(answersOf(await pending)).toEqual(answers);
  });
});

describe('a batch that waits for its lines', () => {
  it.each([
    ['execute_all', [false, true]],
    ['deny_on_first_deny', [false]],
    ['permit_on_first_permit', [false, true]],
  ])('has, as %s, no allow that was revoked while lines were written', async (semantic, answers) => {
    const sink = await openSlow(() => '');
    const sets = ['sink=http', `url=${sink.url}`, 'required=true', 'requiredWait=5s'];
    const writ = await start(
      undefined,
      sets.map((set) => `telemetry.decisionLog.${set}`),
    );
    const [dead, alive] = [await writ.mint(), await writ.mint()];
    const options = { evaluations_semantic: semantic };
    const body = { ...evaluation(), options, evaluations: [item(dead), item(alive)] };
    const pending = writ.data(BATCH, { body });
    await sink.asked;
    const revoked = await writ.control('/v1/revocations', { body: revocationOf(dead) });
    expect(revoked.body['state']).toBe('enforced');
    sink.answer();
    expect(answersOf(await pending)).toEqual(answers);
  });
});

describe('a large batch', () => {
  const ITEMS = 120;

  /** Reasons of its answer; `looking` is called at each look at an item, previews and the last one. */
  async function run(clock: FakeClock, looking: (look: number, replica: TestReplica) => void) {
    const replica = await new TestReplica({ clock }).start();
    closers.push(() => replica.stop());
    const { checker } = replica;
    const token = tokenOf('billing', 'j1', 1_800_000_000);
    let looks = 0;
    const look = await evaluateAll(
      { ...evaluation(token), evaluations: Array.from({ length: ITEMS }, () => ({})) },
      {
        ask: async ({ request }) => {
          const verification = await checker.verify(request.credential);
          const occasion = { id: '', source: 'evaluations', startedMs: 0, asked: request } as const;
          return new AskedDecision({
            ...{ checker, observer: { decided: () => undefined }, isWanted: () => true },
            occasion: { ...occasion, asking: { headers: {}, socket: {} } },
            decide: () => {
              looking(++looks, replica);
              return checker.judgeAgain(request, verification);
            },
          });
        },
        freshForMs: () => checker.freshForMs(),
        render: ({ reason, detail, evidence: { freshForMs } }) =>
          JSON.stringify({ reason, detail, freshForMs }),
      },
    );
    const { text = '' } = (await look()) as Answer;
    const { evaluations } = JSON.parse(text) as {
      evaluations: { reason: string; detail?: string; freshForMs: number }[];
    };
    expect(evaluations).toHaveLength(ITEMS);
    return evaluations;
  }

  it('gives others turns, and has no allow that was revoked in one of them', async () => {
    const answers = await run(new FakeClock(), (look, { lease }) => {
      if (look === ITEMS - 1) lease.drop();
    });
    for (const { reason } of answers) expect(reason).toBe('fenced');
  });

  it('has no allow of a lease that ended during its last look, and says how long the lease is at its end', async () => {
    for (const [passesMs, reason] of [
      [100, 'permitted'],
      [60_000, 'fenced'],
    ] as const) {
      const clock = new FakeClock();
      let left = 0;
      const answers = await run(clock, (look, { checker }) => {
        if (look !== ITEMS + 60) return;
        clock.advance(passesMs);
        left = checker.freshForMs();
      });
      for (const answer of answers) expect(answer).toMatchObject({ reason, freshForMs: left });
    }
  });

  it('does not hold everyone up for what a slow policy has not said in time', async () => {
    const answers = await run(new FakeClock(), (look) => {
      const untilMs = performance.now() + 3;
      while (look > ITEMS && performance.now() < untilMs);
    });
    expect(answers[0]).toMatchObject({ reason: 'permitted' });
    expect(answers.at(-1)).toMatchObject({ reason: 'policy_error', detail: 'too_slow' });
  });
});

describe('a DPoP proof in a batch', () => {
  it('is used once for all questions about its request, and by no other batch or request', async () => {
    const writ = await start();
    const dpop = makeKey('ES256', 'dpop');
    const jkt = parsePublicJwk(dpop.jwk as JsonObject)?.thumbprint;
    const token = await writ.mint({ claims: { cnf: { jkt } } });
    const proof = mintProof({ key: dpop, token, claims: { iat: Math.floor(Date.now() / 1000) } });
    const credential = { scheme: 'DPoP', token, proof, method: 'GET', uri: 'https://api.example/orders' };
    const other = { context: { credential: { ...credential, uri: 'https://api.example/other' } } };
    const body = { ...evaluation(), context: { credential }, evaluations: [{}, {}, other] };
    expect(answersOf(await writ.data(BATCH, { body }))).toEqual([true, true, false]);
    expect(answersOf(await writ.data(BATCH, { body }))).toEqual([false, false, false]);
  });
});
