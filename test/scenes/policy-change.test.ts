/**
 * Issue 4, scene 1: another policy is swapped in while sessions are open and requests flow. No request fails, decisions
 * after the swap carry the new digest, sessions that the new policy denies die, the others live; a broken bundle is
 * refused, and everything that an operator looks at says so.
 */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { compile } from '../edges/opa/bundles.ts';
import { call, listen } from '../support/client.ts';
import type { Running } from '../support/scene.ts';
import { contextOf, control, evaluate, eventually, mint, openSession } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const SCENE_MS = 90_000;
const CONNECTIONS = 16;
/** After each change: 5,000 a second are one second of it where nobody else uses the machine, and the test says how many. */
const ANSWERS_MIN = 5_000;

let dataDir = '';
let writ: WritProcess | undefined;
beforeEach(async () => {
  dataDir = await makeDataDir();
});
afterEach(async () => {
  await writ?.kill('SIGKILL');
  await removeDataDir(dataDir);
});

function bundleOf(decision: string, flags: readonly string[] = []): Promise<Uint8Array> {
  const rego = `package writ.authz\ndefault decision := false\ndecision if ${decision}`;
  return compile({ rego, entrypoints: ['writ/authz/decision'], flags });
}

interface Answered {
  readonly status: number;
  readonly policy: string;
  readonly decision: unknown;
  /** When it was asked. */
  readonly askedMs: number;
}

/** Asks as fast as it is answered, on several connections, until it is stopped. */
class Traffic {
  readonly answers: Answered[] = [];
  readonly #workers: Promise<void>[];
  #isOver = false;

  constructor(to: Running, token: string) {
    this.#workers = Array.from({ length: CONNECTIONS }, () => this.#ask(to, token));
  }

  /** Resolves when so many more have been answered. */
  async more(count: number): Promise<void> {
    const wanted = this.answers.length + count;
    await eventually(
      async () => this.answers.length,
      (length) => length >= wanted,
      30_000,
    );
  }

  async stop(): Promise<readonly Answered[]> {
    this.#isOver = true;
    await Promise.all(this.#workers);
    return this.answers;
  }

  async #ask(to: Running, token: string): Promise<void> {
    while (!this.#isOver) {
      const askedMs = performance.now();
      const reply = await evaluate(to, token);
      const { status, body } = reply;
      const policy = String(contextOf(reply)['policy']);
      this.answers.push({ status, policy, decision: body['decision'], askedMs });
    }
  }
}

async function policyOf(running: Running): Promise<Record<string, unknown>> {
  return (await control(running, '/v1/policy')).body;
}

async function put(file: string, bytes: Uint8Array): Promise<void> {
  await writeFile(`${file}.next`, bytes);
  await rename(`${file}.next`, file);
}

it(
  'changes under traffic: nothing fails, the denied sessions die, a broken one is refused and named',
  async () => {
    const file = join(dataDir, 'bundle.tar.gz');
    await put(file, await bundleOf('true'));
    const running = (writ = await startWrit({ dataDir, set: [`policy.bundle=${file}`] }));
    const [billing, guest] = [await mint(running), await mint(running, { sub: 'guest' })];
    const held = [];
    for (const { token } of [billing, guest]) {
      const id = String((await openSession(running, token)).body['id']);
      held.push({ id, stream: await listen(`${running.urls.data}/v1/sessions/${id}/events`) });
    }
    const [kept, denied] = held;
    if (kept === undefined || denied === undefined) throw new Error('no sessions');
    const old = String((await policyOf(running))['digest']);

    const traffic = new Traffic(running, billing.token);
    const startedMs = performance.now();
    await traffic.more(ANSWERS_MIN);
    // By file watch.
    await put(file, await bundleOf('input.subject.id == "billing"'));
    const next = String(
      (
        await eventually(
          () => policyOf(running),
          ({ digest }) => digest !== old,
        )
      )['digest'],
    );
    const swappedMs = performance.now();
    expect(next).not.toBe(old);
    expect((await denied.stream.killed).data).toMatchObject({ reason: 'policy_denied' });
    await traffic.more(ANSWERS_MIN);

    // By SIGHUP, and broken.
    await put(file, (await bundleOf('false')).subarray(0, 2_000));
    process.kill(running.pid, 'SIGHUP');
    const shown = await eventually(
      () => policyOf(running),
      ({ refused }) => refused !== undefined,
    );
    expect(shown).toMatchObject({
      digest: next,
      refused: { code: 'POLICY_INVALID', detail: 'the bundle is truncated or no gzip' },
    });
    await traffic.more(ANSWERS_MIN);
    const answers = await traffic.stop();
    const rps = answers.length / ((performance.now() - startedMs) / 1000);
    console.log(
      `${rps.toFixed(0)} requests a second on ${CONNECTIONS} connections, ${answers.length} answers`,
    );

    expect(answers.length).toBeGreaterThan(3 * ANSWERS_MIN);
    expect(answers.filter(({ status, decision }) => status !== 200 || decision !== true)).toEqual([]);
    expect(new Set(answers.map(({ policy }) => policy))).toEqual(new Set([old, next]));
    const after = answers.filter(({ askedMs }) => askedMs > swappedMs);
    expect(after.length).toBeGreaterThan(ANSWERS_MIN);
    expect(new Set(after.map(({ policy }) => policy))).toEqual(new Set([next]));

    const ping = await call(`${running.urls.data}/v1/sessions/${kept.id}/ping`, { method: 'POST' });
    expect(ping.body['kill']).toBeUndefined();
    expect(ping.body['freshForMs']).toBeGreaterThan(0);
    expect((await openSession(running, guest.token)).status).toBe(403);

    const ready = await call(`${running.urls.diagnostics}/readyz`);
    expect(ready.status).toBe(200);
    expect(ready.text).toContain('refused: the bundle is truncated or no gzip');
    const { body: status } = await control(running, '/v1/status');
    expect(status).toMatchObject({ verdict: 'ready, with loose ends', bundlesRefused: 1 });
    const { text: metrics } = await call(`${running.urls.diagnostics}/metrics`);
    expect(metrics).toMatch(/^writ_policy_reloads_total\{result="loaded"\} 1$/m);
    expect(metrics).toMatch(/^writ_policy_reloads_total\{result="refused"\} [1-9]\d*$/m);
    expect(metrics).toMatch(/^writ_policy_refused 1$/m);
    expect(running.log.some((line) => line.includes('a policy bundle was refused'))).toBe(true);
    for (const { stream } of held) stream.close();
  },
  SCENE_MS,
);
